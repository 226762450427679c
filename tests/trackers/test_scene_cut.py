"""Hard cuts: what counts as one, and what becomes of the tracks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tracking_scene import boxes, person, tracker

from mot_dinov3.core.structures import Detections, Frame, Image
from mot_dinov3.linking import Tracklets, link
from mot_dinov3.trackers.appearance import AppearanceTracker
from mot_dinov3.trackers.optical_flow import CameraMotion

NOBODY = np.zeros((0, 4))


def place(seed: int, grain: int = 40, x: int = 100, y: int = 60) -> Image:
    """A picture of a place that no other seed resembles; `x` and `y` move the camera."""
    import cv2

    noise = np.random.default_rng(seed).integers(0, 200, (3 * grain // 4, grain, 3)).astype(np.uint8)
    wall = cv2.resize(noise, (900, 700), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(wall[y : y + 480, x : x + 640])


def cuts(pictures: Sequence[Image]) -> list[int]:
    camera, found = CameraMotion(scene_cuts=True), []
    for index, picture in enumerate(pictures):
        camera.estimate(Frame(0, 0.0, picture), NOBODY)
        if camera.cut:
            found.append(index)
    return found


def brightened(picture: Image, gain: float, offset: float) -> Image:
    return np.clip(picture * float(gain) + offset, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("grain", [12, 40, 120])
@pytest.mark.parametrize("seed", range(4))
def test_another_place_is_a_cut(grain: int, seed: int) -> None:
    first, second = place(seed, grain), place(seed + 100, grain)
    assert cuts([first, first, second, second, first]) == [2, 4]


def test_a_cut_is_found_through_black() -> None:
    black = np.zeros((480, 640, 3), np.uint8)
    assert cuts([place(0), black, black, place(1), place(1)]) == [3]
    assert cuts([black, place(0), black, black, place(0), place(0)]) == []


@pytest.mark.parametrize("grain", [12, 40])
def test_a_swinging_camera_makes_no_cut(grain: int) -> None:
    swing = 100 * np.sin(np.arange(60) / 3)
    assert cuts([place(0, grain, x=120 + round(x), y=60 + round(x / 3)) for x in swing.tolist()]) == []


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize(("gain", "offset"), [(1, 60), (2, 40), (3, 100), (0, 255)])
def test_a_flash_makes_no_cut(frames: int, gain: float, offset: float) -> None:
    pictures = [place(0, x=100 + 2 * t) for t in range(12)]
    for t in range(5, 5 + frames):
        pictures[t] = brightened(pictures[t], gain, offset)
    assert cuts(pictures) == []


@pytest.mark.parametrize(("gain", "offset"), [(0.3, 0), (1, 50), (0.6, 60)])
def test_switched_lights_make_no_cut(gain: float, offset: float) -> None:
    assert cuts([place(0)] * 3 + [brightened(place(0), gain, offset)] * 5) == []


def test_a_brighter_scene_is_a_cut_when_it_stays() -> None:
    (cut,) = cuts([brightened(place(0), 0.2, 0)] * 3 + [brightened(place(1), 0.5, 120)] * 5)
    assert 3 <= cut <= 5


def test_objects_on_a_plain_background_make_no_cut() -> None:
    pictures = [np.full((480, 640, 3), 60, np.uint8) for _ in range(20)]
    for t, picture in enumerate(pictures):
        picture[200:400, 20 * t : 20 * t + 200] = 220
    assert cuts(pictures) == []


def test_a_test_pattern_makes_no_cut() -> None:
    """Large plain fields that change show no scene that could end."""
    fields = np.random.default_rng(0).integers(0, 2, (20, 2, 4, 1)) * 200 + 30
    assert cuts([field.repeat(240, 0).repeat(160, 1).repeat(3, 2).astype(np.uint8) for field in fields]) == []


def film(subject: AppearanceTracker, scenes: Sequence[int], looks: Sequence[int] | None = None) -> list[Detections]:
    """Show a person in the same spot of one place after another, 30 frames each; `looks` number their embeddings."""
    answers = []
    for index in range(30 * len(scenes)):
        scene = index // 30
        subject.predict(Frame(index, index / 30, place(scenes[scene])))
        seen = boxes(person(300.0), person(500.0))
        if looks is not None:
            vectors = np.eye(8, dtype=np.float32)[[looks[scene], 7]]
            seen = seen.replace(embedding=vectors, fresh=np.ones(2, np.bool_))
        answers.append(subject.update(seen))
    return answers


def test_a_cut_ends_all_tracks() -> None:
    subject = tracker()
    answers = film(subject, [0, 1, 0])
    assert [answers[t].track_id.tolist() for t in (29, 59, 89)] == [[1, 2], [3, 4], [5, 6]]
    assert subject.cuts == [30, 60]
    assert not len(subject.lost())


def test_scene_cuts_can_be_switched_off() -> None:
    subject = tracker(scene_cuts=False)
    assert {found for answer in film(subject, [0, 1, 0])[4:] for found in answer.track_id.tolist()} == {1, 2}
    assert list(subject.cuts) == []


def test_cuts_are_found_without_compensation_of_camera_motion() -> None:
    assert film(tracker(camera_motion=False), [0, 1])[-1].track_id.tolist() == [3, 4]


def test_no_predicted_box_and_no_lost_track_outlives_a_cut() -> None:
    subject = tracker(coast=True, coast_trust=0.0, coast_seconds=1.0)
    film(subject, [0], [0])
    view = subject.predict(Frame(30, 1.0, place(1)))
    assert len(view) == 0
    assert len(subject.update(Detections.empty())) == 0
    assert len(subject.lost()) == 0


def test_appearance_alone_continues_a_track_after_a_cut() -> None:
    """The second scene shows one of the two and somebody else, the third the two again."""
    answers = film(tracker(), [0, 1, 0], [0, 1, 0])
    assert [answers[t].track_id.tolist() for t in (29, 59, 89)] == [[1, 2], [3, 2], [1, 2]]


def test_linking_joins_nothing_by_motion_across_a_cut() -> None:
    frame = np.arange(60)
    xyxy = np.array([person(200.0 + t) for t in range(60)], np.float32)
    rows = Tracklets(frame, frame / 30, np.where(frame < 30, 1, 2), xyxy, np.full(60, 0.9, np.float32))
    assert set(link(rows, size=(640, 480)).track_id.tolist()) == {1}
    assert set(link(rows, size=(640, 480), cuts=[30]).track_id.tolist()) == {1, 2}


def test_linking_smooths_no_box_across_a_cut() -> None:
    frame = np.arange(60)
    xyxy = np.array([person(200.0 if t < 30 else 400.0) for t in range(60)], np.float32)
    rows = Tracklets(frame, frame / 30, np.ones(60, np.int64), xyxy, np.full(60, 0.9, np.float32))
    np.testing.assert_allclose(link(rows, cuts=[30]).xyxy, xyxy, atol=0.5)
