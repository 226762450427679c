"""Which crops of a track show somebody best: sharp ones, and different ones. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import FloatArray, Image, IntArray

SIDE = 96  # pixels of the longer side at which sharpness is judged, so that near and far compare
SHARP_SHARE = 0.5  # the blurred half is not looked at


def sharpness(image: Image) -> float:
    """Return how sharp a crop is: the variance of its Laplacian at one common size, by its contrast."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    factor = SIDE / max(grey.shape)
    size = tuple(max(8, round(side * factor)) for side in grey.shape[::-1])
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR).astype(np.float32)
    return float(cv2.Laplacian(small, cv2.CV_32F).var() / (small.var() + 25.0))


def spread(count: int, most: int) -> IntArray:
    """Return at most `most` indices of 0 … count − 1, evenly spread."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(most, count)).round().astype(np.int64))


def choose(sharp: npt.NDArray[np.floating], rows: FloatArray, count: int) -> IntArray:
    """Return the indices of `count` crops: the sharpest first, then always the one most unlike those chosen.

    Farthest-point sampling (Gonzalez, 1985) among the sharper half, each candidate's distance weighed by its sharpness.

    Args:
        sharp: ``(n,)`` sharpness.
        rows: ``(n, d)`` unit embeddings.
        count: How many at most.
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
