"""Alignment of points with the labelled frame itself, which keeps frame-to-frame tracking from drifting.

The current frame is warped by the instance's pose to the size and angle of the labelled one; there Lucas-Kanade
aligns a wide region around each point first, then a narrow one. The expected error of an alignment grows with the
inverse of the smaller eigenvalue of its window's structure tensor (Shi and Tomasi, CVPR 1994).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.structures import BoolArray, FloatArray, Image
from mot_dinov3.keypoints.geometry import Array, Matrix, Points, apply, robust_similarity
from mot_dinov3.keypoints.point_flow import SupportMotion, lucas_kanade

FINE = 31  # pixels of the canvas: side of the narrow window
WIDE_SHARE = 0.55  # of the canvas's side: the wide window
MAX_WIDE = 121
SHRINK = 3  # the wide window is aligned on a canvas so many times smaller: a quarter of the work, and fine enough
SAME = 0.8  # correlation from which two patches show the same thing
BACK_ERROR = 1.0  # pixels of forward-backward error that are allowed
MAX_MOVE = 16.0  # pixels of the canvas that an alignment may move a point
AGREE = 3.0  # pixels between the wide and the narrow alignment
MIN_SUPPORTS = 6
WIDE_SUPPORTS = 3  # every third support is aligned with the wide window, too
REFUSED_GAIN = 0.1  # of a refused measurement's distance: its addition to the expected error
SIGMA = 0.5  # pixels of the frame: error of an alignment on a well-structured patch …
STRUCTURE = 40.0  # … which has this smaller eigenvalue, in squared grey levels per pixel
BEND = 0.62  # pixels of the canvas: error because the animal bends within the narrow window
FIELD_SIGMA, FIELD_BEND = 1.0, 0.4  # of the points around: a limb swings apart from the body beside it


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Positions of all points by one method.

    Attributes:
        xy: ``(n, 2)`` pixels of the canvas.
        sigma: ``(n,)`` expected error, pixels of the canvas; infinite where there is no measurement.
    """

    xy: Points
    sigma: Array


@dataclasses.dataclass(frozen=True)
class ReferenceAlignment:
    """Points after alignment with the labelled frame.

    Attributes:
        xy: ``(n, 2)`` pixels of the canvas.
        variance: ``(n,)``.
        fixed: ``(n,)`` bool: the narrow window found the point.
        correction: ``2×3`` similarity of the canvas that the supports moved by, or None where too few were found.
    """

    xy: Points
    variance: Array
    fixed: BoolArray
    correction: Matrix | None


