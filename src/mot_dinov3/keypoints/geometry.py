"""Similarity transforms between frames, and the canvas that shows an instance upright.

A *pose* is a ``2×3`` float64 matrix that maps the pixels of an instance's labelled frame to those of the current one.
The *canvas* is the upright square crop of the labelled frame that holds the instance. Warped by the pose it shows every
later frame at the size and angle of the labelled one, so that descriptors need to be invariant to neither.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Image

Array = npt.NDArray[np.float64]
Points = Array  # ``(n, 2)``
Matrix = Array  # ``2×3``

IDENTITY: Matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def apply(matrix: Matrix, points: Points) -> Points:
    """Return ``(n, 2)`` points moved by a ``2×3`` matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def invert(matrix: Matrix) -> Matrix:
    """Return the inverse of a ``2×3`` matrix."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.hstack([linear, -linear @ matrix[:, 2:]])


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """Return the matrix that applies `inner` first, then `outer`."""
    return np.hstack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2:] + outer[:, 2:]])


def scale_of(matrix: Matrix) -> float:
    """Return the scale factor of a similarity."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def fit_similarity(source: Points, target: Points, weights: Array) -> Matrix | None:
    """Return the similarity that maps `source` to `target` with the least weighted squares, or None for a single point.

    Umeyama, Least-squares estimation of transformation parameters, 1991, in the complex plane: without reflection.
    """
    total = weights.sum()
    if len(source) < 2 or total <= 0:
        return None
    a, b = source @ (1, 1j), target @ (1, 1j)
    mean_a, mean_b = (weights @ a) / total, (weights @ b) / total
    spread = weights @ np.abs(a - mean_a) ** 2
    if spread < 1e-9 * total:
        return None
    turn = (weights @ (np.conj(a - mean_a) * (b - mean_b))) / spread
    shift = mean_b - turn * mean_a
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def robust_similarity(
    source: Points, target: Points, weights: Array, *, width: float = 2.0, rounds: int = 8
) -> Matrix | None:
    """Return `fit_similarity` with outliers weighed down by Cauchy's function: iteratively reweighted least squares.

    The first rounds start from the median shift with a wide kernel that narrows to `width` pixels, so that a minority
    of points on something else has no influence.
    """
    if len(source) < 2:
        return None
    shift = np.median(target - source, axis=0)
    matrix: Matrix | None = np.hstack([np.eye(2), shift[:, None]])
    middle = len(source) // 2
    for step in range(rounds):
        assert matrix is not None
        residual = np.hypot(*(apply(matrix, source) - target).T)
        kernel = max(width, float(np.partition(residual, middle)[middle]) * 2.0 * (1 - step / rounds))
        matrix = fit_similarity(source, target, weights / (1 + (residual / kernel) ** 2))
        if matrix is None:
            return None
    return matrix


def similarity_or_shift(source: Points, target: Points, *, width: float) -> Matrix:
    """Return `robust_similarity` of one point or more; the mean shift where that is undetermined."""
    matrix = robust_similarity(source, target, np.ones(len(source)), width=width)
    return np.hstack([np.eye(2), (target - source).mean(0)[:, None]]) if matrix is None else matrix


def hull_of(points: Points) -> Points:
    """Return the ``(k, 2)`` corners of the convex hull of points."""
    import cv2

    return np.asarray(cv2.convexHull(np.clip(points, -1e6, 1e6).astype(np.float32))[:, 0], np.float64)


@dataclasses.dataclass(frozen=True)
class Canvas:
    """The square crop of the labelled frame that holds an instance.

    Attributes:
        side: Pixels of its side.
        to_canvas: ``2×3`` matrix from pixels of the labelled frame to pixels of the canvas.
    """

    side: int
    to_canvas: Matrix

    @classmethod
    def around(
        cls, points: Points, *, limit: int, multiple: int = 32, margin: float = 1.5, enlarge: float = 2.0
    ) -> Canvas:
        """Return the canvas around `points`, `margin` times their extent, enlarged at most `enlarge` times."""
        low, high = points.min(0), points.max(0)
        extent = max(float((high - low).max()) * margin, 64.0)
        side = max(int(min(limit, enlarge * extent)) // multiple, 2) * multiple
        factor = side / extent
        middle = (low + high) / 2
        matrix = np.array([[factor, 0, side / 2 - factor * middle[0]], [0, factor, side / 2 - factor * middle[1]]])
        return cls(side, matrix)

    @property
    def factor(self) -> float:
        """Canvas pixels per pixel of the labelled frame."""
        return float(self.to_canvas[0, 0])

    def matrix(self, pose: Matrix) -> Matrix:
        """Return the matrix from pixels of the current frame to pixels of the canvas."""
        return compose(self.to_canvas, invert(pose))

    def moved(self, pose: Matrix, change: Matrix) -> Matrix:
        """Return the pose after a `change`, ``2×3``, of where the canvas under `pose` shows the instance."""
        return compose(pose, compose(invert(self.to_canvas), compose(change, self.to_canvas)))

    def view(self, image: Image, pose: Matrix) -> Image:
        """Return `image` warped onto the canvas: ``(side, side)`` with the channels of the image."""
        return warp(image, self.matrix(pose), self.side)


def warp(image: Image, matrix: Matrix, side: int) -> Image:
    """Return `image` warped by `matrix` to ``(side, side)``."""
    import cv2

    smooth = cv2.INTER_AREA if scale_of(matrix) < 0.7 else cv2.INTER_LINEAR
    shown = cv2.warpAffine(image, matrix, (side, side), flags=smooth, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shown, np.uint8)
