"""Motion detector for fixed cameras, without weights: background subtraction, then blobs joined and cut into objects.

The background model is Zivkovic's mixture of Gaussians ("Improved adaptive Gaussian mixture model for background
subtraction", ICPR 2004) or Zivkovic and van der Heijden's nearest neighbours (2006), as OpenCV has them. What follows
is ours: the size that objects usually have at a place is learned from the blobs seen there, and by it broken objects
are joined and merged ones are cut.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mot_dinov3.core.class_filter import parse_classes
from mot_dinov3.core.compat import override
from mot_dinov3.core.options import StageConfig, option
from mot_dinov3.core.structures import BoolArray, Detections, FloatArray, Frame, Image, ModelInfo
from mot_dinov3.detectors.base import Detector, DetectorRequest

_SHADOW = 127
_REACH = 0.1
"""Share of the image's height over which objects count as equally far away."""
_UNSURE = 0.65
"""Score of a box where no usual size is known: enough to start a track."""
_GAP = 3
"""Pixels of the reduced image, up and down, over which pieces hang together."""
_MEMORY = 400
"""Boxes remembered to learn the usual size from."""
_ENOUGH = 15
"""Boxes seen near a place before its usual size is believed."""


@dataclasses.dataclass(frozen=True)
class MotionConfig(StageConfig):
    """Options of the motion detector. Lengths are pixels of the reduced image."""

    group = "motion detector (--det motion)"

    motion_method: str = option("mog2", "background model of --det motion", choices=("mog2", "knn"))
    motion_side: int = option(288, "shorter side of the background model's input image, in pixels", low=32)
    motion_history: int = option(1000, "history length of the background model, in frames", low=1)
    motion_threshold: float = option(
        25.0, "squared distance from the background, in variances, above which a pixel is foreground", above=0
    )
    motion_min_area: float = option(0.0005, "smallest object, as a share of the frame area", low=0, high=1)
    motion_warm_up: int = option(5, "number of first frames that only train the background model", low=0)


class MotionDetector(Detector):
    """Finds what differs from a background that it learns as it goes; frames must come in order.

    Raises:
        ConfigError: A class other than 0 or ``object``.
    """

    is_stateful = True

    def __init__(self, request: DetectorRequest) -> None:
        config = request.config
        self.names: Mapping[int, str] = {0: "object"}
        parse_classes(config.classes, self.names)
        self._conf = config.threshold
        self._motion = request.motion or MotionConfig()
        self._model = _background_model(self._motion)
        self._sizes: UsualSizes | None = None
        self._seen = 0
        details = config.reported("opencv", None, imgsz=self._motion.motion_side)
        self.info = ModelInfo("motion", details=details)

    @override
    def detect(self, frame: Frame) -> Detections:
        import cv2

        small, scale = _reduced(frame.pixels(), self._motion.motion_side)
        moving = (self._model.apply(small) > _SHADOW).astype(np.uint8)
        mask = cv2.medianBlur(moving, 3).astype(np.bool_)  # without single pixels and small holes
        if self._sizes is None:
            self._sizes = UsualSizes(_REACH * mask.shape[0])
        self._seen += 1
        if self._seen <= self._motion.motion_warm_up:
            return Detections.empty()
        blobs = _blobs(mask)
        least = self._motion.motion_min_area * mask.size
        found = objects(mask, blobs, self._sizes, least)
        score = scores(mask, found, self._sizes)
        self._sizes.learn(blobs[[_moving(mask, box) >= least for box in blobs]])
        order = np.argsort(-score, kind="stable")
        order = order[score[order] >= np.float32(self._conf)]
        return Detections(found[order] * scale, score[order], np.zeros(len(order), np.int64))


def _background_model(config: MotionConfig) -> Any:
    import cv2

    # Shadows are detected so that they can be left out; otherwise they would count as motion.
    if config.motion_method == "knn":
        return cv2.createBackgroundSubtractorKNN(config.motion_history, config.motion_threshold * 16, True)
    return cv2.createBackgroundSubtractorMOG2(config.motion_history, config.motion_threshold, True)


def _reduced(image: Image, side: int) -> tuple[Image, FloatArray]:
    """Return the image made smaller, and the ``(4,)`` factors that lead boxes back."""
    import cv2

    height, width = image.shape[:2]
    factor = min(1.0, side / min(height, width))
    if factor == 1.0:
        return image, np.ones(4, np.float32)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    back = np.array([width / size[0], height / size[1]], np.float32)
    return small.astype(np.uint8, copy=False), np.concatenate([back, back])


def _blobs(mask: BoolArray) -> FloatArray:
    """Return ``(n, 4)`` boxes around the connected pieces of `mask`, a gap of few pixels being no gap."""
    import cv2

    above = np.ones((2 * _GAP + 1, 1), np.uint8)  # objects break between head, body and legs, and stand side by side
    _, _, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(mask.astype(np.uint8), above))
    x, y, w, h = stats[1:, :4].T.astype(np.float32)
    height = mask.shape[0]  # what the dilation added is taken off again, but for where the image had cut it off
    top, bottom = np.where(y > 0, y + _GAP, y), np.where(y + h < height, y + h - _GAP, y + h)
    return np.stack([x, top, x + w, bottom], axis=1)


