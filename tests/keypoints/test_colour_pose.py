"""The colours of an animal keep its outline at its place, size and angle; points surer than it may be outside."""

from __future__ import annotations

import numpy as np
import pytest

from keypoints import scene
from mot_dinov3.keypoints.backends.base import DenseRequest
from mot_dinov3.keypoints.backends.gradient import GradientBackend
from mot_dinov3.keypoints.colour_pose import ColourPose
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.geometry import IDENTITY, apply, scale_of
from mot_dinov3.keypoints.instance import InstanceTracker
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.point_flow import FlowFrame
from mot_dinov3.keypoints.tracker import PointTracker

SIDE = 240
AXES = (60.0, 30.0)
BROWN, GREEN = (40, 70, 140), (60, 140, 60)


def body(x: float = 120.0, y: float = 120.0, size: float = 1.0, angle: float = 0.0) -> np.ndarray:
    """Return the ``(60, 2)`` outline of an animal: half an ellipse and half a smaller one, so that it has a front."""
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    shape = np.stack([np.cos(turn) * AXES[0], np.sin(turn) * AXES[1] * np.where(np.cos(turn) > 0, 0.6, 1.0)], 1)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return size * shape @ np.array([[c, s], [-s, c]]) + (x, y)


def draw(*outlines: np.ndarray, colour: tuple[int, int, int] = BROWN) -> np.ndarray:
    """Return a noisy green image with animals of one colour."""
    import cv2

    image = np.full((SIDE, SIDE, 3), GREEN, np.uint8)
    for outline in outlines:
        cv2.fillPoly(image, [np.rint(outline).astype(np.int32)], colour)
    noise = np.random.default_rng(0).integers(-12, 13, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def fitted(colours: ColourPose, image: np.ndarray) -> np.ndarray:
    """Return the pose after twelve key frames of one image."""
    pose = IDENTITY
    for _ in range(12):
        pose = colours.fit(image, pose)
    return pose


@pytest.mark.parametrize(
    ("x", "y", "size", "angle"),
    [(135.0, 112.0, 1.0, 0.0), (120.0, 120.0, 0.75, 0.0), (120.0, 120.0, 1.3, 0.0), (124.0, 118.0, 0.9, 18.0)],
)
def test_the_pose_follows_place_size_and_angle(x: float, y: float, size: float, angle: float) -> None:
    colours = ColourPose(draw(body()), [body()])
    assert colours.distinct
    pose = fitted(colours, draw(body(x, y, size, angle)))
    assert apply(pose, np.array([(120.0, 120.0)]))[0] == pytest.approx((x, y), abs=4)
    assert scale_of(pose) == pytest.approx(size, rel=0.1)
    assert np.degrees(np.arctan2(pose[1, 0], pose[0, 0])) == pytest.approx(angle, abs=6)


def test_where_its_colours_are_gone_the_pose_stays() -> None:
    colours = ColourPose(draw(body()), [body()])
    assert colours.fit(draw(), IDENTITY) is IDENTITY
    assert colours.fit(draw(body(), colour=(200, 60, 30)), IDENTITY) is IDENTITY


def test_an_animal_of_the_colour_of_its_surroundings_is_not_distinct() -> None:
    assert not ColourPose(draw(), [body()]).distinct


def test_another_animal_of_the_same_colour_does_not_attract_the_pose() -> None:
    colours = ColourPose(draw(body()), [body()])
    assert colours.fit(draw(body(), body(170.0, 160.0)), IDENTITY) is IDENTITY


def test_points_far_from_the_outline_are_not_on_the_animal() -> None:
    colours = ColourPose(draw(body()), [body()])
    pose = np.array([[1.0, 0.0, 30.0], [0.0, 1.0, 0.0]])
    points = np.array([(150.0, 120.0), (205.0, 120.0), (75.0, 120.0), (-500.0, 900.0)])
    assert colours.covers(points, pose).tolist() == [True, True, False, False]


def test_a_point_labelled_outside_the_outline_stays_there() -> None:
    outline = np.array([(0.0, 0.0), (44.0, 0.0), (44.0, 40.0), (0.0, 40.0)]) + scene.START  # the tail is 6 px beyond it
    points = np.array(list(scene.POINTS.values())) + scene.START
    animal = LabelledInstance("mouse", 1, tuple(scene.POINTS), points, polygons=(outline,))
    start = FlowFrame.of(0, scene.picture(0))
    backend = GradientBackend(DenseRequest("", None, "cpu", print, print))
    tracker = PointTracker([InstanceTracker(KeypointConfig(masks="flow"), backend, start, animal)], start, key_every=1)
    for number in range(1, 9):
        seen = tracker.step(FlowFrame.of(number, scene.picture(number)))[0]
        truth = points + np.subtract(scene.offset(number), scene.START)
        assert np.linalg.norm(seen.xy - truth, axis=1).max() < 2
