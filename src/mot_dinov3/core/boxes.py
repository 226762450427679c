"""Pure geometry of ``xyxy`` boxes, vectorised: `a` is ``(n, 4)``, `b` is ``(m, 4)``, results are ``(n, m)``."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, FloatArray, Image

F = TypeVar("F", np.float32, np.float64)


def area(xyxy: FloatArray) -> FloatArray:
    """Return ``(n,)`` areas in square pixels; 0 for an inverted box."""
    wh = np.clip(xyxy[:, 2:] - xyxy[:, :2], 0, None)
    return wh[:, 0] * wh[:, 1]


def intersection(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return ``(n, m)`` areas that the boxes share."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    wh = np.clip(high - low, 0, None)
    return wh[..., 0] * wh[..., 1]


def iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return ``(n, m)`` intersection over union in 0…1; 0 for degenerate boxes."""
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def clip(xyxy: FloatArray, width: int, height: int) -> FloatArray:
    """Return the boxes cut off at the edges of a `width` × `height` image."""
    return np.clip(xyxy, 0, np.array([width, height, width, height], xyxy.dtype))


def usable(xyxy: FloatArray) -> BoolArray:
    """Return ``(n,)`` bool: the box is finite and has positive width and height."""
    sized = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
    finite = np.isfinite(xyxy)
    return sized if np.count_nonzero(finite) == finite.size else sized & finite.all(1)


def to_xywh(xyxy: npt.NDArray[F]) -> npt.NDArray[F]:
    """Return top-left corner and size, as files have them."""
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)


def from_xywh(xywh: npt.NDArray[F]) -> npt.NDArray[F]:
    """Return corners from top-left corner and size."""
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def cut_out(image: Image, box: FloatArray) -> Image:
    """Return the part of an image inside a ``(4,)`` box, by whole pixels; a view."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.rint(clip(box[None], width, height)[0]).astype(int).tolist()
    return image[y1:y2, x1:x2]
