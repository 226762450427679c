"""Findings from the results of the probes, each with a fix."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from mot_dinov3 import __version__
from mot_dinov3.apps.doctor import probes
from mot_dinov3.models.devices import GPU_NODES

OK, WARNING, FAILED = "ok", "warning", "failed"
TIMEOUT_S = 180.0  # of a probe; a first import from a slow disk takes long

REINSTALL = "bash setup.sh cpu --yes (t4_gpu for an NVIDIA GPU)"
FIXES = (
    (r"libGL\.so|libgthread|libGL ", "apt-get install libgl1 libglib2.0-0, or use opencv-python-headless instead"),
    (
        r"numpy\.dtype size changed|_ARRAY_API|compiled using NumPy 1|numpy\.core\.multiarray",
        "a library was built for another NumPy: pip install -U numpy and that library, or reinstall: " + REINSTALL,
    ),
    (
        r"torchvision::nms|operator torchvision|undefined symbol.*(torch|c10)",
        "torch and torchvision must be a pair from one index: " + REINSTALL,
    ),
    (r"libcud|libnv|CUDA", "torch was built for another CUDA than this driver's: " + REINSTALL),
)
"""Pattern of a library's error message → fix."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Result of one check: `OK`, `WARNING` (an optional part is missing) or `FAILED`, and the fix of what is wrong.

    `exit_code` is 0 for all checks but that of tracking.
    """

    name: str
    state: str
    text: str
    fix: str = ""
    exit_code: int = 0


def run_checks(probe: Callable[[str], Mapping[str, Any]] | None = None) -> Iterator[Finding]:
    """Run all checks and yield their findings.

    `probe` runs a probe and returns its result, with ``error`` where it failed; None for `run_probe`.
    """
    yield Finding("program", OK, f"mot-dinov3 {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for name, check in CHECKS.items():
        if name in OPTIONAL and not _installed(name):
            yield Finding(name, WARNING, f"not installed: {OPTIONAL[name][1]}", OPTIONAL[name][0])
            continue
        found = (probe or run_probe)(name)
        if "error" in found:
            # Only tracking decides on the exit code: it fails where a required part is missing.
            code = int(found.get("exit_code", 2)) if name == "tracking" else 0
            yield Finding(name, FAILED, str(found["error"]), str(found.get("remedy") or fix_for(found["error"])), code)
        else:
            yield from check(found)


def run_probe(name: str) -> dict[str, Any]:
    """Run a probe in a separate process and return its result, or ``error`` with the reason of a failure."""
    command = [sys.executable, "-m", probes.__name__, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {TIMEOUT_S:g} s", "remedy": "try again; a first import can be slow"}
    if done.returncode == 0:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    if done.returncode < 0:
        return {
            "error": f"ended by signal {-done.returncode}",
            "remedy": "a library was built for another CPU, or is damaged: " + REINSTALL,
        }
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return {"error": lines[-1][:300] if lines else f"ended with code {done.returncode}"}


def fix_for(error: str) -> str:
    """Return the fix for a library's error message."""
    missing = re.search(r"No module named '([\w.]+)'", error)
    if missing:
        return f"{missing[1].partition('.')[0]} is not installed: {REINSTALL}"
    return next((fix for pattern, fix in FIXES if re.search(pattern, error)), REINSTALL)


def _numbers(found: Mapping[str, Any]) -> Iterator[Finding]:
    yield Finding("numbers", OK, f"NumPy {found['numpy']}, SciPy {found['scipy']}")


def _video(found: Mapping[str, Any]) -> Iterator[Finding]:
    text = f"PyAV {found['av']}; reads {', '.join(found['decoders'])}; writes {', '.join(found['encoders'])}"
    if "libx264" in found["encoders"] and "h264" in found["decoders"]:
        yield Finding("video", OK, text)
    else:
        fix = "use PyAV's own wheel, whose FFmpeg has H.264: pip install --force-reinstall --only-binary av av"
        yield Finding("video", WARNING, text + "; no H.264", fix)


def _images(found: Mapping[str, Any]) -> Iterator[Finding]:
    wheels = [d for d in ("opencv-python", "opencv-python-headless", "opencv-contrib-python") if _installed(d)]
    text = f"OpenCV {found['opencv']}" + ("" if found["windows"] else ", without windows")
    if len(wheels) > 1:
        fix = f"they overwrite each other: pip uninstall {' '.join(wheels)}, then pip install opencv-python"
        yield Finding("images", WARNING, f"{text}; {' and '.join(wheels)} are both installed", fix)
    else:
        yield Finding("images", OK, text)


