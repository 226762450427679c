"""Draws keypoints into a picture: it decides nothing."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt

from mot_dinov3.keypoints.geometry import Points
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


def draw_heatmap(
    image: Image, heights: npt.NDArray[np.float32], *, best: Points, rival: Points, opacity: float
) -> Image:
    """Return a picture with cosines laid over it, its two best places marked, and the raw scale at its right edge.

    Args:
        image: ``(h, w, 3)`` uint8 BGR.
        heights: ``(gh, gw)`` cosines.
        best: ``(2,)`` pixels: marked by a ring and a cross.
        rival: ``(2,)`` pixels: marked by a thin ring.
        opacity: Of the colours over the picture, 0…1.
    """
    import cv2

    height, width = image.shape[:2]
    low, high = float(heights.min()), float(heights.max())
    full = cv2.resize(heights.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    level = np.clip((full - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    canvas = cv2.addWeighted(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), opacity, image, 1 - opacity, 0)
    size = max(4, round(float(np.hypot(width, height)) / 100))
    at, other = ((round(float(p[0])), round(float(p[1]))) for p in (best, rival))
    cv2.circle(canvas, at, size, (255, 255, 255), 2, cv2.LINE_AA)
    cv2.drawMarker(canvas, at, (255, 255, 255), cv2.MARKER_CROSS, size, 1, cv2.LINE_AA)
    cv2.circle(canvas, other, size, (255, 255, 255), 1, cv2.LINE_AA)
    ramp = np.repeat(np.linspace(255, 0, height).astype(np.uint8)[:, None], 14, axis=1)
    scale = np.full((height, 66, 3), 24, np.uint8)
    scale[:, 4:18] = cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO)
    for share in (0.0, 0.5, 1.0):
        y = min(max(round((1 - share) * (height - 1)) + 4, 12), height - 4)
        text = f"{low + share * (high - low):.2f}"
        cv2.putText(scale, text, (22, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(np.hstack([np.asarray(canvas, np.uint8), scale]), np.uint8)


def draw_pca(image: Image, cells: npt.NDArray[np.float32], *, opacity: float) -> Image:
    """Return a picture with the three main components of ``(gh, gw, d)`` descriptors as its colours."""
    import cv2

    rows = cells.reshape(-1, cells.shape[2]).astype(np.float64)
    rows = rows - rows.mean(0)
    _, axes = np.linalg.eigh(rows.T @ rows)
    main = axes[:, ::-1][:, :3]
    main = main * np.sign(main[np.abs(main).argmax(0), np.arange(main.shape[1])])  # the same colours in every run
    parts = rows @ main
    low, high = np.percentile(parts, (1, 99), axis=0)
    colours = (np.clip((parts - low) / np.maximum(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
    small = colours.reshape(*cells.shape[:2], -1)
    full = cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.addWeighted(full, opacity, image, 1 - opacity, 0), np.uint8)
