"""A detector that looks at every Nth frame only."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.structures import Detections, Frame, ModelInfo
from mot_dinov3.pipeline.config import DetectionIntervalConfig
from mot_dinov3.pipeline.detection_interval import DetectionInterval, IntervalDetector


class Everywhere:
    """Finds one box in every frame, and counts how often it was asked."""

    info = ModelInfo("everywhere")

    def __init__(self) -> None:
        self.names = {0: "thing"}
        self.asked = 0

    def detect(self, frame: Frame) -> Detections:
        self.asked += 1
        return Detections(np.array([[0, 0, 10, 10 + frame.index]], np.float32))


def test_the_first_frame_of_a_range_is_looked_at_and_every_third_after_it() -> None:
    looks = DetectionInterval(3, start=100)
    assert [index for index in range(100, 110) if looks(index)] == [100, 103, 106, 109]


def test_the_detector_runs_only_where_it_looks() -> None:
    inner = Everywhere()
    sparse = IntervalDetector(inner, DetectionInterval(4))
    found = [len(sparse.detect(Frame(index, index / 10))) for index in range(9)]
    assert found == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert inner.asked == 3
    assert (sparse.info, sparse.names) == (inner.info, inner.names)


@pytest.mark.parametrize("every", [0, -1, 1001])
def test_a_cadence_out_of_range_is_refused(every: int) -> None:
    with pytest.raises(ConfigError, match="detect_every must be between 1 and 1000"):
        DetectionIntervalConfig(detect_every=every)
