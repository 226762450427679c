"""Text on frames in any script.

OpenCV's font has Latin, Greek, Cyrillic, Chinese, Japanese and Korean letters. Pillow draws what it lacks, and scripts
that run from right to left, with an installed font. A character that no font has becomes ``?``, see `missing_glyphs`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import itertools
import math
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mot_dinov3.core.structures import Image
from mot_dinov3.viz.style import Color, Pen

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import ImageFont

FONT = 0  # cv2.FONT_HERSHEY_SIMPLEX, so that this module imports without cv2
PIXELS = 27.0  # size of OpenCV's font at scale 1
_RIGHT_TO_LEFT = ("R", "AL")
_NUMBERS = ("EN", "AN")
_JOINED = ("Mn", "Mc", "Me", "Cf")  # categories of characters that belong to the one before
_VARIATION = "\ufe0e\ufe0f"
_FOLDERS = {
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": (r"%WINDIR%\Fonts",),
}
_LINUX_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
_STYLES = ("bold", "italic", "oblique", "mono", "serif", "condensed", "light", "thin", "black", "medium")


@dataclasses.dataclass(frozen=True)
class TextRun:
    """A piece of text that is drawn with one font; None stands for OpenCV's."""

    text: str
    font: str | None = None


def text_size(text: str, pen: Pen) -> tuple[tuple[int, int], int]:
    """Return width and height of a text above its baseline, and its depth below, in pixels, as `cv2.getTextSize`."""
    import cv2

    wide, tall, below = 0, 0, 0
    for run in text_runs(text):
        if run.font is None:
            size, depth = cv2.getTextSize(run.text, FONT, pen.scale, pen.stroke)
        else:
            glyphs = _glyphs(run.text, run.font, round(PIXELS * pen.scale), pen.stroke)
            size, depth = (glyphs.advance, -glyphs.top), glyphs.top + len(glyphs.mask)
        wide, tall, below = wide + size[0], max(tall, size[1]), max(below, depth)
    return (wide, tall), below


def write_text(canvas: Image, text: str, at: tuple[int, int], *, color: Color, pen: Pen) -> None:
    """Write a text into `canvas`; `at` is the left end of its baseline."""
    import cv2

    x, y = at
    for run in text_runs(text):
        if run.font is None:
            cv2.putText(canvas, run.text, (x, y), FONT, pen.scale, color, pen.stroke, cv2.LINE_AA)
            x += cv2.getTextSize(run.text, FONT, pen.scale, pen.stroke)[0][0]
        else:
            glyphs = _glyphs(run.text, run.font, round(PIXELS * pen.scale), pen.stroke)
            _paint(canvas, glyphs.mask, (x + glyphs.left, y + glyphs.top), color)
            x += glyphs.advance


def missing_glyphs(texts: Iterable[str]) -> str:
    """Return a sentence on the characters of the texts that no font here can draw; empty where all can be drawn."""
    for text in texts:
        lacking = "".join(dict.fromkeys(c for c in _plain(text) if _is_lacking(c)))
        if lacking:
            return (
                f"no font here can draw '{lacking}' of '{text}', shown as '?': install a font of this script "
                "(for example from fonts.google.com/noto)"
            )
    return ""


@functools.lru_cache(maxsize=4096)
def text_runs(text: str) -> tuple[TextRun, ...]:
    """Return the pieces of a text from left to right as they are shown, each with its font."""
    if text.isascii() and text.isprintable():
        return (TextRun(text),)
    runs: list[TextRun] = []
    for piece, backwards in _directions(_plain(text)):
        if backwards:
            runs.append(_backward_run(piece))
        else:
            runs += (TextRun(_shown(part) if font is None else part, font) for part, font in _forward_parts(piece))
    return tuple(run for run in runs if run.text)


def _plain(text: str) -> str:
    """Return the text with accents joined to their letters, and a blank in place of every control character."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in composed)


def _directions(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of a line that runs from left to right, and whether a piece runs the other way.

    Such a piece begins and ends with a letter from right to left, or ends with a number or the bracket that closes one
    in it; blanks and marks between are part of it. A simple case of https://www.unicode.org/reports/tr9, without
    nesting.
    """
    kinds = [unicodedata.bidirectional(c) for c in text]
    start, position = 0, 0
    while position < len(text):
        if kinds[position] not in _RIGHT_TO_LEFT:
            position += 1
            continue
        stop = next((k for k in range(position, len(text)) if kinds[k] == "L"), len(text))
        end = 1 + max(k for k in range(position, stop) if kinds[k] in (*_RIGHT_TO_LEFT, *_NUMBERS, "NSM"))
        end += _closing(text[position:end], text[end:stop])
        if start < position:
            yield text[start:position], False
        yield text[position:end], True
        start = position = end
    if start < len(text):
        yield text[start:], False


def _closing(piece: str, rest: str) -> int:
    """Return how many of the next characters close brackets that are open in a piece."""
    opened = sum((c in "([{") - (c in ")]}") for c in piece)
    return len(list(itertools.takewhile(")]}".__contains__, rest[: max(opened, 0)])))


def _backward_run(piece: str) -> TextRun:
    """Return a piece that runs from right to left: for Pillow, which orders and joins its letters, or for OpenCV."""
    from PIL import features

    font = _font_with("".join(c for c in piece if unicodedata.category(c) not in (*_JOINED, "Zs")))
    if font is not None and features.check("raqm"):
        return TextRun(piece, font)
    ordered = piece[::-1]
    numbers = itertools.groupby(ordered, key=lambda c: unicodedata.bidirectional(c) in _NUMBERS)
    return TextRun(_shown("".join("".join(part)[:: -1 if number else 1] for number, part in numbers)))


