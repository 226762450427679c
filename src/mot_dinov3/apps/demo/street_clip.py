"""A short clip with ground truth: people cut out of photographs walk through a street.

They cross each other, pass behind an advertising column, leave and come back. The image of a frame and its ground truth
are pure functions of the frame's index, so every generated clip is the same to the pixel (before encoding).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mot_dinov3.apps.demo import cutouts
from mot_dinov3.apps.demo.cutouts import HEIGHT, WIDTH
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.files import replacing
from mot_dinov3.core.structures import BoolArray, Detections, FloatArray, Image, IntArray, VideoInfo
from mot_dinov3.formats.motchallenge import mot_rows
from mot_dinov3.models.conversion import photographs

FPS = 15.0
LENGTH = 20.0
"""Seconds the story lasts."""

NAMES = {0: "person"}
MIN_VISIBLE = 0.3
"""Visible share below which a figure has no row in the ground truth."""

_HORIZON, _HEIGHT_PER_DEPTH = 122, 0.86
_STRIDE_SECONDS = 1.0

Waypoint = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Actor:
    """A person of the story.

    Attributes:
        figure: Name of the cut-out.
        path: Waypoints: seconds, x of the middle, y of the feet, in pixels; straight and steady in between.
        near: Height in pixels of a figure cut off by the lower edge of the image; 0 for a completely visible one, whose
            height follows from its position.
    """

    figure: str
    path: tuple[Waypoint, ...]
    near: int = 0

    def position(self, time: float) -> tuple[float, float]:
        """Return x and y at `time`."""
        times, xs, ys = np.array(self.path).T
        return float(np.interp(time, times, xs)), float(np.interp(time, times, ys))

    def faces_left(self, time: float) -> bool:
        """Return whether the path leads left; a standing person faces the direction of the next step."""
        for before, after in zip(self.path, self.path[1:]):
            if time < after[0] and after[1] != before[1]:
                return after[1] < before[1]
        return self.path[-1][1] < self.path[-2][1]

    def walks(self, time: float) -> bool:
        """Return whether the person walks."""
        return self.position(time - 0.05) != self.position(time + 0.05)


# The identity is the number in this list, from 1. Feet at less than 366 pass behind the column, others in front of it.
# The first 0.8 s are empty, so that background subtraction learns the street.
STORY: tuple[Actor, ...] = (
    Actor("beige", ((0.8, -50, 348), (9.6, 825, 352), (11.4, 830, 392), (20.0, -60, 396))),
    Actor(
        "black",
        ((1.2, 810, 376), (5.6, 236, 380), (7.4, 236, 380), (9.6, -50, 380), (13.0, -50, 374), (22.0, 740, 372)),
    ),
    Actor("green", ((2.4, 825, 338), (7.0, 384, 334), (8.0, 384, 334), (12.4, -60, 338))),
    Actor("red", ((4.6, -45, 402), (11.6, 815, 398))),
    Actor("shouting", ((7.6, -160, 0), (13.2, 930, 0)), near=178),
    Actor("yellow", ((9.4, -45, 344), (16.2, 520, 350), (17.4, 520, 350), (20.4, 810, 360))),
    Actor("grey", ((13.4, 860, 0), (19.6, -95, 0)), near=226),
)


@dataclasses.dataclass(frozen=True)
class DemoClip:
    """The generated clip.

    Attributes:
        video: The file.
        gt: Its ground truth as MOTChallenge text.
        info: Size, rate and number of frames.
        truth: Per frame the visible rows; `track_id` is the identity, `score` is 1.
    """

    video: Path
    gt: Path
    info: VideoInfo
    truth: tuple[Detections, ...]


@dataclasses.dataclass(frozen=True)
class StreetScene:
    """The images that frames are composed of.

    Attributes:
        background: ``(HEIGHT, WIDTH, 3)`` uint8.
        column: ``(HEIGHT, w, 4)`` float32, premultiplied, its middle at `COLUMN_X`.
        figures: Cut-outs by name; see `cutouts.cast`.
        actors: The persons, identities from 1 in this order.
    """

    background: Image
    column: FloatArray
    figures: dict[str, FloatArray]
    actors: Sequence[Actor] = STORY

    @classmethod
    def load(cls) -> StreetScene:
        """Cut the images out of the photographs (a second or two).

        Raises:
            InputError: The photographs are not installed.
        """
        bus, zidane = photographs()
        return cls(cutouts.street(bus), cutouts.column(bus), cutouts.cast(bus, zidane))

    def frame(self, index: int) -> tuple[Image, Detections]:
        """Return image and ground truth of frame `index`, counted from 0."""
        time = index / FPS
        canvas = self.background.astype(np.float32)
        owner = np.zeros((HEIGHT, WIDTH), np.int64)
        sizes: dict[int, int] = {}
        column = cutouts.COLUMN_FOOT - 0.5, 0
        depths = [(_depth(actor, time), number) for number, actor in enumerate(self.actors, 1)]
        for _, number in sorted([*depths, column]):
            if number == 0:
                corner = cutouts.COLUMN_X - self.column.shape[1] // 2, 0
                _paint(canvas, self.column, corner)
                _claim(owner, cutouts.solid(self.column), corner, 0)
                continue
            actor = self.actors[number - 1]
            if not actor.path[0][0] <= time <= actor.path[-1][0]:
                continue
            pixels, corner = _pose(self.figures[actor.figure], actor, time)
            if not actor.near:
                _shade_ground(canvas, actor.position(time))
            _paint(canvas, pixels, corner)
            sizes[number] = int(cutouts.solid(pixels).sum())
            _claim(owner, cutouts.solid(pixels), corner, number)
        return np.clip(np.rint(canvas), 0, 255).astype(np.uint8), _truth(owner, sizes)


def frame_count(seconds: float) -> int:
    """Return the number of frames of the first `seconds` of the story.

    Raises:
        UsageError: The story is not that long, or `seconds` is not positive.
    """
    if not 0 < seconds <= LENGTH:
        raise UsageError(f"seconds must be above 0 and at most {LENGTH:g}, got {seconds:g}")
    return max(1, round(seconds * FPS))


def compose(folder: Path, *, seconds: float = LENGTH) -> DemoClip:
    """Write the clip and its ground truth as ``clip.mp4`` and ``gt.txt`` into `folder`, which is created.

    Raises:
        UsageError: `seconds` is out of range.
        InputError: The photographs are not installed.
        OutputLostError: The folder cannot be written.
    """
    from mot_dinov3.video import VideoWriter

    count = frame_count(seconds)
    scene = StreetScene.load()
    folder.mkdir(parents=True, exist_ok=True)
    video, gt = folder / "clip.mp4", folder / "gt.txt"
    info = VideoInfo(str(video), WIDTH, HEIGHT, FPS, count)
    truth = []
    with VideoWriter(video, info=info) as writer:
        for index in range(count):
            image, rows = scene.frame(index)
            writer.write(image, index / FPS)
            truth.append(rows)
    with replacing(gt) as part:
        part.write_text("".join(f"{line}\n" for line in gt_lines(truth)), encoding="ascii")
    return DemoClip(video, gt, info, tuple(truth))


def gt_lines(truth: Sequence[Detections]) -> Iterator[str]:
    """Yield the ground truth, frame by frame from 0, as lines of a MOTChallenge ``gt.txt``."""
    for index, rows in enumerate(truth):
        yield from mot_rows(index, rows)


def _depth(actor: Actor, time: float) -> float:
    """Return the painting order: the y of the feet, or beyond all feet for persons cut off by the image's edge."""
    return HEIGHT + actor.near if actor.near else actor.position(time)[1]


