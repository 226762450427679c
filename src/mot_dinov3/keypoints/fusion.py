"""What frames between labelled ones add up to: both sides of time combined, skipped frames interpolated. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Keypoints, PointSource, PointState
from mot_dinov3.keypoints.estimate import Estimate
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.keypoints.labels import Body

Array = npt.NDArray[np.float64]

DISAGREE = 3.0  # sigmas, and at least …
DISAGREE_PX = 8.0  # … so many pixels: both sides do not mean the same place


@dataclasses.dataclass(frozen=True)
class Solved:
    """One instance in one frame, solved.

    Attributes:
        estimate: Where its points are.
        disagreement: ``(n,)`` pixels between what both sides said; 0 with one side.
    """

    estimate: Estimate
    disagreement: Array


def one_sided(estimate: Estimate) -> Solved:
    """Return what is known from one side only."""
    return Solved(estimate, np.zeros(len(estimate.xy)))


def combine(forward: Estimate, backward: Estimate, *, share: float) -> Solved:
    """Combine what was tracked from both labelled frames around a gap.

    Each side weighs by its precision: the inverse of the variance that it accumulated, which is fed by its
    forward-backward errors. Where the sides mean different places, the better one is taken alone: the middle between
    two legs is on neither.

    Args:
        forward: From the labelled frame before.
        backward: From the one after.
        share: 0…1, how far the frame is on the way from the one to the other; it grows each side's variance.
    """
    a = _trusted_variance(forward, share)
    b = _trusted_variance(backward, 1 - share)
    distance = np.linalg.norm(forward.xy - backward.xy, axis=1)
    weight = b / (a + b)
    apart = distance > np.maximum(DISAGREE * np.sqrt(a + b), DISAGREE_PX)
    weight = np.where(apart, (weight >= 0.5).astype(float), weight)
    weight = np.where(forward.state == PointState.LOST, 0.0, weight)
    weight = np.where((backward.state == PointState.LOST) & (forward.state != PointState.LOST), 1.0, weight)
    xy = weight[:, None] * forward.xy + (1 - weight)[:, None] * backward.xy
    state = np.where(weight >= 0.5, forward.state, backward.state)
    score = weight * forward.score + (1 - weight) * backward.score
    agreement = np.exp(-distance / (4 * DISAGREE_PX))
    estimate = Estimate(
        xy,
        1 / (1 / a + 1 / b),
        np.where(apart, score * agreement, score),
        state,
        forward.polygons if share < 0.5 else backward.polygons,
        np.where(weight >= 0.5, forward.swapped, backward.swapped),
    )
    return Solved(estimate, distance)


def _trusted_variance(estimate: Estimate, elapsed: float) -> Array:
    """Return the variance, larger where the point hardly looks like its template, and with time."""
    return (estimate.variance + 0.5) * (1 + 4 * elapsed) / np.maximum(estimate.score, 0.1) ** 2


def labelled_keypoints(bodies: Sequence[Body], solved: Sequence[Solved] | None) -> Keypoints:
    """Return the rows of a labelled frame: a person's points, and what is tracked for those not labelled there.

    Args:
        bodies: The instances as labelled.
        solved: What was tracked up to here, instance by instance, or None.
    """
    parts = []
    for i, body in enumerate(bodies):
        known = body.known
        n = len(known)
        xy, score = body.xy.copy(), np.where(known, 1.0, 0.0)
        state = np.where(known, int(PointState.VISIBLE), int(PointState.LOST)).astype(np.int64)
        if solved is not None and not known.all():
            estimate = solved[i].estimate
            there = ~known & (estimate.state != PointState.LOST)
            xy[there], score[there], state[there] = estimate.xy[there], estimate.score[there], estimate.state[there]
        source = np.where(known, int(PointSource.HUMAN), int(PointSource.TRACKED)).astype(np.int64)
        parts.append(_Part(body, n, xy, score, state, source, body.polygons))
    return _joined(parts)


def tracked_keypoints(bodies: Sequence[Body], solved: Sequence[Solved]) -> Keypoints:
    """Return the rows of a tracked frame; lost points have no coordinates."""
    parts = []
    for body, one in zip(bodies, solved):
        estimate = one.estimate
        lost = estimate.state == PointState.LOST
        xy = np.where(lost[:, None], np.nan, estimate.xy)
        score = np.where(lost, 0.0, estimate.score)
        source = np.full(len(lost), int(PointSource.TRACKED), np.int64)
        parts.append(_Part(body, len(lost), xy, score, estimate.state, source, estimate.polygons))
    return _joined(parts)


@dataclasses.dataclass(frozen=True)
class _Part:
    body: Body
    n: int
    xy: Points
    score: Array
    state: npt.NDArray[np.int64]
    source: npt.NDArray[np.int64]
    polygons: tuple[Points, ...]


def _joined(parts: Sequence[_Part]) -> Keypoints:
    return Keypoints(
        instance=tuple(p.body.name for p in parts for _ in range(p.n)),
        group_id=np.concatenate([np.full(p.n, p.body.group_id, np.int64) for p in parts]),
        name=tuple(name for p in parts for name in p.body.keypoints),
        xy=np.concatenate([p.xy for p in parts]),
        score=np.concatenate([p.score for p in parts]),
        state=np.concatenate([p.state for p in parts]).astype(np.int64),
        source=np.concatenate([p.source for p in parts]),
        outlines={p.body.name: p.polygons for p in parts if p.polygons},
    )


def interpolate(before: Keypoints, after: Keypoints, share: float) -> Keypoints:
    """Return the rows of a skipped frame, `share` of the way between two others; lost where one of them is.

    Args:
        before: The frame before that was tracked or labelled.
        after: The one after.
        share: 0…1.
    """
    gone = (before.state == PointState.LOST) | (after.state == PointState.LOST)
    xy = (1 - share) * before.xy + share * after.xy
    state = np.maximum(before.state, after.state)
    return dataclasses.replace(
        before,
        xy=np.where(gone[:, None], np.nan, xy),
        score=np.where(gone, 0.0, np.minimum(before.score, after.score)),
        state=np.where(gone, int(PointState.LOST), state).astype(np.int64),
        source=np.full(len(before), int(PointSource.INTERPOLATED), np.int64),
        outlines=before.outlines if share < 0.5 else after.outlines,
    )
