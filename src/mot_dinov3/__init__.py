"""mot-dinov3: track many objects in a video, and keep who is who."""

from __future__ import annotations

import os
import sys
from typing import Any

__version__ = "0.1.0.dev0"

# What libraries read or import when they are loaded, so it has to be said before. Nothing here reports to anybody:
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # OpenVINO then takes its own empty stub
# A picture of 100 KB may ask for gigabytes. OpenCV reads this when it is loaded; FFmpeg has the same limit built in.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 28))

_LAZY = dict.fromkeys(("TrackResult", "available_trackers", "track_video"), "mot_dinov3.api")
_LAZY["Pipeline"] = "mot_dinov3.main_job"


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for, so that importing the package costs nothing."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
