"""Frame-to-frame motion: pyramidal Lucas-Kanade with a forward-backward check, on keypoints and support points.

Bouguet, Pyramidal implementation of the Lucas-Kanade feature tracker, 2001; Kalal, Mikolajczyk and Matas,
Forward-backward error, ICPR 2010.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, Image
from mot_dinov3.keypoints.geometry import Points

Mask = npt.NDArray[np.bool_]

LEVELS = 4
ENOUGH = (3, 15, 0.02)  # OpenCV's COUNT + EPS: 15 iterations, or a step below 0.02 px
NEAR = 3.0  # a point takes over the motion of supports within about so many times the spacing of the supports


@dataclasses.dataclass(frozen=True)
class Picture:
    """A frame prepared for Lucas-Kanade.

    Attributes:
        index: 0-based number of the frame.
        image: ``(h, w, 3)`` uint8 BGR.
        grey: ``(h, w)`` uint8.
    """

    index: int
    image: Image
    grey: Image

    @classmethod
    def of(cls, index: int, image: Image) -> Picture:
        """Prepare a picture."""
        import cv2

        return cls(index, image, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8))


@dataclasses.dataclass(frozen=True)
class Flow:
    """Where points went.

    Attributes:
        xy: ``(n, 2)`` float64 new places.
        error: ``(n,)`` forward-backward error in pixels, infinite where a point was not found.
    """

    xy: Points
    error: npt.NDArray[np.float64]

    def good(self, limit: float) -> BoolArray:
        """Tell for each point whether its forward-backward error is at most `limit` pixels."""
        return self.error <= limit


def follow(
    before: Image, after: Image, points: Points, *, window: int, guess: Points | None = None, levels: int = LEVELS
) -> Flow:
    """Follow points from one picture to another and back again.

    Args:
        before: Grey picture that `points` lie in.
        after: The other grey picture.
        points: ``(n, 2)``.
        window: Side of the window in pixels.
        guess: ``(n, 2)`` first guess of the new places, or None for the old ones.
        levels: Of the pyramid beyond the full picture; few are enough after a good guess.
    """
    import cv2

    if not len(points):
        return Flow(points.copy(), np.zeros(0))
    options: dict[str, Any] = {"winSize": (window, window), "maxLevel": levels, "criteria": ENOUGH}
    start = points.astype(np.float32)[:, None]
    flags = 0 if guess is None else cv2.OPTFLOW_USE_INITIAL_FLOW
    first: Any = None if guess is None else guess.astype(np.float32)[:, None].copy()
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, start, first, flags=flags, **options)
    # the way back gets the same help: a first guess at where it should end
    back_guess: Any = None if first is None else there - first + start
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, back_guess, flags=flags, **options)
    error = np.linalg.norm(back[:, 0].astype(np.float64) - points, axis=1)
    lost = (found[:, 0] == 0) | (found_back[:, 0] == 0) | ~np.isfinite(error)
    return Flow(there[:, 0].astype(np.float64), np.where(lost, np.inf, error))


def carried(points: Points, supports: Points, moves: Points, weights: npt.NDArray[np.float64], reach: float) -> Points:
    """Return the displacement of each point as the weighted mean of the moves of the supports around it.

    Args:
        points: ``(n, 2)``.
        supports: ``(m, 2)`` where the supports were.
        moves: ``(m, 2)`` how they moved.
        weights: ``(m,)``, 0 for a support that is not to be trusted.
        reach: Pixels over which a support's influence falls off.
    """
    if not len(supports) or weights.sum() <= 0:
        return np.zeros_like(points)
    square = ((points[:, None] - supports[None]) ** 2).sum(2)
    nearness = np.exp(-square / (2 * reach**2)) + 1e-6 / (1 + square)
    shares = nearness * weights
    return np.asarray(shares @ moves / shares.sum(1, keepdims=True))


def pick_supports(grey: Image, mask: Mask | None, keypoints: Points, *, count: int, reach: float) -> Points:
    """Return up to `count` ``(m, 2)`` points worth following: corners inside `mask`, or near the keypoints without one.

    Args:
        grey: ``(h, w)`` uint8.
        mask: ``(h, w)`` bool of the instance, or None.
        keypoints: ``(n, 2)`` of the instance.
        count: How many.
        reach: Pixels from a keypoint within which a support may lie where there is no mask.
    """
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
