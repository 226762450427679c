from __future__ import annotations

import numpy as np
import pytest
from tracking_scene import boxes, feed, ids, person, tracker

from mot_dinov3.core.errors import MotError
from mot_dinov3.core.registry import resolve
from mot_dinov3.core.structures import Detections, Frame, Revision, TrackState
from mot_dinov3.trackers import TRACKERS
from mot_dinov3.trackers.appearance import AppearanceTracker
from mot_dinov3.trackers.config import TrackerConfig


def walk(frames: int, *speeds: float, start: float = 100.0, gap: float = 150.0) -> list[Detections]:
    """People side by side, each at its own speed in px a frame."""
    return [boxes(*(person(start + gap * i + v * t) for i, v in enumerate(speeds))) for t in range(frames)]


def test_registry_resolves_to_the_class() -> None:
    assert resolve("tracker", TRACKERS, "appearance") is AppearanceTracker


def test_ids_start_at_one_without_gaps_and_stay() -> None:
    answers, _ = feed(tracker(), walk(20, 2.0, -1.0, 0.0))
    assert ids(answers)[3:] == [[1, 2, 3]] * 17


def test_tentative_rows_are_marked_and_revised_once_confirmed() -> None:
    answers, revisions = feed(tracker(confirm_hits=3), walk(4, 0.0))
    assert ids(answers) == [[-1], [-1], [1], [1]]
    assert answers[0].state.tolist() == [TrackState.TENTATIVE]
    assert answers[2].state.tolist() == [TrackState.CONFIRMED]
    assert revisions == [[], [], [Revision(0, 0, 1), Revision(1, 0, 1)], []]


def test_rows_keep_their_order_and_their_boxes() -> None:
    scene = [boxes(person(300), person(100)) if t % 2 else boxes(person(100), person(300)) for t in range(6)]
    answers, _ = feed(tracker(), scene)
    assert ids(answers)[3:] == [[2, 1], [1, 2], [2, 1]]
    for frame, answer in zip(scene, answers):
        np.testing.assert_array_equal(frame.xyxy, answer.xyxy)


def test_a_track_survives_a_gap_and_is_lost_meanwhile() -> None:
    subject = tracker()
    scene = walk(10, 2.0)
    feed(subject, scene)
    feed(subject, [Detections.empty()] * 10, start=10)
    lost = subject.lost()
    assert lost.track_id.tolist() == [1]
    assert lost.state.tolist() == [TrackState.LOST]
    assert lost.xyxy.shape == (1, 4)
    assert 100 < lost.xyxy[0, [0, 2]].mean() < 145
    answers, _ = feed(subject, [boxes(person(100 + 2.0 * t)) for t in range(20, 24)], start=20)
    assert ids(answers) == [[1]] * 4


def test_a_lost_track_is_forgotten_after_its_time() -> None:
    subject = tracker(lost_seconds=0.5)
    feed(subject, walk(10, 0.0))
    feed(subject, [Detections.empty()] * 17, start=10)
    assert len(subject.lost()) == 0
    answers, _ = feed(subject, walk(5, 0.0), start=27)
    assert ids(answers)[-1] == [2]


def test_a_track_that_left_the_picture_ends_quickly() -> None:
    subject = tracker(edge_seconds=0.2, lost_seconds=5.0)
    feed(subject, [boxes(person(560 + 8.0 * t)) for t in range(10)])
    feed(subject, [Detections.empty()] * 10, start=10)
    assert len(subject.lost()) == 0


@pytest.mark.parametrize("fps", [60.0, 10.0, 9.0, 5.0, 1.0, 0.1])
def test_a_track_that_is_found_in_three_frames_of_four_is_confirmed_at_any_rate(fps: float) -> None:
    scene = [boxes(person(100.0 + t)) if t % 4 else Detections.empty() for t in range(40)]
    answers, _ = feed(tracker(), scene, fps=fps)
    seen = [found for answer in ids(answers)[8:] for found in answer]
    assert len(seen) >= 24
    assert set(seen) == {1}


def test_frames_that_are_seconds_apart_keep_still_objects() -> None:
    scene = [boxes(person(100), person(300)) if t % 5 != 4 else boxes(person(300)) for t in range(30)]
    answers, _ = feed(tracker(), scene, fps=0.1)
    assert {found for answer in ids(answers)[4:] for found in answer} == {1, 2}


