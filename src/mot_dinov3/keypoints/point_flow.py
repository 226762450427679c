"""Frame-to-frame motion: pyramidal Lucas-Kanade with a forward-backward check, on keypoints and support points.

Bouguet, Pyramidal implementation of the Lucas-Kanade feature tracker, 2001; Kalal, Mikolajczyk and Matas,
Forward-backward error, ICPR 2010.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Image
from mot_dinov3.keypoints.geometry import IDENTITY, Array, Matrix, Points, apply, robust_similarity, scale_of

Mask = npt.NDArray[np.bool_]

BACK_ERROR = 1.5  # pixels of forward-backward error up to which Lucas-Kanade is trusted
BACKGROUND_POINTS = 60
BACKGROUND_MARGIN = 15  # pixels around the instances
LEAST_BACKGROUND = 6  # points that must agree, and …
LEAST_AGREEING = 0.4  # … this share of those that were found
AGREES, CLEARLY_OFF = 3.0, 1.0  # pixels
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
        background: Motion of the background, or None where that is unknown.
    """

    xy: Points
    error: Array
    background: Matrix | None = None

    def part(self, start: int, stop: int | None) -> Flow:
        """Return the flow of the points from `start` to `stop` (exclusive)."""
        return dataclasses.replace(self, xy=self.xy[start:stop], error=self.error[start:stop])


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


class Background:
    """Corners outside all instances, and their common motion: what follows it does not belong to an animal."""

    def __init__(self) -> None:
        self.points: Points = np.zeros((0, 2))

    def renew(self, grey: Image, bodies: Sequence[Points]) -> None:
        """Choose corners outside the outlines of the `bodies`, each ``(k, 2)``, once too few are left."""
        import cv2

        if len(self.points) >= BACKGROUND_POINTS / 2:
            return
        covered = np.zeros(grey.shape[:2], np.uint8)
        for body in bodies:
            outline = np.rint(np.clip(body, -1e4, 1e4)).astype(np.int32)
            cv2.fillPoly(covered, [outline], 1)
            cv2.polylines(covered, [outline], True, 1, 2 * BACKGROUND_MARGIN)
        free = covered == 0
        self.points = pick_supports(grey, free, np.zeros((0, 2)), count=BACKGROUND_POINTS, reach=0.0)

    def follow(self, flow: Flow, size: tuple[int, ...]) -> Matrix | None:
        """Move the points on by their `flow` in a frame of ``(h, w)``; return their motion, None if they disagree."""
        found = flow.error <= BACK_ERROR
        before, after = self.points[found], flow.xy[found]
        inside = ((after > 2) & (after < (size[1] - 3, size[0] - 3))).all(1)
        motion = robust_similarity(before, after, np.ones(len(before)), width=1.0)
        if motion is None:
            self.points = after[inside]
            return None
        fits = np.linalg.norm(after - apply(motion, before), axis=1) < AGREES
        self.points = after[fits & inside]
        return motion if fits.sum() >= max(LEAST_BACKGROUND, LEAST_AGREEING * len(before)) else None


def whole_motion(start: Points, end: Points, weight: Array, keypoints: int) -> Matrix:
    """Return the motion of an instance as a whole, by its supports where there are enough of them.

    Args:
        start: ``(n, 2)`` keypoints and supports before.
        end: ``(n, 2)`` afterwards.
        weight: ``(n,)`` confidence in each; 0 leaves a point out.
        keypoints: How many of them, at the beginning, are keypoints.
    """
    rows = np.flatnonzero(weight > 0)
    of_supports = rows[rows >= keypoints]
    chosen = of_supports if len(of_supports) >= 4 else rows
    if len(chosen) < 3:
        return IDENTITY.copy()
    whole = robust_similarity(start[chosen], end[chosen], weight[chosen])
    return IDENTITY.copy() if whole is None or not 0.7 < scale_of(whole) < 1.4 else whole


def follows_background(start: Points, end: Points, *, own: Matrix, background: Matrix | None) -> Mask:
    """Return the ``(n,)`` bool of points whose motion is clearly not the instance's `own`, but the background's."""
    if background is None:
        return np.zeros(len(start), np.bool_)
    off = np.linalg.norm(end - apply(own, start), axis=1)
    return np.asarray(off > CLEARLY_OFF + np.linalg.norm(end - apply(background, start), axis=1), np.bool_)


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
