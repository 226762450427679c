"""What every detector promises, and the options they share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from mot_dinov3.core.options import StageConfig, option
from mot_dinov3.core.structures import Detections, Frame, ModelInfo

DEFAULT_CONF = 0.3
DEFAULT_IMGSZ = 960


@dataclasses.dataclass(frozen=True)
class DetectorConfig(StageConfig):
    """What finds the objects."""

    group = "detector"

    det: str = option(
        "yolov8n.pt", "weights file, official model's name, rtdetr:HUB_ID, or 'motion' (no weights, fixed camera)"
    )
    dets: str | None = option(
        None, "recorded detections instead: det-v1 JSON, MOTChallenge det.txt, CVAT, COCO, YOLO", metavar="FILE"
    )
    conf: float | None = option(
        None, f"lowest score (default {DEFAULT_CONF}; recorded detections: no limit)", low=0, high=1
    )
    imgsz: int | None = option(
        None,
        f"longer side of the picture the detector sees, in pixels (default {DEFAULT_IMGSZ}; rtdetr: the model's own)",
        low=1,
    )
    classes: str = option("", 'class ids or names to keep, e.g. "0" or "person,car" (empty: all)', metavar="CSV")

    @property
    def side(self) -> int:
        """The wanted longer side in pixels, for a detector without one of its own."""
        return DEFAULT_IMGSZ if self.imgsz is None else self.imgsz


class Detector(Protocol):
    """Finds objects in one frame at a time, frames coming in order.

    Attributes:
        info: What is loaded.
        names: Class id → class name; empty where unknown.
    """

    info: ModelInfo
    names: Mapping[int, str]

    def detect(self, frame: Frame) -> Detections:
        """Return the boxes of `frame`: finite, of positive size, highest score first or in recorded order."""
        ...
