"""A detector that looks at every Nth frame only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from mot_dinov3.core.options import StageConfig, option
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.detectors.base import Detector


@dataclasses.dataclass(frozen=True)
class SparseConfig(StageConfig):
    """How often the detector runs."""

    group = "detector"

    detect_every: int = option(
        1,
        "run the detector on every Nth frame only; between them boxes follow the optical flow",
        metavar="N",
        low=1,
        high=1000,
    )


@dataclasses.dataclass(frozen=True)
class Cadence:
    """Tells of a frame's index whether the detector looks at it: every `every`-th one from `start` on."""

    every: int
    start: int = 0

    def __call__(self, index: int) -> bool:
        """Return whether the detector looks at frame `index`."""
        return (index - self.start) % self.every == 0


class SparseDetector:
    """Finds nothing where it does not look; whoever tracks its boxes has to know where that is.

    Args:
        detector: What finds the objects where it looks.
        looks: Tells of a frame's index whether the detector runs.
    """

    def __init__(self, detector: Detector, looks: Callable[[int], bool]) -> None:
        self._detector = detector
        self._looks = looks
        self.info = detector.info
        self.names = detector.names

    def detect(self, frame: Frame) -> Detections:
        """Return the detector's boxes, or none in a frame that it does not look at."""
        return self._detector.detect(frame) if self._looks(frame.index) else Detections.empty()
