"""The summary says where the time went."""

from array import array

import numpy as np
import pytest

from mot_dinov3.core.structures import Detections, ModelInfo, Reason
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.pipeline.detection_scheduler import DetectionIntervalConfig, DetectionScheduler
from mot_dinov3.pipeline.summary import Counts, RunSummary, limiting_stage
from mot_dinov3.scheduler import SchedulerStats
from mot_dinov3.trackers.appearance_model import AppearanceCalibration
from mot_dinov3.trackers.box_following import BoxFollower


def test_the_lines_hold_the_run():
    timer = StageTimer()
    timer.frame_ms.extend([10.0] * 19 + [30.0])
    timer.first_frame_s = 2.5
    timer.stage_ms.update(read=20.0, detect=160.0, embed=20.0)
    counts = Counts()
    for _ in range(20):
        counts.add(Detections(np.zeros((2, 4)), track_id=[3, -1], coasted=[False, True]))
    stats = SchedulerStats(reused=10, deferred=2, backlog=1, overrun_ms=array("d", [0.0, 1.25, 0.5]))
    stats.computed[Reason.NEW] = 4
    models = [ModelInfo("ultralytics", "y.pt", "cpu", "fp32"), ModelInfo("histogram")]
    summary = RunSummary(counts, timer, stats, models, ["fell back"], ["o.mp4"])
    assert summary.lines() == [
        "tracks      3",
        "frames      20, 20 detections",
        "written     o.mp4",
        "speed       90.9 fps: detect 73 %, other 18 %, embed 9 %, started in 2.5 s",
        "embeddings  4 computed, 20 % of the detections; the others were reused",
        "  deferred 2, backlog at the end 1, worst budget overrun 1.2 ms",
        "detector    ultralytics y.pt (cpu fp32)",
        "embedder    histogram (cpu)",
    ]
    assert summary.costs(profile=True) == [
        "speed       90.9 fps effective",
        "latency     mean 11.0 ms   p50 10.0   p95 11.0 per frame",
        "startup     time to first frame 2.50 s",
        "  read          1.00 ms           in a separate thread",
        "  detect        8.00 ms  72.7 %",
        "  embed         1.00 ms   9.1 %",
        "  other         2.00 ms  18.2 %   overhead",
        "embeddings  4 computed, 20 % of the detections; the others were reused",
        "  0.20 per frame: new 4",
        "  deferred 2, backlog at the end 1, worst budget overrun 1.2 ms",
        "detector    ultralytics y.pt (cpu fp32)",
        "embedder    histogram (cpu)",
    ]


def test_the_stages_of_the_main_thread_add_up_to_the_wall_time():
    timer, counts = StageTimer(), Counts()
    timer.frame_ms.extend([10.0, 20.0])
    timer.stage_ms.update(read=25.0, write=40.0, detect=12.0, track=6.0, wait=7.0, save=5.0)
    counts.closing_ms, counts.second_pass_ms = 4.0, 16.0
    summary = RunSummary(counts, timer, SchedulerStats(), [], [], [])
    assert summary.wall_ms == 50
    assert summary.stage_ms()["other"] == pytest.approx(20)
    assert sum(ms for name, ms in summary.stage_ms().items() if name not in ("read", "write")) == pytest.approx(50)


@pytest.mark.parametrize(
    ("stage_ms", "stage"),
    [
        ({"detect": 90.0, "track": 5.0, "read": 20.0, "write": 40.0}, "detect"),
        ({"detect": 10.0, "track": 8.0, "draw": 7.0, "read": 20.0, "write": 15.0}, "detect"),  # 25 ms one after another
        ({"detect": 10.0, "track": 5.0, "read": 8.0, "write": 16.0, "wait": 30.0}, "write"),  # waiting is no work
        ({"detect": 10.0, "track": 5.0, "read": 35.0, "write": 16.0}, "read"),
        ({"detect": 10.0, "embed": 30.0, "write": 16.0}, "embed"),
        ({"track": 12.0, "read": 4.0}, "track"),
        ({}, "detect"),
    ],
)
def test_the_busiest_of_decoder_encoder_and_main_thread_limits_the_speed(stage_ms, stage):
    assert limiting_stage(stage_ms) == stage


