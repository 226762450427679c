"""The scheduler's promises: of the pure plan, and of runs with a fake clock."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.structures import Detections, Reason, TrackState, TrackView
from mot_dinov3.scheduler import EmbeddingScheduler, SchedulerConfig, plan_embeddings


def squares(*left, top=0.0, side=100.0):
    """Square boxes whose left edges are given."""
    return np.array([[x, top, x + side, top + side] for x in left], np.float32).reshape(-1, 4)


def view_of(xyxy, *, matched=True, embedded=0, state=TrackState.CONFIRMED):
    n = len(xyxy)
    keys = np.arange(n)
    return TrackView(
        key=keys,
        track_id=keys + 1,
        state=np.full(n, int(state)),
        xyxy=xyxy,
        matched=np.broadcast_to(matched, n).copy(),
        embedding=np.eye(n, 32, dtype=np.float32),
        embedded_frame=np.broadcast_to(embedded, n).copy(),
        class_id=np.zeros(n, np.int64),
    )


def plan(xyxy, view, frame=1, score=None, min_score=0.0, **config):
    detections = Detections(xyxy, score)
    return plan_embeddings(detections, view, frame, config=SchedulerConfig(**config), min_score=min_score)


class FakeDevice:
    """Embeds for a fixed time per crop on a clock of its own."""

    def __init__(self, ms_per_crop):
        self.ms_per_crop = ms_per_crop
        self.now = 0.0
        self.rows = []

    def clock(self):
        return self.now

    def embed(self, rows):
        self.rows.append(list(rows))
        self.now += len(rows) * self.ms_per_crop / 1e3
        return np.tile(np.eye(1, 32, 31, dtype=np.float32), (len(rows), 1))


def run(scheduler, device, xyxy, view, frame=100, score=None):
    detections = Detections(xyxy, score)
    chosen = scheduler.plan(detections, view, frame)
    return scheduler.run(chosen, detections, view, device.embed)


def test_without_tracks_every_detection_is_new_and_critical():
    chosen = plan(squares(0, 200), TrackView.empty())
    assert chosen.critical.tolist() == [0, 1]
    assert set(chosen.reason) == {Reason.NEW}


def test_a_detection_on_exactly_one_live_track_reuses_its_embedding():
    chosen = plan(squares(205, 3), view_of(squares(0, 200)))
    assert chosen.critical.size == 0
    assert chosen.source.tolist() == [1, 0]
    assert chosen.reason.tolist() == [Reason.REUSED] * 2


def test_weak_iou_is_critical():
    chosen = plan(squares(40), view_of(squares(0)))  # IoU 60/140
    assert chosen.reason.tolist() == [Reason.WEAK_IOU]


def test_the_gate_itself_is_stable():
    chosen = plan(squares(25), view_of(squares(0)), embed_iou_gate=0.6)  # IoU 75/125, exactly the gate
    assert chosen.reason.tolist() == [Reason.REUSED]


def test_detections_that_overlap_are_crowded():
    chosen = plan(squares(0, 50), view_of(squares(0, 50)))  # each fits its own track; IoU of the two is 1/3
    assert chosen.reason.tolist() == [Reason.CROWDED] * 2
    assert chosen.source.tolist() == [-1, -1]


def test_overlap_below_the_threshold_is_not_crowded():
    chosen = plan(squares(0, 70), view_of(squares(0, 70)))  # IoU 30/170
    assert chosen.reason.tolist() == [Reason.REUSED] * 2


def test_two_tracks_above_the_gate_are_ambiguous():
    chosen = plan(squares(5), view_of(squares(0, 10)))
    assert chosen.reason.tolist() == [Reason.CROWDED]


def test_one_track_claimed_by_two_detections_is_ambiguous():
    chosen = plan(squares(-10, 10), view_of(squares(0)), embed_overlap_thr=0.9)
    assert chosen.reason.tolist() == [Reason.CROWDED] * 2


def test_a_lost_track_that_fits_better_makes_the_detection_critical():
    view = view_of(squares(0, 20), matched=[False, True])
    chosen = plan(squares(1), view)
    assert chosen.reason.tolist() == [Reason.WEAK_IOU]


def test_a_lost_track_alone_is_critical_though_it_fits_perfectly():
    chosen = plan(squares(0), view_of(squares(0), matched=False, state=TrackState.LOST))
    assert chosen.reason.tolist() == [Reason.WEAK_IOU]


def test_low_score_boxes_are_never_embedded():
    chosen = plan(squares(0, 300), TrackView.empty(), score=[0.4, 0.5], min_score=0.5)
    assert chosen.reason.tolist() == [Reason.LOW_SCORE, Reason.NEW]
    assert chosen.critical.tolist() == [1]


def test_narrowed_crowding_reuses_where_one_track_is_plausible():
    xyxy = squares(0, 60)  # the two overlap with IoU 1/4
    tracks = view_of(squares(-20, 80))
    assert plan(xyxy, tracks).reason.tolist() == [Reason.CROWDED] * 2
    assert plan(xyxy, tracks, embed_crowded="ambiguous").reason.tolist() == [Reason.REUSED] * 2
    both = view_of(squares(0, 60))
    assert plan(xyxy, both, embed_crowded="ambiguous").reason.tolist() == [Reason.CROWDED] * 2


def test_refresh_is_due_after_the_interval_and_oldest_comes_first():
    view = view_of(squares(0, 200, 400), embedded=[6, 4, 5])
    chosen = plan(squares(0, 200, 400), view, frame=10, embed_refresh=5)
    assert chosen.refresh.tolist() == [1, 2]
    assert chosen.reason.tolist() == [Reason.REUSED, Reason.DEFERRED, Reason.DEFERRED]


def test_a_stable_track_without_an_embedding_is_due_first():
    view = view_of(squares(0, 200), embedded=[1, -1])
    assert plan(squares(0, 200), view, frame=9).refresh.tolist() == [1, 0]


def test_the_plan_is_a_pure_function():
    xyxy, view = squares(0, 50, 300), view_of(squares(0, 50, 290))
    before = [a.copy() for a in (xyxy, view.xyxy, view.embedded_frame)]
    first, second = plan(xyxy, view, frame=7), plan(xyxy, view, frame=7)
    for name in ("critical", "refresh", "source", "reason"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    for old, new in zip(before, (xyxy, view.xyxy, view.embedded_frame)):
        np.testing.assert_array_equal(old, new)


def test_twenty_due_at_five_ms_under_twenty_ms_run_at_most_four():
    row = squares(*range(0, 4000, 200))
    device = FakeDevice(5.0)
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_budget_ms=20), clock=device.clock)
    scheduler.ms_per_crop = 5.0
    result = run(scheduler, device, row, view_of(row))
    assert result.fresh.sum() == 4
    assert scheduler.stats.backlog == 16
    assert scheduler.stats.worst_overrun_ms == pytest.approx(0)


def test_before_any_measurement_one_crop_is_admitted_first():
    row = squares(*range(0, 4000, 200))
    device = FakeDevice(5.0)
    result = run(EmbeddingScheduler(SchedulerConfig(embed_budget_ms=20), clock=device.clock), device, row, view_of(row))
    assert len(device.rows[0]) == 1
    assert result.fresh.sum() == 4


def test_a_fixed_cost_replaces_the_clock():
    row = squares(*range(0, 4000, 200))
    device = FakeDevice(1000.0)
    config = SchedulerConfig(embed_budget_ms=20, embed_cost_ms=5)
    result = run(EmbeddingScheduler(config, clock=device.clock), device, row, view_of(row))
    assert result.fresh.sum() == 4


def test_a_cost_that_was_once_too_high_is_measured_anew_after_a_while():
    row = squares(*range(0, 4000, 200))
    device = FakeDevice(50.0)  # beyond the whole budget: the first crop's cost shuts out all others
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_budget_ms=20), clock=device.clock)
    dear = [int(run(scheduler, device, row, view_of(row)).fresh.sum()) for _ in range(scheduler.STALE + 1)]
    device.ms_per_crop = 5.0
    cheap = [int(run(scheduler, device, row, view_of(row)).fresh.sum()) for _ in range(3)]
    assert dear == [1] + [0] * scheduler.STALE
    assert cheap == [4, 4, 4]


def test_critical_work_ignores_the_budget_and_takes_the_refreshes_share():
    tracks = squares(0, 200, 400)
    seen = np.concatenate([tracks, squares(*range(1000, 1600, 200))])
    device = FakeDevice(5.0)
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_budget_ms=20), clock=device.clock)
    result = run(scheduler, device, seen, view_of(tracks))
    assert result.reason[3:].tolist() == [Reason.NEW] * 3
    assert result.fresh.tolist() == [True, False, False, True, True, True]  # 15 ms critical leave 5 ms: one refresh
    assert scheduler.stats.backlog == 2


def test_overshoot_is_at_most_one_chunks_error():
    """Crops that suddenly cost six times as much are noticed after one chunk."""
    row = squares(*range(0, 8000, 200))
    device = FakeDevice(30.0)
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_budget_ms=40), clock=device.clock)
    scheduler.ms_per_crop = 5.0
    run(scheduler, device, row, view_of(row))
    assert scheduler.stats.worst_overrun_ms <= scheduler.CHUNK * 30.0 - scheduler.CHUNK * 5.0


def test_crops_that_take_twice_as_long_as_expected_keep_the_budget():
    row = squares(*range(0, 8000, 200))
    device = FakeDevice(10.0)
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_budget_ms=100), clock=device.clock)
    scheduler.ms_per_crop = 5.0
    run(scheduler, device, row, view_of(row))
    assert scheduler.stats.worst_overrun_ms == 0
    assert max(len(batch) for batch in device.rows) == scheduler.CHUNK


def test_every_frame_with_refreshes_tells_what_it_took_beyond_its_budget():
    row = squares(*range(0, 4000, 200))
    device = FakeDevice(16.0)
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_budget_ms=20), clock=device.clock)
    scheduler.ms_per_crop = 5.0
    run(scheduler, device, row, view_of(row))  # two crops at once: 32 ms of 20
    scheduler.ms_per_crop = 16.0
    run(scheduler, device, row, view_of(row))
    run(scheduler, device, row, view_of(row, embedded=np.full(20, 100)), 100)  # nothing due
    assert list(scheduler.stats.overrun_ms) == pytest.approx([12, 0])
    assert list(scheduler.stats.overrun_crops) == pytest.approx([0.75, 0])
    assert scheduler.stats.worst_overrun_ms == pytest.approx(12)


def test_zero_budget_is_unlimited():
    row = squares(*range(0, 4000, 200))
    device = FakeDevice(50.0)
    scheduler = EmbeddingScheduler(SchedulerConfig(), clock=device.clock)
    assert run(scheduler, device, row, view_of(row)).fresh.all()
    assert scheduler.stats.backlog == 0


def test_a_deferred_row_keeps_its_tracks_cached_embedding():
    row = squares(*range(0, 2000, 200))
    view = view_of(row)
    config = SchedulerConfig(embed_budget_ms=10, embed_cost_ms=10)
    result = run(EmbeddingScheduler(config), FakeDevice(1), row, view)
    deferred = result.reason == Reason.DEFERRED
    assert deferred.sum() == 9
    np.testing.assert_array_equal(result.embedding[deferred], view.embedding[deferred])
    assert result.has_embedding.all()


def test_the_saver_embeds_crowded_boxes_only_where_motion_leaves_them_uncertain():
    """Two pairs of squares: 60 pixels apart, and 10 pixels apart, which might as well be each other's."""
    crowd = squares(0, 60, 1000, 1010)
    view = view_of(crowd, embedded=99)
    assert plan(crowd, view, frame=100).reason.tolist() == [Reason.CROWDED] * 4
    saved = plan(crowd, view, frame=100, embed_saver=True)
    assert saved.reason.tolist() == [Reason.REUSED] * 2 + [Reason.CROWDED] * 2
    assert saved.source.tolist() == [0, 1, -1, -1]


