"""Following labelled body parts through a video.

`KeypointVideoProcessor`, the door to it all, lives where models, labels and files come together; here it is only
handed on, when somebody asks for it.
"""

from __future__ import annotations

import importlib
from typing import Any

from mot_dinov3.keypoints.config import KeypointConfig

__all__ = ["KeypointConfig", "KeypointVideoProcessor"]


def __getattr__(name: str) -> Any:
    if name == "KeypointVideoProcessor":
        return importlib.import_module("mot_dinov3.keypoints.job.wiring").KeypointVideoProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
