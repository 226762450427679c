"""Probes of libraries and of tracking: ``python -m mot_dinov3.apps.doctor.probes NAME`` prints a JSON object.

An exception is a result, too: it is the last line on stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FRAMES = 12
DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg")


def numbers() -> dict[str, Any]:
    """Load NumPy and SciPy."""
    import numpy
    import scipy.optimize

    scipy.optimize.linear_sum_assignment(numpy.eye(2))
    return {"numpy": numpy.__version__, "scipy": scipy.__version__}


def video() -> dict[str, Any]:
    """Load PyAV and list the codecs of its FFmpeg."""
    import av

    from mot_dinov3.video.encoders import FOURCC

    available = av.codecs_available
    decoders = [name for name in DECODERS if name in available]
    return {"av": av.__version__, "decoders": decoders, "encoders": sorted(set(FOURCC.values()) & set(available))}


def images() -> dict[str, Any]:
    """Load OpenCV and check whether it can open windows."""
    import cv2

    build = [line.split(":", 1) for line in cv2.getBuildInformation().splitlines() if ":" in line]
    gui = next((value.strip() for key, value in build if key.strip() == "GUI"), "")
    return {"opencv": cv2.__version__, "windows": gui.upper() not in ("", "NONE")}


def torch() -> dict[str, Any]:
    """Load torch with torchvision and list the devices."""
    import torch
    import torchvision

    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)  # a torchvision for another torch fails here
    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.version.cuda else []
    return {
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "built_for_cuda": torch.version.cuda or "",
        "cuda": cuda,
        "mps": torch.backends.mps.is_available(),
    }


def transformers() -> dict[str, Any]:
    """Load transformers and check whether it supports DINOv3."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return {"transformers": transformers.__version__, "dinov3": "dinov3_vit" in CONFIG_MAPPING}


def ultralytics() -> dict[str, Any]:
    """Load Ultralytics."""
    from mot_dinov3.models.weights import ultralytics_module

    return {"ultralytics": ultralytics_module().__version__}


def openvino() -> dict[str, Any]:
    """Load OpenVINO."""
    from mot_dinov3.models.openvino import openvino_module

    return {"openvino": openvino_module().__version__}


def onnxruntime() -> dict[str, Any]:
    """Load ONNX Runtime."""
    import onnxruntime

    return {"onnxruntime": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}


def models() -> dict[str, Any]:
    """List the default models that are cached, without network access."""
    from huggingface_hub import constants, get_token

    from mot_dinov3.features.factory import DEFAULT_MODELS, DINO_FOLDER, OPEN_DINO
    from mot_dinov3.models.conversion_cache import ConversionCache
    from mot_dinov3.models.hub import cached_folder, token
    from mot_dinov3.models.weights import local_folders

    wanted = [DEFAULT_MODELS["dino"], OPEN_DINO, DEFAULT_MODELS["clip"], DEFAULT_MODELS["resnet"]]
    return {
        "hub_cache": constants.HF_HUB_CACHE,
        "offline": constants.is_offline_mode(),
        "token": bool(token() or get_token()),
        "hub_models": {model: cached_folder(model) is not None for model in wanted},
        "dino_folder": os.environ.get(DINO_FOLDER, ""),
        "weights": sorted(str(p) for f in local_folders()[1:] if f.is_dir() for p in f.glob("[!.]*.*")),
        "networks": str(ConversionCache().folder),
    }


def tracking() -> dict[str, Any]:
    """Run tracking without weights on a generated clip, and count frames and boxes.

    Raises:
        MotError: It cannot run.
    """
    import tempfile

    import numpy as np

    from mot_dinov3.api import Pipeline
    from mot_dinov3.core.structures import VideoInfo
    from mot_dinov3.video import VideoWriter

    with tempfile.TemporaryDirectory(prefix="mot-dinov3-doctor-") as folder:
        clip, output = Path(folder) / "clip.mp4", Path(folder) / "tracked.mp4"
        street = np.random.default_rng(0).integers(90, 130, (120, 160, 3), np.uint8)
        with VideoWriter(clip, info=VideoInfo(str(clip), 160, 120, 10.0, FRAMES)) as writer:
            for index in range(FRAMES):
                image = street.copy()
                image[40:90, 8 * index : 8 * index + 24] = (40, 40, 220)
                writer.write(image, index / 10)
        run = Pipeline.from_options(source=clip, det="motion", embedder="histogram", output=output)
        found = [int((rows.track_id >= 1).sum()) for _, rows in run]
        return {"frames": len(found), "tracked": sum(found), "bytes": output.stat().st_size}


PROBES: dict[str, Callable[[], dict[str, Any]]] = {
    probe.__name__: probe
    for probe in (
        numbers, video, images, tracking, torch, transformers, ultralytics, openvino, onnxruntime, models
    )
}  # fmt: skip


def main(name: str) -> int:
    """Print the result of a probe, or the reason of its failure, as JSON; return the exit code."""
    from mot_dinov3.core.errors import MotError

    try:
        found = PROBES[name]()
    except MotError as error:
        found = {"error": error.message, "remedy": error.remedy, "exit_code": error.exit_code}
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
