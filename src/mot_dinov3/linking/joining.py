"""Joining of track fragments: by motion over short gaps, by appearance over longer ones. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mot_dinov3.core.structures import BoolArray, Float64Array, IntArray
from mot_dinov3.linking.smoothing import smooth_rows
from mot_dinov3.linking.track_appearance import TrackAppearance, appearance_of, scale
from mot_dinov3.linking.tracklets import LinkConfig, Rows, Tracklets, sort_rows
from mot_dinov3.trackers.association import Pairs, assign

VELOCITY_SECONDS = 1.0
EVIDENCE = 1.0
"""Log-likelihood ratio by which appearance must outweigh the number of rivals for a join."""
VETO = -3.0
"""Log-likelihood ratio below which appearance forbids a join by motion."""


@dataclasses.dataclass(frozen=True)
class _Ends:
    """Starts and ends of ``m`` trajectories.

    Attributes:
        first: ``(m,)`` time of the first box, s.
        last: ``(m,)`` time of the last box, s.
        head: ``(m, 4)`` first box: centre x, centre y, width, height.
        tail: ``(m, 4)`` last box.
        head_velocity: ``(m, 2)`` px/s of the centre just after the start.
        tail_velocity: ``(m, 2)`` px/s of the centre just before the end.
        came_in: ``(m,)`` bool: starts at the image's edge, moving inwards.
        went_out: ``(m,)`` bool: ends at the image's edge, moving outwards.
        first_scene: ``(m,)`` number of the scene in which it starts.
        last_scene: ``(m,)`` number of the scene in which it ends.
    """

    first: Float64Array
    last: Float64Array
    head: Float64Array
    tail: Float64Array
    head_velocity: Float64Array
    tail_velocity: Float64Array
    came_in: BoolArray
    went_out: BoolArray
    first_scene: IntArray
    last_scene: IntArray


def join(
    tracklets: Tracklets,
    track_id: IntArray,
    config: LinkConfig,
    *,
    size: tuple[int, int] | None = None,
    cuts: Sequence[int] = (),
) -> IntArray:
    """Return the ``(n,)`` ids of all rows after joining; a joined trajectory keeps the id of its first part.

    `track_id` ``(n,)`` are ids that stand in for those of `tracklets`, which has at least one row; the rest is as for
    `link`.
    """
    image = np.array(size, np.float64) if size and min(size) > 0 else tracklets.xyxy[:, 2:].max(axis=0)
    while True:
        rows = sort_rows(tracklets, track_id)
        before, after = _joints(_ends(rows, config, image, cuts), appearance_of(rows, tracklets.embedding), config)
        if not len(before):
            return track_id
        ids = track_id[rows.source[rows.start]]
        owner = np.arange(len(ids))
        owner[after] = before
        while (owner[owner] != owner).any():
            owner = owner[owner]
        track_id = track_id.copy()
        track_id[rows.source] = ids[owner][rows.track]


def _ends(rows: Rows, config: LinkConfig, image: Float64Array, cuts: Sequence[int]) -> _Ends:
    """Measure the smoothed ends of all trajectories."""
    box = smooth_rows(rows)
    first, last = rows.time[rows.start], rows.time[rows.end]
    # One clock for all trajectories, one after the other, finds the row a second from each end in one search.
    shift = np.arange(len(first)) * (last.max() - first.min() + 2 * VELOCITY_SECONDS)
    clock = rows.time + shift[rows.track]
    early = np.minimum(np.searchsorted(clock, first + shift + VELOCITY_SECONDS, side="right") - 1, rows.end)
    late = np.maximum(np.searchsorted(clock, last + shift - VELOCITY_SECONDS), rows.start)
    head, tail = box[rows.start], box[rows.end]
    head_velocity = (box[early] - head)[:, :2] / np.maximum(rows.time[early] - first, VELOCITY_SECONDS / 2)[:, None]
    tail_velocity = (tail - box[late])[:, :2] / np.maximum(last - rows.time[late], VELOCITY_SECONDS / 2)[:, None]
    return _Ends(
        first=first,
        last=last,
        head=head,
        tail=tail,
        head_velocity=head_velocity,
        tail_velocity=tail_velocity,
        came_in=_crossing(rows.box[rows.start], -head_velocity, config.edge, image),
        went_out=_crossing(rows.box[rows.end], tail_velocity, config.edge, image),
        first_scene=np.searchsorted(np.array(cuts, np.int64), rows.frame[rows.start], side="right"),
        last_scene=np.searchsorted(np.array(cuts, np.int64), rows.frame[rows.end], side="right"),
    )


def _crossing(box: Float64Array, velocity: Float64Array, edge: float, image: Float64Array) -> BoolArray:
    """Return ``(m,)`` bool: the box touches an edge of the image, at which the velocity points outwards."""
    low, high = box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2
    out = (low < edge * image) & (velocity < 0) | (high > (1 - edge) * image) & (velocity > 0)
    return np.asarray(out.any(axis=1))


def _joints(ends: _Ends, appearance: TrackAppearance, config: LinkConfig) -> tuple[IntArray, IntArray]:
    """Return trajectories and the ones that continue them, each once in either role."""
    # Reachable pairs: not too fast over the gap, of about the same height.
    before, after = _candidates(ends, max(config.motion_seconds, config.appearance_seconds))
    gap = ends.first[after] - ends.last[before]
    height = np.sqrt(ends.tail[before, 3] * ends.head[after, 3])
    moved = (ends.head[after] - ends.tail[before])[:, :2]
    near = np.linalg.norm(moved, axis=1) <= height * (1 + config.reach * gap)
    near &= np.abs(np.log(ends.head[after, 3] / ends.tail[before, 3])) <= np.log1p(config.height_change)
    other_scene = ends.last_scene[before] != ends.first_scene[after]  # where places mean nothing

    # By motion: the prediction over a short gap is right.
    bridge = gap[:, None] * (ends.tail_velocity[before] + ends.head_velocity[after]) / 2
    miss = np.linalg.norm(moved - bridge, axis=1) / height
    by_motion = near & ~other_scene & (gap <= config.motion_seconds) & (miss < config.motion_gate)
    value = np.where(by_motion, 1 - miss / max(config.motion_gate, 1e-9), 0.0)

    # By appearance: the evidence outweighs the number of rivals. Without a scale of this video, motion is left alone.
    known = scale(appearance)
    if known is not None:
        compared = (
            (near | other_scene)
            & (gap <= config.appearance_seconds)
            & appearance.known[before]
            & appearance.known[after]
        )
        evidence = known.evidence(np.einsum("ij,ij->i", appearance.whole[before], appearance.whole[after]))
        posterior = evidence - np.log(_rivals(before, after, compared)) - EVIDENCE
        value[compared & (evidence < VETO)] = 0.0
        value = np.where(compared & (posterior > 0), 1 + posterior, value)
    chosen = assign(Pairs(before, after, value), 0.0)
    return chosen.track, chosen.box


def _rivals(before: IntArray, after: IntArray, compared: BoolArray) -> Float64Array:
    """Return ``(k,)`` the larger number of pairs that one of a pair's two trajectories is compared in, at least 1."""
    counts = [np.bincount(side[compared], minlength=int(side.max(initial=0)) + 1)[side] for side in (before, after)]
    return np.maximum(np.maximum(*counts), 1).astype(np.float64)


def _candidates(ends: _Ends, longest: float) -> tuple[IntArray, IntArray]:
    """Return all pairs whose second starts inside the image, or in another scene, soon after the first ended there.

    `longest` is the most seconds between the two.
    """
    order = np.argsort(ends.first, kind="stable")
    low = np.searchsorted(ends.first[order], ends.last, side="right")
    high = np.searchsorted(ends.first[order], ends.last + longest, side="right")
    count = np.maximum(high - low, 0)
    before = np.repeat(np.arange(len(low)), count)
    nth = np.arange(len(before)) - np.repeat(np.cumsum(count) - count, count)
    after = order[low[before] + nth]
    inside = ~ends.went_out[before] & ~ends.came_in[after]
    inside |= ends.last_scene[before] != ends.first_scene[after]
    return before[inside], after[inside]
