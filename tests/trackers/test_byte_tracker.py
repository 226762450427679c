"""gallery_hybrid and gallery_only: rounds, thresholds, patience, classes, numbering."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.structures import Detections, Frame, TrackState
from mot_dinov3.trackers.base import Tracker, TrackerRequest
from mot_dinov3.trackers.byte import HybridTracker
from mot_dinov3.trackers.config import HybridConfig
from mot_dinov3.trackers.per_frame import PerFrameTracker

BOX = [100.0, 100.0, 140.0, 200.0]


def rows(*boxes: list[float], score: float = 0.9, **columns: Any) -> Detections:
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(xyxy, np.full(len(xyxy), score, np.float32), **columns)


def feed(tracker: Tracker, frames: Iterable[Detections]) -> list[list[int]]:
    """Ids frame by frame, as files have them: revised."""
    answers: list[list[int]] = []
    for index, detections in enumerate(frames):
        tracker.predict(Frame(index, index / 30))
        answers.append(tracker.update(detections).track_id.tolist())
        for revision in tracker.revisions:
            answers[revision.frame_index][revision.row] = revision.track_id
    return answers


def moved(dx: float, box: list[float] = BOX) -> list[float]:
    return [box[0] + dx, box[1], box[2] + dx, box[3]]


def test_a_second_box_confirms_a_track_and_revises_the_first() -> None:
    tracker = HybridTracker()
    assert feed(tracker, [rows(BOX), rows(moved(2))]) == [[1], [1]]
    assert tracker.settled == 2


def test_a_single_box_never_becomes_a_track() -> None:
    tracker = HybridTracker()
    assert feed(tracker, [rows(BOX), rows(), rows()]) == [[-1], [], []]
    assert not len(tracker.predict(Frame(3, 0.1)))


def test_match_thresh_is_the_largest_cost_one_minus_iou_times_score() -> None:
    # A box shifted by a third of its width: IoU 1/2, times score 0.5 = 0.25, a cost of 0.75.
    def second(match_thresh: float) -> list[int]:
        scene = [rows(BOX), rows(BOX), rows(moved(40 / 3), score=0.5)]
        return feed(HybridTracker(TrackerRequest(hybrid=HybridConfig(match_thresh=match_thresh))), scene)[-1]

    assert second(0.76) == [1]
    assert second(0.74) == [-1]


def test_doubtful_boxes_continue_tracks_but_never_start_them() -> None:
    assert feed(HybridTracker(), [rows(BOX), rows(BOX), rows(BOX, score=0.2)])[-1] == [1]
    assert feed(HybridTracker(), [rows(BOX, score=0.4)] * 4) == [[-1]] * 4
    assert feed(HybridTracker(), [rows(BOX), rows(BOX), rows(BOX, score=0.05)])[-1] == [-1]


@pytest.mark.parametrize(("fps", "gap", "same"), [(30, 26, True), (30, 27, False), (60, 51, True), (60, 52, False)])
def test_the_buffer_is_in_frames_at_30_fps(fps: float, gap: int, same: bool) -> None:
    scene = [rows(BOX)] * 3 + [rows()] * (gap - 1) + [rows(BOX)] * 2
    ids = feed(HybridTracker(TrackerRequest(hybrid=HybridConfig(track_buffer=25, frame_rate=fps))), scene)
    assert (ids[-1] == [1]) is same


@pytest.mark.parametrize(("buffer", "missed", "same"), [(25, 3, True), (25, 4, False), (0, 1, False)])
def test_a_low_frame_rate_leaves_some_frames_of_the_buffer(buffer: int, missed: int, same: bool) -> None:
    scene = [rows(BOX)] * 3 + [rows()] * missed + [rows(BOX)] * 2
    ids = feed(HybridTracker(TrackerRequest(hybrid=HybridConfig(track_buffer=buffer, frame_rate=0.5))), scene)
    assert (ids[-1] == [1]) is same


def test_classes_are_separate_only_where_asked() -> None:
    scene = [rows(BOX, class_id=[0]), rows(BOX, class_id=[0]), rows(BOX, class_id=[1]), rows(BOX, class_id=[1])]
    assert feed(HybridTracker(), scene) == [[1]] * 4
    assert feed(HybridTracker(TrackerRequest(hybrid=HybridConfig(per_class=True))), scene) == [[1], [1], [2], [2]]


def test_per_class_gives_each_class_the_tracks_it_would_have_alone() -> None:
    rng = np.random.default_rng(3)
    base = rng.uniform(0, 300, (12, 2))
    frames = []
    for index in range(20):
        corner = base + 3 * index + rng.normal(0, 1, base.shape)
        boxes = np.concatenate([corner, corner + np.array([40, 90])], axis=1).astype(np.float32)
        frames.append(Detections(boxes, np.full(12, 0.9, np.float32), np.arange(12) % 2))
    both = feed(HybridTracker(TrackerRequest(hybrid=HybridConfig(per_class=True))), frames)
    for class_id in (0, 1):
        alone = feed(HybridTracker(), [f[f.class_id == class_id] for f in frames])
        mine = [[i for i, c in zip(ids, range(12)) if c % 2 == class_id] for ids in both]
        pairs = {(a, b) for x, y in zip(alone, mine) for a, b in zip(x, y)}
        assert len({a for a, _ in pairs}) == len(pairs) == len({b for _, b in pairs}) == 6  # the same but for the names


def test_an_object_that_turns_is_found_again_at_its_last_box() -> None:
    fast = [rows(moved(12.0 * i)) for i in range(8)]
    back = [rows(moved(12.0 * (14 - i))) for i in range(8, 14)]
    assert {i for ids in feed(HybridTracker(), fast + back) for i in ids} == {1}


def test_sizes_tell_two_apart_that_stand_in_one_place() -> None:
    tall, small = [100.0, 100.0, 140.0, 220.0], [102.0, 100.0, 138.0, 196.0]
    scene = [rows(tall, small)] * 6 + [rows(small, tall)] * 6
    ids = feed(HybridTracker(), scene)
    assert ids[0] == ids[11][::-1]


def test_observations_are_kept_up_to_max_obs_and_the_rest_forgotten() -> None:
    grown = [100.0, 100.0, 160.0, 250.0]
    tracker = HybridTracker(TrackerRequest(hybrid=HybridConfig(max_obs=2)))
    feed(tracker, [rows(BOX)] * 5 + [rows(grown)] * 2)
    assert tracker._size.T.tolist() == [[60.0, 150.0]]


def test_rows_of_negative_score_are_left_alone() -> None:
    for tracker in (HybridTracker(), PerFrameTracker()):
        frames = [rows(BOX, moved(300)).replace(score=np.array([0.9, -1], np.float32))] * 3
        assert {ids[1] for ids in feed(tracker, frames)} == {-1}


def test_boxes_come_back_as_they_came_with_a_smoothed_one_beside() -> None:
    tracker = HybridTracker()
    tracker.predict(Frame(0, 0))
    tracker.update(rows(BOX))
    tracker.predict(Frame(1, 0))
    out = tracker.update(rows(moved(4), score=0.7))
    assert out.xyxy.tolist() == [moved(4)]
    assert out.track_xyxy is not None
    assert 100 < out.track_xyxy[0, 0] < 104
    assert out.state.tolist() == [TrackState.CONFIRMED]


def test_memory_does_not_grow_with_dead_tracks() -> None:
    tracker = HybridTracker(TrackerRequest(hybrid=HybridConfig(track_buffer=5)))
    rng = np.random.default_rng(0)
    for index in range(300):
        corner = rng.uniform(0, 5000, (4, 2))
        tracker.predict(Frame(index, index / 30))
        tracker.update(rows(*np.concatenate([corner, corner + 30], axis=1).tolist()))
    assert len(tracker.predict(Frame(300, 10))) <= 4
    assert len(tracker._observed) == len(tracker._tracks) == len(tracker._size.T)


def test_gallery_only_gives_each_detection_its_own_number() -> None:
    extra = np.array([{"det_ind": 7}, {}, {"det_ind": "x"}], object)
    assert feed(PerFrameTracker(), [rows(BOX, BOX, BOX, score=0.01, extra=extra)]) == [[7, 1, 2]]


@pytest.mark.parametrize(
    "wrong",
    [{"track_thresh": 1.2}, {"match_thresh": -1}, {"track_buffer": -1}, {"frame_rate": -1}, {"max_obs": 0}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        HybridConfig(**wrong)
