"""Boxes moved by the sparse optical flow inside them (pyramidal Lucas-Kanade; Bouguet 2001)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, Image
from mot_dinov3.trackers.camera_motion import reduced

Array = npt.NDArray[np.float64]

WIDTH = 640  # px of the reduced image: a person of full HD is still wider than the window below
COLUMNS, ROWS = 4, 6  # points in a box
MARGIN = np.array([0.25, 0.1])  # share of the box left out on each side: mostly background
WINDOW, LEVELS = (11, 11), 2
RETURN = 0.5  # px of the reduced image: a point that does not come back this near was not followed
LEAST = 5  # points that must have been followed for their median to count


def displacement(steps: Array, followed: BoolArray, otherwise: Array) -> Array:
    """Return ``(n, 2)`` how far each box moved: its points' median step, which background and limbs hardly touch.

    Args:
        steps: ``(n, k, 2)`` px that each box's points moved.
        followed: ``(n, k)`` bool: the point was tracked.
        otherwise: ``(n, 2)`` steps of boxes with too few tracked points.
    """
    moved = otherwise.astype(np.float64)
    for row in np.flatnonzero(followed.sum(axis=1) >= LEAST):
        moved[row] = np.median(steps[row, followed[row]], axis=0)
    return moved


def grid(xyxy: Array) -> Array:
    """Return ``(n, k, 2)`` points spread evenly over the inner part of each ``(n, 4)`` corner box."""
    x, y = (np.linspace(m, 1 - m, count) for m, count in zip(MARGIN, (COLUMNS, ROWS)))
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return np.asarray(xyxy[:, None, :2] + places * (xyxy[:, 2:] - xyxy[:, :2])[:, None])


class BoxFlow:
    """Tracks the content of boxes from one image to the next; holds one reduced image."""

    def __init__(self) -> None:
        self._last: npt.NDArray[np.uint8] | None = None

    def start(self, image: Image) -> None:
        """Set the ``(h, w, 3)`` image from which the next step starts."""
        self._last, _ = reduced(image, WIDTH)

    def step(self, image: Image, xyxy: Array, otherwise: Array) -> Array:
        """Return ``(n, 2)`` px that the ``(n, 4)`` corner boxes of the last image moved until this one.

        Args:
            image: ``(h, w, 3)`` uint8 BGR.
            xyxy: Boxes in the last image.
            otherwise: ``(n, 2)`` steps of boxes whose flow is unknown.
        """
        import cv2

        grey, scale = reduced(image, WIDTH)
        last, self._last = self._last, grey
        if last is None or last.shape != grey.shape or not len(xyxy):
            return otherwise
        start = grid(xyxy * scale)
        points = start.reshape(-1, 1, 2).astype(np.float32)
        how = {"winSize": WINDOW, "maxLevel": LEVELS}
        ends, found, _ = cv2.calcOpticalFlowPyrLK(last, grey, points, None, **how)  # type: ignore[call-overload]
        back, again, _ = cv2.calcOpticalFlowPyrLK(grey, last, ends, None, **how)  # type: ignore[call-overload]
        strayed = np.hypot(*(back - points).reshape(-1, 2).T)
        followed = (found.ravel() == 1) & (again.ravel() == 1) & (strayed < RETURN)
        steps = (ends.reshape(start.shape) - start) / scale
        return displacement(steps, followed.reshape(start.shape[:2]), otherwise)
