"""Images of the demo's clip: people and a street, cut out of the two photographs that Ultralytics ships.

``bus.jpg`` shows two whole passers-by and a bus, ``zidane.jpg`` two people from the waist up. The outlines were
drawn by hand on these images; GrabCut (Rother et al., SIGGRAPH 2004) moves them onto the true edges. Clothes are
dyed to get more people than the photographs have. Nothing here is random: the same libraries give the same pixels.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, FloatArray, Image

WIDTH, HEIGHT = 768, 432
COLUMN_X, COLUMN_HALF_WIDTH, COLUMN_TOP, COLUMN_FOOT = WIDTH // 2, 46, 62, 366
"""The advertising column that people pass behind: its position in the clip, in pixels."""

SPRITE_HEIGHT = 256
_PHOTO_SCALE, _PHOTO_TOP = 0.475, 66

Point = tuple[int, int]

_FILE = importlib.resources.files("mot_dinov3.apps.demo") / "outlines.json"
OUTLINES: dict[str, list[Point]] = json.loads(_FILE.read_text(encoding="ascii"))
"""Outlines of figures and of clothes, x and y in pixels of the photograph, by name."""


@dataclasses.dataclass(frozen=True)
class Dye:
    """A new colour for the clothes within an outline.

    Attributes:
        outline: Name in `OUTLINES`; pixels outside the figure do not matter.
        bgr: New colour at the cloth's mean brightness.
        contrast: Share of the cloth's contrast that is kept, 0…1; dark cloth shows JPEG blocks at 1.
        skin_cr: Cr (of YCrCb) from which on a pixel is skin, or red, and keeps its colour.
    """

    outline: str
    bgr: tuple[int, int, int]
    contrast: float = 1.0
    skin_cr: int = 143


@dataclasses.dataclass(frozen=True)
class _Figure:
    """A cut-out at the photograph's size: ``(h, w, 4)`` uint8 with alpha, its top-left corner in the photograph."""

    pixels: Image
    corner: Point