class UsualSizes:
    """Learns how wide and high objects usually are, by where their feet are: farther up means farther away.

    Objects count as equally far away over a difference in height of `reach` pixels.
    """

    def __init__(self, reach: float) -> None:
        self._reach = reach
        self._bottoms = np.zeros(0, np.float32)
        self._sizes = np.zeros((0, 2), np.float32)

    def learn(self, blobs: FloatArray) -> None:
        """Remember the ``(n, 4)`` boxes of one frame, and forget the oldest."""
        self._bottoms = np.concatenate([self._bottoms, blobs[:, 3]])[-_MEMORY:]
        self._sizes = np.concatenate([self._sizes, blobs[:, 2:] - blobs[:, :2]])[-_MEMORY:]

    def at(self, bottom: float) -> tuple[float, float] | None:
        """Return the usual width and height of objects whose lower edge is near `bottom`; None while unknown."""
        near = self._sizes[np.abs(self._bottoms - bottom) <= self._reach]
        if len(near) < _ENOUGH:
            return None
        near.partition(len(near) // 2, axis=0)
        width, height = near[len(near) // 2].tolist()
        return width, height


def objects(mask: BoolArray, blobs: FloatArray, sizes: UsualSizes, min_area: float) -> FloatArray:
    """Return ``(n, 4)`` boxes of objects: pieces of one joined, several in one blob cut apart, crumbs left out.

    What moves is `mask` ``(h, w)``, with `blobs` ``(m, 4)`` around its connected pieces; an object has at least
    `min_area` moving pixels.
    """
    found = []
    for box in _joined(blobs, sizes):
        found += _cut(mask, box, _usual(mask, box, sizes))
    boxes = np.array(found, np.float32).reshape(-1, 4)
    return boxes[[_moving(mask, box) >= min_area for box in boxes]] if len(boxes) else boxes


def _usual(mask: BoolArray, box: FloatArray, sizes: UsualSizes) -> tuple[float, float] | None:
    """Return the usual size at the feet of `box`; None where the image's lower edge hides how near they are."""
    return None if box[3] >= mask.shape[0] - 1 else sizes.at(box[3])


def _moving(mask: BoolArray, box: FloatArray) -> int:
    x1, y1, x2, y2 = box.astype(int)
    return int(np.count_nonzero(mask[y1:y2, x1:x2]))


def _joined(blobs: FloatArray, sizes: UsualSizes) -> list[FloatArray]:
    """Return the boxes with those that lie above each other and together are no larger than usual made one."""
    boxes = sorted(blobs, key=lambda b: -b[3])  # from the feet upwards
    joined: list[FloatArray] = []
    for box in boxes:
        for k, lower in enumerate(joined):
            usual = sizes.at(lower[3])
            if usual is not None and _is_upper_part(box, lower, usual):
                joined[k] = np.concatenate([np.minimum(box[:2], lower[:2]), np.maximum(box[2:], lower[2:])])
                break
        else:
            joined.append(box)
    return joined


def _is_upper_part(upper: FloatArray, lower: FloatArray, usual: tuple[float, float]) -> bool:
    """Tell whether two boxes are pieces of one object: above each other, near, and together of usual size."""
    shared = min(upper[2], lower[2]) - max(upper[0], lower[0])
    narrower = min(upper[2] - upper[0], lower[2] - lower[0])
    width = max(upper[2], lower[2]) - min(upper[0], lower[0])
    height = lower[3] - min(upper[1], lower[1])
    gap = lower[1] - upper[3]
    return bool(
        shared > 0.5 * narrower and gap < 0.3 * usual[1] and width < 1.4 * usual[0] and height < 1.25 * usual[1]
    )


def _cut(mask: BoolArray, box: FloatArray, usual: tuple[float, float] | None) -> list[FloatArray]:
    """Return the box, or the boxes of the several objects it holds: side by side first, then behind each other."""
    if usual is None:
        return [box]
    parts = []
    for part in _cut_along(mask, box, usual[0], axis=0):
        parts += _cut_along(mask, part, usual[1], axis=1)
    return parts


def _cut_along(mask: BoolArray, box: FloatArray, usual: float, *, axis: int) -> list[FloatArray]:
    """Cut `box` across `axis` (0: x, 1: y) where the fewest pixels move, into pieces of about the `usual` length."""
    low, high = int(box[axis]), int(box[axis + 2])
    pieces = round((high - low) / usual)
    if pieces < 2 or usual < 4:
        return [box]
    x1, y1, x2, y2 = box.astype(int)
    profile = np.count_nonzero(mask[y1:y2, x1:x2], axis=axis)
    step, slack = (high - low) / pieces, usual * 0.3
    cuts = [0]
    for k in range(1, pieces):
        start, stop = int(k * step - slack), int(k * step + slack) + 1
        cuts.append(start + int(np.argmin(profile[start:stop])))
    cuts.append(high - low)
    boxes = []
    for start, stop in itertools.pairwise(cuts):
        piece = box.copy()
        piece[axis], piece[axis + 2] = low + start, low + stop
        boxes += _tight(mask, piece)
    return boxes


def _tight(mask: BoolArray, box: FloatArray) -> list[FloatArray]:
    """Return the box shrunk to what moves in it; nothing where nothing does."""
    x1, y1, x2, y2 = box.astype(int)
    inside = mask[y1:y2, x1:x2]
    columns, rows = np.flatnonzero(inside.any(0)), np.flatnonzero(inside.any(1))
    if not len(columns):
        return []
    return [np.array([x1 + columns[0], y1 + rows[0], x1 + columns[-1] + 1, y1 + rows[-1] + 1], np.float32)]


def scores(mask: BoolArray, boxes: FloatArray, sizes: UsualSizes) -> FloatArray:
    """Return ``(n,)`` scores in 0.3…0.9: how near the size of a box is to the usual one there.

    How well a box is filled, how big it is, and whether there was one in the last frame predict less.
    """
    score = np.full(len(boxes), _UNSURE, np.float32)
    for row, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        usual = _usual(mask, boxes[row], sizes)
        if usual is not None:
            odd = abs(math.log((x2 - x1) / usual[0])) + abs(math.log((y2 - y1) / usual[1]))
            score[row] = max(0.3, 0.9 - 0.4 * odd)
    return score
