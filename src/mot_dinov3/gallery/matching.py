"""Matching of tracks with known identities: pure decisions on distances."""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray, IntArray
from mot_dinov3.gallery.config import GalleryConfig

BEST = 3  # images whose mean distance counts besides that of the nearest one


@dataclasses.dataclass(frozen=True)
class MatchLimits:
    """Distances by which tracks are given identities.

    Attributes:
        match: Largest distance of an identity.
        caution: A track that was compared n times must be nearer by 1/n of this.
        keep: An identity is kept until another is nearer by this.
        margin: An identity is assigned only where the next one is farther by this.
    """

    match: float
    caution: float
    keep: float
    margin: float

    @classmethod
    def of(cls, config: GalleryConfig) -> MatchLimits:
        """Return the limits that options name as numbers."""
        return cls(config.gallery_match_threshold, config.gallery_caution, config.gallery_keep, config.gallery_margin)


def identity_distances(embedding: FloatArray, images: FloatArray, owner: IntArray) -> FloatArray:
    """Return ``(m, k)`` float32 distances of crops to identities: half the nearest image's, half its best three's.

    The minimum alone depends on a single image, and a mean over all is large for a gallery with views from all sides.

    Args:
        embedding: ``(m, d)`` unit rows of crops.
        images: ``(n, d)`` unit rows of the gallery.
        owner: ``(n,)`` identity of each image, 0 … k − 1, rising, without gaps.
    """
    every = 1 - embedding @ images.T
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    columns = []
    for low, high in zip(starts, [*starts[1:], len(owner)]):
        columns.append(half_nearest(every[:, low:high]))
    return np.stack(columns, axis=1).astype(np.float32)


def half_nearest(distance: FloatArray) -> FloatArray:
    """Return ``(m,)``: of distances to ``(m, n)`` images half that of the nearest, half the mean of the best three."""
    best = np.sort(distance, axis=1)[:, :BEST]
    return np.asarray((best[:, 0] + best.mean(axis=1)) / 2)


def margins(distance: FloatArray) -> FloatArray:
    """Return ``(m, k)``: how much farther the nearest *other* identity is (negative: it is nearer); NaN for k = 1."""
    m, k = distance.shape
    if k < 2 or m == 0:
        return np.full((m, k), np.nan, np.float32)
    two = np.partition(distance, 1, axis=1)[:, :2]
    others = np.where(distance == two[:, :1], two[:, 1:], two[:, :1])
    return np.asarray(others - distance, np.float32)


def decide(distance: FloatArray, held: IntArray, count: IntArray, limits: MatchLimits) -> IntArray:
    """Return ``(m,)`` the identity of each track, −1 for none; each identity once.

    An identity is *gained* by the track that is nearest to it, where it is that track's nearest, near enough for the
    number of comparisons, and clearly nearer than the next; *kept* with a bonus of `keep`; *lost* beyond that
    or to a better claim. Claims are met from the best to the worst, each striking its track and its identity, so that a
    good match is never given up for two poor ones, and no track gets its second choice because the first was taken.

    Args:
        distance: ``(m, k)`` of tracks to identities.
        held: ``(m,)`` identity that the track has now, −1 none.
        count: ``(m,)`` number of comparisons behind the distances.
        limits: Thresholds.
    """
    claim = distance.astype(np.float64)
    first = limits.match - limits.caution / np.maximum(count, 1)
    limit = np.tile(first[:, None], claim.shape[1])
    eligible = distance <= distance.min(axis=1, keepdims=True, initial=np.inf)
    eligible &= ~(margins(distance) < limits.margin)
    rows = np.flatnonzero(held >= 0)
    claim[rows, held[rows]] -= limits.keep
    limit[rows, held[rows]] = limits.match
    eligible[rows, held[rows]] = True
    return best_first(claim, eligible & (claim <= limit))


def best_first(claim: Float64Array, eligible: BoolArray) -> IntArray:
    """Return ``(m,)`` the column of each row, −1 for none: the lowest eligible claim first, each column once."""
    chosen = np.full(len(claim), -1, np.int64)
    taken = np.zeros(claim.shape[1], np.bool_)
    rows, columns = np.nonzero(eligible)
    for i in np.argsort(claim[rows, columns], kind="stable"):
        row, column = rows[i], columns[i]
        if chosen[row] < 0 and not taken[column]:
            chosen[row], taken[column] = column, True
    return chosen