def test_a_video_of_variable_rate_keeps_still_objects_where_its_frames_are_seconds_apart() -> None:
    """A recorder that saves a frame every ten seconds, give or take three, after a second at the full rate."""
    times = [t / 30 for t in range(30)] + [1 + 10 * t + (3 * t) % 7 - 3 for t in range(1, 30)]
    subject, answers = tracker(), []
    for index, time in enumerate(times):
        subject.predict(Frame(index, time))
        answers.append(subject.update(boxes(person(100)) if index % 4 else Detections.empty()))
    late = {found for answer in ids(answers)[40:] for found in answer}
    assert len(late) == 1
    assert min(late) >= 1


def test_a_lost_track_ends_after_its_frames_where_they_take_longer_than_its_time() -> None:
    for missed, kept in ((3, 1), (4, 0)):
        subject = tracker()
        feed(subject, walk(10, 0.0), fps=0.2)
        feed(subject, [Detections.empty()] * missed, fps=0.2, start=10)
        assert len(subject.lost()) == kept


def test_low_score_boxes_continue_tracks_but_start_none() -> None:
    scene = walk(10, 1.0)
    for t in (5, 6):
        scene[t] = scene[t].replace(score=np.array([0.3], np.float32))
    low_only = [frame.replace(score=np.array([0.3], np.float32)) for frame in walk(10, 0.0)]
    assert ids(feed(tracker(), scene)[0])[3:] == [[1]] * 7
    assert ids(feed(tracker(low_match=False), scene)[0])[5:7] == [[-1], [-1]]
    assert ids(feed(tracker(), low_only)[0]) == [[-1]] * 10


def test_no_track_starts_on_top_of_a_live_one() -> None:
    scene = walk(5, 0.0) + [boxes(person(100), person(104)) for _ in range(5)]
    assert ids(feed(tracker(), scene)[0])[-1] == [1, -1]
    assert ids(feed(tracker(new_overlap=1.0), scene)[0])[-1] == [1, 2]


@pytest.mark.parametrize(("class_mode", "identities"), [("agnostic", 1), ("vote", 1), ("per-class", 2)])
def test_an_object_of_two_classes_is_one_identity_from_birth(class_mode: str, identities: int) -> None:
    scene = [
        boxes(person(100.0 + t), person(101.0 + t), class_id=np.array([7, 2]), score=np.array([0.8, 0.9]))
        for t in range(20)
    ]
    answers, _ = feed(tracker(class_mode=class_mode), scene)
    assert len({found for answer in ids(answers) for found in answer} - {-1}) == identities
    if identities == 1:
        assert answers[-1].track_id[0] == -1 or answers[-1].track_id[1] == -1


def test_many_equal_boxes_are_one_identity() -> None:
    answers, _ = feed(tracker(), [boxes(*[person(100)] * 50)] * 10)
    assert len({found for answer in ids(answers) for found in answer} - {-1}) == 1


def test_a_rider_and_a_bicycle_are_two() -> None:
    """Seen from the front, one box is nearly the other."""
    rider, bicycle = [100.0, 100, 140, 200], [100.0, 112, 140, 200]
    answers, _ = feed(tracker(), [boxes(rider, bicycle, class_id=np.array([0, 1]))] * 10)
    assert ids(answers)[-1] == [1, 2]


def test_prediction_follows_time_stamps_not_frame_numbers() -> None:
    subject = tracker()
    for index in range(10):
        subject.predict(Frame(index, index / 30))
        subject.update(boxes(person(100 + 6.0 * index)))
    view = subject.predict(Frame(10, 9 / 30 + 5 / 30))
    centre = float(view.xyxy[0, [0, 2]].mean())
    assert centre == pytest.approx(100 + 6.0 * 14, abs=3.0)


def test_output_box_is_steadier_than_the_input() -> None:
    noise = np.random.default_rng(0).normal(0, 2.0, 60)
    answers, _ = feed(tracker(), [boxes(person(200 + e)) for e in noise])
    smooth = np.array([a.track_xyxy[0, [0, 2]].mean() for a in answers[10:] if a.track_xyxy is not None])
    assert smooth.std() < 0.8 * noise[10:].std()


