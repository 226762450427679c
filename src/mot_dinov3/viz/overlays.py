"""Overlays on frames: anonymised boxes, trails, counting lines and zones, and the HUD."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.structures import Detections, Float64Array, FloatArray, Image, TrackView
from mot_dinov3.viz.label_placement import draw_plate, plate_size
from mot_dinov3.viz.style import BLACK, WHITE, Color, Pen, track_color
from mot_dinov3.viz.text_drawing import write_text

MARGIN = 0.06  # of a box's size, by which more than the box is hidden: boxes cut off hair and shoes
REGION_COLOR: Color = (64, 200, 255)


def anonymize(canvas: Image, detections: Detections, lost: TrackView, method: str) -> None:
    """Make every box of `canvas` unrecognisable, in place.

    Args:
        canvas: ``(h, w, 3)`` uint8 BGR.
        detections: The frame's rows, tracked or not; both the detected and the track's box are hidden.
        lost: Tracks that are lost now: the objects may be visible.
        method: ``blur``, ``pixelate``, or ``none``.
    """
    if method == "none":
        return
    import supervision

    sources = [detections.xyxy, lost.xyxy]
    if detections.track_xyxy is not None:
        sources.append(detections.track_xyxy)
    xyxy = np.concatenate(sources)
    xyxy = _widened(xyxy[boxes.usable(xyxy)], canvas)
    if len(xyxy):
        annotator: Any = supervision.BlurAnnotator() if method == "blur" else supervision.PixelateAnnotator()
        annotator.annotate(canvas, supervision.Detections(xyxy))


def _widened(xyxy: FloatArray, canvas: Image) -> FloatArray:
    """Return whole-pixel boxes with a margin, clipped to the image."""
    height, width = canvas.shape[:2]
    more = MARGIN * np.tile(xyxy[:, 2:] - xyxy[:, :2], 2) * np.array([-1, -1, 1, 1])
    wide = np.clip(xyxy + more, -1e6, 1e6)
    whole = np.concatenate([np.floor(wide[:, :2]), np.ceil(wide[:, 2:])], axis=1)
    return np.asarray(np.clip(whole, 0, [width, height, width, height]), np.float32)


class Trails:
    """Draws the trajectories of tracks over the last `frames` frames in their colours; nothing where that is 0."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._annotator: Any = None

    def draw(self, canvas: Image, detections: Detections) -> None:
        """Add a frame's rows, and draw the trails into `canvas`."""
        if self._frames == 0:
            return
        import supervision

        rows, annotator = _shown(detections), self._ready()
        annotator.thickness = Pen.for_image(canvas).line
        if len(rows):
            paint = [supervision.Color(*reversed(track_color(number))) for number in rows.track_id.tolist()]
            annotator.color = supervision.ColorPalette(paint)
        annotator.annotate(canvas, rows.to_supervision(), custom_color_lookup=np.arange(len(rows)))

    def skip(self, detections: Detections) -> None:
        """Add the rows of a frame that is not drawn."""
        if self._frames:
            self._ready().trace.put(_shown(detections).to_supervision())

    def _ready(self) -> Any:
        if self._annotator is None:
            import supervision

            foot = supervision.Position.BOTTOM_CENTER
            self._annotator = supervision.TraceAnnotator(position=foot, trace_length=self._frames)
        return self._annotator


def _shown(detections: Detections) -> Detections:
    """Return the rows of tracks, with the boxes that are drawn."""
    rows = detections.with_track_boxes()
    return rows[(rows.track_id >= 1) & boxes.usable(rows.xyxy)]


@dataclasses.dataclass(frozen=True)
class RegionOverlay:
    """A counting line or zone with its text.

    Attributes:
        points: ``(k, 2)`` pixels; two are a line.
        text: Its name and its counts.
    """

    points: Float64Array
    text: str


def draw_regions(canvas: Image, regions: Sequence[RegionOverlay]) -> None:
    """Draw lines and zones with their texts."""
    import cv2

    pen = Pen.for_image(canvas)
    height, width = canvas.shape[:2]
    for region in regions:
        points = np.rint(region.points).astype(np.int32)
        cv2.polylines(canvas, [points], len(points) > 2, BLACK, pen.line + 2, cv2.LINE_AA)
        cv2.polylines(canvas, [points], len(points) > 2, REGION_COLOR, pen.line, cv2.LINE_AA)
        wide, tall = plate_size(region.text, pen)
        x, y = points.mean(0) if len(points) == 2 else (points[:, 0].min(), points[:, 1].min())
        x0, y0 = max(0, min(int(x), width - wide)), max(0, min(int(y), height - tall))
        draw_plate(canvas, region.text, (x0, y0, x0 + wide - 1, y0 + tall - 1), REGION_COLOR, pen=pen)


@dataclasses.dataclass(frozen=True)
class HudStats:
    """Numbers of the HUD in a frame.

    Attributes:
        fps: Recent frames per second; None where unknown.
        embed_ms: Time of embedding in this frame; None where unknown.
        budget_ms: Its budget; 0 for no limit.
        backlog: Rows whose due embedding was deferred.
        active: Tracks with a box.
        lost: Tracks without.
    """

    fps: float | None
    embed_ms: float | None
    budget_ms: float
    backlog: int
    active: int
    lost: int

    def lines(self) -> list[str]:
        """Return the lines of text."""
        limit = f" of {self.budget_ms:g}" if self.budget_ms else ""
        return [
            *([] if self.fps is None else [f"{self.fps:5.1f} fps"]),
            *([] if self.embed_ms is None else [f"embed {self.embed_ms:.1f}{limit} ms"]),
            f"backlog {self.backlog}",
            f"active {self.active}  lost {self.lost}",
        ]


def draw_note(canvas: Image, text: str) -> None:
    """Write a note on the frame as a whole at the bottom left."""
    pen = Pen.for_image(canvas)
    wide, tall = plate_size(text, pen)
    bottom = canvas.shape[0]
    draw_plate(canvas, text, (0, max(bottom - tall, 0), wide - 1, bottom - 1), REGION_COLOR, pen=pen)


def draw_hud(canvas: Image, stats: HudStats) -> None:
    """Write the HUD at the top left, on a darkened plate."""
    pen = Pen.for_image(canvas)
    lines = [line.strip() for line in stats.lines()]
    sizes = [plate_size(line, pen) for line in lines]
    step = max(tall for _, tall in sizes)
    wide, tall = max(width for width, _ in sizes) + 2 * pen.pad, step * len(lines) + 2 * pen.pad
    plate = canvas[:tall, :wide]
    plate[:] = (plate * 0.35).astype(np.uint8)
    for number, line in enumerate(lines, start=1):
        at = 2 * pen.pad, number * step
        write_text(canvas, line, at, color=WHITE, pen=pen)
