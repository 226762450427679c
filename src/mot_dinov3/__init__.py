"""mot-dinov3: multi-object tracking in video that preserves object identities.

Public names are imported when they are first used, so that `import mot_dinov3` loads no library. `errors` is the module
of the exceptions.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mot_dinov3.api import Pipeline, TrackResult, available_trackers, track, track_gallery, track_video
    from mot_dinov3.apps.evaluation import evaluate
    from mot_dinov3.core import errors
    from mot_dinov3.core.structures import Detections
    from mot_dinov3.keypoints.job.processor import KeypointVideoProcessor

__version__ = "0.1.0.dev0"

__all__ = [
    "Detections",
    "KeypointVideoProcessor",
    "Pipeline",
    "TrackResult",
    "__version__",
    "available_trackers",
    "errors",
    "evaluate",
    "track",
    "track_gallery",
    "track_video",
]

# Libraries read these when they are loaded, so they have to be set before. Nothing here reports to anybody:
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # OpenVINO then takes its own empty stub
# An image of 100 KB may ask for gigabytes. OpenCV reads this when it is loaded; FFmpeg has the same limit built in.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 28))

_HOMES = {
    "Detections": "mot_dinov3.core.structures",
    "KeypointVideoProcessor": "mot_dinov3.keypoints.job.processor",
    "errors": "mot_dinov3.core.errors",
    "evaluate": "mot_dinov3.apps.evaluation",
}

if not TYPE_CHECKING:  # a type checker then reports a name that does not exist

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        module = importlib.import_module(_HOMES.get(name, "mot_dinov3.api"))
        return module if module.__name__.endswith(f".{name}") else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
