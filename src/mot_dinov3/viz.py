"""Draws a frame: boxes and labels. It decides nothing; what there is to see, the rows and tracks say."""

from __future__ import annotations

import colorsys
import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3 import boxes
from mot_dinov3.settings import require, setting
from mot_dinov3.structures import Detections, FloatArray, Image, TrackState, TrackView

Color = tuple[int, int, int]
Box = tuple[int, int, int, int]

_GOLDEN_RATIO = 0.61803398875
_GREY: Color = (170, 170, 170)
_FONT = 0  # cv2.FONT_HERSHEY_SIMPLEX, so that this module imports without cv2
_MAX_SIDE = 32767


@dataclasses.dataclass(frozen=True)
class DrawConfig:
    """What the drawn picture shows, and how large."""

    draw_lost: bool = setting(False, "draw lost tracks, dashed, where they are believed to be")
    line_thickness: int = setting(0, "width of the boxes' lines in pixels (0: from the picture's size)", metavar="PX")
    font_scale: float = setting(0.0, "size of the labels, 1 being about 22 pixels (0: from the picture's size)")

    def __post_init__(self) -> None:
        require(0 <= self.line_thickness <= 100, "line_thickness", self.line_thickness, "between 0 and 100")
        require(0 <= self.font_scale <= 20, "font_scale", self.font_scale, "between 0 and 20")


