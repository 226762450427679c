"""Appearance of trajectories, and its scale in this video. Pure functions."""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray
from mot_dinov3.linking.tracklets import Rows

MIN_PAIRS = 3


@dataclasses.dataclass(frozen=True)
class TrackAppearance:
    """Appearance of ``m`` trajectories.

    Attributes:
        whole: ``(m, d)`` unit mean of all embeddings, zero where there is none.
        halves: The same of the first and of the second half of them.
        together: ``(m, m)`` bool: the two were there at the same time, so they are not the same.
    """

    whole: Float64Array
    halves: tuple[Float64Array, Float64Array]
    together: BoolArray

    @property
    def known(self) -> BoolArray:
        """``(m,)`` bool: at least one box of it was embedded."""
        return np.asarray((self.whole != 0).any(axis=1))


def unit(vectors: Float64Array) -> Float64Array:
    """Return the rows scaled to length 1; a zero row stays zero."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def appearance_of(rows: Rows, embedding: FloatArray | None) -> TrackAppearance:
    """Return the appearance of all trajectories; `embedding` belongs to the input rows."""
    m = len(rows.start)
    first, last = rows.frame[rows.start], rows.frame[rows.end]
    together = (first[:, None] <= last) & (first <= last[:, None])
    if embedding is None:
        none = np.zeros((m, 0))
        return TrackAppearance(none, (none, none), together)
    has = (embedding != 0).any(axis=1)[rows.source]
    vectors, owner = embedding[rows.source[has]], rows.track[has]  # few rows have one: no copy of the others
    count = np.bincount(owner, minlength=m)
    place = np.arange(len(owner)) - (np.cumsum(count) - count)[owner]
    early = place < (count / 2)[owner]

    def mean(chosen: BoolArray) -> Float64Array:
        total = np.zeros((m, vectors.shape[1]))
        np.add.at(total, owner[chosen], vectors[chosen])
        return unit(total)

    return TrackAppearance(mean(np.ones_like(early)), (mean(early), mean(~early)), together)


def scale(appearance: TrackAppearance) -> tuple[float, float] | None:
    """Return the median cosine of different objects of this video, and that of one object with itself.

    Pairs that are there together are different; an object is compared with itself by the halves of its trajectory.
    None where there are too few of either.
    """
    whole, (early, late) = appearance.whole, appearance.halves
    pairs = np.triu(appearance.together & appearance.known[:, None] & appearance.known, 1)
    different = (whole @ whole.T)[pairs]
    same = np.einsum("ij,ij->i", early, late)[(early != 0).any(axis=1) & (late != 0).any(axis=1)]
    if min(len(different), len(same)) < MIN_PAIRS:
        return None
    return float(np.median(different)), float(np.median(same))


def similarity_floor(appearance: TrackAppearance, same_floor: float) -> float:
    """Return the least cosine of one object's trajectories: half-way on the video's own scale.

    Where the video is too short for a scale, and never below it, the embedder's `same_floor` stands in.
    """
    known = scale(appearance)
    return same_floor if known is None else max(same_floor, sum(known) / 2)
