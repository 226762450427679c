"""How alike trajectories look, on a scale that the video itself provides. Pure functions."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, FloatArray
from mot_dinov3.linking.tracklets import Rows

Array = npt.NDArray[np.float64]

FEWEST_PAIRS = 3


@dataclasses.dataclass(frozen=True)
class Looks:
    """Appearance of ``m`` trajectories.

    Attributes:
        whole: ``(m, d)`` unit mean of all embeddings, zero where there is none.
        halves: The same of the first and of the second half of them.
        together: ``(m, m)`` bool: the two were there at the same time, so they are not the same.
    """

    whole: Array
    halves: tuple[Array, Array]
    together: BoolArray

    @property
    def known(self) -> BoolArray:
        """``(m,)`` bool: at least one box of it was embedded."""
        return np.asarray((self.whole != 0).any(axis=1))


def unit(vectors: Array) -> Array:
    """Return the rows scaled to length 1; a zero row stays zero."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def looks_of(rows: Rows, embedding: FloatArray | None) -> Looks:
    """Return the appearance of all trajectories; `embedding` belongs to the input rows."""
    m = len(rows.start)
    first, last = rows.frame[rows.start], rows.frame[rows.end]
    together = (first[:, None] <= last) & (first <= last[:, None])
    if embedding is None:
        none = np.zeros((m, 0))
        return Looks(none, (none, none), together)
    has = (embedding != 0).any(axis=1)[rows.source]
    vectors, owner = embedding[rows.source[has]], rows.track[has]  # few rows have one: no copy of the others
    count = np.bincount(owner, minlength=m)
    place = np.arange(len(owner)) - (np.cumsum(count) - count)[owner]
    early = place < (count / 2)[owner]

    def mean(chosen: BoolArray) -> Array:
        total = np.zeros((m, vectors.shape[1]))
        np.add.at(total, owner[chosen], vectors[chosen])
        return unit(total)

    return Looks(mean(np.ones_like(early)), (mean(early), mean(~early)), together)


def scale(looks: Looks) -> tuple[float, float] | None:
    """Return the cosine strangers of this video have in common, and what single objects keep of themselves.

    Strangers are pairs that are there together; an object is compared with itself by the halves of its trajectory.
    Medians; None where there are too few of either.
    """
    whole, (early, late) = looks.whole, looks.halves
    pairs = np.triu(looks.together & looks.known[:, None] & looks.known, 1)
    strangers = (whole @ whole.T)[pairs]
    selves = np.einsum("ij,ij->i", early, late)[(early != 0).any(axis=1) & (late != 0).any(axis=1)]
    if min(len(strangers), len(selves)) < FEWEST_PAIRS:
        return None
    return float(np.median(strangers)), float(np.median(selves))


def alike_from(looks: Looks, same_floor: float) -> float:
    """Return the cosine from which two trajectories are taken for one object: half-way on the video's own scale.

    Where the video is too short for a scale, and never below it, the embedder's `same_floor` stands in.
    """
    known = scale(looks)
    return same_floor if known is None else max(same_floor, sum(known) / 2)
