"""The score of a tracked point: the probability that it is where it was labelled, from what contradicts it."""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.structures import BoolArray, FloatArray, IntArray, PointState
from mot_dinov3.keypoints.geometry import Array, Canvas, Points, apply
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.skeleton import expected_positions, tolerance

RIGHT_PX, RIGHT_SHARE = 8.0, 0.05  # a point is right within so many pixels, or this share of the instance's size
VISIBLE_FROM = 0.5  # score of a visible point
LOST_AFTER = 30  # frames in a row in which a point resembled its label nowhere
LEAST_SCALE = 0.1  # of similarity, that a keypoint is distinguished by
DRIFT_UNIT = 0.05  # of the radius of a right point
LEAD_RATE = 0.5  # weight of the newest lead over other places
MOST_DRIFT = 10.0  # pixels of forward-backward error that count per frame
# of the logistic model, see: python benchmarks/point_scores.py --data ../shared/data/keypoints
BIAS, LEAD, DEVIATION, DRIFT = 0.28, 2.8, 0.41, 0.2


@dataclasses.dataclass(frozen=True)
class PointEvidence:
    """What speaks for and against `n` points.

    Attributes:
        lead: ``(n,)`` similarity to the human labels ahead of the best other place, relative to what distinguishes
            the keypoint in its labelled frame: see `lead`.
        deviation: ``(n,)`` distance from the position that the neighbours expect, in their tolerances.
        drift: ``(n,)`` forward-backward error since the point was last aligned with the labelled frame, in pixels.
    """

    lead: Array
    deviation: Array
    drift: Array

    def table(self, radius: float) -> Array:
        """Return the ``(n, 3)`` numbers that the score is linear in; more is better. `radius` is `right_radius`."""
        drift = np.log1p(self.drift / (DRIFT_UNIT * radius))
        return np.stack([self.lead, -np.log(0.05 + self.deviation), -drift], 1)


def right_radius(instance: LabelledInstance) -> float:
    """Return the distance in pixels of the labelled frame up to which a point counts as right."""
    corners = np.vstack([instance.xy[instance.known], *instance.polygons])
    return max(RIGHT_PX, RIGHT_SHARE * float(np.ptp(corners, axis=0).max()))


def probability(evidence: PointEvidence, radius: float) -> Array:
    """Return the ``(n,)`` probabilities that the points are within `radius`, that of `right_radius`, of the truth."""
    logit = BIAS + evidence.table(radius) @ (LEAD, DEVIATION, DRIFT)
    return np.asarray(1 / (1 + np.exp(-logit)), np.float64)


def states(score: Array, xy: Points, unseen: Array, size: tuple[int, ...]) -> IntArray:
    """Return the ``(n,)`` states of points in a frame of `size`, rows and columns; `unseen` counts frames in a row."""
    inside = ((xy >= 0) & (xy <= (size[1] - 1, size[0] - 1))).all(1)
    state = np.where(score < VISIBLE_FROM, PointState.OCCLUDED, PointState.VISIBLE)
    return np.where(inside & (unseen < LOST_AFTER), state, PointState.LOST).astype(np.int64)


def deviation(xy: Points, labelled: Points, *, extent: float) -> Array:
    """Return how far points are from where their neighbours expect them, in tolerances; both in one upright frame."""
    expected = expected_positions(xy, labelled, np.ones(len(xy)), extent=extent)
    return np.asarray(np.linalg.norm(xy - expected, axis=1) / tolerance(labelled, extent=extent))


def best_near_and_elsewhere(maps: FloatArray, cells: Points, points: Points, reach: float) -> tuple[Array, Array]:
    """Return the ``(n,)`` highest values of ``(n, gh, gw)`` maps within `reach` pixels of each point, and beyond."""
    near = ((cells[None] - points[:, None, None]) ** 2).sum(3) <= reach**2
    best = np.where(near, maps, -1.0).max((1, 2)), np.where(near, -1.0, maps).max((1, 2))
    return np.asarray(best[0], np.float64), np.asarray(best[1], np.float64)


def lead(here: Array, elsewhere: Array, back: tuple[Array, Array], distractor: Array) -> Array:
    """Return how far places are ahead of all others, in both directions.

    Args:
        here: ``(n,)`` similarity of each place to the keypoint's labels.
        elsewhere: ``(n,)`` the most of any other place in the image.
        back: Most similarity of each place, in the labelled frame, to the surroundings of the label and to the rest.
        distractor: ``(n,)`` similarity of each label to the best other place of its own frame.
    """
    scale = np.maximum(1 - distractor, LEAST_SCALE)
    return np.asarray((here - elsewhere + back[0] - back[1]) / (2 * scale), np.float64)


class PointScorer:
    """Gathers the evidence for the points of one instance from frame to frame.

    Args:
        instance: The instance in its labelled frame.
        canvas: Its canvas.
        extent: Its size in pixels.
    """

    def __init__(self, instance: LabelledInstance, canvas: Canvas, *, extent: float) -> None:
        n = len(instance.xy)
        self._labelled, self._extent = apply(canvas.to_canvas, instance.xy), extent * canvas.factor
        self._radius = right_radius(instance)
        self.evidence = PointEvidence(np.ones(n), np.zeros(n), np.zeros(n))

    def follow(self, error: Array, aligned: BoolArray) -> None:
        """Add the forward-backward errors of one frame; points `aligned` with the labelled frame begin anew."""
        drift = self.evidence.drift + np.minimum(error, MOST_DRIFT)
        self.evidence = dataclasses.replace(self.evidence, drift=np.where(aligned, 0.0, drift))

    def compare(self, newest: Array) -> None:
        """Take the leads of one key frame."""
        smoothed = (1 - LEAD_RATE) * self.evidence.lead + LEAD_RATE * newest
        self.evidence = dataclasses.replace(self.evidence, lead=smoothed)

    def score(self, xy: Points) -> Array:
        """Return the ``(n,)`` scores of points at ``(n, 2)`` positions on the canvas."""
        off = deviation(xy, self._labelled, extent=self._extent)
        self.evidence = dataclasses.replace(self.evidence, deviation=off)
        return probability(self.evidence, self._radius)
