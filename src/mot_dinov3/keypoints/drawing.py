"""Draws keypoints into a picture: it decides nothing."""

from __future__ import annotations

import colorsys
import dataclasses

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
    image: Image,
    heights: npt.NDArray[np.float32],
    *,
    marks: tuple[Points, Points],
    opacity: float,
    scale: tuple[float, float] | None = None,
) -> Image:
    """Return a picture with cosines laid over it, its two best places marked, and the raw scale at its right edge.

    Args:
        image: ``(h, w, 3)`` uint8 BGR.
        heights: ``(gh, gw)`` cosines.
        marks: ``(2,)`` pixels of the best place, marked by a ring and a cross, and of its rival: a thin ring.
        opacity: Of the colours over the picture, 0…1.
        scale: Cosines of the first and the last colour; the map's own range where None.
    """
    import cv2

    height, width = image.shape[:2]
    low, high = scale or (float(heights.min()), float(heights.max()))
    full = cv2.resize(heights.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    level = np.clip((full - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    canvas = cv2.addWeighted(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), opacity, image, 1 - opacity, 0)
    size = max(4, round(float(np.hypot(width, height)) / 100))
    at, other = ((round(float(p[0])), round(float(p[1]))) for p in marks)
    cv2.circle(canvas, at, size, (255, 255, 255), 2, cv2.LINE_AA)
    cv2.drawMarker(canvas, at, (255, 255, 255), cv2.MARKER_CROSS, size, 1, cv2.LINE_AA)
    cv2.circle(canvas, other, size, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(np.hstack([np.asarray(canvas, np.uint8), _colour_scale(height, low, high)]), np.uint8)


def _colour_scale(height: int, low: float, high: float) -> Image:
    import cv2

    size = min(max(height / 900, 0.4), 1.0)
    bar, width = round(34 * size), round(130 * size)
    ramp = np.repeat(np.linspace(255, 0, height).astype(np.uint8)[:, None], bar, axis=1)
    strip = np.full((height, width, 3), 24, np.uint8)
    strip[:, 4 : 4 + bar] = cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO)
    tall = round(24 * size)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = min(max(round((1 - share) * (height - 1)) + tall // 2, tall), height - 4)
        text = f"{low + share * (high - low):.2f}"
        cv2.putText(strip, text, (bar + 10, y), cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 1, cv2.LINE_AA)
    return strip


@dataclasses.dataclass(frozen=True)
class MainComponents:
    """Three colours for descriptors: their main components, the same for all pictures of a video.

    Attributes:
        mean: ``(d,)``.
        axes: ``(d, 3)``.
        low: ``(3,)`` value of the first colour.
        high: ``(3,)`` value of the last.
    """

    mean: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]

    @classmethod
    def of(cls, cells: npt.NDArray[np.float32]) -> MainComponents:
        """Return the components of ``(gh, gw, d)`` descriptors."""
        rows = cells.reshape(-1, cells.shape[2]).astype(np.float64)
        mean = rows.mean(0)
        _, axes = np.linalg.eigh((rows - mean).T @ (rows - mean))
        main = axes[:, ::-1][:, :3]
        main = main * np.sign(main[np.abs(main).argmax(0), np.arange(main.shape[1])])  # the same colours in every run
        low, high = np.percentile((rows - mean) @ main, (1, 99), axis=0)
        return cls(mean, main, low, high)


def draw_pca(image: Image, cells: npt.NDArray[np.float32], components: MainComponents, *, opacity: float) -> Image:
    """Return a picture with the three main components of ``(gh, gw, d)`` descriptors as its colours."""
    import cv2

    parts = (cells.astype(np.float64) - components.mean) @ components.axes
    spread = np.maximum(components.high - components.low, 1e-9)
    small = (np.clip((parts - components.low) / spread, 0, 1) * 255).astype(np.uint8)
    full = cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.addWeighted(full, opacity, image, 1 - opacity, 0), np.uint8)