def test_the_saver_refreshes_a_fifth_as_often_and_embeds_what_is_unknown():
    crowd = squares(0, 60)
    for embedded, reason in ((76, Reason.REUSED), (75, Reason.DEFERRED), (-1, Reason.CROWDED)):
        found = plan(crowd, view_of(crowd, embedded=embedded), frame=100, embed_saver=True).reason
        assert found.tolist() == [reason] * 2
    missed = plan(crowd, view_of(crowd, embedded=99, matched=[False, True]), frame=100, embed_saver=True)
    assert missed.reason[0] in (Reason.CROWDED, Reason.WEAK_IOU), "its track was lost a moment ago"


def test_a_box_of_low_score_is_no_rival_for_the_saver():
    seen, view = squares(0, 5), view_of(squares(0), embedded=99)
    assert plan(seen, view, score=[0.9, 0.2], min_score=0.5, frame=100, embed_saver=True).reason[0] == Reason.REUSED
    assert plan(seen, view, score=[0.9, 0.9], min_score=0.5, frame=100, embed_saver=True).reason[0] == Reason.CROWDED


def test_the_saver_waits_until_the_video_has_shown_what_embeddings_are_worth():
    crowd, known = squares(0, 60), []
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_saver=True), calibrated=lambda: bool(known))
    view = view_of(crowd, embedded=99)
    assert len(scheduler.plan(Detections(crowd), view, 100).critical) == 2
    known.append(True)
    assert len(scheduler.plan(Detections(crowd), view, 100).critical) == 0
    assert len(scheduler.plan(Detections(crowd), TrackView.empty(), 100).critical) == 2