def cast(bus: Image, zidane: Image) -> dict[str, FloatArray]:
    """Return the figures by name, all facing right: ``(h, w, 4)`` float32, premultiplied, `SPRITE_HEIGHT` high."""
    import cv2

    street = bus.copy()
    street[740:815, 58:80] = bus[740:815, 80:88].mean(axis=1, keepdims=True)  # a stranger's hand on the trousers
    floodlit = cv2.resize(zidane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.float32)
    stadium = _bytes(255 * (floodlit / 255) ** np.float32(0.8))  # brightened towards the street's sunlight
    beige, black = (_cut_out(street, OUTLINES[name], band=4) for name in ("beige_coat", "black_coat"))
    shouting, grey = (
        _cut_out(stadium, [(x // 2, y // 2) for x, y in OUTLINES[name]], band=5) for name in ("shouting", "grey_hair")
    )
    dark, pale = (44, 42, 46), (110, 124, 136)
    green = _dye(
        beige, [Dye("coat_a", (78, 96, 36), 1.0, 156), Dye("trousers_a", pale, 0.6), Dye("shoes_a", dark, 1.0, 156)]
    )
    red = _dye(black, [Dye("coat_b", (52, 30, 148), 0.45), Dye("trousers_b", dark, 0.7)])
    yellow = _dye(black, [Dye("coat_b", (52, 142, 190), 0.4), Dye("trousers_b", pale, 0.5)])
    figures = {"beige": beige, "black": black, "green": green, "red": red, "yellow": yellow}
    figures |= {"shouting": shouting, "grey": grey}
    return {name: _sprite(figure) for name, figure in figures.items()}


def street(bus: Image) -> Image:
    """Return the still background: the street of ``bus.jpg`` without its people, beside its own mirror image.

    The far half is blurred as by a lens focused on the pavement, which also hides the repairs.
    """
    import cv2

    half = cv2.resize(_without_people(bus), None, fx=_PHOTO_SCALE, fy=_PHOTO_SCALE, interpolation=cv2.INTER_AREA)
    both = np.hstack([half, half[:, ::-1]])
    left = (both.shape[1] - WIDTH) // 2
    sharp = both[_PHOTO_TOP : _PHOTO_TOP + HEIGHT, left : left + WIDTH].astype(np.float32)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 2.6)
    focus = np.clip((np.arange(HEIGHT, dtype=np.float32)[:, None, None] - 250) / 60, 0, 1)
    return _bytes(np.asarray(blurred * (1 - focus) + sharp * focus, np.float32))


def column(bus: Image) -> FloatArray:
    """Return ``(HEIGHT, w, 4)`` float32 premultiplied pixels of the advertising column, its poster from the bus."""
    import cv2

    fine = 4  # drawn so many times larger, for smooth edges
    half = COLUMN_HALF_WIDTH + 10
    x, r, top, foot = (v * fine for v in (half, COLUMN_HALF_WIDTH, COLUMN_TOP, COLUMN_FOOT))
    flat = r // 6
    colour = np.zeros((HEIGHT * fine, 2 * half * fine, 3), np.uint8)
    alpha = np.zeros(colour.shape[:2], np.uint8)
    for canvas, iron in ((colour, (58, 66, 52)), (alpha, 255)):
        cv2.rectangle(canvas, (x - r, top), (x + r, foot - flat), iron, -1)
        cv2.ellipse(canvas, (x, foot - flat), (r, flat), 0, 0, 180, iron, -1)
        cv2.ellipse(canvas, (x, top), (r + 5 * fine, 7 * r // 12), 0, 180, 360, iron, -1)
        cv2.rectangle(canvas, (x - r - 5 * fine, top), (x + r + 5 * fine, top + 5 * fine), iron, -1)
        cv2.circle(canvas, (x, top - 7 * r // 12), 4 * fine, iron, -1)
    upper, lower = top + 22 * fine, foot - 40 * fine
    around = np.arcsin(np.linspace(-0.999, 0.999, 2 * r)) / np.pi + 0.5  # the poster is wrapped round the column
    poster = cv2.resize(bus[372:652, 548:700], (600, lower - upper), interpolation=cv2.INTER_CUBIC)
    colour[upper:lower, x - r : x + r] = poster[:, (around * 599).astype(int)]
    for y in (upper, lower):
        cv2.line(colour, (x - r, y), (x + r, y), (40, 46, 36), 3 * fine)
    across = np.clip((np.arange(2 * half * fine, dtype=np.float32) - x) / r, -1.1, 1.1)
    light = 0.45 + 0.75 * np.exp(-(((across + 0.25) / 0.62) ** 2))
    lit = np.clip(colour * light[None, :, None], 0, 255) * (alpha[..., None] / np.float32(255))
    whole = np.dstack([lit, alpha / np.float32(255)]).astype(np.float32)
    return np.asarray(cv2.resize(whole, (2 * half, HEIGHT), interpolation=cv2.INTER_AREA), np.float32)


def _cut_out(image: Image, outline: Sequence[Point], *, band: int) -> _Figure:
    """Return the figure within `outline`, its edge moved by up to `band` pixels onto the true one."""
    import cv2

    points = np.asarray(outline)
    low = np.maximum(points.min(0) - 12, 0)
    high = np.minimum(points.max(0) + 13, np.array(image.shape[1::-1]))
    crop = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    inside = _fill(crop.shape[:2], [(points - low).tolist()], grow=1)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    labels = np.full(inside.shape, cv2.GC_BGD, np.uint8)
    labels[cv2.dilate(inside, disk) > 0] = cv2.GC_PR_BGD
    labels[inside > 0] = cv2.GC_PR_FGD
    labels[cv2.erode(inside, disk) > 0] = cv2.GC_FGD
    cv2.setRNGSeed(7)  # GrabCut's colour models start from a k-means
    cv2.grabCut(crop, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    figure = np.where(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)), 255, 0).astype(np.uint8)
    smooth = np.asarray(cv2.medianBlur(figure, 5), np.uint8)
    figure = np.minimum(_largest_part(smooth), np.asarray(cv2.dilate(inside, np.ones((5, 5), np.uint8)), np.uint8))
    soft = cv2.GaussianBlur(cv2.erode(figure, np.ones((3, 3), np.uint8)), (0, 0), 1.0)
    rows, columns = np.flatnonzero(soft.max(1) > 8), np.flatnonzero(soft.max(0) > 8)
    tight = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    corner = int(low[0] + columns[0]), int(low[1] + rows[0])
    return _Figure(np.dstack([crop, soft])[tight].astype(np.uint8), corner)


def _largest_part(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    return np.where(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), 255, 0).astype(np.uint8)


def _dye(figure: _Figure, dyes: Sequence[Dye]) -> _Figure:
    """Return the figure in clothes of another colour; folds, light and skin are kept."""
    import cv2

    pixels = figure.pixels
    red = cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2YCrCb)[..., 1]
    light = cv2.GaussianBlur(cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY).astype(np.float32), (0, 0), 1.2)
    colour = pixels[..., :3].astype(np.float32)
    for dye in dyes:
        inside = _fill(red.shape, [(np.asarray(OUTLINES[dye.outline]) - figure.corner).tolist()], grow=1)
        cloth = np.where((inside > 0) & (cv2.medianBlur(red, 3) < dye.skin_cr), np.float32(1), np.float32(0))
        mean = float(light[(cloth > 0) & (pixels[..., 3] > 200)].mean())
        shade = 1 + dye.contrast * (np.minimum(light / mean, 2.2) - 1)
        dyed = np.clip(shade[..., None] * np.asarray(dye.bgr, np.float32), 0, 255)
        colour += (dyed - colour) * cv2.GaussianBlur(cloth, (0, 0), 1.0)[..., None]
    return _Figure(np.dstack([_bytes(colour), pixels[..., 3]]), figure.corner)


def _sprite(figure: _Figure) -> FloatArray:
    import cv2

    alpha = figure.pixels[..., 3:].astype(np.float32) / 255
    whole = np.dstack([figure.pixels[..., :3] * alpha, alpha]).astype(np.float32)
    width = round(whole.shape[1] * SPRITE_HEIGHT / whole.shape[0])
    return np.asarray(cv2.resize(whole, (width, SPRITE_HEIGHT), interpolation=cv2.INTER_AREA), np.float32)


def _without_people(bus: Image) -> Image:
    """Return ``bus.jpg`` without its people: the bus is interpolated along rows, the pavement patched with itself."""
    import cv2

    people = ("beige_coat", "black_coat", "leaving_left", "leaving_right")
    hole = _fill(bus.shape[:2], [OUTLINES[name] for name in people], grow=15)
    image = bus.astype(np.float32)
    for y in range(380, 760):
        gap = hole[y] > 0
        known = np.flatnonzero(~gap)
        for channel in range(3):
            image[y, gap, channel] = np.interp(np.flatnonzero(gap), known, image[y, known, channel])
    soft = cv2.GaussianBlur(hole, (0, 0), 3)[..., None] / np.float32(255)
    image += (cv2.GaussianBlur(image, (0, 0), 3) - image) * soft
    image[590:745, 296:343] = image[590:745, 343:390][:, ::-1]  # the front wheel, half hidden
    _patch(image, (640, 660, 810, 900), (-150, 26))
    _patch(image, (0, 715, 330, 935), (330, -56))
    return _bytes(image)


def _patch(image: FloatArray, box: tuple[int, int, int, int], shift: Point) -> None:
    """Cover `box` (x1, y1, x2, y2), in place, with the region at `shift`, faded in over 24 pixels."""
    x1, y1, x2, y2 = box
    source = image[y1 + shift[1] : y2 + shift[1], x1 + shift[0] : x2 + shift[0]].copy()
    xs, ys = np.arange(x1, x2), np.arange(y1, y2)
    left = (xs - x1) / 24 if x1 > 0 else np.ones(len(xs))
    right = (x2 - 1 - xs) / 24 if x2 < image.shape[1] else np.ones(len(xs))
    across = np.clip(np.minimum(left, right), 0, 1)
    down = np.clip(np.minimum(ys - y1, y2 - 1 - ys) / 24, 0, 1)
    weight = (down[:, None] * across)[..., None].astype(np.float32)
    image[y1:y2, x1:x2] += (source - image[y1:y2, x1:x2]) * weight


def _fill(shape: Sequence[int], outlines: Sequence[Sequence[Point]], *, grow: int) -> npt.NDArray[np.uint8]:
    """Return a mask, 255 inside the outlines, widened by a square of `grow` pixels."""
    import cv2

    mask = np.zeros(tuple(shape), np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.asarray(outline, np.int32)], 255)
    return np.asarray(cv2.dilate(mask, np.ones((grow, grow), np.uint8)), np.uint8)


def _bytes(image: FloatArray) -> Image:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def solid(pixels: FloatArray) -> BoolArray:
    """Return ``(h, w)`` bool: the opaque pixels of a premultiplied image."""
    return np.asarray(pixels[..., 3] > 0.5, np.bool_)
