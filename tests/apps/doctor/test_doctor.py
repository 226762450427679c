"""What the doctor says of what the probes bring back, and that a broken library is a finding like any other."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mot_dinov3.apps.doctor import checks, probes
from mot_dinov3.apps.doctor.checks import CHECKS, FAILED, OK, WARNING, Finding, fix_for, run_checks, run_probe
from mot_dinov3.cli import main

HEALTHY: dict[str, dict[str, Any]] = {
    "numbers": {"numpy": "2.4.0", "scipy": "1.17"},
    "video": {"av": "18.1", "decoders": ["h264"], "encoders": ["libx264"]},
    "images": {"opencv": "5.0", "windows": True},
    "tracking": {"frames": probes.FRAMES, "tracked": 7, "bytes": 900},
    "torch": {"torch": "2.15", "torchvision": "0.29", "built_for_cuda": "", "cuda": [], "mps": False},
    "transformers": {"transformers": "5.23", "dinov3": True},
    "ultralytics": {"ultralytics": "8.4"},
    "openvino": {"openvino": "2026.4"},
    "onnxruntime": {"onnxruntime": "1.31", "providers": ["CPUExecutionProvider"]},
    "models": {
        "hub_cache": "/cache",
        "offline": False,
        "token": True,
        "hub_models": {"facebook/dinov2-base": True},
        "dino_folder": "",
        "weights": ["models/yolov8n.pt"],
        "networks": "/cache/networks",
    },
}


@pytest.fixture(autouse=True)
def plain_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU, every optional part installed, one OpenCV: whatever the computer of the tests is."""
    monkeypatch.setattr(checks, "GPU_NODES", ())
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(checks, "_installed", lambda name: "headless" not in name and "contrib" not in name)


def findings(**changed: Mapping[str, Any]) -> dict[str, Finding]:
    found = HEALTHY | {name: {**HEALTHY[name], **values} for name, values in changed.items()}
    return {finding.name: finding for finding in run_checks(lambda name: found[name])}


def test_a_healthy_installation_has_nothing_to_fix() -> None:
    found = findings()
    assert found.keys() == {"program", "weights", *CHECKS}
    assert {f.state for f in found.values()} == {OK}
    assert not any(f.fix or f.exit_code for f in found.values())


@pytest.mark.parametrize(
    ("name", "values", "state", "text", "fix"),
    [
        ("transformers", {"dinov3": False}, WARNING, "too old", "--dinov3-edge"),
        ("video", {"encoders": ["mpeg4"]}, WARNING, "no H.264", "--only-binary av"),
        ("models", {"hub_models": {"facebook/dinov2-base": False}}, WARNING, "not cached", "DINOV3_LOCATION"),
        ("numbers", {"error": "ValueError: numpy.dtype size changed"}, FAILED, "size changed", "another NumPy"),
        ("images", {"error": "ImportError: libGL.so.1: cannot open"}, FAILED, "libGL", "headless"),
        ("torch", {"error": "RuntimeError: operator torchvision::nms does not exist"}, FAILED, "nms", "a pair"),
        ("torch", {"error": "ModuleNotFoundError: No module named 'torch'"}, FAILED, "torch", "torch is not installed"),
    ],
)
def test_what_does_not_work_comes_with_the_fix(
    name: str, values: dict[str, Any], state: str, text: str, fix: str
) -> None:
    found = findings(**{name: values})
    assert found[name].state == state
    assert text in found[name].text
    assert fix in found[name].fix
    assert all(finding.exit_code == 0 for finding in found.values())  # the main job ran all the same


def test_a_gpu_that_torch_cannot_use_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "GPU_NODES", (str(tmp_path),))
    assert "CPU only" in findings()["torch"].text
    assert "cannot use the GPU" in findings(torch={"built_for_cuda": "13.0"})["torch"].text
    working = findings(torch={"built_for_cuda": "13.0", "cuda": ["Tesla T4"]})["torch"]
    assert (working.state, "runs on Tesla T4" in working.text) == (OK, True)


def test_two_opencv_wheels_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_installed", lambda name: "contrib" not in name)
    assert "overwrite each other" in findings()["images"].fix


def test_what_is_optional_and_missing_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_installed", lambda name: name != "openvino")
    found = findings()["openvino"]
    assert (found.state, "mot-dinov3[fast]" in found.fix) == (WARNING, True)


@pytest.mark.parametrize(
    ("tracking", "code"),
    [
        ({"error": "the disk is full", "remedy": "free some space", "exit_code": 3}, 3),
        ({"error": "ImportError: libavcodec.so"}, 2),
        ({"tracked": 0}, 1),
    ],
)
def test_tracking_that_cannot_run_decides_the_exit_code(tracking: dict[str, Any], code: int) -> None:
    assert findings(tracking=tracking)["tracking"].exit_code == code


def test_tracking_itself_runs_here() -> None:
    found = probes.tracking()
    assert found["frames"] == probes.FRAMES
    assert found["tracked"] > 0
    assert found["bytes"] > 0


@pytest.mark.parametrize(
    ("program", "error"),
    [("raise ImportError('libGL.so.1: cannot open shared object file')", "libGL"), ("import os; os.abort()", "signal")],
)
def test_a_library_that_cannot_be_loaded_or_crashes_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, error: str
) -> None:
    (tmp_path / "cv2.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    found = run_probe("images")
    assert error in found["error"]
    assert found.get("remedy") or fix_for(found["error"])


@pytest.mark.slow
def test_the_command_finds_everything_that_is_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert main(["doctor", "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert {found[name]["state"] for name in ("numbers", "video", "tracking", "torch", "ultralytics")} == {OK}
