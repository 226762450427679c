"""The summary says where the time went."""

import numpy as np

from mot_dinov3.pipeline.summary import Counts, RunSummary
from mot_dinov3.scheduler import SchedulerStats
from mot_dinov3.structures import Detections, ModelInfo, Reason
from mot_dinov3.timing import StageTimer


def test_the_lines_hold_the_run():
    timer = StageTimer()
    timer.frame_ms.extend([10.0] * 19 + [30.0])
    timer.stage_ms.update(read=20.0, detect=160.0, embed=20.0)
    counts = Counts()
    for _ in range(20):
        counts.add(Detections(np.zeros((2, 4)), track_id=[3, -1], coasted=[False, True]))
    stats = SchedulerStats(reused=10, deferred=2, backlog=1, worst_overshoot_ms=1.25)
    stats.computed[Reason.NEW] = 4
    text = "\n".join(
        RunSummary(
            counts, timer, stats, [ModelInfo("ultralytics", "y.pt", "cpu", "fp32")], ["fell back"], ["o.mp4"]
        ).lines()
    )
    for part in (
        "frames      20, 20 detections, 3 identities",
        "90.9 fps effective",
        "mean 11.0 ms   p50 10.0   p95 11.0",
        "read          1.00 ms   9.1 %   in its own thread",
        "detect        8.00 ms  72.7 %",
        "4 computed (0.20 a frame, 20.0 % of detections), 12 reused",
        "critical: new 4, weak IoU 0, crowded 0   refresh: 0",
        "deferred 2, backlog at the end 1, worst budget overshoot 1.2 ms",
        "ultralytics y.pt (cpu fp32)",
        "fell back",
        "o.mp4",
    ):
        assert part in text


def test_a_run_without_frames_has_a_summary():
    lines = RunSummary(Counts(), StageTimer(), SchedulerStats(), [], [], []).lines()
    assert lines[0] == "frames      0, 0 detections, 0 identities"