def test_low_score_rows_carry_no_embedding():
    scheduler = EmbeddingScheduler(SchedulerConfig(), min_score=0.5)
    result = run(scheduler, FakeDevice(1), squares(0, 300), TrackView.empty(), score=[0.2, 0.9])
    assert result.has_embedding.tolist() == [False, True]
    assert result.fresh.tolist() == [False, True]


def test_stats_count_by_reason():
    tracks = squares(0, 300, 600)
    view = view_of(tracks, embedded=[0, 99, 99])
    seen = squares(0, 300, 640, 2000)
    scheduler = EmbeddingScheduler(SchedulerConfig())
    run(scheduler, FakeDevice(1), seen, view)
    stats = scheduler.stats
    assert stats.computed == {Reason.NEW: 1, Reason.WEAK_IOU: 1, Reason.CROWDED: 0, Reason.REFRESH: 1}
    assert (stats.total, stats.reused, stats.deferred) == (3, 1, 0)


def test_story_of_a_quiet_a_busy_and_a_light_stretch():
    """Few detections, little time; busy scenes, more critical work, fewer refreshes; light frames drain the backlog."""
    device = FakeDevice(4.0)
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_budget_ms=20, embed_refresh=5), clock=device.clock)
    scheduler.ms_per_crop = 4.0
    walkers = squares(*range(0, 2400, 200))
    embedded = np.full(12, 0)

    def play(frame, present, strangers):
        seen = np.concatenate([walkers[present], squares(*range(5000, 5000 + 200 * strangers, 200))])
        before = device.now
        result = run(scheduler, device, seen, view_of(walkers, embedded=embedded), frame)
        fresh = np.flatnonzero(result.fresh[: len(present)])
        embedded[np.asarray(present)[fresh]] = frame
        return len(fresh), 1e3 * (device.now - before)

    everyone = list(range(12))
    quiet, quiet_ms = play(1, [0, 1], 0)
    assert (quiet, quiet_ms) == (0, 0)
    busy, busy_ms = play(6, everyone, 4)  # 16 ms critical leave time for one refresh
    assert busy == 1
    assert busy_ms == pytest.approx(20)
    swamped, _ = play(7, everyone, 9)  # critical work alone is past the budget
    assert swamped == 0
    backlog = [scheduler.stats.backlog]
    for frame in (8, 9, 10):
        done, spent = play(frame, everyone, 0)
        assert spent <= 20 + 1e-6
        backlog.append(scheduler.stats.backlog)
        assert done == min(5, backlog[-2])
    assert backlog == [11, 6, 1, 0]


