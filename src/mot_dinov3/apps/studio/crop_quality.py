"""Quality of gallery crops: selection of sharp, different ones, and detection of crops in the wrong folder."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import FloatArray, Image, IntArray

SIDE = 96  # pixels of the longer side at which sharpness is measured, so that near and far compare
SHARP_SHARE = 0.5  # the blurred half is not considered


def sharpness(image: Image) -> float:
    """Return the variance of a crop's Laplacian at one common size, relative to its contrast."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    factor = SIDE / max(grey.shape)
    size = tuple(max(8, round(side * factor)) for side in grey.shape[::-1])
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR).astype(np.float32)
    return float(cv2.Laplacian(small, cv2.CV_32F).var() / (small.var() + 25.0))


def evenly_spaced(count: int, most: int) -> IntArray:
    """Return at most `most` indices of 0 … count − 1, evenly spaced."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(most, count)).round().astype(np.int64))


def select_diverse(sharp: npt.NDArray[np.floating], rows: FloatArray, count: int) -> IntArray:
    """Return the indices of `count` crops: the sharpest first, then always the one farthest from those chosen.

    Farthest-point sampling (Gonzalez, 1985) among the sharper half, each candidate's distance weighed by its sharpness.

    Args:
        sharp: ``(n,)`` sharpness.
        rows: ``(n, d)`` unit embeddings.
        count: Maximum number of crops.
    """
    n = len(sharp)
    if n == 0 or count <= 0:
        return np.zeros(0, np.int64)
    order = np.argsort(-np.asarray(sharp), kind="stable")
    able = order[: max(min(count, n), round(n * SHARP_SHARE))]
    weight = np.asarray(sharp, np.float64)[able] / max(float(np.max(sharp)), 1e-9)
    chosen = [0]
    nearest = np.full(len(able), np.inf)
    while len(chosen) < min(count, len(able)):
        nearest = np.minimum(nearest, 1 - rows[able] @ rows[able[chosen[-1]]])
        gain = np.maximum(nearest, 0) * np.sqrt(weight)
        gain[chosen] = -1
        chosen.append(int(np.argmax(gain)))
    return np.asarray(able[chosen])


@dataclasses.dataclass(frozen=True)
class NearestNeighbours:
    """Nearest neighbours of every crop of a gallery; distances are 1 − cosine.

    Attributes:
        own: ``(n,)`` distance to the nearest other crop of the same identity; NaN where there is none.
        own_at: ``(n,)`` its index, −1 for none.
        other: ``(n,)`` distance to the nearest crop of another identity; NaN where there is none.
        other_at: ``(n,)`` its index, −1 for none.
        between: ``(k, k)`` nearest distance between two identities; on the diagonal the mean of `own`.
    """

    own: FloatArray
    own_at: IntArray
    other: FloatArray
    other_at: IntArray
    between: FloatArray


def nearest_neighbours(embedding: FloatArray, owner: IntArray) -> NearestNeighbours:
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
    return NearestNeighbours(own, own_at, other, other_at, between)


def _nearest(distance: FloatArray) -> tuple[FloatArray, IntArray]:
    if not len(distance):
        return np.zeros(0, np.float32), np.zeros(0, np.int64)
    at = distance.argmin(axis=1)
    value = distance[np.arange(len(at)), at].astype(np.float32)
    known = np.isfinite(value)
    return np.where(known, value, np.nan).astype(np.float32), np.where(known, at, -1)


def verdict(own: float, other: float) -> str:
    """Return the verdict on a crop: ``wrong``, ``doubtful``, ``alone`` or ``good``."""
    if np.isnan(own):
        return "alone"
    if np.isnan(other):
        return "good"
    return "wrong" if other < own else "doubtful" if other < 1.25 * own else "good"
