"""Stage times with a clock that only moves when told."""

import subprocess
import sys
import time

import pytest

from mot_dinov3.core.timing import StageTimer, process_start


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
        clock.now += 0.500  # a busy machine tells late that there are no more

    for _ in timer.frames(source()):
        with timer.stage("detect"):
            clock.now += 0.020
        clock.now += 0.005
    assert timer.stage_ms == pytest.approx({"wait": 30, "detect": 60})
    assert list(timer.frame_ms) == pytest.approx([35, 35, 35])


def test_the_first_frame_is_timed_from_the_beginning():
    clock = Clock()
    clock.now = 5.0
    timer = StageTimer(clock)
    assert timer.first_frame_s is None
    clock.now = 7.0  # a model is loaded
    timer.began = 4.0  # the process began before the timer was made
    for _ in timer.frames([1, 2]):
        clock.now += 0.5
    assert timer.first_frame_s == 3.5


def test_the_process_began_before_now_and_not_long_ago():
    start = process_start()
    assert start < time.perf_counter()
    spent = subprocess.run(
        [sys.executable, "-c", "import time; from mot_dinov3.core.timing import process_start as s; "
         "print(time.perf_counter() - s())"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert 0 <= float(spent) < 60


def test_a_stage_that_raises_is_counted_too():
    clock = Clock()
    timer = StageTimer(clock)
    with pytest.raises(ValueError, match="x"), timer.stage("detect"):
        clock.now += 1
        raise ValueError("x")
    assert timer.stage_ms == {"detect": pytest.approx(1000)}
