"""Fusion of the passes through a frame into its keypoints: forward and backward, labelled and interpolated. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.structures import BoolArray, IntArray, Keypoints, PointSource, PointState
from mot_dinov3.keypoints.geometry import Array, Points
from mot_dinov3.keypoints.labels import LabelledInstance

DISAGREE = 3.0  # sigmas, and at least …
DISAGREE_PX = 8.0  # … so many pixels: the two passes follow different things


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One instance in one frame, as one pass tracks it.

    Attributes:
        xy: ``(n, 2)`` positions, finite also where the point is lost.
        variance: ``(n,)`` expected squared error in pixels, accumulated since the labelled frame.
        score: ``(n,)`` 0…1.
        state: ``(n,)`` int64 of `PointState`.
        polygons: The instance's outlines.
        swapped: ``(n,)`` bool: left and right were exchanged here.
    """

    xy: Points
    variance: Array
    score: Array
    state: IntArray
    polygons: tuple[Points, ...]
    swapped: BoolArray

    def as_record(self) -> dict[str, Any]:
        """Return it as plain JSON, exactly."""
        arrays = {name: getattr(self, name).tolist() for name in ("xy", "variance", "score", "state", "swapped")}
        return {**arrays, "polygons": [polygon.tolist() for polygon in self.polygons]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Estimate:
        """Return what `as_record` wrote."""
        return cls(
            xy=np.array(record["xy"], np.float64).reshape(-1, 2),
            variance=np.array(record["variance"], np.float64),
            score=np.array(record["score"], np.float64),
            state=np.array(record["state"], np.int64),
            polygons=tuple(np.array(polygon, np.float64).reshape(-1, 2) for polygon in record["polygons"]),
            swapped=np.array(record["swapped"], np.bool_),
        )


@dataclasses.dataclass(frozen=True)
class FusedEstimate:
    """One instance in one frame after fusion.

    Attributes:
        estimate: The fused estimate.
        disagreement: ``(n,)`` pixels between the two passes; 0 with one pass.
    """

    estimate: Estimate
    disagreement: Array


def one_sided(estimate: Estimate) -> FusedEstimate:
    """Return the estimate of a single pass."""
    return FusedEstimate(estimate, np.zeros(len(estimate.xy)))


def combine(forward: Estimate, backward: Estimate, *, share: float) -> FusedEstimate:
    """Combine the passes from both labelled frames around a gap.

    Each pass weighs by its precision: the inverse of the variance that it accumulated, which is fed by its
    forward-backward errors. Where the passes follow different things, the better one is taken alone: the middle between
    two legs is on neither. `share` is the frame's position between the two, 0…1; it grows each pass's variance.
    """
    # Weight of the forward pass: by precision, all or nothing where they disagree, none where it is lost.
    a, b = _effective_variance(forward, share), _effective_variance(backward, 1 - share)
    distance = np.linalg.norm(forward.xy - backward.xy, axis=1)
    weight = b / (a + b)
    apart = distance > np.maximum(DISAGREE * np.sqrt(a + b), DISAGREE_PX)
    weight = np.where(apart, (weight >= 0.5).astype(float), weight)
    weight = np.where(forward.state == PointState.LOST, 0.0, weight)
    weight = np.where((backward.state == PointState.LOST) & (forward.state != PointState.LOST), 1.0, weight)

    # Positions and scores are weighted means; what cannot be averaged is the heavier pass's.
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
    return FusedEstimate(estimate, distance)


def _effective_variance(estimate: Estimate, elapsed: float) -> Array:
    """Return the variance, larger where the point is hardly similar to its template, and with time."""
    return (estimate.variance + 0.5) * (1 + 4 * elapsed) / np.maximum(estimate.score, 0.1) ** 2


def labelled_keypoints(instances: Sequence[LabelledInstance], tracked: Sequence[FusedEstimate] | None) -> Keypoints:
    """Return the rows of a labelled frame; points not labelled there are where a pass that ends there tracked them."""
    labels = _label_rows(instances)
    if tracked is None:
        return labels
    known, rows = labels.source == PointSource.HUMAN, tracked_keypoints(instances, tracked)
    return dataclasses.replace(
        labels,
        xy=np.where(known[:, None], labels.xy, rows.xy),
        score=np.where(known, labels.score, rows.score),
        state=np.where(known, labels.state, rows.state),
    )


def tracked_keypoints(instances: Sequence[LabelledInstance], tracked: Sequence[FusedEstimate]) -> Keypoints:
    """Return the rows of a tracked frame; lost points have no coordinates."""
    estimates = [one.estimate for one in tracked]
    state = np.concatenate([e.state for e in estimates])
    lost = state == PointState.LOST
    return dataclasses.replace(
        _label_rows(instances),
        xy=np.where(lost[:, None], np.nan, np.concatenate([e.xy for e in estimates])),
        score=np.where(lost, 0.0, np.concatenate([e.score for e in estimates])),
        state=state,
        source=np.full(len(lost), PointSource.TRACKED, np.int64),
        outlines={i.name: e.polygons for i, e in zip(instances, estimates) if e.polygons},
    )


def _label_rows(instances: Sequence[LabelledInstance]) -> Keypoints:
    known, seen = np.concatenate([i.known for i in instances]), np.concatenate([i.seen for i in instances])
    said = known | np.concatenate([i.gone for i in instances])
    state = np.where(known, np.where(seen, PointState.VISIBLE, PointState.OCCLUDED), PointState.LOST)
    return Keypoints(
        instance=tuple(i.name for i in instances for _ in i.keypoints),
        group_id=np.array([i.group_id for i in instances for _ in i.keypoints], np.int64),
        name=tuple(name for i in instances for name in i.keypoints),
        xy=np.concatenate([i.xy for i in instances]),
        score=known.astype(np.float64),
        state=state.astype(np.int64),
        source=np.where(said, np.int64(PointSource.HUMAN), np.int64(PointSource.TRACKED)),
        outlines={i.name: i.polygons for i in instances if i.polygons},
    )


def interpolate(before: Keypoints, after: Keypoints, share: float) -> Keypoints:
    """Return the rows of a skipped frame, at `share` (0…1) between two others; lost where one of these is."""
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
