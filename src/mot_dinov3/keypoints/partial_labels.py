"""Frames in which only some of the keypoints are labelled: rows taken out, put back, and combined one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.structures import BoolArray, PointState
from mot_dinov3.keypoints.estimate import Estimate
from mot_dinov3.keypoints.fusion import Solved, combine, one_sided
from mot_dinov3.keypoints.geometry import Points, apply, robust_similarity
from mot_dinov3.keypoints.labels import Body

NOWHERE_VARIANCE = 1e6


def only(body: Body, rows: BoolArray) -> Body:
    """Return the body with the chosen keypoints only."""
    names = tuple(n for n, keep in zip(body.keypoints, rows) if keep)
    return dataclasses.replace(body, keypoints=names, xy=body.xy[rows])


def filled(bodies: Sequence[Body], carried: Sequence[Solved] | None) -> tuple[Body, ...]:
    """Return a labelled frame's bodies; points not labelled there are taken from where they were tracked to."""
    if carried is None:
        return tuple(bodies)
    found = []
    for body, solved in zip(bodies, carried):
        there = solved.estimate.state != PointState.LOST
        xy = np.where((body.known | ~there)[:, None], body.xy, solved.estimate.xy)
        found.append(dataclasses.replace(body, xy=xy))
    return tuple(found)


def as_record(carried: Sequence[Solved]) -> list[dict[str, Any]]:
    """Return what is carried over a labelled frame as plain JSON, exactly: a later run goes on with the same bits."""
    return [
        {
            "xy": one.estimate.xy.tolist(),
            "variance": one.estimate.variance.tolist(),
            "score": one.estimate.score.tolist(),
            "state": one.estimate.state.tolist(),
            "swapped": one.estimate.swapped.tolist(),
            "polygons": [polygon.tolist() for polygon in one.estimate.polygons],
        }
        for one in carried
    ]


def from_record(record: Sequence[Mapping[str, Any]]) -> list[Solved]:
    """Return what `as_record` wrote."""
    return [
        one_sided(
            Estimate(
                xy=np.array(one["xy"], np.float64).reshape(-1, 2),
                variance=np.array(one["variance"], np.float64),
                score=np.array(one["score"], np.float64),
                state=np.array(one["state"], np.int64),
                polygons=tuple(np.array(polygon, np.float64) for polygon in one["polygons"]),
                swapped=np.array(one["swapped"], np.bool_),
            )
        )
        for one in record
    ]


def with_outlines(frames: Mapping[int, Sequence[Body]]) -> dict[int, tuple[Body, ...]]:
    """Return labelled frames in which no body lacks an outline that it has in another one.

    The outline of the nearest such frame is moved as the keypoints are that both label: that is truth, where an outline
    that was carried through the frames between would only be a guess.
    """
    found = {}
    for number, bodies in frames.items():
        row = []
        for i, body in enumerate(bodies):
            drawn = [n for n in frames if frames[n][i].polygons and (frames[n][i].known & body.known).any()]
            if body.polygons or not drawn:
                row.append(body)
                continue
            model = frames[min(drawn, key=lambda n: (abs(n - number), n))][i]
            both = model.known & body.known
            row.append(dataclasses.replace(body, polygons=_moved(model, model.xy[both], body.xy[both])))
        found[number] = tuple(row)
    return found


def _moved(model: Body, source: Points, target: Points) -> tuple[Points, ...]:
    spread = float(np.ptp(model.xy[model.known], axis=0).max())
    pose = robust_similarity(source, target, np.ones(len(source)), width=0.05 * max(spread, 8.0))
    if pose is None:
        pose = np.hstack([np.eye(2), (target - source).mean(0)[:, None]])
    return tuple(apply(pose, p) for p in model.polygons)


def scattered(bodies: Sequence[Body], estimates: Sequence[Estimate]) -> list[Estimate]:
    """Return an estimate per body with a row per keypoint: lost where it was not followed.

    Args:
        bodies: As they were labelled where the pass began.
        estimates: One per body of which some keypoint was labelled, with rows for those.
    """
    found = iter(estimates)
    return [_spread(next(found) if body.known.any() else None, body) for body in bodies]


def _spread(estimate: Estimate | None, body: Body) -> Estimate:
    known, n = body.known, len(body.xy)
    if estimate is not None and known.all():
        return estimate
    xy, variance, score = np.zeros((n, 2)), np.full(n, NOWHERE_VARIANCE), np.zeros(n)
    state, swapped = np.full(n, int(PointState.LOST), np.int64), np.zeros(n, np.bool_)
    if estimate is None:
        return Estimate(xy, variance, score, state, (), swapped)
    xy[known], variance[known], score[known] = estimate.xy, estimate.variance, estimate.score
    state[known], swapped[known] = estimate.state, estimate.swapped
    return Estimate(xy, variance, score, state, estimate.polygons, swapped)


def combined(forward: Estimate, backward: Estimate, share: float, *, before: Body, after: Body) -> Solved:
    """Combine both sides of time row by row; a row that only one side follows is that side's.

    Args:
        forward: From the labelled frame before.
        backward: From the one after.
        share: 0…1, how far the frame is on the way from the one to the other.
        before: The body as labelled in front.
        after: The body as labelled behind.
    """
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
    if bool(before.polygons) != bool(after.polygons):  # outlined on one side only: that side's outline all the way
        side = forward if before.polygons else backward
        estimate = dataclasses.replace(estimate, polygons=side.polygons)
    one_side = only_forward | only_backward
    return Solved(estimate, np.where(one_side, 0.0, both.disagreement))
