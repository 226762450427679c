"""Frame-to-frame motion: pyramidal Lucas-Kanade with a forward-backward check, on keypoints and support points.

Bouguet, Pyramidal implementation of the Lucas-Kanade feature tracker, 2001; Kalal, Mikolajczyk and Matas,
Forward-backward error, ICPR 2010.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Image
from mot_dinov3.keypoints.geometry import Array, Points

Mask = npt.NDArray[np.bool_]

LEVELS, LEVELS_WITH_GUESS = 4, 2  # of the pyramid above full resolution; few suffice after a good first guess
TERMINATION = (3, 15, 0.02)  # OpenCV's COUNT + EPS: 15 iterations, or a step below 0.02 px


@dataclasses.dataclass(frozen=True)
class FlowFrame:
    """A frame prepared for Lucas-Kanade.

    Attributes:
        index: 0-based frame number.
        image: ``(h, w, 3)`` uint8 BGR.
        grey: ``(h, w)`` uint8.
    """

    index: int
    image: Image
    grey: Image

    @classmethod
    def of(cls, index: int, image: Image) -> FlowFrame:
        """Return the frame of an image."""
        import cv2

        return cls(index, image, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8))


@dataclasses.dataclass(frozen=True)
class Flow:
    """New positions of points.

    Attributes:
        xy: ``(n, 2)`` float64.
        error: ``(n,)`` forward-backward error in pixels, infinite where a point was not found.
    """

    xy: Points
    error: Array


@dataclasses.dataclass(frozen=True)
class SupportMotion:
    """Motion of the support points around the keypoints.

    Attributes:
        xy: ``(m, 2)`` positions before.
        moves: ``(m, 2)`` displacements.
        weights: ``(m,)`` confidence in each; 0 leaves a support out.
    """

    xy: Points
    moves: Points
    weights: Array

    def at(self, points: Points, *, reach: float) -> Points:
        """Return the ``(n, 2)`` displacements at `points`: weighted means of the moves within about `reach`."""
        if not len(self.xy) or self.weights.sum() <= 0:
            return np.zeros_like(points)
        square = ((points[:, None] - self.xy[None]) ** 2).sum(2)
        nearness = np.exp(-square / (2 * reach**2)) + 1e-6 / (1 + square)
        shares = nearness * self.weights
        return np.asarray(shares @ self.moves / shares.sum(1, keepdims=True))


def lucas_kanade(before: Image, after: Image, points: Points, *, window: int, guess: Points | None = None) -> Flow:
    """Track points from one image to another and back again.

    Args:
        before: Grey image that `points` lie in.
        after: The other grey image.
        points: ``(n, 2)``.
        window: Side of the window in pixels.
        guess: ``(n, 2)`` first guess of the new positions, or None for the old ones.
    """
    import cv2

    if not len(points):
        return Flow(points.copy(), np.zeros(0))
    levels = LEVELS if guess is None else LEVELS_WITH_GUESS
    options: dict[str, Any] = {"winSize": (window, window), "maxLevel": levels, "criteria": TERMINATION}
    start = points.astype(np.float32)[:, None]
    flags = 0 if guess is None else cv2.OPTFLOW_USE_INITIAL_FLOW
    first: Any = None if guess is None else guess.astype(np.float32)[:, None].copy()
    forward, found, _ = cv2.calcOpticalFlowPyrLK(before, after, start, first, flags=flags, **options)
    # the way back gets the same help: a first guess at where it should end
    back_guess: Any = None if first is None else forward - first + start
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, forward, back_guess, flags=flags, **options)
    error = np.linalg.norm(back[:, 0].astype(np.float64) - points, axis=1)
    lost = (found[:, 0] == 0) | (found_back[:, 0] == 0) | ~np.isfinite(error)
    return Flow(forward[:, 0].astype(np.float64), np.where(lost, np.inf, error))


def pick_supports(grey: Image, mask: Mask | None, keypoints: Points, *, count: int, reach: float) -> Points:
    """Return up to `count` ``(m, 2)`` corners to track: in `mask`, or without one among or near the keypoints."""
    import cv2

    height, width = grey.shape[:2]
    allowed = np.zeros((height, width), np.uint8)
    if mask is not None:
        allowed[mask] = 255
    else:
        hull = cv2.convexHull(keypoints.astype(np.float32)).astype(np.int32)
        cv2.fillConvexPoly(allowed, hull, 255)
        for x, y in keypoints:
            cv2.circle(allowed, (round(x), round(y)), max(2, round(reach)), 255, -1)
    spacing = max(3.0, float(np.sqrt(np.count_nonzero(allowed) / (2.0 * count))))
    left, top, wide, tall = cv2.boundingRect(allowed)
    if wide == 0:
        return np.zeros((0, 2))
    region = np.ascontiguousarray(grey[top : top + tall, left : left + wide])
    inside = np.ascontiguousarray(allowed[top : top + tall, left : left + wide])
    corners = cv2.goodFeaturesToTrack(region, count, 0.005, spacing, mask=inside, blockSize=5)
    if corners is None:
        return np.zeros((0, 2))
    return corners[:, 0].astype(np.float64) + np.array([left, top])
