"""What is read off a run: turns, ratios, overrun, memory over a source that begins again."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import pytest

from mot_dinov3.apps.benchmark.memory import LoopedDetector, LoopedSource
from mot_dinov3.apps.benchmark.runs import budget_overrun, peak_mb
from mot_dinov3.apps.benchmark.side_by_side import TurnClock, alternate, speeds
from mot_dinov3.cli.benchmark import _memory_report
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import Detections, Frame, ModelInfo, VideoInfo
from mot_dinov3.scheduler import SchedulerStats
from mot_dinov3.video import SourceConfig
from mot_dinov3.video.source import FramelessSource


class Work:
    """A clock that moves by a frame's cost whenever a contestant takes a frame, and who took them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.taken: list[str] = []

    def clock(self) -> float:
        return self.now

    def frames(self, name: str, costs: list[float]) -> Iterator[int]:
        for index, cost in enumerate(costs):
            self.now += cost
            self.taken.append(name)
            yield index


def test_runs_take_turns_and_the_first_round_does_not_count() -> None:
    work = Work()
    runs = {
        "ours": work.frames("o", [9.0, 9.0] + [0.010] * 5),
        "peer": work.frames("p", [7.0, 7.0] + [0.030] * 4 + [1.0]),
    }
    spent = alternate(runs, block=2, clocks=(work.clock, work.clock))
    assert "".join(work.taken) == "oopp" + "ppoo" + "oopp" + "p"  # a round that is not whole ends it
    assert [cost[0] for cost in spent["ours"]] == pytest.approx([10, 10])
    assert [cost[1] for cost in spent["peer"]] == pytest.approx([30, 30])


def test_the_clock_of_a_run_stands_still_in_the_turns_of_others() -> None:
    now = [100.0]
    clock = TurnClock(lambda: now[0])

    def frames() -> Iterator[float]:
        for _ in range(3):
            now[0] += 0.5
            yield clock()

    seen = []
    for time in clock.during(frames()):
        now[0] += 20.0
        seen.append((time, clock()))
    assert seen == [(100.5, 100.5), (101.0, 101.0), (101.5, 101.5)]


def test_ratios_are_of_pairs_of_blocks() -> None:
    found = speeds(
        {"ours": [(10.0, 20.0), (40.0, 30.0), (20.0, 40.0)], "peer": [(30.0, 9.0), (80.0, 9.0), (80.0, 9.0)]}
    )
    assert (found["ours"].wall_ms, found["ours"].cpu_ms, found["ours"].slower, found["ours"].fps) == (20, 30, 1, 50)
    assert (found["peer"].wall_ms, found["peer"].slower) == (80, 3)


def test_a_video_of_less_than_two_blocks_says_so() -> None:
    with pytest.raises(UsageError, match="too short"):
        speeds({"ours": [], "peer": []})


def test_overrun_is_told_by_percentiles() -> None:
    stats = SchedulerStats(deferred=7)
    stats.overrun_ms = array("d", [0.0] * 98 + [2.0, 10.0])
    stats.overrun_crops = array("d", [0.0] * 98 + [0.5, 2.0])
    kept = budget_overrun(20.0, stats, 150)
    assert (kept.budget_ms, kept.frames, kept.refreshed, kept.deferred) == (20, 100, 150, 7)
    assert kept.overrun_ms == pytest.approx((0, 0, 2.08, 10))
    assert kept.overrun_crops == pytest.approx((0, 0, 0.515, 2))
    assert budget_overrun(5.0, SchedulerStats(), 0).overrun_ms == (0, 0, 0, 0)


def test_a_looped_source_is_one_long_video() -> None:
    def opened() -> FramelessSource:
        return FramelessSource(VideoInfo("v", 10, 10, 5.0, 9), SourceConfig(source="v", start_frame=6), [])

    looped = LoopedSource(opened, opened(), 8)
    seen = [(frame.index, looped.original, frame.time) for frame in looped]
    assert [index for index, *_ in seen] == list(range(8))
    assert [original for _, original, _ in seen] == [6, 7, 8, 6, 7, 8, 6, 7]
    times = [time for *_, time in seen]
    assert times == sorted(times)
    assert len(set(times)) == 8
    assert looped.passed == 8


def test_a_detector_sees_the_numbers_of_the_source() -> None:
    class Asked:
        info, names = ModelInfo("asked"), {0: "thing"}

        def detect(self, frame: Frame) -> Detections:
            return Detections([[0, 0, 1 + frame.index, 1]])  # type: ignore[arg-type]

    source = FramelessSource(VideoInfo("v", 10, 10, 5.0, 2), SourceConfig(source="v"), [])
    looped = LoopedSource(lambda: FramelessSource(source.info, SourceConfig(source="v"), []), source, 5)
    detector = LoopedDetector(Asked(), looped)
    assert [float(detector.detect(frame).xyxy[0, 2]) for frame in looped] == [1, 2, 1, 2, 1]


def test_growth_is_from_the_first_sample_to_the_last() -> None:
    assert _memory_report({1000: 200.0, 2000: 230.0, 3000: 204.5})[0]["grown_mb"] == 4.5
    assert peak_mb() > 10