def _tracking(found: Mapping[str, Any]) -> Iterator[Finding]:
    text = f"tracking without weights works: {found['frames']} frames read, tracked and written as H.264"
    if found["frames"] == probes.FRAMES and found["tracked"]:
        yield Finding("tracking", OK, text)
    else:
        text = "tracking without weights lost the objects of the test clip "
        text += f"({found['frames']} frames, {found['tracked']} boxes)"
        yield Finding("tracking", FAILED, text, "please report it with this complete output", 1)


def _torch(found: Mapping[str, Any]) -> Iterator[Finding]:
    devices = [*found["cuda"], *(["MPS"] if found["mps"] else []), f"CPU ({os.cpu_count()} cores)"]
    text = f"torch {found['torch']}, torchvision {found['torchvision']}; runs on {devices[0]}"
    driver = shutil.which("nvidia-smi") is not None or any(Path(node).exists() for node in GPU_NODES)
    if driver and not found["built_for_cuda"]:
        fix = "bash setup.sh t4_gpu --yes installs a torch for it"
        yield Finding("torch", WARNING, f"{text}; a GPU is present, but this torch build supports the CPU only", fix)
    elif found["built_for_cuda"] and driver and not found["cuda"]:
        fix = "update the driver, or install a torch for an older CUDA (TORCH_CHANNEL=… bash setup.sh t4_gpu)"
        yield Finding("torch", WARNING, f"{text}; its CUDA {found['built_for_cuda']} cannot use the GPU", fix)
    else:
        yield Finding("torch", OK, text)


def _transformers(found: Mapping[str, Any]) -> Iterator[Finding]:
    if found["dinov3"]:
        yield Finding("transformers", OK, f"transformers {found['transformers']}, which supports DINOv3")
    else:
        fix = "pip install -U transformers huggingface_hub, or bash setup.sh cpu --dinov3-edge"
        yield Finding("transformers", WARNING, f"transformers {found['transformers']} is too old for DINOv3", fix)


def _version(name: str) -> Callable[[Mapping[str, Any]], Iterator[Finding]]:
    def check(found: Mapping[str, Any]) -> Iterator[Finding]:
        rest = f" ({', '.join(found['providers'])})" if "providers" in found else ""
        yield Finding(name, OK, f"{name} {found[name]}{rest}")

    return check


def _models(found: Mapping[str, Any]) -> Iterator[Finding]:
    here = [model for model, there in found["hub_models"].items() if there]
    missing = [model for model, there in found["hub_models"].items() if not there]
    dino = found["dino_folder"] or any("dino" in model for model in here)
    text = f"in {found['hub_cache']}: {', '.join(here) or 'none of the default models'}"
    text += f"; not cached: {', '.join(missing)}" if missing else ""
    text += f"; DINOV3_LOCATION={found['dino_folder']}" if found["dino_folder"] else ""
    text += "; the hub is disabled (HF_HUB_OFFLINE)" if found["offline"] else ""
    token = "a token is set" if found["token"] else "no token (gated models, DINOv3 among them, need HF_TOKEN in .env)"
    fix = "" if dino else "they are downloaded at first use; offline: --embed-model FOLDER, or DINOV3_LOCATION"
    yield Finding("models", OK if dino else WARNING, f"{text}; {token}", fix)
    weights = ", ".join(found["weights"])
    fix = "" if weights else "yolov8n.pt is downloaded at first use; offline: put it into models/"
    text = f"local weights: {weights or 'none'}; converted networks in {found['networks']}"
    yield Finding("weights", OK if weights else WARNING, text, fix)


CHECKS: dict[str, Callable[[Mapping[str, Any]], Iterator[Finding]]] = {
    "numbers": _numbers,
    "video": _video,
    "images": _images,
    "tracking": _tracking,
    "torch": _torch,
    "transformers": _transformers,
    "ultralytics": _version("ultralytics"),
    "openvino": _version("openvino"),
    "onnxruntime": _version("onnxruntime"),
    "models": _models,
}
OPTIONAL = {
    "openvino": ("pip install 'mot-dinov3[fast]'", "it runs networks faster on a CPU"),
    "onnxruntime": ("pip install 'mot-dinov3[onnx]'", "required for .onnx weights"),
}


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
