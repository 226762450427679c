"""Pre- and postprocessing of a YOLO network: letterboxing, decoding of its head's raw output, suppression.

The numbers agree with those of Ultralytics' own predictor: same letterbox, same decoding, same suppression. Only what
passes the threshold is ever decoded.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from mot_dinov3.core.structures import FloatArray, Image, IntArray

GREY = 114
"""Value of the margins, as in Ultralytics."""

OFFSET = 7680.0
"""Pixels by which boxes of different classes are moved apart, so that none suppresses another's."""


@dataclasses.dataclass(frozen=True)
class Letterbox:
    """Placement of a resized image in the network's input, with grey margins at `left` and `top`, in pixels.

    `inner` is the ``(width, height)`` of the resized image, `size` that of the image itself.
    """

    height: int
    width: int
    inner: tuple[int, int]
    left: int
    top: int
    size: tuple[int, int]

    def apply(self, image: Image) -> Image:
        """Return the ``(1, height, width, 3)`` input for an image."""
        import cv2

        if self.inner != self.size:
            image = np.asarray(cv2.resize(image, self.inner, interpolation=cv2.INTER_LINEAR), np.uint8)
        right = self.width - self.inner[0] - self.left
        bottom = self.height - self.inner[1] - self.top
        if right or bottom or self.left or self.top:
            margins = (self.top, bottom, self.left, right)
            image = np.asarray(cv2.copyMakeBorder(image, *margins, cv2.BORDER_CONSTANT, value=(GREY,) * 3), np.uint8)
        return image[None]

    def to_image(self, xyxy: FloatArray) -> FloatArray:
        """Return boxes of the input as boxes of the image, clipped at its edges."""
        gain = np.array([self.inner[0] / self.size[0], self.inner[1] / self.size[1]] * 2, np.float32)
        margin = np.array([self.left, self.top] * 2, np.float32)
        limit = np.array(self.size * 2, np.float32)
        return np.clip((xyxy - margin) / gain, 0, limit)


@functools.lru_cache(maxsize=64)
def letterbox(size: tuple[int, int], imgsz: int, stride: int) -> Letterbox:
    """Return the placement of an image in the smallest input of whole strides with `imgsz` as longer side.

    `size` is the image's ``(width, height)``; `stride` is the network's largest, to which `imgsz` is rounded up.
    """
    side = max(math.ceil(imgsz / stride), 1) * stride
    ratio = min(side / size[1], side / size[0])
    inner = (max(round(size[0] * ratio), 1), max(round(size[1] * ratio), 1))
    across, down = ((side - length) % stride / 2 for length in inner)
    left, top = round(across - 0.1), round(down - 0.1)
    return Letterbox(inner[1] + top + round(down + 0.1), inner[0] + left + round(across + 0.1), inner, left, top, size)


@dataclasses.dataclass(frozen=True)
class HeadLayout:
    """Levels, bins and training of a detection head.

    Attributes:
        strides: Pixels of the input per cell, for each level.
        bins: Bins of each side's distance (DFL); 1 where it is given directly.
        end_to_end: Whether the network is trained to give each object one box, so that no suppression is needed.
    """

    strides: tuple[int, ...]
    bins: int
    end_to_end: bool

    def decode(self, distances: FloatArray, cells: IntArray, height: int, width: int) -> FloatArray:
        """Return ``(n, 4)`` xyxy boxes in pixels of the input.

        Li et al.: Generalized Focal Loss, NeurIPS 2020: a side's distance is the mean of a distribution over bins.

        Args:
            distances: ``(n, 4 · bins)`` raw values: left, top, right, bottom.
            cells: ``(n,)`` numbers of the cells, level after level, row after row.
            height: Pixels of the input.
            width: Pixels of the input.
        """
        centre, stride = grid(self.strides, height, width)
        raw = distances.reshape(-1, 4, self.bins)
        sides: FloatArray = raw[:, :, 0]
        if self.bins > 1:
            weight = np.exp(raw - raw.max(axis=2, keepdims=True))
            sides = (weight @ np.arange(self.bins, dtype=np.float32)) / weight.sum(axis=2)
        corners = np.concatenate([centre[cells] - sides[:, :2], centre[cells] + sides[:, 2:]], axis=1)
        return corners * stride[cells, None]


@functools.lru_cache(maxsize=8)
def grid(strides: tuple[int, ...], height: int, width: int) -> tuple[FloatArray, FloatArray]:
    """Return ``(n, 2)`` centres of all cells in units of their stride, and their ``(n,)`` strides."""
    centres, sizes = [], []
    for stride in strides:
        down, across = np.mgrid[: height // stride, : width // stride]
        centres.append(np.stack([across.ravel(), down.ravel()], axis=1).astype(np.float32) + np.float32(0.5))
        sizes.append(np.full(across.size, stride, np.float32))
    return np.concatenate(centres), np.concatenate(sizes)


def least_logit(conf: float) -> float:
    """Return a logit below which no score passes `conf`: a sigmoid keeps the order, so that it need not be computed.

    The exact score is compared later: this only leaves a margin for rounding.
    """
    return -math.inf if conf <= 0 else math.inf if conf >= 1 else math.log(conf / (1 - conf)) - 1e-3


def candidates(logits: FloatArray, conf: float, *, each_class: bool) -> tuple[IntArray, IntArray, FloatArray]:
    """Return cell, class and score of ``(classes, cells)`` logits above `conf`: each class of a cell, or its best."""
    least = least_logit(conf)
    if each_class:
        classes, cells = np.nonzero(logits > least)
    else:
        cells = np.flatnonzero(logits.max(axis=0) > least)
        classes = logits[:, cells].argmax(axis=0)
    score = 1 / (1 + np.exp(-logits[classes, cells]))
    above = score > conf
    return cells[above], classes[above], score[above].astype(np.float32)


def suppress(xyxy: FloatArray, class_id: IntArray, score: FloatArray, *, iou: float) -> IntArray:
    """Return the rows that no better row of their class overlaps by more than `iou`, best first."""
    import cv2

    if not len(score):
        return np.zeros(0, np.int64)
    apart = xyxy.astype(np.float64) + OFFSET * class_id[:, None]
    rects: Any = np.concatenate([apart[:, :2], apart[:, 2:] - apart[:, :2]], axis=1)
    scores: Any = score  # OpenCV's own types know only lists
    kept = cv2.dnn.NMSBoxes(rects, scores, 0.0, iou)
    return np.asarray(kept, np.int64).reshape(-1)
