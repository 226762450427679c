"""Placement of labels: whole, in the frame, and as far as there is room, without overlap."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mot_dinov3.core.structures import Image
from mot_dinov3.viz.style import Color, Pen, text_color
from mot_dinov3.viz.text_drawing import text_size, write_text

Box = tuple[int, int, int, int]
"""First and last column and row: x1, y1, x2, y2."""


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
        plates.append(least_covered(_candidates(label.box, size, pen, (width, height)), plates)[0])
    for label, plate in zip(seen, plates):
        draw_plate(canvas, label.text, plate, label.color, pen=pen)


def plate_size(text: str, pen: Pen) -> tuple[int, int]:
    """Return width and height of the plate for a text."""
    (wide, tall), below = text_size(text, pen)
    return wide + 2 * pen.pad, tall + below // 2 + 2 * pen.pad


def draw_plate(canvas: Image, text: str, plate: Box, color: Color, *, pen: Pen) -> None:
    """Write `text` on a plate of `color`."""
    import cv2

    _, below = text_size(text, pen)
    cv2.rectangle(canvas, plate[:2], plate[2:], color, -1)
    at = plate[0] + pen.pad, plate[3] + 1 - pen.pad - below // 2
    write_text(canvas, text, at, color=text_color(color), pen=pen)


def _touches(box: Box, width: int, height: int) -> bool:
    return box[0] < width and box[1] < height and box[2] >= 0 and box[3] >= 0


def _candidates(box: Box, size: tuple[int, int], pen: Pen, frame: tuple[int, int]) -> list[Box]:
    """Return positions of a plate in the frame, best first: above, below, inside at the top, at the bottom."""
    (wide, tall), (width, height) = size, frame
    left, right = box[0] - pen.line // 2, box[2] + 1 + pen.line // 2 - wide
    rows = (box[1] - tall, box[3] + 1, box[1], box[3] + 1 - tall)
    found = []
    for y in rows:
        for x in (left, right):
            x0, y0 = max(0, min(x, width - wide)), max(0, min(y, height - tall))
            found.append((x0, y0, x0 + wide - 1, y0 + tall - 1))
    return found


def least_covered(candidates: Sequence[Box], taken: Sequence[Box]) -> tuple[Box, int]:
    """Return the first candidate with the least overlap with what is taken, and that overlap in pixels."""
    best, least = candidates[0], -1
    for box in candidates:
        covered = sum(_overlap(box, other) for other in taken)
        if least < 0 or covered < least:
            best, least = box, covered
        if covered == 0:
            break
    return best, least


def _overlap(a: Box, b: Box) -> int:
    wide = min(a[2], b[2]) - max(a[0], b[0]) + 1
    tall = min(a[3], b[3]) - max(a[1], b[1]) + 1
    return wide * tall if wide > 0 and tall > 0 else 0