def _pose(sprite: FloatArray, actor: Actor, time: float) -> tuple[FloatArray, tuple[int, int]]:
    """Return the figure at `time`, ``(h, w, 4)`` premultiplied, and its top-left corner in the image."""
    import cv2

    x, foot = actor.position(time)
    height = actor.near or (foot - _HORIZON) * _HEIGHT_PER_DEPTH
    phase = 2 * np.pi * time / _STRIDE_SECONDS if actor.walks(time) else 0.0
    bob = 0.012 * height * (1 - np.cos(2 * phase)) / 2
    sprite_height, sprite_width = sprite.shape[:2]
    scale = height / sprite_height
    half = sprite_width * scale / 2
    top = (HEIGHT + 3 if actor.near else foot) - height - bob
    left, upper = int(np.floor(x - half)) - 1, int(np.floor(top)) - 1
    columns, rows = int(np.ceil(2 * half)) + 3, int(np.ceil(height)) + 3
    v = (np.arange(rows, dtype=np.float32)[:, None] + np.float32(upper - top + 0.5)) / np.float32(scale) - 0.5
    u = (np.arange(columns, dtype=np.float32)[None] + np.float32(left - x + 0.5)) / np.float32(scale)
    if not actor.near:
        u = u / _stride(v / sprite_height, phase)
    u = np.broadcast_to(-u if actor.faces_left(time) else u, (rows, columns)) + np.float32((sprite_width - 1) / 2)
    maps = np.ascontiguousarray(u, np.float32), np.ascontiguousarray(np.broadcast_to(v, u.shape), np.float32)
    posed = cv2.remap(sprite, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0))
    return np.asarray(posed, np.float32), (left, upper)