def _forward_parts(piece: str) -> Iterator[tuple[str, str | None]]:
    """Yield the parts of a piece from left to right with their fonts; marks stay with their letters."""
    part, font = "", None
    for c in piece:
        own = font if part and unicodedata.category(c) in _JOINED else _font_of(c)
        if part and own != font:
            yield part, font
            part = ""
        part, font = part + c, own
    yield part, font


def _shown(text: str) -> str:
    """Return what OpenCV draws of a text: without invisible characters, ``?`` for those that it lacks."""
    kept = (c for c in text if unicodedata.category(c) != "Cf" and c not in _VARIATION)
    return "".join(c if _opencv_has(c) else "?" for c in kept)


def _font_of(c: str) -> str | None:
    """Return the font of a character, None for OpenCV's, which also stands for no font at all."""
    return None if _opencv_has(c) else _font_with(c)


def _is_lacking(c: str) -> bool:
    return not (unicodedata.category(c) in (*_JOINED, "Zs") or _opencv_has(c) or _font_with(c) is not None)


@functools.lru_cache(maxsize=4096)
def _opencv_has(c: str) -> bool:
    """Return whether OpenCV draws a character; it draws ``?`` for one that it lacks."""
    import cv2

    if c.isascii():
        return c.isprintable()
    if not hasattr(cv2, "FontFace"):  # before version 5, its font had ASCII only
        return False
    return _drawn_by_opencv(c) != _drawn_by_opencv("?")


def _drawn_by_opencv(c: str) -> bytes:
    import cv2

    canvas = np.zeros((60, 90), np.uint8)
    cv2.putText(canvas, c, (20, 40), FONT, 1.0, 255, 1, cv2.LINE_AA)
    return canvas.tobytes()


@functools.lru_cache(maxsize=4096)
def _font_with(text: str) -> str | None:
    """Return the first installed font that has all characters of a text, or None."""
    return next((str(path) for path in _fonts() if all(_has(str(path), c) for c in text)), None)


@functools.lru_cache(maxsize=1)
def _fonts() -> tuple[Path, ...]:
    """Return the installed fonts, plain styles first; that of Matplotlib, which Ultralytics requires, is always there.

    Fonts whose letters are coloured bitmaps of one size cannot be used.
    """
    folders = [Path(os.path.expandvars(name)).expanduser() for name in _FOLDERS.get(sys.platform, _LINUX_FOLDERS)]
    found = [path for folder in folders for ending in ("ttf", "otf", "ttc") for path in folder.rglob(f"*.{ending}")]
    matplotlib = importlib.util.find_spec("matplotlib")
    if matplotlib is not None and matplotlib.origin is not None:
        found.append(Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")
    names = [path for path in found if "lastresort" not in path.name.lower()]
    return tuple(sorted(names, key=lambda path: (sum(s in path.stem.lower() for s in _STYLES), path.name)))


@functools.lru_cache(maxsize=1 << 16)
def _has(font: str, c: str) -> bool:
    """Return whether a font has a character: it draws another one than for a code that stands for nothing."""
    try:
        loaded = _load(font, 24)
        ours, none = loaded.getmask(c), loaded.getmask("\U0010ffff")
    except (OSError, ValueError):  # not a font, or one of bitmaps
        return False
    return (ours.size, bytes(ours)) != (none.size, bytes(none)) and ours.getbbox() is not None


@functools.lru_cache(maxsize=64)
def _load(font: str, size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(font, size)


@dataclasses.dataclass(frozen=True)
class Glyphs:
    """Drawn letters.

    Attributes:
        mask: ``(h, w)`` float32 coverage in 0…1.
        left: First column of `mask`, from the start of the baseline.
        top: First row of `mask`, from the baseline; negative above it.
        advance: Width of the text, pixels.
    """

    mask: npt.NDArray[np.float32]
    left: int
    top: int
    advance: int


@functools.lru_cache(maxsize=1024)
def _glyphs(text: str, font: str, size: int, stroke: int) -> Glyphs:
    """Return a text drawn with a font; `stroke` widens its lines as OpenCV's `thickness` does."""
    from PIL import Image as PillowImage
    from PIL import ImageDraw

    loaded, more = _load(font, max(size, 1)), max(stroke - 1, 0)
    left, top, right, bottom = loaded.getbbox(text, anchor="ls", stroke_width=more)
    corner = math.floor(left), math.floor(top)
    image = PillowImage.new("L", (max(math.ceil(right) - corner[0], 1), max(math.ceil(bottom) - corner[1], 1)))
    at = -corner[0], -corner[1]
    ImageDraw.Draw(image).text(at, text, fill=255, font=loaded, anchor="ls", stroke_width=more)
    mask = np.asarray(image, np.float32) / np.float32(255)
    return Glyphs(mask, corner[0], corner[1], math.ceil(loaded.getlength(text)))


def _paint(canvas: Image, mask: npt.NDArray[np.float32], corner: tuple[int, int], color: Color) -> None:
    """Blend a colour into the canvas, as far as the mask lies in it."""
    (x, y), (height, width) = corner, canvas.shape[:2]
    rows, columns = slice(max(y, 0), min(y + len(mask), height)), slice(max(x, 0), min(x + mask.shape[1], width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    cover = mask[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x, None]
    under = canvas[rows, columns].astype(np.float32)
    canvas[rows, columns] = np.rint(under + (np.array(color, np.float32) - under) * cover)
