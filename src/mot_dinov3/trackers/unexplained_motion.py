"""Unexplained motion: whether an image changes where no known box is, so that a new object may have come."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import numpy as np

from mot_dinov3.core.structures import BoolArray, FloatArray, Image
from mot_dinov3.trackers.scene_cut import CutDetector

WIDTH = 160  # px of the images that are compared
CELL = 8  # px, side of a square of such an image
CHANGED = 12.0  # grey levels by which a pixel differs where something moves: more than noise and compression
LEAST_CHANGED = 0.25  # share of a cell's pixels from which something moves there
AROUND = 0.15  # of a box's size, by which more than the box is explained by it: limbs, shadows
STILL = 0.3  # share of the pixels that may change before the camera is taken to have moved
LEAST_COMMON = 0.5  # share of the image that both have to show
KNOWN_SECONDS = 2.0  # in which motion that a detection did not explain is no reason for another one: leaves, screens


class SceneChange(enum.Enum):
    """How an image as a whole follows from the one before."""

    STEADY = enum.auto()
    CAMERA = enum.auto()
    CUT = enum.auto()


@dataclasses.dataclass(frozen=True)
class MotionEvidence:
    """What changed from one image to the next.

    Attributes:
        scene: The image as a whole; CAMERA where the camera's motion was not followed.
        inside: Cells with unexplained motion in the inner part of the image.
        border: The same along its border, where objects enter.
    """

    scene: SceneChange = SceneChange.STEADY
    inside: int = 0
    border: int = 0


class MotionWatch:
    """Compares each reduced image with the one before, after the shift between them, and leaves out known boxes."""

    def __init__(self) -> None:
        self._last: Image | None = None
        self._last_grey: Image | None = None
        self._cuts = CutDetector()
        self._unexplained: BoolArray = np.zeros((0, 0), np.bool_)
        self._known_until: FloatArray = np.zeros((0, 0), np.float32)  # s, by cell

    def observe(self, grey: Image, time: float, boxes: FloatArray) -> MotionEvidence:
        """Return what changed since the last image.

        Args:
            grey: ``(h, w)`` uint8.
            time: Of the frame, s.
            boxes: ``(n, 4)`` known corner boxes, as shares of width and height.
        """
        import cv2

        height = max(CELL, round(grey.shape[0] * WIDTH / grey.shape[1]))
        now = np.asarray(cv2.resize(grey, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
        last, self._last = self._last, now
        last_grey, self._last_grey = self._last_grey, grey
        cells = (height // CELL, WIDTH // CELL)
        if self._known_until.shape != cells:
            self._known_until = np.zeros(cells, np.float32)
        self._unexplained = np.zeros(cells, np.bool_)
        if last is None or last_grey is None or last.shape != now.shape:
            return MotionEvidence()
        changed, share = _changed(last, now), 0.0
        if changed.mean() > STILL:
            changed, share = _changed_after_shift(cv2, last, now)
        if share > STILL:
            is_cut = self._cuts.is_cut(last_grey, grey)
            return MotionEvidence(SceneChange.CUT if is_cut else SceneChange.CAMERA)
        self._unexplained = _by_cell(changed & ~_covered(boxes, changed.shape)) & (self._known_until <= time)
        inside = int(np.count_nonzero(self._unexplained[1:-1, 1:-1]))
        return MotionEvidence(inside=inside, border=int(np.count_nonzero(self._unexplained)) - inside)

    def explain(self, time: float, boxes: FloatArray) -> None:
        """Take in the boxes that the detector found in the last image: motion elsewhere is of no object it knows."""
        if self._last is None:
            return
        covered = _by_cell(_covered(boxes, self._last.shape))
        self._known_until[self._unexplained & ~covered] = time + KNOWN_SECONDS


def _changed(last: Image, now: Image) -> BoolArray:
    return np.asarray(np.abs(now.astype(np.int16) - last) > CHANGED)


def _changed_after_shift(cv2: Any, last: Image, now: Image) -> tuple[BoolArray, float]:
    """Return `_changed` of `last` as it looks after the shift between both, and the share of the pixels that did.

    What has come into the image is False; where that is most of it, the share is 1.
    """
    size = now.shape[::-1]
    window = cv2.createHanningWindow(size, cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(last.astype(np.float32), now.astype(np.float32), window)
    shift = np.array([[1, 0, x], [0, 1, y]], np.float64)
    moved, mask = (np.asarray(cv2.warpAffine(image, shift, size)) for image in (last, np.full_like(last, 255)))
    common = mask == 255
    changed = _changed(moved, now) & common
    return changed, float(changed[common].mean()) if common.mean() > LEAST_COMMON else 1.0


def _covered(boxes: FloatArray, shape: tuple[int, ...]) -> BoolArray:
    """Return ``(h, w)`` bool: the pixel lies in one of the boxes, or near it."""
    mask = np.zeros(shape, np.bool_)
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2) * np.array([-1, -1, 1, 1])
    wide = (boxes + AROUND * size) * np.tile(shape[::-1], 2) + np.array([-1, -1, 2, 2])
    for x1, y1, x2, y2 in np.clip(wide, 0, max(shape)).astype(int).tolist():
        mask[y1:y2, x1:x2] = True
    return mask


def _by_cell(pixels: BoolArray) -> BoolArray:
    """Return ``(rows, columns)`` bool: enough pixels of the cell are True."""
    rows, columns = pixels.shape[0] // CELL, pixels.shape[1] // CELL
    blocks = pixels[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL)
    return np.asarray(blocks.mean(axis=(1, 3)) >= LEAST_CHANGED)
