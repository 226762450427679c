"""Stage times with a clock that only moves when told."""

import pytest

from mot_dinov3.timing import StageTimer


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_stage_times_add_up_and_latency_covers_the_whole_frame():
    clock = Clock()
    timer = StageTimer(clock)

    def source():
        for _ in range(3):
            clock.now += 0.010
            yield object()

    for _ in timer.frames(source()):
        with timer.stage("detect"):
            clock.now += 0.020
        clock.now += 0.005
    assert timer.stage_ms == pytest.approx({"wait": 30, "detect": 60})
    assert list(timer.frame_ms) == pytest.approx([35, 35, 35])


def test_a_stage_that_raises_is_counted_too():
    clock = Clock()
    timer = StageTimer(clock)
    with pytest.raises(ValueError, match="x"), timer.stage("detect"):
        clock.now += 1
        raise ValueError("x")
    assert timer.stage_ms == {"detect": pytest.approx(1000)}