@dataclasses.dataclass(frozen=True)
class _Template:
    """A grey canvas with points, to be aligned with other canvases by windows of one size."""

    view: Image
    points: Points
    window: int
    back_error: float

    def align(self, view: Image, start: Points) -> tuple[Points, BoolArray]:
        """Return the points' positions on another canvas, where not found those of `start`, and which were found."""
        flow = lucas_kanade(self.view, view, self.points, window=self.window, guess=start)
        ok = (flow.error <= self.back_error) & (np.linalg.norm(flow.xy - start, axis=1) < MAX_MOVE)
        ok[ok] = correlations(self.view, view, self.points[ok], flow.xy[ok], self.window // 3) > SAME
        return np.where(ok[:, None], flow.xy, start), ok


class ReferenceView:
    """The canvas of a labelled frame with the points to align.

    Args:
        view: ``(side, side)`` uint8 grey canvas of the labelled frame.
        points: ``(n, 2)`` keypoints on it.
        supports: ``(m, 2)`` support points on it.
        extent: Size of the instance in pixels of the canvas.
        factor: Pixels of the canvas per pixel of the frame.
    """

    def __init__(self, view: Image, points: Points, supports: Points, *, extent: float, factor: float) -> None:
        self._points, self._supports = points, supports
        self._extent, self._factor = extent, factor
        wide = min(int(WIDE_SHARE * len(view)), MAX_WIDE) | 1
        some = np.vstack([points, supports[::WIDE_SUPPORTS]])
        self._fine = _Template(view, np.vstack([points, supports]), FINE, BACK_ERROR)
        self._wide = _Template(_shrunk(view), some / SHRINK, wide // SHRINK | 1, 1.5 * BACK_ERROR / SHRINK)
        self._moved = np.zeros_like(supports)
        self._sigma = _alignment_sigma(view, points, factor)

    def align(self, view: Image, xy: Points, variance: Array) -> ReferenceAlignment:
        """Align the points with the grey canvas of the current frame, from predictions on it and their variances."""
        n, some = len(self._points), slice(None, None, WIDE_SUPPORTS)

        # Wide windows: all keypoints and some of the supports, on the smaller canvas.
        start = np.vstack([xy, (self._supports + self._moved)[some]])
        found, wide_ok = self._wide.align(_shrunk(view), start / SHRINK)
        wide = np.where(wide_ok[:, None], found * SHRINK, start)

        # Narrow windows: all points; a keypoint counts only where both windows agree.
        found, ok = self._fine.align(view, np.vstack([wide[:n], self._supports + self._moved]))
        fine, moved = found[:n], found[n:].copy()
        fine_ok = ok[:n] & (~wide_ok[:n] | (np.linalg.norm(fine - wide[:n], axis=1) < AGREE))

        # Supports: the wide window's position where it has one; those found are the next frame's first guess.
        by_wide = np.zeros(len(moved), np.bool_)
        by_wide[some] = wide_ok[n:]
        moved[some] = np.where(wide_ok[n:, None], wide[n:], moved[some])
        known = ok[n:] | by_wide
        self._moved = np.where(known[:, None], moved - self._supports, 0.0)

        # The field of all points found: how it moves as a whole, and where it puts each keypoint.
        own = np.where(fine_ok[:, None], fine, wide[:n])
        field, correction = self._field(np.vstack([own, moved]), np.concatenate([fine_ok | wide_ok[:n], known]))

        # Fusion of both; a wide window shows too much of what moves apart from the point: it is a first guess only.
        for measurement in (field, Measurement(fine, np.where(fine_ok, self._sigma, np.inf))):
            xy, variance, taken = fuse(xy, variance, measurement)
        return ReferenceAlignment(xy, variance, taken, correction)

    def _field(self, found: Points, ok: BoolArray) -> tuple[Measurement, Matrix | None]:
        """Return where the points around each keypoint put it, and their motion as a whole."""
        nothing = Measurement(self._points, np.full(len(self._points), np.inf))
        if ok.sum() < MIN_SUPPORTS:
            return nothing, None
        source, target = self._fine.points[ok], found[ok]
        whole = robust_similarity(source, target, np.ones(len(source)))
        if whole is None:
            return nothing, None
        rest = target - apply(whole, source)
        fits = np.linalg.norm(rest, axis=1) < 0.04 * self._extent
        if fits.sum() < MIN_SUPPORTS:
            return nothing, None
        beyond = SupportMotion(source, rest, fits.astype(float)).at(self._points, reach=0.1 * self._extent)
        distance = np.sqrt(((self._points[:, None] - source[fits][None]) ** 2).sum(2))
        near = np.sort(distance, 1)[:, :3].mean(1)
        sigma = FIELD_SIGMA * self._factor + FIELD_BEND * near
        return Measurement(apply(whole, self._points) + beyond, sigma), whole


def _shrunk(view: Image) -> Image:
    import cv2

    side = len(view) // SHRINK
    return np.asarray(cv2.resize(view, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def fuse(xy: Points, variance: Array, measured: Measurement) -> tuple[Points, Array, BoolArray]:
    """Return positions, variances and which points took the measurement: weighted by precision, gated at 3 sigma.

    The variance stays above half of the measurement's: measurements against one and the same template share their
    error, so that many of them are hardly better than one. A refused measurement raises the variance: one that is
    refused again and again is right in the end.
    """
    noise = np.where(np.isfinite(measured.sigma), measured.sigma, 1.0) ** 2
    distance = np.linalg.norm(measured.xy - xy, axis=1)
    taken = np.isfinite(measured.sigma) & (distance < 3 * np.sqrt(variance + noise) + 1)
    gain = np.where(taken, variance / (variance + noise), 0.0)
    refused = np.isfinite(measured.sigma) & ~taken
    raised = np.where(refused, variance + (REFUSED_GAIN * distance) ** 2, variance)
    better = np.where(taken, np.maximum(variance * (1 - gain), noise / 2), raised)
    return xy + gain[:, None] * (measured.xy - xy), better, taken


def correlations(a: Image, b: Image, at_a: Points, at_b: Points, radius: int) -> Array:
    """Return the ``(n,)`` normalised correlations of square patches of two grey images."""
    if not len(at_a):
        return np.zeros(0)
    p, q = _patches(a, at_a, radius), _patches(b, at_b, radius)
    p -= p.mean(1, keepdims=True)
    q -= q.mean(1, keepdims=True)
    both = np.einsum("nk,nk->n", p, q)
    return np.asarray(both / np.sqrt(np.einsum("nk,nk->n", p, p) * np.einsum("nk,nk->n", q, q) + 1e-6), np.float64)


def _patches(image: Image, at: Points, radius: int) -> FloatArray:
    """Return ``(n, (2 radius + 1)²)`` grey levels around ``(n, 2)`` positions."""
    import cv2

    side = 2 * radius + 1
    offset = np.arange(-radius, radius + 1)
    x = (at[:, 0, None, None] + offset[None, None, :]).repeat(side, 1).astype(np.float32)
    y = (at[:, 1, None, None] + offset[None, :, None]).repeat(side, 2).astype(np.float32)
    flat = x.reshape(-1, side), y.reshape(-1, side)
    taken = cv2.remap(image, *flat, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(taken, np.float32).reshape(len(at), side * side)


def _alignment_sigma(view: Image, points: Points, factor: float) -> Array:
    """Return the ``(n,)`` expected error, in pixels, of aligning the narrow window around each point."""
    import cv2

    grey = view.astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(grey, cv2.CV_32F, 0, 1) / 8
    xx, xy, yy = (cv2.boxFilter(p, -1, (FINE, FINE)) for p in (dx * dx, dx * dy, dy * dy))
    smaller = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    column, row = np.clip(np.rint(points), 0, len(view) - 1).astype(int).T
    weakness = np.clip(STRUCTURE / np.maximum(smaller[row, column], 1e-3), 0.5, 20.0)
    return np.asarray(factor * SIGMA * weakness + BEND, np.float64)
