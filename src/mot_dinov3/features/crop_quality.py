"""Quality of crops: sharp, large and unobstructed ones, different ones, and crops in the wrong folder of a gallery."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Detections, FloatArray, Image, IntArray, TrackState

SIDE = 96  # pixels of the longer side at which sharpness is measured, so that near and far compare
SHARP_SHARE = 0.5  # the blurred half is not considered
HALF_SHARP = 0.12  # sharpness that halves a crop's quality: that of one blurred by two pixels
HALF_SIZE = 48.0  # px; the same of the square root of its area
OVERLAPPED = 0.3  # share of a box in another box from which its crop shows two objects
OVERLAP_FACTOR, EDGE_FACTOR = 0.05, 0.5  # of the quality of a crop that shows two objects, or is cut off by the frame
MIN_SIDE = 4  # px


def sharpness(image: Image) -> float:
    """Return the variance of a crop's Laplacian at one common size, relative to its contrast."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    factor = SIDE / max(grey.shape)
    size = tuple(max(8, round(side * factor)) for side in grey.shape[::-1])
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR).astype(np.float32)
    return float(cv2.Laplacian(small, cv2.CV_32F).var() / (small.var() + 25.0))


def covered_shares(xyxy: FloatArray) -> FloatArray:
    """Return ``(n,)`` the largest share of each of ``(n, 4)`` boxes that lies in another one."""
    low = np.maximum(xyxy[:, None, :2], xyxy[None, :, :2])
    high = np.minimum(xyxy[:, None, 2:], xyxy[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=2)
    np.fill_diagonal(common, 0)
    area = np.maximum(np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1), 1e-6)
    return np.asarray(common.max(axis=1, initial=0) / area, np.float32)


def object_rows(detections: Detections) -> Detections:
    """Return the detected rows that belong to a track, confirmed or not.

    The others, weak boxes mostly, are doubles of these or nothing at all: they do not obstruct a crop.
    """
    is_object = (detections.track_id >= 1) | (detections.state != TrackState.NONE)
    return detections[is_object & ~detections.coasted]


def box_qualities(image: Image, xyxy: FloatArray, score: FloatArray, rows: IntArray) -> FloatArray:
    """Return the quality, in 0…1, of the crops of some boxes of a frame; 0 for a box of a few pixels.

    It is the product of the score, the share of the box that no other box overlaps, squared, sharpness, and size; much
    less for a box that overlaps another one by `OVERLAPPED` or more, and for one at the edge of the frame.

    Args:
        image: ``(h, w, 3)`` uint8 BGR.
        xyxy: ``(n, 4)`` all boxes of the frame.
        score: ``(n,)``.
        rows: ``(k,)`` boxes whose quality is returned.
    """
    height, width = image.shape[:2]
    covered = covered_shares(xyxy)
    found = np.zeros(len(rows), np.float32)
    for place, row in enumerate(rows.tolist()):
        x1, y1, x2, y2 = np.clip(np.rint(xyxy[row]), 0, [width, height] * 2).astype(int).tolist()
        if min(x2 - x1, y2 - y1) < MIN_SIDE:
            continue
        sharp, side = sharpness(image[y1:y2, x1:x2]), float(np.sqrt((x2 - x1) * (y2 - y1)))
        quality = float(score[row]) * (1 - min(float(covered[row]), 1.0)) ** 2
        quality *= sharp / (sharp + HALF_SHARP) * side / (side + HALF_SIZE)
        quality *= OVERLAP_FACTOR if covered[row] >= OVERLAPPED else 1.0
        at_edge = x1 <= 0 or y1 <= 0 or x2 >= width or y2 >= height
        found[place] = quality * (EDGE_FACTOR if at_edge else 1.0)
    return found


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
