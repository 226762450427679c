"""Motion outside the known boxes: what a new object looks like before it is detected."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.structures import Image
from mot_dinov3.trackers.unexplained_motion import MotionEvidence, MotionWatch, SceneChange

NONE = np.zeros((0, 4), np.float32)


def street(seed: int = 0) -> Image:
    """A background with contours, 640 × 360."""
    coarse = np.random.default_rng(seed).integers(60, 200, (36, 64), np.uint8)
    return np.asarray(coarse.repeat(10, 0).repeat(10, 1), np.uint8)


def with_person(x: int) -> Image:
    """Someone 60 px wide whose left edge is at x; partly outside where that is negative."""
    image = street()
    image[120:300, max(x, 0) : x + 60] = 250
    return image


def watched(*images: Image, boxes: np.ndarray = NONE) -> MotionEvidence:
    watch = MotionWatch()
    return [watch.observe(image, index / 25, boxes) for index, image in enumerate(images)][-1]


def test_nothing_moves_in_a_still_image() -> None:
    assert watched(street(), street()) == MotionEvidence()


def test_who_enters_is_seen_at_the_border() -> None:
    found = watched(with_person(-50), with_person(-20))
    assert found.scene is SceneChange.STEADY
    assert found.border >= 1


def test_motion_in_a_known_box_is_explained() -> None:
    known = np.array([[290 / 640, 120 / 360, 370 / 640, 300 / 360]], np.float32)
    assert watched(with_person(300), with_person(310)).inside >= 3
    assert watched(with_person(300), with_person(310), boxes=known) == MotionEvidence()


def test_the_camera_may_turn() -> None:
    turned = np.roll(street(), 8, axis=1)
    assert watched(street(), turned) == MotionEvidence()


@pytest.mark.parametrize("other", [street(5), np.full((360, 640), 90, np.uint8)])
def test_another_image_is_no_unexplained_motion(other: Image) -> None:
    assert watched(street(), other).scene is not SceneChange.STEADY


def test_what_the_detector_does_not_find_is_no_reason_for_two_seconds() -> None:
    watch = MotionWatch()
    leaves = [with_person(300 + 12 * (index % 2)) for index in range(80)]
    reasons = []
    for index, image in enumerate(leaves):
        found = watch.observe(image, index / 25, NONE)
        reasons.append(found.inside >= 3)
        if reasons[-1]:
            watch.explain(index / 25, NONE)
    assert [index for index, reason in enumerate(reasons) if reason] == [1, 51]
