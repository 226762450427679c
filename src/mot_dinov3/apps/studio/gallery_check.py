"""Which crops of a gallery look wrong: nearest neighbours within and between identities. Pure."""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.structures import FloatArray, IntArray


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The nearest pictures of every picture; distances are 1 − cosine.

    Attributes:
        own: ``(n,)`` distance to the nearest other picture of the same identity; NaN where there is none.
        own_at: ``(n,)`` which one, −1 for none.
        other: ``(n,)`` distance to the nearest picture of another identity; NaN where there is none.
        other_at: ``(n,)`` which one, −1 for none.
        between: ``(k, k)`` nearest distance between two identities; on the diagonal the mean of `own`.
    """

    own: FloatArray
    own_at: IntArray
    other: FloatArray
    other_at: IntArray
    between: FloatArray


def neighbours(embedding: FloatArray, owner: IntArray) -> Neighbours:
    """Return the nearest neighbours of ``(n, d)`` unit rows whose identities are ``(n,)`` `owner`."""
    distance = 1 - embedding @ embedding.T
    np.fill_diagonal(distance, np.inf)
    same = owner[:, None] == owner[None]
    own, own_at = _nearest(np.where(same, distance, np.inf))
    other, other_at = _nearest(np.where(same, np.inf, distance))
    k = int(owner.max()) + 1 if len(owner) else 0
    between = np.full((k, k), np.nan, np.float32)
    for a in range(k):
        for b in range(k):
            block = distance[np.ix_(owner == a, owner == b)]
            mine = own[owner == a]
            if a != b:
                between[a, b] = block.min()
            elif np.isfinite(mine).any():
                between[a, a] = np.nanmean(mine)
    return Neighbours(own, own_at, other, other_at, between)


def _nearest(distance: FloatArray) -> tuple[FloatArray, IntArray]:
    if not len(distance):
        return np.zeros(0, np.float32), np.zeros(0, np.int64)
    at = distance.argmin(axis=1)
    value = distance[np.arange(len(at)), at].astype(np.float32)
    known = np.isfinite(value)
    return np.where(known, value, np.nan).astype(np.float32), np.where(known, at, -1)


def verdict(own: float, other: float) -> str:
    """Return what to tell a person about a picture: ``wrong``, ``doubtful``, ``alone`` or ``good``."""
    if np.isnan(own):
        return "alone"
    if np.isnan(other):
        return "good"
    return "wrong" if other < own else "doubtful" if other < 1.25 * own else "good"