@functools.lru_cache(maxsize=4096)
def track_color(track_id: int) -> Color:
    """Return the BGR colour of a track: the same in each run, far from those of its neighbours.

    Hues step by the golden ratio, which spreads any run of ids evenly over the circle; brightness and saturation
    alternate with a longer period, so that ids of like hue still differ.
    """
    hue = (track_id * _GOLDEN_RATIO) % 1
    saturation, value = ((0.85, 1.0), (0.60, 1.0), (0.90, 0.78))[(track_id // 5) % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * blue), round(255 * green), round(255 * red)


def draw_frame(
    image: Image, detections: Detections, *, lost: TrackView, names: Mapping[int, str], config: DrawConfig
) -> Image:
    """Return a copy of `image` with what is known of the frame drawn into it.

    Tracked rows get a box in their track's colour and a label, dotted where the row is coasted; rows of tentative
    tracks a thin grey box; other rows nothing. The box is the track's smoothed one where there is one. A label is
    ``ID 7``, ``ID 7 *`` where the embedding was computed in this frame, ``ID 7 car`` where several classes are known.

    Args:
        image: ``(h, w, 3)`` uint8 BGR; stays as it is.
        detections: The rows of the frame.
        lost: Tracks that are lost now; drawn dashed where the config wants it.
        names: Class id → name; empty where unknown.
        config: What to draw, and how large.
    """
    canvas = np.ascontiguousarray(image).copy()
    pen = _Pen.for_picture(canvas, config)
    place = detections.xyxy if detections.track_xyxy is None else detections.track_xyxy
    visible = boxes.usable(place)
    for row in np.flatnonzero(visible & (detections.track_id < 0) & (detections.state == TrackState.TENTATIVE)):
        _rectangle(canvas, _corners(place[row]), _GREY, 1)
    if config.draw_lost:
        coasted = np.isin(lost.track_id, detections.track_id)  # has a row of its own
        for row in np.flatnonzero(boxes.usable(lost.xyxy) & (lost.track_id >= 1) & ~coasted):
            number = int(lost.track_id[row])
            box, color = _corners(lost.xyxy[row]), track_color(number)
            _dashed(canvas, box, color, pen=pen, dash=6)
            _label(canvas, f"ID {number} lost", box, color, pen=pen)
    tracked = np.flatnonzero(visible & (detections.track_id >= 0))
    for row in tracked:
        color = track_color(int(detections.track_id[row]))
        if detections.coasted[row]:
            _dashed(canvas, _corners(place[row]), color, pen=pen, dash=1)
        else:
            _rectangle(canvas, _corners(place[row]), color, pen.line)
    for row in tracked:  # after all boxes: no line crosses a label
        color = track_color(int(detections.track_id[row]))
        _label(canvas, label_of(detections, int(row), names), _corners(place[row]), color, pen=pen)
    return canvas


def label_of(detections: Detections, row: int, names: Mapping[int, str]) -> str:
    """Return the label of a tracked row: ``ID 7``, ``ID 7 *``, ``ID 7 car *``, ``ID 7 Anna`` (recognised)."""
    words = [f"ID {int(detections.track_id[row])}"]
    if detections.gallery_id[row] is not None:
        words.append(str(detections.gallery_id[row]))
    class_id = int(detections.class_id[row])
    if len(names) > 1 and class_id in names:
        words.append(names[class_id])
    if detections.fresh[row]:
        words.append("*")
    return " ".join(words)


def contact_sheet(images: Sequence[Image], *, columns: int = 2, width: int = 1280, gap: int = 8) -> Image:
    """Return the pictures side by side on white, `columns` in a row, the sheet `width` pixels wide.

    Raises:
        ConfigError: There is no picture or no column, or the sheet is too narrow for them.
    """
    import cv2

    require(len(images) > 0, "images", len(images), "one or more")
    require(columns > 0, "columns", columns, "positive")
    wide = (width - gap * (columns + 1)) // columns
    require(wide > 0, "width", width, f"wide enough for {columns} columns")
    tall = max(1, round(wide * max(image.shape[0] / image.shape[1] for image in images)))
    rows = -(-len(images) // columns)
    sheet = np.full((gap + rows * (tall + gap), width, 3), 255, np.uint8)
    for place, image in enumerate(images):
        height = max(1, round(wide * image.shape[0] / image.shape[1]))
        method = cv2.INTER_AREA if image.shape[1] > wide else cv2.INTER_CUBIC
        x = gap + (place % columns) * (wide + gap)
        y = gap + (place // columns) * (tall + gap) + (tall - height) // 2
        sheet[y : y + height, x : x + wide] = cv2.resize(image, (wide, height), interpolation=method)
    return sheet


@dataclasses.dataclass(frozen=True)
class _Pen:
    """Sizes in pixels that go with a picture."""

    line: int
    scale: float
    stroke: int
    pad: int

    @classmethod
    def for_picture(cls, image: Image, config: DrawConfig) -> _Pen:
        # The sizes follow the diagonal, so that portrait and landscape pictures look alike.
        diagonal = float(np.hypot(*image.shape[:2]))
        line = config.line_thickness or max(1, round(diagonal / 480))
        scale = config.font_scale or max(0.35, diagonal / 2000)
        return cls(line, scale, max(1, round(scale * 1.6)), max(2, round(5 * scale)))


def _corners(box: FloatArray) -> Box:
    """Return whole pixels of the first and the last column and row that a half-open box covers."""
    x1, y1, x2, y2 = np.clip(np.rint(box), -_MAX_SIDE, _MAX_SIDE).astype(int).tolist()
    return x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)


def _rectangle(canvas: Image, box: Box, color: Color, line: int) -> None:
    import cv2

    cv2.rectangle(canvas, box[:2], box[2:], color, line)


def _dashed(canvas: Image, box: Box, color: Color, *, pen: _Pen, dash: int) -> None:
    """Draw a box whose sides are broken: `dash` times the line's width drawn, a gap of equal length or more."""
    height, width = canvas.shape[:2]
    before, after = pen.line // 2, pen.line - pen.line // 2
    period = pen.line * (2 * dash if dash > 1 else 3)
    (x1, y1, x2, y2), length = box, pen.line * dash

    def on(low: int, high: int, limit: int) -> npt.NDArray[np.int64]:
        steps = np.arange(max(low, 0), min(high + 1, limit))
        return np.asarray(steps[(steps - low) % period < length], np.int64)

    for y in (y1, y2):
        canvas[max(y - before, 0) : max(y + after, 0), on(x1, x2, width)] = color
    for x in (x1, x2):
        canvas[on(y1, y2, height), max(x - before, 0) : max(x + after, 0)] = color


def _label(canvas: Image, text: str, box: Box, color: Color, *, pen: _Pen) -> None:
    """Write `text` on a plate of `color` on top of the box, moved into the picture where it would stick out."""
    import cv2

    text = _ascii(text)
    height, width = canvas.shape[:2]
    if box[0] >= width or box[1] >= height or box[2] < 0 or box[3] < 0:
        return
    (wide, tall), below = cv2.getTextSize(text, _FONT, pen.scale, pen.stroke)
    wide, tall = wide + 2 * pen.pad, tall + below // 2 + 2 * pen.pad
    x = max(0, min(box[0] - pen.line // 2, width - wide))
    y = max(0, min(box[1] - tall, height - tall))
    cv2.rectangle(canvas, (x, y), (x + wide - 1, y + tall - 1), color, -1)
    ink = (0, 0, 0) if _brightness(color) > 120 else (255, 255, 255)
    at = x + pen.pad, y + tall - pen.pad - below // 2
    cv2.putText(canvas, text, at, _FONT, pen.scale, ink, pen.stroke, cv2.LINE_AA)


def _brightness(color: Color) -> float:
    blue, green, red = color
    return 0.114 * blue + 0.587 * green + 0.299 * red


def _ascii(text: str) -> str:
    """Return what OpenCV's strokes can write: letters lose their accents, others become ``?``."""
    import unicodedata

    if text.isascii():
        return text
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return plain.encode("ascii", "replace").decode("ascii")
