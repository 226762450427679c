"""Drawing of keypoints, similarity heatmaps and descriptor components on frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Image, Keypoints, PointState
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.viz.label_placement import Box, least_covered
from mot_dinov3.viz.style import BLACK, WHITE, Color, Pen, hue_color
from mot_dinov3.viz.text_drawing import text_size, write_text


def draw_keypoints(image: Image, keypoints: Keypoints) -> Image:
    """Return a copy of a BGR image with outlines and points: filled where visible, a dotted ring where occluded.

    Each keypoint has a colour of its own, the same in all instances; outlines differ by instance. Names stand beside
    the points where they cover neither a point nor another name.
    """
    import cv2

    canvas = np.ascontiguousarray(image).copy()
    size = max(2, round(float(np.hypot(*image.shape[:2])) / 320))
    groups = dict(zip(keypoints.instance, keypoints.group_id.tolist()))
    for name, polygons in keypoints.outlines.items():
        corners = [np.rint(p).astype(np.int32) for p in polygons]
        cv2.polylines(canvas, corners, True, hue_color(groups.get(name, 0)), 1, cv2.LINE_AA)
    colors = {name: hue_color(i) for i, name in enumerate(dict.fromkeys(keypoints.name))}
    shown = np.flatnonzero((keypoints.state != PointState.LOST) & np.isfinite(keypoints.xy).all(1))
    centres = [(round(float(x)), round(float(y))) for x, y in keypoints.xy[shown]]
    for row, at in zip(shown, centres):
        color = colors[keypoints.name[row]]
        if keypoints.state[row] == PointState.VISIBLE:
            cv2.circle(canvas, at, size + 1, BLACK, -1, cv2.LINE_AA)
            cv2.circle(canvas, at, size, color, -1, cv2.LINE_AA)
        else:
            _dotted_ring(canvas, at, size + 2, color)
    _write_names(canvas, [keypoints.name[row] for row in shown], centres, size)
    return canvas


def _dotted_ring(canvas: Image, at: tuple[int, int], radius: int, color: Color) -> None:
    import cv2

    thick = 1 if radius < 6 else 2
    cv2.circle(canvas, at, radius + thick, BLACK, 1, cv2.LINE_AA)
    for turn in range(0, 360, 60):
        cv2.ellipse(canvas, at, (radius, radius), 0, turn, turn + 34, color, thick, cv2.LINE_AA)


def _write_names(canvas: Image, names: Sequence[str], centres: Sequence[tuple[int, int]], size: int) -> None:
    """Write names where there is room: right of the point, else left, above or below, else not at all."""
    height, width = canvas.shape[:2]
    gap, thin = size + 3, Pen(line=1, scale=max(0.35, size * 0.09), stroke=1, pad=0)
    wide_pen = dataclasses.replace(thin, stroke=2)
    taken: list[Box] = [(x - size, y - size, x + size - 1, y + size - 1) for x, y in centres]
    for name, (x, y) in zip(names, centres):
        (wide, tall), _ = text_size(name, thin)
        starts = (
            (x + gap, y + tall // 2),
            (x - gap - wide, y + tall // 2),
            (x - wide // 2, y - gap),
            (x - wide // 2, y + gap + tall),
        )
        within = [(left, y) for left, y in starts if left >= 0 and y >= tall and left + wide < width and y < height]
        if not within:
            continue
        box, covered = least_covered([(left, y - tall, left + wide - 1, y - 1) for left, y in within], taken)
        if covered:
            continue
        taken.append(box)
        for pen, shade in ((wide_pen, BLACK), (thin, WHITE)):
            write_text(canvas, name, (box[0], box[3] + 1), color=shade, pen=pen)


def draw_heatmap(
    image: Image,
    heights: npt.NDArray[np.float32],
    *,
    marks: tuple[Points, Points],
    opacity: float,
    scale: tuple[float, float] | None = None,
) -> Image:
    """Return an image overlaid with cosines, its two best positions marked, and the raw scale at its right edge.

    Args:
        image: ``(h, w, 3)`` uint8 BGR.
        heights: ``(gh, gw)`` cosines.
        marks: ``(2,)`` pixels of the best position, marked by a ring and a cross, and of its rival: a thin ring.
        opacity: Of the colours over the image, 0…1.
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
    cv2.circle(canvas, at, size, WHITE, 2, cv2.LINE_AA)
    cv2.drawMarker(canvas, at, WHITE, cv2.MARKER_CROSS, size, 1, cv2.LINE_AA)
    cv2.circle(canvas, other, size, WHITE, 1, cv2.LINE_AA)
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
        write_text(strip, text, (bar + 10, y), color=WHITE, pen=Pen(line=1, scale=size, stroke=1, pad=0))
    return strip


@dataclasses.dataclass(frozen=True)
class PrincipalComponents:
    """Three colours for descriptors: their principal components, the same for all frames of a video.

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
    def of(cls, cells: npt.NDArray[np.float32]) -> PrincipalComponents:
        """Return the components of ``(gh, gw, d)`` descriptors."""
        rows = cells.reshape(-1, cells.shape[2]).astype(np.float64)
        mean = rows.mean(0)
        _, axes = np.linalg.eigh((rows - mean).T @ (rows - mean))
        main = axes[:, ::-1][:, :3]
        main = main * np.sign(main[np.abs(main).argmax(0), np.arange(main.shape[1])])  # the same colours in every run
        low, high = np.percentile((rows - mean) @ main, (1, 99), axis=0)
        return cls(mean, main, low, high)


def draw_pca(image: Image, cells: npt.NDArray[np.float32], components: PrincipalComponents, *, opacity: float) -> Image:
    """Return an image with the three principal components of ``(gh, gw, d)`` descriptors as its colours."""
    import cv2

    parts = (cells.astype(np.float64) - components.mean) @ components.axes
    spread = np.maximum(components.high - components.low, 1e-9)
    small = (np.clip((parts - components.low) / spread, 0, 1) * 255).astype(np.uint8)
    full = cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.addWeighted(full, opacity, image, 1 - opacity, 0), np.uint8)
