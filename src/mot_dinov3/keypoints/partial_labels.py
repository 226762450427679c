"""Frames in which only some keypoints are labelled: rows selected, expanded again, and fused one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mot_dinov3.core.structures import BoolArray, PointState
from mot_dinov3.keypoints.fusion import Estimate, FusedEstimate, combine
from mot_dinov3.keypoints.geometry import apply, similarity_or_shift
from mot_dinov3.keypoints.labels import LabelledInstance

NOWHERE_VARIANCE = 1e6


def select_keypoints(instance: LabelledInstance, rows: BoolArray) -> LabelledInstance:
    """Return the instance with the chosen keypoints only."""
    names = tuple(n for n, keep in zip(instance.keypoints, rows) if keep)
    return dataclasses.replace(instance, keypoints=names, xy=instance.xy[rows])


def fill_unlabelled(
    instances: Sequence[LabelledInstance], tracked: Sequence[FusedEstimate] | None
) -> tuple[LabelledInstance, ...]:
    """Return a labelled frame's instances; points not labelled there are at their tracked positions."""
    if tracked is None:
        return tuple(instances)
    found = []
    for instance, estimate in zip(instances, (one.estimate for one in tracked)):
        kept = instance.known | (estimate.state == PointState.LOST)
        found.append(dataclasses.replace(instance, xy=np.where(kept[:, None], instance.xy, estimate.xy)))
    return tuple(found)


def complete_outlines(frames: Mapping[int, Sequence[LabelledInstance]]) -> dict[int, tuple[LabelledInstance, ...]]:
    """Return labelled frames in which no instance lacks an outline that it has in another one.

    The outline of the nearest such frame is moved with the keypoints that both label: those are true, an outline
    propagated through the frames between would only be an estimate.
    """

    def completed(number: int, i: int) -> LabelledInstance:
        instance = frames[number][i]
        drawn = [n for n in frames if frames[n][i].polygons and (frames[n][i].known & instance.known).any()]
        if instance.polygons or not drawn:
            return instance
        model = frames[min(drawn, key=lambda n: (abs(n - number), n))][i]
        both = model.known & instance.known
        spread = float(np.ptp(model.xy[model.known], axis=0).max())
        pose = similarity_or_shift(model.xy[both], instance.xy[both], width=0.05 * max(spread, 8.0))
        return dataclasses.replace(instance, polygons=tuple(apply(pose, p) for p in model.polygons))

    return {number: tuple(completed(number, i) for i in range(len(row))) for number, row in frames.items()}


def expand_estimates(instances: Sequence[LabelledInstance], estimates: Sequence[Estimate]) -> list[Estimate]:
    """Return `estimates`, of labelled keypoints only, with rows for all keypoints of all instances, the others lost."""
    found = iter(estimates)
    return [_expanded(next(found) if instance.known.any() else None, instance) for instance in instances]


def _expanded(estimate: Estimate | None, instance: LabelledInstance) -> Estimate:
    known, n = instance.known, len(instance.xy)
    if estimate is not None and known.all():
        return estimate
    xy, variance, score = np.zeros((n, 2)), np.full(n, NOWHERE_VARIANCE), np.zeros(n)
    state, swapped = np.full(n, int(PointState.LOST), np.int64), np.zeros(n, np.bool_)
    if estimate is None:
        return Estimate(xy, variance, score, state, (), swapped)
    xy[known], variance[known], score[known] = estimate.xy, estimate.variance, estimate.score
    state[known], swapped[known] = estimate.state, estimate.swapped
    return Estimate(xy, variance, score, state, estimate.polygons, swapped)


def combine_partial(
    forward: Estimate, backward: Estimate, share: float, *, before: LabelledInstance, after: LabelledInstance
) -> FusedEstimate:
    """Combine both passes row by row, as `combine`; what is labelled `before` or `after` only is that side's pass's."""
    both = combine(forward, backward, share=share)
    only_forward, only_backward = before.known & ~after.known, after.known & ~before.known
    estimate = both.estimate
    for rows, side in ((only_forward, forward), (only_backward, backward)):
        if rows.any():
            estimate = dataclasses.replace(
                estimate,
                xy=np.where(rows[:, None], side.xy, estimate.xy),
                variance=np.where(rows, side.variance, estimate.variance),
                score=np.where(rows, side.score, estimate.score),
                state=np.where(rows, side.state, estimate.state),
            )
    if bool(before.polygons) != bool(after.polygons):  # outlined in one frame only: that pass's outline all the way
        side = forward if before.polygons else backward
        estimate = dataclasses.replace(estimate, polygons=side.polygons)
    one_side = only_forward | only_backward
    return FusedEstimate(estimate, np.where(one_side, 0.0, both.disagreement))
