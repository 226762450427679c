"""Pose of an instance by its colours, which keeps size and angle where the points on it are lost or drift.

Each pixel gets the log-odds of its colour inside the labelled outline against outside it, by histograms of the labelled
frame. The outline is moved, turned and scaled to where they are highest inside it, less those of a ring around it.

Bibby and Reid, Robust real-time visual tracking using pixel-wise posteriors, ECCV 2008: here with fixed histograms,
which cannot drift, and a search of a few sizes and angles in place of a descent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, FloatArray, Image
from mot_dinov3.keypoints import masks
from mot_dinov3.keypoints.geometry import Canvas, Matrix, Points, apply, compose
from mot_dinov3.keypoints.point_flow import Mask

SIDE = 96  # pixels of the small canvas, which shows …
MARGIN = 2.0  # … so many times the instance's size
RING = 0.06  # of the canvas's side: width of the ring around the outline
NEAR = 3  # pixels around the outline that belong neither to the instance nor to the background
BINS = (8, 16, 16)  # of lightness, green to red and blue to yellow
BIN_BLUR = (0.6, 0.8, 0.8)  # in bins: similar colours count, too
RAREST = 5e-5  # share of pixels, below which a colour is unknown
MOST_ODDS = 3.0  # one colour is not to decide alone
DISTINCT = 0.8  # log-odds by which the instance differs from its surroundings, for its colours to be used
SCALES = (0.84, 0.92, 1.0, 1.09, 1.19)
ANGLES = (-20.0, -10.0, 0.0, 10.0, 20.0)  # degrees
REACH = 14  # pixels of the small canvas
COST = 0.15  # of the labelled log-odds: what a change costs that is usual from one key frame to the next:
USUAL_SCALE, USUAL_ANGLE, USUAL_SHIFT = 0.15, 25.0, 12.0  # logarithm, degrees, pixels
GAIN = 0.05  # of the labelled log-odds, by which another pose must be better
LEAST = 0.35  # of the labelled log-odds, below which the instance is not there
RATE = 0.5  # weight of the pose found


@dataclasses.dataclass(frozen=True)
class _Change:
    """A turn and scaling of the small canvas around its middle.

    Attributes:
        matrix: ``2×3``.
        weights: ``(SIDE, SIDE)``: mean inside the changed outline less that of its ring.
        cost: Without that of a shift, in labelled log-odds.
    """

    matrix: Matrix
    weights: FloatArray
    cost: float


class ColourPose:
    """The colours and the outline of an instance in its labelled frame.

    Args:
        image: The labelled frame.
        polygons: The instance's outlines there.

    Attributes:
        distinct: Its colours differ enough from those around it to be used.
    """

    def __init__(self, image: Image, polygons: Sequence[Points]) -> None:
        import cv2

        self._canvas = Canvas.around(np.vstack(polygons), limit=SIDE, margin=MARGIN, enlarge=float(SIDE))
        inside = masks.rasterize([apply(self._canvas.to_canvas, p) for p in polygons], (SIDE, SIDE))
        self._near = _grown(inside, NEAR)
        bins = self._bins(image, np.eye(2, 3))
        self._odds = _log_odds(_histogram(bins[inside]), _histogram(bins[~self._near]))
        ring = _grown(inside, round(RING * SIDE)) & ~inside
        self._changes = []
        middle = ((SIDE - 1) / 2, (SIDE - 1) / 2)
        for scale in SCALES:
            for angle in ANGLES:
                matrix = np.asarray(cv2.getRotationMatrix2D(middle, -angle, scale), np.float64)
                cost = (np.log(scale) / USUAL_SCALE) ** 2 + (angle / USUAL_ANGLE) ** 2
                weights = _mean_of(inside, matrix) - _mean_of(ring, matrix)
                self._changes.append(_Change(matrix, weights, COST * float(cost)))
        self._labelled = self._difference(self._odds_of(bins))
        self.distinct = bool(inside.any() and ring.any() and self._labelled >= DISTINCT)

    def fit(self, image: Image, pose: Matrix) -> Matrix:
        """Return a pose nearer than `pose` to the instance's colours in `image`, or itself: none is clearly better."""
        import cv2

        odds = self._odds_of(self._bins(image, pose))
        wide = cv2.copyMakeBorder(odds, REACH, REACH, REACH, REACH, cv2.BORDER_CONSTANT, value=0.0)

        # The best of all changes and shifts, each less what it costs.
        row, column = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
        shift_cost = COST * (row**2 + column**2) / USUAL_SHIFT**2
        best, found, raw = self._difference(odds) + GAIN * self._labelled, None, 0.0
        for change in self._changes:
            values = np.asarray(cv2.matchTemplate(wide, change.weights, cv2.TM_CCORR), np.float64)
            costly = values - self._labelled * (change.cost + shift_cost)
            at = np.unravel_index(costly.argmax(), costly.shape)
            if costly[at] > best:
                best, raw = float(costly[at]), float(values[at])
                found = compose(np.array([[1.0, 0.0, column[at]], [0.0, 1.0, row[at]]]), change.matrix)
        if found is None or raw < LEAST * self._labelled:
            return pose

        return (1 - RATE) * pose + RATE * self._canvas.moved(pose, found)

    def covers(self, points: Points, pose: Matrix) -> BoolArray:
        """Return the ``(n,)`` bool of points of the current frame in or near the labelled outline under `pose`."""
        column, row = np.clip(np.rint(apply(self._canvas.matrix(pose), points)), 0, SIDE - 1).astype(int).T
        return np.asarray(self._near[row, column], np.bool_)

    def _bins(self, image: Image, pose: Matrix) -> npt.NDArray[np.int64]:
        """Return the ``(SIDE, SIDE)`` numbers of the colours of an image on the small canvas."""
        import cv2

        lab = cv2.cvtColor(self._canvas.view(image, pose), cv2.COLOR_BGR2LAB).astype(np.int64)
        parts = tuple(lab[..., i] * count // 256 for i, count in enumerate(BINS))
        return np.asarray(np.ravel_multi_index(parts, BINS), np.int64)

    def _odds_of(self, bins: npt.NDArray[np.int64]) -> FloatArray:
        import cv2

        return np.asarray(cv2.GaussianBlur(self._odds[bins], (0, 0), 0.8), np.float32)

    def _difference(self, odds: FloatArray) -> float:
        """Return the mean log-odds in the outline less those of its ring, without any change."""
        same = self._changes[len(self._changes) // 2]
        return float((same.weights * odds).sum())


def _histogram(bins: npt.NDArray[np.int64]) -> FloatArray:
    """Return the shares of all colours among some pixels, blurred; zero without pixels."""
    from scipy.ndimage import gaussian_filter

    counts = np.bincount(bins, minlength=int(np.prod(BINS))).reshape(BINS).astype(np.float32)
    return np.asarray(gaussian_filter(counts, BIN_BLUR) / max(len(bins), 1), np.float32)


def _log_odds(inside: FloatArray, outside: FloatArray) -> FloatArray:
    """Return the log-odds of each colour number."""
    odds = np.log((inside + RAREST) / (outside + RAREST))
    return np.asarray(np.clip(odds, -MOST_ODDS, MOST_ODDS).ravel(), np.float32)


def _grown(mask: Mask, pixels: int) -> Mask:
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)


def _mean_of(mask: Mask, matrix: Matrix) -> FloatArray:
    """Return the weights of the mean over a mask moved by `matrix`."""
    import cv2

    moved = cv2.warpAffine(mask.astype(np.float32), matrix, (SIDE, SIDE))
    return np.asarray(moved / max(float(moved.sum()), 1.0), np.float32)
