"""Measuring points against the labelled frame itself, so that what follows them cannot drift.

The current frame is seen through the instance's pose, at the size and angle of the labelled one; there Lucas-Kanade
aligns a wide region around each point first, then a narrow one. What it finds is believed as far as the window
determines it: the error of an alignment grows with the inverse of the smaller eigenvalue of its structure tensor
(Shi and Tomasi, CVPR 1994), and with the window's size, since an animal bends.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, FloatArray, Image
from mot_dinov3.keypoints.geometry import Matrix, Points, apply, robust_similarity
from mot_dinov3.keypoints.point_flow import carried, follow

Array = npt.NDArray[np.float64]

FINE = 31  # pixels of the canvas: side of the narrow window
WIDE_SHARE = 0.55  # of the canvas's side: the wide window
MAX_WIDE = 121
SHRINK = 3  # the wide window looks at a canvas so many times smaller: a quarter of the work, and fine enough
SAME = 0.8  # correlation from which two patches show the same thing
BACK_ERROR = 1.0  # pixels of forward-backward error that are allowed
MAX_MOVE = 16.0  # pixels of the canvas that an alignment may move a point
AGREE = 3.0  # pixels between the wide and the narrow alignment
MIN_SUPPORTS = 6
WIDE_SUPPORTS = 3  # every third support is looked for with the wide window, too
DOUBT = 0.1  # of a refused measurement's distance: what it adds to the believed error
SIGMA = 0.5  # pixels of the frame: error of an alignment on a well-structured patch …
STRUCTURE = 40.0  # … which has this smaller eigenvalue, in squared grey levels per pixel
BEND = 0.02  # error per pixel of window
FIELD_SIGMA, FIELD_BEND = 1.0, 0.08


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Places of all points by one method.

    Attributes:
        xy: ``(n, 2)`` pixels of the canvas.
        sigma: ``(n,)`` believed error, pixels of the canvas; infinite where there is no measurement.
    """

    xy: Points
    sigma: Array


@dataclasses.dataclass(frozen=True)
class Anchored:
    """What the labelled frame says of the current one.

    Attributes:
        measurements: From the widest to the narrowest view, to be fused in this order.
        correction: ``2×3`` similarity of the canvas that the supports ask for, or None where too few were found.
        fine: ``(n,)`` bool: the point was found by its narrow window.
    """

    measurements: tuple[Measurement, ...]
    correction: Matrix | None
    fine: BoolArray


class SeedView:
    """A labelled frame's canvas with the points to find again.

    Args:
        view: ``(side, side)`` uint8 grey canvas of the labelled frame.
        points: ``(n, 2)`` keypoints on it.
        supports: ``(m, 2)`` support points on it.
        extent: Size of the instance in pixels of the canvas.
        factor: Pixels of the canvas per pixel of the frame.
    """

    def __init__(self, view: Image, points: Points, supports: Points, *, extent: float, factor: float) -> None:
        self.view = view
        self.points = points
        self.supports = supports
        self.extent = extent
        self.factor = factor
        self.wide = min(int(WIDE_SHARE * len(view)), MAX_WIDE) | 1
        self._all = np.vstack([points, supports])
        self._small = _shrunk(view)
        self._moved = np.zeros_like(supports)
        self._sigma_fine = _alignment_sigma(view, points, FINE, factor)
        self._sigma_wide = _alignment_sigma(view, points, self.wide, factor)

    def find(self, view: Image, guess: Points) -> Anchored:
        """Look for the points in the grey canvas of the current frame, starting from ``(n, 2)`` guesses."""
        n = len(self.points)
        some = slice(None, None, WIDE_SUPPORTS)
        wide, wide_ok = self._align_wide(view, np.vstack([guess, (self.supports + self._moved)[some]]))
        start = np.vstack([wide[:n], self.supports + self._moved])
        found, ok = _align(self.view, view, self._all, start, window=FINE, back_error=BACK_ERROR)
        fine = found[:n]
        fine_ok = ok[:n] & (~wide_ok[:n] | (np.linalg.norm(fine - wide[:n], axis=1) < AGREE))
        by_wide = np.zeros(len(self.supports), np.bool_)
        by_wide[some] = wide_ok[n:]
        moved = found[n:].copy()
        moved[some] = np.where(wide_ok[n:, None], wide[n:], moved[some])
        known = ok[n:] | by_wide
        self._moved = np.where(known[:, None], moved - self.supports, 0.0)
        found_points = fine_ok | wide_ok[:n]
        own = np.where(fine_ok[:, None], fine, wide[:n])
        field, correction = self._field(np.vstack([own, moved]), np.concatenate([found_points, known]))
        return Anchored(
            (
                Measurement(wide[:n], np.where(wide_ok[:n], self._sigma_wide, np.inf)),
                field,
                Measurement(fine, np.where(fine_ok, self._sigma_fine, np.inf)),
            ),
            correction,
            fine_ok,
        )

    def _align_wide(self, view: Image, guess: Points) -> tuple[Points, BoolArray]:
        small, window = _shrunk(view), self.wide // SHRINK | 1
        shrunk, start = np.vstack([self.points, self.supports[::WIDE_SUPPORTS]]) / SHRINK, guess / SHRINK
        limit = 1.5 * BACK_ERROR / SHRINK
        found, ok = _align(self._small, small, shrunk, start, window=window, back_error=limit)
        return np.where(ok[:, None], found * SHRINK, guess), ok

    def _field(self, found: Points, ok: BoolArray) -> tuple[Measurement, Matrix | None]:
        """Return where the supports around each keypoint say it is, and how they move as a whole."""
        nothing = Measurement(self.points, np.full(len(self.points), np.inf))
        if ok.sum() < MIN_SUPPORTS:
            return nothing, None
        source, target = self._all[ok], found[ok]
        whole = robust_similarity(source, target, np.ones(len(source)))
        if whole is None:
            return nothing, None
        rest = target - apply(whole, source)
        fits = np.linalg.norm(rest, axis=1) < 0.04 * self.extent
        if fits.sum() < MIN_SUPPORTS:
            return nothing, None
        xy = apply(whole, self.points) + carried(self.points, source, rest, fits.astype(float), 0.1 * self.extent)
        distance = np.sqrt(((self.points[:, None] - source[fits][None]) ** 2).sum(2))
        near = np.sort(distance, 1)[:, :3].mean(1)
        return Measurement(xy, FIELD_SIGMA * self.factor + FIELD_BEND * near), whole


