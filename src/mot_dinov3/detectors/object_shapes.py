"""What a detector finds beside boxes: rotated boxes, keypoints and outlines, as det-v1 writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import FloatArray

Points = list[list[float]]


def shapes_of(result: Any) -> npt.NDArray[np.object_] | None:
    """Return ``(n,)`` dicts with the keys of det-v1 that an Ultralytics result fills; None where it has boxes alone.

    ``obb`` is centre, size and angle in radians, ``keypoints`` are x, y and score, ``segments`` the outlines of all
    parts of a mask, without its holes; all in pixels of the image.
    """
    columns: dict[str, list[Any]] = {}
    if result.obb is not None:
        columns["obb"] = _plain(_array(result.obb.xywhr))
    if result.keypoints is not None:
        columns["keypoints"] = _plain(_with_scores(_array(result.keypoints.data)))
    if result.masks is not None:
        columns["segments"] = [outlines(mask, result.orig_shape) for mask in _array(result.masks.data)]
    if not columns:
        return None
    rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
    extra = np.empty(len(rows), np.object_)
    extra[:] = rows
    return extra


def outlines(mask: FloatArray, size: tuple[int, int]) -> list[Points]:
    """Return the polygons around all parts of a mask, in pixels of an image of ``(height, width)``.

    The mask has the size of the network's input, in which the image is centred, with margins.
    """
    import cv2

    parts, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    gain = min(mask.shape[0] / size[0], mask.shape[1] / size[1])
    inner = np.array([max(round(size[1] * gain), 1), max(round(size[0] * gain), 1)])
    margin = np.round((np.array(mask.shape[::-1]) - inner) / 2 - 0.1)
    scale = inner / np.array(size[::-1])
    points = [(np.asarray(part, np.float32).reshape(-1, 2) - margin) / scale for part in parts if len(part) > 2]
    return [_plain(np.clip(part, 0, size[::-1]).astype(np.float32)) for part in points]


def _with_scores(points: FloatArray) -> FloatArray:
    """Return ``(n, k, 3)`` keypoints; those of a network without scores have 1."""
    if points.shape[2] > 2:
        return points[:, :, :3]
    return np.concatenate([points, np.ones_like(points[:, :, :1])], axis=2)


def _array(tensor: Any) -> FloatArray:
    return np.asarray(tensor.float().cpu().numpy(), np.float32)


def _plain(values: FloatArray) -> list[Any]:
    """Return nested lists of floats with no more digits than a hundredth of a pixel, or a ten-thousandth, needs."""
    return np.round(values.astype(np.float64), 4).tolist()
