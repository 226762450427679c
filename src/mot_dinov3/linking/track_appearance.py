"""Appearance of trajectories, and its scale in this video. Pure functions."""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray
from mot_dinov3.linking.tracklets import Rows
from mot_dinov3.trackers.appearance_model import CosineDistribution, separability

MIN_PAIRS = 5
"""Pairs of either kind below which a video has no scale."""
MIN_SEPARABILITY = 1.0
"""Sensitivity index d' below which appearance separates nothing: identical uniforms, a wrong checkpoint."""


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


@dataclasses.dataclass(frozen=True)
class AppearanceScale:
    """Cosines of two trajectories in this video, as two normal distributions.

    Attributes:
        different: Of trajectories of different objects.
        same: Of two parts of one trajectory.
    """

    different: CosineDistribution
    same: CosineDistribution

    @property
    def separability(self) -> float:
        """Sensitivity index d'."""
        return separability(self.different, self.same)

    def evidence(self, cosine: Float64Array) -> Float64Array:
        """Return log-likelihood ratios of the same object against different ones; no larger one beyond the means."""
        clipped = np.clip(cosine, self.different.mean, self.same.mean)
        same = (clipped - self.same.mean) / self.same.deviation
        different = (clipped - self.different.mean) / self.different.deviation
        ratio = np.log(self.different.deviation / self.same.deviation)
        return np.asarray((different**2 - same**2) / 2 + ratio)


def scale(appearance: TrackAppearance) -> AppearanceScale | None:
    """Return the scale of this video; None where it is too short for one, or appearance separates nothing in it.

    Trajectories that are there together belong to different objects; one trajectory is compared with itself by its
    halves. Medians and median absolute deviations, so that a few mixed-up trajectories change little.
    """
    whole, (early, late) = appearance.whole, appearance.halves
    pairs = np.triu(appearance.together & appearance.known[:, None] & appearance.known, 1)
    different = (whole @ whole.T)[pairs]
    same = np.einsum("ij,ij->i", early, late)[(early != 0).any(axis=1) & (late != 0).any(axis=1)]
    if min(len(different), len(same)) < MIN_PAIRS:
        return None
    spread = _deviation(different)
    found = AppearanceScale(
        CosineDistribution(float(np.median(different)), spread),
        CosineDistribution(float(np.median(same)), max(_deviation(same), spread / 2)),
    )
    return found if found.separability >= MIN_SEPARABILITY else None


def _deviation(values: Float64Array) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))) + 1e-3)