def _stride(height: FloatArray, phase: float) -> FloatArray:
    """Return the relative width at each height, 0 the head and 1 the feet: legs open and close with `phase`."""
    leg = np.clip((height - 0.58) / 0.42, 0, 1)
    return np.asarray(1 - 0.22 * (1 - np.cos(phase)) * leg * (2 - leg), np.float32)


def _paint(canvas: FloatArray, pixels: FloatArray, corner: tuple[int, int]) -> None:
    """Blend premultiplied `pixels` over the canvas, in place, clipped at its edges."""
    onto, of = _overlap(pixels.shape, corner)
    part = pixels[of]
    canvas[onto] = canvas[onto] * (1 - part[..., 3:]) + part[..., :3]


def _claim(owner: IntArray, mask: BoolArray, corner: tuple[int, int], number: int) -> None:
    onto, of = _overlap(mask.shape, corner)
    owner[onto][mask[of]] = number


def _overlap(shape: Sequence[int], corner: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the overlapping slices of the canvas and of an image whose top-left `corner` is given."""
    (left, top), (rows, columns) = corner, shape[:2]
    x1, y1 = min(max(left, 0), WIDTH), min(max(top, 0), HEIGHT)
    x2, y2 = max(min(left + columns, WIDTH), x1), max(min(top + rows, HEIGHT), y1)
    return (slice(y1, y2), slice(x1, x2)), (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))


def _shade_ground(canvas: FloatArray, position: tuple[float, float]) -> None:
    """Darken the ground slightly under the feet, in place; hardly enough to widen the moving region."""
    x, foot = position
    reach = (foot - _HORIZON) * 0.085
    y1, y2 = max(int(foot - reach), 0), min(int(foot + reach), HEIGHT)
    x1, x2 = max(int(x - 2 * reach), 0), min(int(x + 2 * reach), WIDTH)
    if x1 < x2:
        ys, xs = np.mgrid[y1:y2, x1:x2].astype(np.float32)
        far = ((xs - x) / reach) ** 2 + ((ys - foot + 3) / (0.22 * reach)) ** 2
        canvas[y1:y2, x1:x2] *= (1 - np.float32(0.4) * np.exp(-far))[..., None]


def _truth(owner: IntArray, sizes: dict[int, int]) -> Detections:
    """Return a row for every sufficiently visible figure: the box around its visible part."""
    boxes, ids = [], []
    for number, size in sorted(sizes.items()):
        visible = owner == number
        if visible.sum() < MIN_VISIBLE * size:
            continue
        rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
        boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        ids.append(number)
    none = np.zeros(len(ids), np.int64)
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), class_id=none, track_id=np.array(ids, np.int64))
