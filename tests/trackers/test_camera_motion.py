from __future__ import annotations

import numpy as np
import pytest
from tracking_scene import boxes, person, tracker

from mot_dinov3.core.structures import Detections, Frame, Image
from mot_dinov3.trackers.optical_flow import CameraMotion

NOBODY = np.zeros((0, 4))


@pytest.fixture(scope="module")
def wall() -> Image:
    """A large still picture with something to hold on to everywhere."""
    import cv2

    noise = np.random.default_rng(0).integers(0, 255, (90, 160, 3)).astype(np.uint8)
    return cv2.resize(noise, (1600, 900), interpolation=cv2.INTER_CUBIC)


def view(wall: Image, x: int, y: int) -> Image:
    return np.ascontiguousarray(wall[y : y + 480, x : x + 640])


def shown(image: Image) -> Frame:
    return Frame(0, 0.0, image)


def test_a_shifted_picture_gives_the_shift(wall: Image) -> None:
    camera = CameraMotion()
    assert camera.estimate(shown(view(wall, 100, 100)), NOBODY) is None
    affine = camera.estimate(shown(view(wall, 112, 95)), NOBODY)
    assert affine is not None
    np.testing.assert_allclose(affine, [[1, 0, -12], [0, 1, 5]], atol=0.5)
    assert np.abs(affine[:, :2] - np.eye(2)).max() < 0.01


def test_a_still_camera_is_left_alone_however_busy_the_scene(wall: Image) -> None:
    camera = CameraMotion()
    still = view(wall, 100, 100)
    camera.estimate(shown(still), NOBODY)
    busy = still.copy()
    busy[100:300, 200:320] = 0
    assert camera.estimate(shown(busy), NOBODY) is None


def test_moving_objects_do_not_count_as_background(wall: Image) -> None:
    """A passer-by covers a third of the picture and moves against the camera."""
    passer = np.random.default_rng(1).integers(0, 255, (40, 22, 3)).astype(np.uint8).repeat(10, 0).repeat(10, 1)
    camera = CameraMotion()
    first, second = view(wall, 100, 100), view(wall, 108, 100)
    first[40:440, 100:320], second[40:440, 130:350] = passer, passer
    camera.estimate(shown(first), NOBODY)
    affine = camera.estimate(shown(second), np.array([[100.0, 40, 320, 440]]))
    assert affine is not None
    np.testing.assert_allclose(affine[:, 2], [-8, 0], atol=0.5)


def test_blank_pictures_say_nothing() -> None:
    camera = CameraMotion()
    camera.estimate(shown(np.zeros((480, 640, 3), np.uint8)), NOBODY)
    assert camera.estimate(shown(np.full((480, 640, 3), 200, np.uint8)), NOBODY) is None


@pytest.mark.parametrize(("camera_motion", "kept"), [(True, True), (False, False)])
def test_a_lost_track_stays_in_its_place_in_the_world(wall: Image, camera_motion: bool, kept: bool) -> None:
    """A person stands still, unseen for half a second while the camera pans away by two body widths."""
    subject = tracker(camera_motion=camera_motion)

    def step(index: int, pan: int, seen: bool) -> Detections:
        subject.predict(Frame(index, index / 30, view(wall, 100 + pan, 100)))
        return subject.update(boxes(person(400 - pan)) if seen else Detections.empty())

    for index in range(8):
        step(index, 0, True)
    for index in range(8, 24):
        step(index, 8 * (index - 7), False)
    answers = [step(index, 128, True) for index in range(24, 28)]
    assert (answers[-1].track_id.tolist() == [1]) is kept