def _align(
    before: Image, after: Image, points: Points, start: Points, *, window: int, back_error: float
) -> tuple[Points, BoolArray]:
    """Return where points of one canvas are on another, and which of them were really found there."""
    flow = follow(before, after, points, window=window, guess=start, levels=2)
    ok = flow.good(back_error) & (np.linalg.norm(flow.xy - start, axis=1) < MAX_MOVE)
    ok[ok] = correlations(before, after, points[ok], flow.xy[ok], window // 3) > SAME
    return np.where(ok[:, None], flow.xy, start), ok


def _shrunk(view: Image) -> Image:
    import cv2

    side = len(view) // SHRINK
    return np.asarray(cv2.resize(view, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def fuse(xy: Points, variance: Array, measured: Measurement) -> tuple[Points, Array, BoolArray]:
    """Return places, variances and which points took the measurement: weighed by precision, gated at 3 sigma.

    The variance stays above half of the measurement's: measurements against one and the same template share their
    error, so that many of them are hardly better than one. A refused measurement raises the variance: one that is
    refused again and again is right in the end.
    """
    noise = np.where(np.isfinite(measured.sigma), measured.sigma, 1.0) ** 2
    distance = np.linalg.norm(measured.xy - xy, axis=1)
    taken = np.isfinite(measured.sigma) & (distance < 3 * np.sqrt(variance + noise) + 1)
    gain = np.where(taken, variance / (variance + noise), 0.0)
    refused = np.isfinite(measured.sigma) & ~taken
    doubted = np.where(refused, variance + (DOUBT * distance) ** 2, variance)
    better = np.where(taken, np.maximum(variance * (1 - gain), noise / 2), doubted)
    return xy + gain[:, None] * (measured.xy - xy), better, taken


def correlations(a: Image, b: Image, at_a: Points, at_b: Points, radius: int) -> Array:
    """Return the ``(n,)`` normalised correlations of square patches of two grey pictures."""
    if not len(at_a):
        return np.zeros(0)
    p, q = _patches(a, at_a, radius), _patches(b, at_b, radius)
    p -= p.mean(1, keepdims=True)
    q -= q.mean(1, keepdims=True)
    both = np.einsum("nk,nk->n", p, q)
    return np.asarray(both / np.sqrt(np.einsum("nk,nk->n", p, p) * np.einsum("nk,nk->n", q, q) + 1e-6), np.float64)


def _patches(image: Image, at: Points, radius: int) -> FloatArray:
    """Return ``(n, (2 radius + 1)²)`` grey levels around ``(n, 2)`` places."""
    import cv2

    side = 2 * radius + 1
    offset = np.arange(-radius, radius + 1)
    x = (at[:, 0, None, None] + offset[None, None, :]).repeat(side, 1).astype(np.float32)
    y = (at[:, 1, None, None] + offset[None, :, None]).repeat(side, 2).astype(np.float32)
    flat = x.reshape(-1, side), y.reshape(-1, side)
    taken = cv2.remap(image, *flat, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(taken, np.float32).reshape(len(at), side * side)


def _alignment_sigma(view: Image, points: Points, window: int, factor: float) -> Array:
    """Return the ``(n,)`` expected error, in pixels, of aligning a window around each point."""
    import cv2

    grey = view.astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(grey, cv2.CV_32F, 0, 1) / 8
    xx, xy, yy = (cv2.boxFilter(p, -1, (window, window)) for p in (dx * dx, dx * dy, dy * dy))
    smaller = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    column, row = np.clip(np.rint(points), 0, len(view) - 1).astype(int).T
    weakness = np.clip(STRUCTURE / np.maximum(smaller[row, column], 1e-3), 0.5, 20.0)
    return np.asarray(factor * SIGMA * weakness * FINE / window + BEND * window, np.float64)
