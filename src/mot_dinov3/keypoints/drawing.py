"""Draws keypoints into a picture: it decides nothing."""

from __future__ import annotations

import colorsys

import numpy as np

from mot_dinov3.structures import Image, Keypoints, PointState

GOLDEN_RATIO = 0.61803398875


def draw_keypoints(image: Image, keypoints: Keypoints) -> Image:
    """Return a copy of a BGR picture with outlines and points: filled where visible, a ring where occluded."""
    import cv2

    canvas = np.ascontiguousarray(image).copy()
    size = max(2, round(float(np.hypot(*image.shape[:2])) / 320))
    groups = dict(zip(keypoints.instance, keypoints.group_id.tolist()))
    for name, polygons in keypoints.outlines.items():
        color = color_of(groups.get(name, 0))
        cv2.polylines(canvas, [np.rint(p).astype(np.int32) for p in polygons], True, color, 1, cv2.LINE_AA)
    for row, (x, y) in enumerate(keypoints.xy):
        if keypoints.state[row] == PointState.LOST or not np.isfinite(x):
            continue
        color, at = color_of(int(keypoints.group_id[row]), row), (round(float(x)), round(float(y)))
        seen = keypoints.state[row] == PointState.VISIBLE
        cv2.circle(canvas, at, size + 1, (0, 0, 0), -1 if seen else 2, cv2.LINE_AA)
        cv2.circle(canvas, at, size, color, -1 if seen else 1, cv2.LINE_AA)
    return canvas


def color_of(group_id: int, row: int = 0) -> tuple[int, int, int]:
    """Return a BGR colour: instances differ in hue, the points of one in brightness."""
    hue = (group_id * GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.9 - 0.12 * (row % 4), 1.0)
    return round(255 * blue), round(255 * green), round(255 * red)
