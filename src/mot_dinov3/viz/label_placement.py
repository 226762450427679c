"""Texts on plates, kept whole, and as far as there is room, apart."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Sequence

from mot_dinov3.core.structures import Image
from mot_dinov3.viz.style import Color, Pen, text_color

Box = tuple[int, int, int, int]
"""First and last column and row: x1, y1, x2, y2."""

FONT = 0  # cv2.FONT_HERSHEY_SIMPLEX, so that this module imports without cv2


@dataclasses.dataclass(frozen=True)
class Label:
    """A text that belongs to a box."""

    text: str
    box: Box
    color: Color


def draw_labels(canvas: Image, labels: Sequence[Label], pen: Pen) -> None:
    """Write each text on a plate of its colour: on top of its box, or where it covers least of the plates before it."""
    height, width = canvas.shape[:2]
    seen = [label for label in labels if _touches(label.box, width, height)]
    plates: list[Box] = []
    for label in seen:
        size = plate_size(label.text, pen)
        plates.append(_least_covered(_places(label.box, size, pen, (width, height)), plates))
    for label, plate in zip(seen, plates):
        draw_plate(canvas, label.text, plate, label.color, pen=pen)


def plate_size(text: str, pen: Pen) -> tuple[int, int]:
    """Return width and height of the plate for a text."""
    import cv2

    (wide, tall), below = cv2.getTextSize(ascii_text(text), FONT, pen.scale, pen.stroke)
    return wide + 2 * pen.pad, tall + below // 2 + 2 * pen.pad


def draw_plate(canvas: Image, text: str, plate: Box, color: Color, *, pen: Pen) -> None:
    """Write `text` on a plate of `color`."""
    import cv2

    text = ascii_text(text)
    _, below = cv2.getTextSize(text, FONT, pen.scale, pen.stroke)
    cv2.rectangle(canvas, plate[:2], plate[2:], color, -1)
    at = plate[0] + pen.pad, plate[3] + 1 - pen.pad - below // 2
    cv2.putText(canvas, text, at, FONT, pen.scale, text_color(color), pen.stroke, cv2.LINE_AA)


def _touches(box: Box, width: int, height: int) -> bool:
    return box[0] < width and box[1] < height and box[2] >= 0 and box[3] >= 0


def _places(box: Box, size: tuple[int, int], pen: Pen, picture: tuple[int, int]) -> list[Box]:
    """Return where a plate may be, best first and in the picture: above, below, inside at the top, at the bottom."""
    (wide, tall), (width, height) = size, picture
    left, right = box[0] - pen.line // 2, box[2] + 1 + pen.line // 2 - wide
    rows = (box[1] - tall, box[3] + 1, box[1], box[3] + 1 - tall)
    places = []
    for y in rows:
        for x in (left, right):
            x0, y0 = max(0, min(x, width - wide)), max(0, min(y, height - tall))
            places.append((x0, y0, x0 + wide - 1, y0 + tall - 1))
    return places


def _least_covered(places: Sequence[Box], taken: Sequence[Box]) -> Box:
    """Return the first place that covers nothing taken, else the one that covers least."""
    best, least = places[0], -1
    for place in places:
        covered = sum(_overlap(place, other) for other in taken)
        if covered == 0:
            return place
        if least < 0 or covered < least:
            best, least = place, covered
    return best


def _overlap(a: Box, b: Box) -> int:
    wide = min(a[2], b[2]) - max(a[0], b[0]) + 1
    tall = min(a[3], b[3]) - max(a[1], b[1]) + 1
    return wide * tall if wide > 0 and tall > 0 else 0


def ascii_text(text: str) -> str:
    """Return what OpenCV's strokes can write: letters lose their accents, others become ``?``."""
    if text.isascii():
        return text
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return plain.encode("ascii", "replace").decode("ascii")
