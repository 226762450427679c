"""Optical flow (pyramidal Lucas-Kanade; Bouguet 2001): the camera's own motion, and that of boxes.

Both start from `Frame.grey`, which is made once. OpenCV takes pyramids that are built in advance in C++ only: building
them again in each call costs 0.2 ms.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mot_dinov3.core.structures import BoolArray, Float64Array, Frame, GreyImage, Image
from mot_dinov3.trackers.scene_cut import CutDetector

CAMERA_WIDTH = 400  # px of the reduced image: a shift of one full-HD pixel is still a fifth of a pixel here
POINTS = 200
STILL = 2.0  # grey levels: sensor and compression noise move the median pixel by less
LEAST_BACKGROUND = 12  # points that must have been followed for the camera's motion to count

COLUMNS, ROWS = 4, 6  # points in a box
MARGIN = np.array([0.25, 0.1])  # share of the box left out on each side: mostly background
WINDOW, LEVELS = (11, 11), 2
RETURN = 0.5  # px of the reduced image: a point that does not come back this near was not followed
LEAST_IN_BOX = 5  # points that must have been followed for their median to count
MOST_SCALED = 1.05  # factor by which a box may grow or shrink from one frame to the next


class CameraMotion:
    """Estimates the background's motion since the last image (BoT-SORT 2206.14651); holds one reduced image.

    Args:
        scene_cuts: Look for hard cuts where the background cannot be followed.

    Attributes:
        cut: The last image shows another scene than those before.
    """

    def __init__(self, *, scene_cuts: bool = False) -> None:
        self.cut = False
        self._last: Image | None = None
        self._cuts = CutDetector() if scene_cuts else None
        self._undecided = False

    def estimate(self, frame: Frame, moving: Float64Array) -> Float64Array | None:
        """Return the ``(2, 3)`` rotation, scale and shift from the last image to this one, in full-size pixels.

        Args:
            frame: The next frame; one without an image is passed over.
            moving: ``(n, 4)`` corner boxes in the last image whose pixels are not background.

        Returns:
            None for the first image, a still camera, or where too little background can be followed.
        """
        import cv2

        self.cut = False
        if frame.grey is None:
            return None
        small = frame.grey.reduced(CAMERA_WIDTH)
        grey, scale = small.levels, small.scale
        last, self._last = self._last, grey
        if last is None or last.shape != grey.shape:
            return None
        still = _still(last, grey)
        affine = None if still else _follow(cv2, last, grey, moving * scale)
        if affine is not None:
            affine[:, 2] /= scale
        if self._cuts is not None:
            self._look_for_cut(self._cuts, last, grey, same=still or affine is not None)
        return affine

    def _look_for_cut(self, cuts: CutDetector, last: Image, grey: Image, *, same: bool) -> None:
        """Set `cut`; while that cannot be told, the last image stays the one to compare with."""
        if same:
            if self._undecided:
                cuts.clear()
                self._undecided = False
            return
        cut = cuts.is_cut(last, grey)
        self.cut, self._undecided = bool(cut), cut is None
        if self._undecided:
            self._last = last


def _still(last: Image, grey: Image) -> bool:
    """Return whether most pixels kept their value: cheap, and true for a fixed camera however busy the scene."""
    change = np.abs(last[::4, ::4].astype(np.int16) - grey[::4, ::4])
    return float(np.median(change)) < STILL and float(np.percentile(change, 75)) < 2 * STILL


def _follow(cv2: Any, last: Image, grey: Image, moving: Float64Array) -> Float64Array | None:
    mask = np.full(last.shape, 255, np.uint8)
    for x1, y1, x2, y2 in np.clip(moving, 0, 1 << 14).astype(int).tolist():
        mask[y1 : y2 + 1, x1 : x2 + 1] = 0
    points = cv2.goodFeaturesToTrack(last, POINTS, 0.01, 5, mask=mask)
    if points is None or len(points) < LEAST_BACKGROUND:
        return None
    ends, found, _ = cv2.calcOpticalFlowPyrLK(last, grey, points, None, winSize=(15, 15), maxLevel=3)
    kept = found.ravel() == 1
    if kept.sum() < LEAST_BACKGROUND:
        return None
    affine, inliers = cv2.estimateAffinePartial2D(points[kept], ends[kept], ransacReprojThreshold=1.5)
    if affine is None or inliers.sum() < max(LEAST_BACKGROUND, 0.3 * kept.sum()):
        return None
    return np.asarray(affine, np.float64)


@dataclasses.dataclass(frozen=True)
class BoxSteps:
    """Motion of boxes from one image to the next.

    Attributes:
        shift: ``(n, 2)`` px that each box's centre moved.
        scale: ``(n,)`` factor on its width and height.
        followed: ``(n,)`` bool: enough of its points were tracked; the other boxes moved as expected.
    """

    shift: Float64Array
    scale: Float64Array
    followed: BoolArray

    @classmethod
    def expected(cls, shift: Float64Array) -> BoxSteps:
        """Return the steps of boxes of which nothing could be tracked."""
        return cls(shift.astype(np.float64), np.ones(len(shift)), np.zeros(len(shift), np.bool_))


def displacement(start: Float64Array, end: Float64Array, tracked: BoolArray, otherwise: Float64Array) -> BoxSteps:
    """Return how boxes moved: their points' median step, which background and limbs hardly touch, and their spread.

    Args:
        start: ``(n, k, 2)`` px, the points in the last image.
        end: ``(n, k, 2)`` px, the points in this image.
        tracked: ``(n, k)`` bool: the point was tracked.
        otherwise: ``(n, 2)`` steps of boxes with too few tracked points.
    """
    steps = BoxSteps.expected(otherwise)
    rows = np.flatnonzero(tracked.sum(axis=1) >= LEAST_IN_BOX)
    before, after, chosen = start[rows], end[rows], tracked[rows]
    steps.followed[rows] = True
    steps.shift[rows] = _median(after - before, chosen)
    spread, now = _spread(before, chosen), _spread(after, chosen)
    known = spread > 0
    steps.scale[rows[known]] = np.clip(now[known] / spread[known], 1 / MOST_SCALED, MOST_SCALED)
    return steps


def _median(points: Float64Array, chosen: BoolArray) -> Float64Array:
    """Return ``(n, 2)`` medians of the chosen ones, at least one in each row, of ``(n, k, 2)`` points."""
    ordered = np.sort(np.where(chosen[:, :, None], points, np.inf), axis=1)
    row, count = np.arange(len(points)), chosen.sum(axis=1)
    return np.asarray((ordered[row, (count - 1) // 2] + ordered[row, count // 2]) / 2)


def _spread(points: Float64Array, chosen: BoolArray) -> Float64Array:
    """Return ``(n,)`` the median distance of the chosen ones from their mean, both directions added up."""
    mean = np.where(chosen[:, :, None], points, 0.0).sum(axis=1) / chosen.sum(axis=1)[:, None]
    return np.asarray(_median(np.abs(points - mean[:, None]), chosen).sum(axis=1))


def unoccluded(points: Float64Array, xyxy: Float64Array) -> BoolArray:
    """Return ``(n, k)`` bool: the point lies in no box that stands in front of its own, with a lower bottom edge.

    Args:
        points: ``(n, k, 2)`` px, points of each box.
        xyxy: ``(n, 4)`` corner boxes.
    """
    low, high = xyxy[:, None, None, :2], xyxy[:, None, None, 2:]
    inside = ((points >= low) & (points <= high)).all(axis=3)  # (box, box of the point, point)
    in_front = xyxy[:, None, 3] > xyxy[None, :, 3]
    return np.asarray(~(inside & in_front[:, :, None]).any(axis=0))


def grid(xyxy: Float64Array) -> Float64Array:
    """Return ``(n, k, 2)`` points spread evenly over the inner part of each ``(n, 4)`` corner box."""
    x, y = (np.linspace(m, 1 - m, count) for m, count in zip(MARGIN, (COLUMNS, ROWS)))
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return np.asarray(xyxy[:, None, :2] + places * (xyxy[:, 2:] - xyxy[:, :2])[:, None])


class BoxFlow:
    """Tracks the content of boxes from one image to the next, with so many points each; holds one reduced image."""

    def __init__(self) -> None:
        self._last: GreyImage | None = None

    def step(self, frame: Frame, xyxy: Float64Array, otherwise: Float64Array) -> BoxSteps:
        """Return how the ``(n, 4)`` corner boxes of the last image moved until this one.

        Args:
            frame: The next frame.
            xyxy: Boxes in the last image.
            otherwise: ``(n, 2)`` steps of boxes whose flow is unknown.
        """
        last, self._last = self._last, frame.grey
        now = self._last
        if last is None or now is None or last.levels.shape != now.levels.shape or not len(xyxy):
            return BoxSteps.expected(otherwise)
        start = grid(xyxy * now.scale)
        # What stands in front must not drag along what is behind it.
        tracked = unoccluded(start, xyxy * now.scale)
        end = start.copy()
        end[tracked], found = _forward_backward(last.levels, now.levels, start[tracked])
        tracked[tracked] = found
        return displacement(start / now.scale, end / now.scale, tracked, otherwise)


def _forward_backward(last: Image, grey: Image, start: Float64Array) -> tuple[Float64Array, BoolArray]:
    """Return where ``(m, 2)`` points of the last image are now, and whether they come back from there."""
    import cv2

    if not len(start):
        return start, np.zeros(0, np.bool_)
    points = start.reshape(-1, 1, 2).astype(np.float32)
    how = {"winSize": WINDOW, "maxLevel": LEVELS}
    ends, found, _ = cv2.calcOpticalFlowPyrLK(last, grey, points, None, **how)  # type: ignore[call-overload]
    back, again, _ = cv2.calcOpticalFlowPyrLK(grey, last, ends, None, **how)  # type: ignore[call-overload]
    strayed = np.hypot(*(back - points).reshape(-1, 2).T)
    return ends.reshape(-1, 2), (found.ravel() == 1) & (again.ravel() == 1) & (strayed < RETURN)
