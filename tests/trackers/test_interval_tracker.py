"""Between two looks of the detector boxes go on with the flow, or with the velocity they had."""

from __future__ import annotations

import numpy as np
import pytest
from tracking_scene import boxes, ids, person, tracker

from mot_dinov3.core.structures import Detections, Frame, TrackState
from mot_dinov3.pipeline.detection_interval import DetectionInterval, IntervalTracker
from mot_dinov3.trackers.box_following import BoxFollower, velocity
from mot_dinov3.trackers.optical_flow import BoxFlow, displacement, grid, unoccluded


def street(seed: int = 0) -> np.ndarray:
    """A still background of low contrast."""
    return np.random.default_rng(seed).integers(100, 110, (240, 320, 3), np.uint8)


def walker(x: int, y: int = 60, width: int = 40, height: int = 100) -> np.ndarray:
    """A picture in which a figure with a pattern of its own stands at corner x, y."""
    coarse = np.random.default_rng(7).integers(0, 255, (height // 4, width // 4, 1), np.uint8)
    picture = street()
    figure = coarse.repeat(4, 0).repeat(4, 1).repeat(3, 2)
    picture[y : y + height, x : x + width] = figure[:, : picture.shape[1] - x]  # it may stand in the edge
    return picture


def shown(image: np.ndarray) -> Frame:
    return Frame(0, 0.0, image)


def test_the_median_of_the_points_that_were_tracked_counts() -> None:
    start = np.zeros((2, 6, 2))
    end = np.array([[[1, 0], [3, 1], [4, 2], [5, 3], [99, 9], [77, 7]]] * 2, float)
    tracked = np.array([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 0]], bool)
    moved = displacement(start, end, tracked, np.array([[8.0, 8.0], [6.0, 5.0]]))
    assert moved.shift.tolist() == [[4, 2], [6, 5]]  # four points are too few: what is expected otherwise
    assert moved.followed.tolist() == [True, False]


def test_a_box_grows_with_the_spread_of_its_points() -> None:
    start = grid(np.array([[100.0, 200, 140, 300]]))
    moved = displacement(start, 1.03 * start, np.ones((1, 24), bool), np.zeros((1, 2)))
    np.testing.assert_allclose(moved.scale, [1.03], atol=1e-6)
    burst = displacement(start, 3 * start, np.ones((1, 24), bool), np.zeros((1, 2)))
    assert burst.scale.tolist() == [1.05]  # no object comes this near between two frames


def test_points_behind_another_box_are_left_out() -> None:
    boxes_ = np.array([[0.0, 0, 40, 100], [20, 0, 60, 110]])  # the second one stands in front
    seen = unoccluded(np.array([[[10.0, 50], [30, 50]], [[30, 50], [50, 50]]]), boxes_)
    assert seen.tolist() == [[True, False], [True, True]]


def test_points_lie_in_the_inner_part_of_the_box() -> None:
    points = grid(np.array([[100.0, 200.0, 140.0, 300.0]]))
    assert points.shape == (1, 24, 2)
    np.testing.assert_allclose([points.min(axis=1)[0], points.max(axis=1)[0]], [[110, 210], [130, 290]])


def test_a_box_of_any_size_has_as_many_points() -> None:
    assert grid(np.array([[0.0, 0, 4, 9], [100, 50, 3700, 2100]])).shape == (2, 24, 2)


@pytest.mark.parametrize(("hidden", "moved", "followed"), [(18, 0, True), (36, 2, False)])
def test_a_box_is_not_dragged_along_by_what_passes_in_front(hidden: int, moved: int, followed: bool) -> None:
    """One stands, half or all but a strip of it behind another who is nearer and walks on."""

    def image(step: int) -> np.ndarray:
        picture = walker(100)
        coarse = np.random.default_rng(8).integers(0, 255, (30, 10, 1), np.uint8).repeat(4, 0).repeat(4, 1)
        left = 100 + hidden - 40 + step
        picture[70:190, left : left + 40] = coarse
        return picture

    behind, before = np.array([100.0, 60, 140, 160]), np.array([60.0 + hidden, 70, 100 + hidden, 190])
    flow, expected = BoxFlow(), np.array([[2.0, 0], [0, 0]])
    flow.step(shown(image(0)), np.zeros((0, 4)), np.zeros((0, 2)))
    steps = flow.step(shown(image(4)), np.stack([behind, before]), expected)
    assert steps.followed.tolist() == [followed, True]
    np.testing.assert_allclose(steps.shift, [[moved, 0], [4, 0]], atol=0.3)


def test_a_box_follows_what_is_in_it() -> None:
    flow = BoxFlow()
    box = np.array([[50.0, 60, 90, 160]])
    flow.step(shown(walker(50)), box, np.zeros((1, 2)))
    moved = flow.step(shown(walker(56, 63)), box, np.zeros((1, 2)))
    np.testing.assert_allclose(moved.shift, [[6, 3]], atol=0.3)
    back = flow.step(shown(walker(53, 63)), box + np.array([6, 3, 6, 3]), np.zeros((1, 2)))
    np.testing.assert_allclose(back.shift, [[-3, 0]], atol=0.3)


def test_without_an_earlier_picture_the_expected_step_is_taken() -> None:
    moved = BoxFlow().step(shown(walker(50)), np.array([[50.0, 60, 90, 160]]), np.array([[2.0, 1.0]]))
    assert moved.shift.tolist() == [[2, 1]]
    assert not moved.followed.any()


def test_velocities_are_taken_from_the_same_tracks() -> None:
    before = Detections([[0, 0, 10, 10], [50, 50, 60, 60]], track_id=[4, 2])
    now = Detections([[54, 48, 64, 58], [90, 0, 99, 9], [5, 0, 15, 10]], track_id=[2, 9, 4])
    assert velocity(before, now, 0.5).tolist() == [[8, -4], [0, 0], [10, 0]]


def followed(positions: list[float], every: int, *, pictures: bool) -> list[Detections]:
    """A person seen at `positions` (frame after frame, at 10 fps), the detector looking at every `every`-th frame."""
    looks = DetectionInterval(every)
    subject = IntervalTracker(tracker(fps=10.0, size=(320, 240), confirm_hits=1, camera_motion=False), looks)
    answers = []
    for index, x in enumerate(positions):
        image = walker(round(x) - 20) if pictures else None
        view = subject.predict(Frame(index, index / 10, image))
        assert looks(index) or not len(view)
        rows = subject.update(boxes(person(x, 160)) if looks(index) else Detections.empty())
        assert looks(index) or not subject.revisions
        answers.append(rows)
    return answers


def test_every_frame_has_the_box_of_its_track_and_unseen_ones_are_marked() -> None:
    positions = [60 + 2.0 * index for index in range(13)]
    answers = followed(positions, 3, pictures=True)
    assert ids(answers) == [[1]] * 13
    assert [rows.coasted.tolist() for rows in answers] == [[index % 3 != 0] for index in range(13)]
    assert {int(rows.state[0]) for rows in answers} == {TrackState.CONFIRMED}
    middle = [float(rows.track_xyxy[0, [0, 2]].mean()) for rows in answers]
    np.testing.assert_allclose(middle[6:], positions[6:], atol=2.5)


def test_a_turn_is_followed_before_the_detector_looks_again() -> None:
    positions = [60, 62, 64, 66, 68, 70, 72, 74, 76, 73, 70, 67]
    flow = followed(positions, 4, pictures=True)[11]
    blind = followed(positions, 4, pictures=False)[11]
    assert abs(flow.xyxy[0, [0, 2]].mean() - 67) < 3
    assert blind.xyxy[0, [0, 2]].mean() > 78  # went on as before


def test_without_pictures_boxes_go_on_as_they_went() -> None:
    positions = [60 + 2.0 * index for index in range(12)]
    middle = [float(rows.xyxy[0, [0, 2]].mean()) for rows in followed(positions, 4, pictures=False)]
    np.testing.assert_allclose(middle[8:], positions[8:], atol=2)


def test_who_leaves_the_picture_is_not_followed_beyond_it() -> None:
    positions = [290 + 6 * index for index in range(7)]
    answers = followed([float(x) for x in positions], 7, pictures=True)
    assert [len(rows) for rows in answers] == [int(x <= 320) for x in positions]


def test_lost_and_settled_are_the_trackers_own() -> None:
    subject = IntervalTracker(tracker(confirm_hits=1), DetectionInterval(2))
    for index in range(4):
        subject.predict(Frame(index, index / 30))
        subject.update(boxes(person(100)) if index < 2 else Detections.empty())
    assert subject.lost().track_id.tolist() == [1]
    assert subject.settled == 3


def shown_walk(frames: int, every: int) -> list[Detections]:
    """A person walking for `frames` frames at 25 fps, the detector running on every `every`-th one."""
    is_detected = DetectionInterval(every)
    subject = IntervalTracker(tracker(fps=25.0, size=(320, 240), camera_motion=False), is_detected)
    answers = []
    for index in range(frames):
        subject.predict(Frame(index, index / 25, walker(60 + 2 * index)))
        found = boxes([60 + 2 * index, 60, 100 + 2 * index, 160]) if is_detected(index) else Detections.empty()
        answers.append(subject.update(found))
    return answers


def test_a_person_is_confirmed_as_early_as_with_every_frame_detected() -> None:
    begins = [
        next(index for index, rows in enumerate(shown_walk(20, every)) if (rows.track_id >= 1).any())
        for every in (1, 3, 5)
    ]
    assert begins == [3, 3, 5]  # two detections and the frames between them, in place of four detections


def test_a_new_box_in_place_of_one_that_was_not_followed_is_no_evidence() -> None:
    follower = BoxFollower()
    follower.advance(Frame(0, 0.0, walker(60)))
    first, second = boxes([60, 60, 100, 160]), boxes([66, 60, 106, 160])
    follower.restart(first, first.xyxy)
    for index in (1, 2, 3):
        follower.advance(Frame(index, index / 25, walker(60 + 2 * index)))
    assert follower.led_to(np.array([[66, 60, 106, 160], [200, 60, 240, 160]], np.float32)).tolist() == [2, 0]
    follower.restart(second, second.xyxy)
    follower.advance(Frame(4, 4 / 25, street(1)))  # the person is gone
    assert follower.led_to(np.array([[68, 60, 108, 160]], np.float32)).tolist() == [0]
