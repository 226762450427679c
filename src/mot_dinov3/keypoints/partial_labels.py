"""Frames in which only some keypoints are labelled: rows selected, completed again, and fused one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mot_dinov3.core.structures import BoolArray, IntArray, PointState
from mot_dinov3.keypoints.fusion import Estimate, FusedEstimate, combine
from mot_dinov3.keypoints.geometry import apply, similarity_or_shift
from mot_dinov3.keypoints.labels import LabelledInstance

NOWHERE_VARIANCE = 1e6
PLACED_SCORE = 0.25  # of a hidden keypoint that its neighbours place
PLACED_SIGMA = 0.1  # of the instance's extent: expected error of such a position


def select_keypoints(instance: LabelledInstance, rows: BoolArray) -> LabelledInstance:
    """Return the instance with the chosen keypoints only."""
    names = tuple(n for n, keep in zip(instance.keypoints, rows) if keep)
    return dataclasses.replace(instance, keypoints=names, xy=instance.xy[rows])


def without_hidden(instance: LabelledInstance) -> LabelledInstance:
    """Return the instance with the positions only of keypoints that the image shows."""
    return dataclasses.replace(instance, xy=np.where(instance.seen[:, None], instance.xy, np.nan))


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


@dataclasses.dataclass(frozen=True)
class Lane:
    """The keypoints of an instance that one tracker answers for.

    Attributes:
        instance: Its index.
        own: ``(k,)`` rows of the tracker.
        rows: ``(k,)`` the same keypoints' rows of the instance.
    """

    instance: int
    own: IntArray
    rows: IntArray

    def among(self, wanted: BoolArray) -> Lane:
        """Return the lane of those keypoints that are `wanted`, ``(n,)`` rows of the instance."""
        kept = wanted[self.rows]
        return Lane(self.instance, self.own[kept], self.rows[kept])


def merge_estimates(
    instances: Sequence[LabelledInstance], lanes: Sequence[Lane], estimates: Sequence[Estimate]
) -> list[Estimate]:
    """Return an estimate per instance from those of the trackers, with rows for all of its keypoints.

    A keypoint that no tracker answers for is lost; one that was labelled as hidden is where its neighbours place it.
    """
    return [
        _with_hidden(_merged(i, instance, lanes, estimates), instance, _tracked_rows(i, instance, lanes))
        for i, instance in enumerate(instances)
    ]


def _tracked_rows(index: int, instance: LabelledInstance, lanes: Sequence[Lane]) -> BoolArray:
    tracked = np.zeros(len(instance.xy), np.bool_)
    for lane in lanes:
        if lane.instance == index:
            tracked[lane.rows] = True
    return tracked


def _merged(index: int, instance: LabelledInstance, lanes: Sequence[Lane], estimates: Sequence[Estimate]) -> Estimate:
    n = len(instance.xy)
    xy, variance, score = np.zeros((n, 2)), np.full(n, NOWHERE_VARIANCE), np.zeros(n)
    state, swapped = np.full(n, int(PointState.LOST), np.int64), np.zeros(n, np.bool_)
    polygons: tuple[np.ndarray, ...] = ()
    for lane, one in zip(lanes, estimates):
        if lane.instance != index:
            continue
        rows, own = lane.rows, lane.own
        xy[rows], variance[rows], score[rows] = one.xy[own], one.variance[own], one.score[own]
        state[rows], swapped[rows] = one.state[own], one.swapped[own]
        polygons = polygons or one.polygons
    return Estimate(xy, variance, score, state, polygons, swapped)


def _with_hidden(estimate: Estimate, instance: LabelledInstance, tracked: BoolArray) -> Estimate:
    """Return the estimate with keypoints that are hidden in the labelled frame where the tracked ones place them."""
    hidden = instance.known & ~instance.seen & ~tracked
    found = tracked & instance.known & (estimate.state != PointState.LOST)
    if not hidden.any() or not found.any():
        return estimate
    extent = max(float(np.ptp(instance.xy[instance.known], axis=0).max()), 8.0)
    pose = similarity_or_shift(instance.xy[found], estimate.xy[found], width=0.03 * extent)
    return dataclasses.replace(
        estimate,
        xy=np.where(hidden[:, None], apply(pose, instance.xy), estimate.xy),
        variance=np.where(hidden, (PLACED_SIGMA * extent) ** 2, estimate.variance),
        score=np.where(hidden, PLACED_SCORE, estimate.score),
        state=np.where(hidden, np.int64(PointState.OCCLUDED), estimate.state),
    )


def evidence(instances: Sequence[LabelledInstance], lanes: Sequence[Lane] = ()) -> list[IntArray]:
    """Return for each instance ``(n,)`` what a pass knows of a keypoint: 2 tracked, 1 placed by its neighbours, 0 none.

    Args:
        instances: Those in the labelled frame where the pass begins.
        lanes: Of keypoints tracked into that frame.
    """
    found = []
    for i, instance in enumerate(instances):
        tracked = instance.seen | _tracked_rows(i, instance, lanes)
        found.append(np.where(tracked, 2, np.where(instance.known, 1, 0)).astype(np.int64))
    return found


@dataclasses.dataclass(frozen=True)
class GapSide:
    """The labelled frame at one end of a gap, for one instance.

    Attributes:
        instance: The instance in it.
        evidence: ``(n,)`` as `evidence`, of the pass that begins there.
    """

    instance: LabelledInstance
    evidence: IntArray


def combine_partial(
    forward: Estimate, backward: Estimate, share: float, *, before: GapSide, after: GapSide
) -> FusedEstimate:
    """Combine both passes row by row, as `combine`; a keypoint that one side knows better is that side's pass's."""
    both = combine(forward, backward, share=share)
    only_forward, only_backward = before.evidence > after.evidence, after.evidence > before.evidence
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
    outlined = bool(before.instance.polygons), bool(after.instance.polygons)
    if outlined[0] != outlined[1]:  # outlined in one frame only: that pass's outline all the way
        estimate = dataclasses.replace(estimate, polygons=(forward if outlined[0] else backward).polygons)
    return FusedEstimate(estimate, np.where(only_forward | only_backward, 0.0, both.disagreement))
