"""Instance masks: to and from polygons, propagated by motion or by patch affinities; snapping points into them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mot_dinov3.core.structures import BoolArray
from mot_dinov3.keypoints.descriptor_maps import DenseMap
from mot_dinov3.keypoints.geometry import Array, Points
from mot_dinov3.keypoints.point_flow import Mask

RECENT = 7  # maps kept as context beside the labelled one
NEIGHBOURHOOD = 12.0  # patches
TOP = 5
TEMPERATURE = 0.2


def rasterize(polygons: Sequence[Points], shape: tuple[int, int]) -> Mask:
    """Return the ``(h, w)`` bool mask that polygons cover."""
    import cv2

    canvas = np.zeros(shape, np.uint8)
    parts = [np.rint(p).astype(np.int32) for p in polygons if len(p) >= 3]
    if parts:
        cv2.fillPoly(canvas, parts, 1)
    return canvas.astype(bool)


def outlines(mask: Mask, *, tolerance: float = 1.0, smallest: float = 0.02) -> tuple[Points, ...]:
    """Return the outer outlines of a mask, parts below `smallest` of the largest left out."""
    import cv2

    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(c) for c in found]
    least = max(max(areas, default=0.0) * smallest, 1.0)
    parts = [cv2.approxPolyDP(c, tolerance, True)[:, 0] for c, area in zip(found, areas) if area >= least]
    return tuple(p.astype(np.float64) for p in parts if len(p) >= 3)


def area(polygons: Sequence[Points]) -> float:
    """Return the sum of the polygons' areas in square pixels."""
    import cv2

    return sum(cv2.contourArea(p.astype(np.float32)) for p in polygons)


def limit_drift(polygons: Sequence[Points], expected: Sequence[Points], *, reach: float) -> tuple[Points, ...]:
    """Return polygons with no corner farther than `reach` pixels from `expected`: the labelled ones under the pose.

    Otherwise each step's small error would add up until the outline scatters over the whole frame. Polygons that do not
    correspond corner by corner, as those propagated by descriptors, stay.
    """
    if [len(p) for p in polygons] != [len(p) for p in expected]:
        return tuple(polygons)
    found = []
    for polygon, middle in zip(polygons, expected):
        off = polygon - middle
        length = np.linalg.norm(off, axis=1, keepdims=True)
        found.append(middle + off * np.minimum(1.0, reach / np.maximum(length, 1e-9)))
    return tuple(found)


def snap(points: Points, mask: Mask, *, radius: float) -> tuple[Points, BoolArray]:
    """Return points moved to the nearest pixel of the mask within `radius` pixels, and which were farther from it.

    An empty mask moves nothing.
    """
    moved, far = points.copy(), np.zeros(len(points), np.bool_)
    height, width = mask.shape
    columns, rows = np.rint(points).astype(int).T
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    inside[inside] = mask[rows[inside], columns[inside]]
    if inside.all() or not mask.any():
        return moved, far
    reach = int(np.ceil(radius)) + 1
    for i in np.flatnonzero(~inside):
        top, left = max(rows[i] - reach, 0), max(columns[i] - reach, 0)
        ys, xs = np.nonzero(mask[top : max(rows[i] + reach + 1, 0), left : max(columns[i] + reach + 1, 0)])
        pixels = np.stack([xs + left, ys + top], 1)
        square = ((pixels - points[i]) ** 2).sum(1)
        far[i] = square.min(initial=np.inf) > radius**2
        if not far[i]:
            moved[i] = pixels[np.argmin(square)]
    return moved, far


def outside_distance(mask: Mask) -> Array:
    """Return the ``(h, w)`` distance in pixels from the mask, 0 inside; zero everywhere where it is empty."""
    import cv2

    if not mask.any():
        return np.zeros(mask.shape)
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3), np.float64)


@dataclasses.dataclass(frozen=True)
class MaskContext:
    """A described canvas with its soft mask: a source of label propagation.

    Attributes:
        dense: Descriptors.
        share: ``(gh, gw)`` float: share of each cell that belongs to the instance.
    """

    dense: DenseMap
    share: Array


def propagate(contexts: Sequence[MaskContext], dense: DenseMap) -> Array:
    """Return the ``(gh, gw)`` soft mask of a described canvas by label propagation.

    Each cell takes the mean label of the `TOP` most similar cells within the neighbourhood, over all contexts, weighted
    by affinity, as in the evaluation of DINO features (Caron et al., 2021; Siméoni et al., 2025).
    """
    height, width, size = dense.cells.shape
    ys, xs = np.mgrid[:height, :width].reshape(2, -1)
    near = (ys[:, None] - ys) ** 2 + (xs[:, None] - xs) ** 2 <= NEIGHBOURHOOD**2
    now = dense.cells.reshape(-1, size)
    values, labels = [], []
    for context in contexts:
        affinity = np.where(near, now @ context.dense.cells.reshape(-1, size).T, -np.inf)
        best = np.argpartition(-affinity, min(TOP, affinity.shape[1] - 1), axis=1)[:, :TOP]
        values.append(np.take_along_axis(affinity, best, 1))
        labels.append(context.share.reshape(-1)[best])
    value, label = np.concatenate(values, 1), np.concatenate(labels, 1)
    order = np.argsort(-value, axis=1, kind="stable")[:, :TOP]
    value, label = np.take_along_axis(value, order, 1), np.take_along_axis(label, order, 1)
    weight = np.exp((value - value[:, :1]) / TEMPERATURE)
    return np.asarray((weight * label).sum(1) / weight.sum(1)).reshape(height, width)