def test_dead_tracks_leave_the_backlog():
    """The backlog is derived from the living tracks alone, so it cannot outlive them."""
    row = squares(*range(0, 2000, 200))
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_budget_ms=1, embed_cost_ms=10))
    run(scheduler, FakeDevice(1), row, view_of(row))
    assert scheduler.stats.backlog == 10
    survivors = view_of(row[:3])
    run(scheduler, FakeDevice(1), row[:3], survivors, frame=101)
    assert scheduler.stats.backlog == 3
    state = {
        k: v for k, v in vars(scheduler).items() if k not in ("config", "stats", "clock", "worthwhile", "calibrated")
    }
    assert set(state) == {"min_score", "ms_per_crop", "_unmeasured"}  # numbers all


@pytest.mark.parametrize(
    "wrong",
    [
        {"embed_refresh": 0},
        {"embed_iou_gate": 1.5},
        {"embed_overlap_thr": -0.1},
        {"embed_budget_ms": -1},
        {"embed_budget_ms": float("nan")},
        {"embed_cost_ms": 0},
        {"embed_crowded": "sometimes"},
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SchedulerConfig(**wrong)


def test_embeddings_that_separate_nothing_are_refreshed_ten_times_less_often():
    view, rows = view_of(squares(0)), Detections(squares(0))
    worth = [True]
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_refresh=5), worthwhile=lambda: worth[0])
    due = {}
    for worth[0] in (True, False):
        due[worth[0]] = [len(scheduler.plan(rows, view, frame).refresh) for frame in (4, 5, 49, 50)]
    assert due == {True: [0, 1, 1, 1], False: [0, 0, 0, 1]}