@pytest.mark.parametrize(
    ("stage_ms", "said"),
    [
        (
            {"detect": 60.0, "read": 30.0},
            "20.0 fps reached, the target is 25: the detector limits it (30.0 ms per frame)",
        ),
        (
            {"detect": 30.0, "read": 90.0},
            "20.0 fps reached, the target is 25: the decoder limits it (45.0 ms per frame)",
        ),
        (
            {"detect": 30.0, "write": 96.0},
            "20.0 fps reached, the target is 25: the encoder limits it (48.0 ms per frame)",
        ),
    ],
)
def test_a_run_that_cannot_keep_up_names_what_limits_it(stage_ms, said):
    timer, counts = StageTimer(), Counts(frames=2)
    timer.frame_ms.extend([50.0, 50.0])
    timer.stage_ms.update(stage_ms)
    detection = DetectionScheduler(DetectionIntervalConfig(realtime=25.0), BoxFollower(), float)
    summary = RunSummary(counts, timer, SchedulerStats(), [], [], [], detection=detection)
    assert f"realtime    {said}" in summary.lines()
    assert summary.numbers()["limited_by"] in said


def test_no_share_is_more_than_all_where_an_interrupted_frame_has_no_latency():
    timer, counts = StageTimer(), Counts()
    timer.frame_ms.extend([10.0])
    timer.stage_ms.update(detect=15.0, wait=5.0)
    assert RunSummary(counts, timer, SchedulerStats(), [], [], []).costs() == [
        "speed       100.0 fps: detect 75 %, wait 25 %"
    ]


def test_the_numbers_are_the_summarys():
    timer, counts, stats = StageTimer(), Counts(), SchedulerStats()
    timer.frame_ms.extend([10.0, 30.0])
    timer.stage_ms["detect"] = 30.0
    timer.first_frame_s = 0.5
    for _ in range(2):
        counts.add(Detections(np.zeros((4, 4)), track_id=[1, 2, 3, 4]))
    stats.computed[Reason.REFRESH] = 2
    numbers = RunSummary(counts, timer, stats, [ModelInfo("none")], ["n"], []).numbers()
    assert numbers["fps"] == pytest.approx(50)
    assert numbers["latency_ms"] == pytest.approx({"mean": 20, "p50": 20, "p95": 29})
    assert numbers["stage_ms"]["detect"] == pytest.approx(15)
    assert numbers["stage_ms"]["other"] == pytest.approx(5)
    assert (numbers["share_embedded"], numbers["refreshed"], numbers["time_to_first_frame_s"]) == (0.25, 2, 0.5)


def test_a_run_without_frames_has_a_summary():
    summary = RunSummary(Counts(), StageTimer(), SchedulerStats(), [], [], [])
    assert summary.lines(profile=True) == summary.lines() == ["tracks      0", "frames      0, 0 detections"]


def learned(same: float, different: float) -> AppearanceCalibration:
    """Return a calibration that has seen 212 pairs of one object and 3,104 of two."""
    rng, found = np.random.default_rng(0), AppearanceCalibration()
    found.observe_same(rng.normal(same, 0.1, 212), np.ones(212))
    found.observe_rivals(rng.normal(different, 0.1, 1104))
    found.observe_strangers(rng.normal(different, 0.1, 2000))
    return found


@pytest.mark.parametrize(
    ("calibration", "line", "weight"),
    [
        (learned(0.71, 0.12), "d' 6.1 (different 0.12 ± 0.10, same 0.71 ± 0.10), weight 1.00, 212 + 3,104 pairs", 1),
        (learned(0.5, 0.5), "separates nothing in this video (d' 0.1): ignored; another embedder may", 0),
        (
            AppearanceCalibration(same_floor=0.5),
            "no two objects were in the image together: re-identification uses the embedder's own scale "
            "(different 0.50 ± 0.12, same 0.88 ± 0.12)",
            0,
        ),
        (AppearanceCalibration(), "not compared: the video showed too few certain pairs (0 pairs of one object, 0", 0),
    ],
)
def test_what_the_embeddings_were_worth_is_told(calibration, line, weight):
    summary = RunSummary(Counts(), StageTimer(), SchedulerStats(), [], [], [], appearance=calibration)
    assert f"appearance  {line}" in "\n".join(summary.lines())
    assert summary.numbers()["appearance"]["weight"] == weight
    assert not any(
        row.startswith("appearance") for row in RunSummary(Counts(), StageTimer(), SchedulerStats(), [], [], []).lines()
    )
