"""The score of a point follows from evidence; points on the background are told from the animal's by their motion."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mot_dinov3.core.structures import PointState
from mot_dinov3.keypoints.backends.base import DenseRequest
from mot_dinov3.keypoints.backends.gradient import GradientBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.instance import InstanceTracker
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.point_flow import Background, Flow, FlowFrame, follows_background
from mot_dinov3.keypoints.point_score import PointEvidence, best_near_and_elsewhere, probability, right_radius, states
from mot_dinov3.keypoints.tracker import PointTracker

SURE = PointEvidence(np.array([1.0]), np.array([0.2]), np.array([0.0]))
POINTS = np.array([(70.0, 70.0), (130.0, 70.0), (70.0, 130.0), (130.0, 130.0), (100.0, 100.0)])


def noise(seed: int, side: int, cell: int) -> np.ndarray:
    """Return a colour texture whose places are distinguishable."""
    import cv2

    small = np.random.default_rng(seed).integers(0, 255, (side // cell, side // cell, 3), np.uint8)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)


def test_every_piece_of_evidence_against_a_point_lowers_its_score() -> None:
    sure = probability(SURE, 20.0)[0]
    for doubt in ({"lead": np.array([-0.5])}, {"deviation": np.array([3.0])}, {"drift": np.array([30.0])}):
        assert probability(dataclasses.replace(SURE, **doubt), 20.0)[0] < sure
    everything = PointEvidence(np.array([-0.5]), np.array([3.0]), np.array([30.0]))
    assert sure > 0.9
    assert probability(everything, 20.0)[0] < 0.2


def test_states_follow_from_the_score_and_the_search() -> None:
    score, unseen = np.array([0.5, 0.49, 0.9, 0.9]), np.array([0.0, 0.0, 30.0, 0.0])
    xy = np.array([(5.0, 5.0), (5.0, 5.0), (5.0, 5.0), (-3.0, 5.0)])
    expected = [PointState.VISIBLE, PointState.OCCLUDED, PointState.LOST, PointState.LOST]
    assert states(score, xy, unseen, (10, 10)).tolist() == expected


def test_drift_counts_relative_to_the_size_of_the_animal() -> None:
    drifted = dataclasses.replace(SURE, drift=np.array([10.0]))
    assert probability(drifted, 80.0)[0] > probability(drifted, 8.0)[0]


@pytest.mark.parametrize(("span", "expected"), [(40.0, 8.0), (400.0, 20.0)])
def test_a_right_point_is_within_8_px_or_5_percent_of_the_animal(span: float, expected: float) -> None:
    xy = np.array([(0.0, 0.0), (span, 10.0), (np.nan, np.nan)])
    assert right_radius(LabelledInstance("a", 0, ("p", "q", "r"), xy)) == pytest.approx(expected)


def test_the_best_other_place_is_outside_the_reach() -> None:
    cells = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), 2)
    maps = np.zeros((1, 10, 10), np.float32)
    maps[0, 5, 5], maps[0, 5, 6], maps[0, 1, 1] = 0.9, 0.8, 0.4
    near, elsewhere = best_near_and_elsewhere(maps, cells, np.array([(5.0, 5.0)]), 2.0)
    assert (near[0], elsewhere[0]) == (pytest.approx(0.9), pytest.approx(0.4))


def test_points_that_an_occluder_covers_are_not_called_visible() -> None:
    scene, cover = noise(1, 200, 10), noise(2, 200, 10)
    instance = LabelledInstance("a", 0, tuple("pqrst"), POINTS)
    backend = GradientBackend(DenseRequest("", None, "cpu", None, None))  # type: ignore[arg-type]
    start = FlowFrame.of(0, scene)
    tracker = PointTracker(
        [InstanceTracker(KeypointConfig(masks="flow"), backend, start, instance)], start, key_every=1
    )
    seen = tracker.step(FlowFrame.of(1, scene))[0]
    hidden = scene.copy()
    hidden[95:175, 95:175] = cover[95:175, 95:175]
    for number in range(2, 8):
        after = tracker.step(FlowFrame.of(number, hidden))[0]
    assert (seen.state == PointState.VISIBLE).all()
    assert seen.score.min() > 0.8
    assert after.state[3] != PointState.VISIBLE
    assert after.score[3] < 0.5 < after.score[0]


def test_points_that_move_with_the_background_are_told_from_the_animals() -> None:
    start = np.array([(10.0, 10.0), (50.0, 20.0), (90.0, 80.0)])
    own, background = np.array([[1.0, 0, 0], [0, 1, 0]]), np.array([[1.0, 0, 12], [0, 1, 0]])
    end = start + np.array([(0.2, 0.1), (12.1, 0.0), (6.0, 0.0)])  # the animal's, the background's, in between
    assert follows_background(start, end, own=own, background=background).tolist() == [False, True, False]
    assert not follows_background(start, end, own=own, background=None).any()


def test_the_background_s_motion_leaves_out_the_bodies() -> None:
    grey = noise(3, 240, 8)[..., 0]
    body = np.array([(80.0, 80.0), (160.0, 80.0), (160.0, 160.0), (80.0, 160.0)])
    background = Background()
    background.renew(grey, [body])
    points = background.points
    assert len(points) > 20
    assert not ((points > 80) & (points < 160)).all(1).any()
    motion = background.follow(Flow(points + np.array((5.0, -2.0)), np.zeros(len(points))), grey.shape)
    assert motion is not None
    assert motion[:, 2] == pytest.approx([5.0, -2.0], abs=1e-6)
    assert len(background.points) <= len(points)
