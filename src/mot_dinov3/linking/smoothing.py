"""Gaps filled and trajectories smoothed, all trajectories of a video at once. Pure functions."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.structures import Float64Array, IntArray
from mot_dinov3.linking.tracklets import Rows

STIFFNESS = np.geomspace(1e-4, 1e3, 15)
"""Candidates, s³: variance of a measured coordinate over the spectral density of its acceleration."""
HIDDEN_SECONDS = 0.5
OUTLIER = 3.0
"""A box this many standard deviations off its trajectory has half the weight."""


def fill(rows: Rows, longest: float) -> Rows:
    """Return the rows with one more, interpolated linearly, for each missing frame of the gaps worth filling."""
    gap = np.diff(rows.frame)
    inside = rows.track[1:] == rows.track[:-1]
    # A run is a stretch of consecutive frames; its length in frames, looked up by its first or last row.
    cut = np.flatnonzero((gap != 1) | ~inside)
    run = np.diff(np.r_[-1, cut, len(rows.frame) - 1])
    shorter_side = np.minimum(run[:-1], run[1:])
    missing = gap[cut] - 1
    worth = inside[cut] & (np.diff(rows.time)[cut] <= longest + 1e-6) & (missing <= shorter_side)
    before, count = cut[worth], missing[worth]
    if not len(before):
        return rows
    which = np.repeat(np.arange(len(before)), count)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count) + 1
    left = before[which]
    share = nth / (count[which] + 1)

    def between(column: Float64Array) -> Float64Array:
        weight = share if column.ndim == 1 else share[:, None]
        return np.asarray(column[left] * (1 - weight) + column[left + 1] * weight)

    position = np.r_[np.arange(len(rows.frame), dtype=np.float64), left + share]
    order = np.argsort(position, kind="stable")
    track = np.r_[rows.track, rows.track[left]][order]
    start = np.flatnonzero(np.r_[True, track[1:] != track[:-1]])
    return Rows(
        source=np.r_[rows.source, np.full(len(left), -1)][order],
        time=np.r_[rows.time, between(rows.time)][order],
        frame=np.r_[rows.frame, rows.frame[left] + nth][order],
        track=track,
        box=np.concatenate([rows.box, between(rows.box)])[order],
        start=start,
        end=np.r_[start[1:], len(track)] - 1,
    )


def smooth_rows(rows: Rows) -> Float64Array:
    """Return all boxes smoothed, outliers weighing less (Cauchy weights, twice reweighted)."""
    stiffness = _stiffness(rows)
    seen = rows.source >= 0
    weight = seen.astype(np.float64)
    box = smooth(rows.time, rows.box, rows.track, weight, stiffness=stiffness)
    for _ in range(2):
        error = (rows.box - box)[seen] / np.tile(rows.box[seen, 2:], 2)
        spread = 1.4826 * np.median(np.abs(error), axis=0) + 1e-6  # of a normal distribution with that median
        weight[seen] = 1 / (1 + ((error / (OUTLIER * spread)) ** 2).mean(axis=1))
        box = smooth(rows.time, rows.box, rows.track, weight, stiffness=stiffness)
    return box


def smooth(
    time: Float64Array, values: Float64Array, track: IntArray, weight: Float64Array, *, stiffness: Float64Array
) -> Float64Array:
    """Return the smoothest values near the given ones: the least sum of squared errors plus bending.

    Bending is the integral of the squared second derivative over time, times the stiffness. Between trajectories
    nothing bends.

    Args:
        time: ``(n,)`` s, increasing within a trajectory.
        values: ``(n, k)``.
        track: ``(n,)`` trajectory of each row; the rows of a trajectory stand together.
        weight: ``(n,)`` of each row's error; 0 for a row that only bends, but never for a trajectory's first or last.
        stiffness: ``(k,)`` s³, > 0.
    """
    from scipy.linalg import solveh_banded

    n = len(time)
    if n < 3:
        return values
    step = np.maximum(np.diff(time), 1e-3)
    bends = (track[2:] == track[:-2]) * 2 / (step[:-1] + step[1:])
    a, b, c = 1 / step[:-1], -1 / step[:-1] - 1 / step[1:], 1 / step[1:]  # slope after minus before, of three values
    penalty = np.zeros((3, n))  # upper diagonals of the bending's matrix, the main one last
    penalty[2, :-2] += bends * a * a
    penalty[2, 1:-1] += bends * b * b
    penalty[2, 2:] += bends * c * c
    penalty[1, 1:-1] += bends * a * b
    penalty[1, 2:] += bends * b * c
    penalty[0, 2:] += bends * a * c
    smoothed = np.empty_like(values)
    for stiff in np.unique(stiffness):
        system = stiff * penalty
        system[2] += weight
        columns = stiffness == stiff
        smoothed[:, columns] = solveh_banded(system, weight[:, None] * values[:, columns])
    return smoothed


def _stiffness(rows: Rows) -> Float64Array:
    """Return the ``(4,)`` stiffness with which the smoother best predicts hidden stretches of this video."""
    age = rows.time - rows.time[rows.start][rows.track]
    left = rows.time[rows.end][rows.track] - rows.time
    seen = rows.source >= 0
    hidden = seen & ((age // HIDDEN_SECONDS) % 3 == 1) & (left > HIDDEN_SECONDS)
    if not hidden.any():
        return np.full(4, STIFFNESS[len(STIFFNESS) // 2])
    size = np.tile(rows.box[hidden, 2:], 2)
    misses = []
    for stiff in STIFFNESS:
        weight = (seen & ~hidden).astype(np.float64)
        guess = smooth(rows.time, rows.box, rows.track, weight, stiffness=np.full(4, stiff))
        # Errors beyond half an object are not noise but mistakes of the tracker.
        misses.append(np.minimum(np.abs(guess - rows.box)[hidden] / size, 0.5).mean(axis=0))
    return STIFFNESS[np.argmin(misses, axis=0)]