def test_motion_decides_between_boxes_of_about_equal_overlap() -> None:
    """Four pixels are a tenth of the width, six a seventeenth of the height."""
    walking = [boxes(person(100 + 4 * t)) for t in range(20)]
    aside, below = person(184), person(180, 206)
    for likelihood, owner in ((TrackerConfig().likelihood, [-1, 1]), (0.0, [1, -1])):
        answers, _ = feed(tracker(likelihood=likelihood), [*walking, boxes(aside, below)])
        assert ids(answers)[-1] == owner


def test_a_box_that_two_tracks_compete_for_hardly_moves_its_owner() -> None:
    scene = [*[boxes(person(100), person(130))] * 15, boxes(person(116))]
    shift = []
    for noise in (TrackerConfig().contest_noise, 1.0):
        answers, _ = feed(tracker(contest_noise=noise, coast=False), scene)
        assert ids(answers)[-1] == [2]
        assert answers[-1].track_xyxy is not None
        shift.append(130 - answers[-1].track_xyxy[0, ::2].mean())
    assert 0 < shift[0] < 0.5 * shift[1]


def test_appearance_decides_where_boxes_cannot() -> None:
    """Two people stand so that the boxes alone would swap them after a gap; their looks do not."""
    a, b = np.eye(2, 8, dtype=np.float32)

    def frame(first: float, second: float) -> Detections:
        return boxes(person(first), person(second), embedding=np.stack([a, b]), fresh=np.ones(2, np.bool_))

    scene = [frame(100, 135)] * 30 + [Detections.empty()] * 3 + [frame(120, 112)] * 3
    assert ids(feed(tracker(), scene)[0])[-1] == [1, 2]
    assert ids(feed(tracker(appearance=0.0, recovery=False), scene)[0])[-1] == [2, 1]


def test_a_hidden_person_who_looks_like_the_one_in_front_keeps_the_id() -> None:
    """The crop of the hidden one shows whoever is in front; that one is turning and looks like nobody known."""
    hidden, front, turned = np.eye(3, 8, dtype=np.float32)

    def frame(x: float, *embedding: np.ndarray) -> Detections:
        return boxes(person(200), person(x, 206), embedding=np.stack(embedding), fresh=np.ones(2, np.bool_))

    apart = [frame(130 + 2 * t, hidden, front) for t in range(30)]  # until their boxes overlap by half
    answers, _ = feed(tracker(recovery=False), [*apart, *[frame(192, front, turned)] * 3])
    assert ids(answers)[-1] == [1, 2]


def test_only_fresh_rows_change_a_tracks_appearance() -> None:
    a, b = np.eye(2, 8, dtype=np.float32)
    subject = tracker()
    subject.predict(Frame(0, 0.0))
    subject.update(boxes(person(100), embedding=a[None], fresh=np.array([True])))
    subject.predict(Frame(1, 1 / 30))
    subject.update(boxes(person(100), embedding=b[None], fresh=np.array([False])))
    view = subject.predict(Frame(2, 2 / 30))
    assert view.embedding is not None
    np.testing.assert_allclose(view.embedding[0], a, atol=1e-6)
    assert view.embedded_frame.tolist() == [0]


def test_what_predict_returned_stays_as_it_was() -> None:
    subject, a = tracker(), np.eye(4, dtype=np.float32)
    for index in range(6):
        view = subject.predict(Frame(index, index / 30))
        before = {name: None if c is None else c.copy() for name, c in vars(view).items()}
        subject.update(boxes(person(100 + index), embedding=a[[index % 4]], fresh=np.array([True])))
        for name, column in before.items():
            np.testing.assert_array_equal(getattr(view, name), column)
    assert subject.predict(Frame(6, 0.2)).embedded_frame.tolist() == [5]


def test_changing_embedding_dimension_is_an_error_naming_both() -> None:
    subject = tracker()
    feed(subject, [boxes(person(100), embedding=np.ones((1, 8), np.float32), fresh=np.array([True]))])
    with pytest.raises(MotError, match=r"16.*8"):
        feed(subject, [boxes(person(100), embedding=np.ones((1, 16), np.float32))], start=1)
