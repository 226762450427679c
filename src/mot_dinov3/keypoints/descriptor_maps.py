"""Dense descriptor maps, and templates located in them: similarity, sub-patch peak, ambiguity."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, FloatArray, IntArray
from mot_dinov3.keypoints.geometry import Array, Points

RECENT_DISCOUNT = 0.1  # similarity that a template of a tracked frame counts less than a labelled one
RECENT_RATE = 0.2  # weight of the newest frame in that template


@dataclasses.dataclass(frozen=True)
class DenseMap:
    """Descriptors of an image on a regular grid.

    Attributes:
        cells: ``(gh, gw, d)`` float32 unit rows.
        patch: Pixels from one cell to the next; cell ``(i, j)`` has its centre at ``((j + .5) patch, (i + .5) patch)``.
    """

    cells: FloatArray
    patch: float

    def at(self, points: Points) -> FloatArray:
        """Return ``(n, d)`` unit descriptors at the exact ``(n, 2)`` positions, interpolated between four cells."""
        height, width = self.cells.shape[:2]
        grid = points / self.patch - 0.5
        x, y = np.clip(grid[:, 0], 0, width - 1.001), np.clip(grid[:, 1], 0, height - 1.001)
        left, top = x.astype(int), y.astype(int)
        right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
        a, b = (x - left)[:, None], (y - top)[:, None]
        cells = self.cells
        upper = (1 - a) * cells[top, left] + a * cells[top, right]
        lower = (1 - a) * cells[below, left] + a * cells[below, right]
        return unit(((1 - b) * upper + b * lower).astype(np.float32))


def unit(rows: FloatArray) -> FloatArray:
    """Return rows of length 1 along the last axis; a zero row stays zero."""
    length = np.sqrt(np.einsum("...d,...d->...", rows, rows))  # half the time of linalg.norm
    return np.asarray(rows / np.maximum(length, 1e-8)[..., None], np.float32)


def similarity_maps(dense: DenseMap, templates: FloatArray) -> FloatArray:
    """Return ``(n, gh, gw)`` cosines of ``(n, d)`` templates with every cell."""
    height, width, size = dense.cells.shape
    return np.asarray((dense.cells.reshape(-1, size) @ templates.T).T.reshape(-1, height, width), np.float32)


def centres(dense: DenseMap) -> Points:
    """Return the ``(gh, gw, 2)`` centres of the cells in pixels."""
    ys, xs = np.mgrid[: dense.cells.shape[0], : dense.cells.shape[1]]
    return np.asarray(np.stack([xs + 0.5, ys + 0.5], axis=2) * dense.patch, np.float64)


@dataclasses.dataclass(frozen=True)
class Peaks:
    """The highest position of each of `n` maps.

    Attributes:
        xy: ``(n, 2)`` pixels, finer than a cell.
        value: ``(n,)`` height of the peak.
        second: ``(n,)`` height of the best other peak, outside two cells around this one; −1 where there is none.
        rival: ``(n, 2)`` its pixels.
    """

    xy: Points
    value: Array
    second: Array
    rival: Points


def find_peaks(heights: npt.NDArray[np.floating], patch: float) -> Peaks:
    """Return the highest position of each of ``(n, gh, gw)`` maps, refined below the cell.

    The refinement is a soft-argmax over the 3×3 cells around the maximum only (as in Chrono and DINO-Tracker): over the
    whole map it would be biased towards every similar position. Cells of −inf are left out; each map has a finite one.
    """
    n, height, width = heights.shape
    one = np.arange(n)

    # The maximum, and the soft-argmax around it.
    row, column = np.divmod(heights.reshape(n, -1).argmax(1), width)
    ys, xs = row[:, None] + np.arange(-1, 2), column[:, None] + np.arange(-1, 2)
    exists = ((ys >= 0) & (ys < height))[:, :, None] & ((xs >= 0) & (xs < width))[:, None, :]
    near = heights[one[:, None, None], ys.clip(0, height - 1)[:, :, None], xs.clip(0, width - 1)[:, None, :]]
    near = near.astype(np.float64)
    usable = exists & np.isfinite(near)
    low = np.where(usable, near, np.inf).min((1, 2), keepdims=True)
    weights = np.where(usable, np.where(usable, near, low) - low, 0.0) ** 2 + 1e-12 * usable
    total = weights.sum((1, 2))
    x, y = (weights * xs[:, None, :]).sum((1, 2)) / total, (weights * ys[:, :, None]).sum((1, 2)) / total

    # The rival: the highest cell that is not next to the maximum.
    apart = np.abs(np.arange(height) - row[:, None])[:, :, None] > 2
    apart = apart | (np.abs(np.arange(width) - column[:, None])[:, None, :] > 2)
    others = np.where(apart, heights, -np.inf).reshape(n, -1)
    at = others.argmax(1)
    second = others[one, at].astype(np.float64)
    rival = (np.stack(np.divmod(at, width)[::-1], 1) + 0.5) * patch
    value = heights[one, row, column].astype(np.float64)
    return Peaks(np.stack([x + 0.5, y + 0.5], 1) * patch, value, np.where(np.isfinite(second), second, -1.0), rival)


class Templates:
    """Descriptors of an instance's `n` keypoints; those of labelled frames are never dropped.

    Args:
        rows: ``(n, d)`` unit descriptors at the exact clicks of a labelled frame.
    """

    def __init__(self, rows: FloatArray) -> None:
        self._labelled = rows[None]
        self._recent = rows.copy()

    def learn(self, rows: FloatArray, known: BoolArray) -> None:
        """Add the descriptors of another labelled frame, where `known`."""
        more = np.where(known[:, None], rows, 0.0).astype(np.float32)
        self._labelled = np.concatenate([self._labelled, more[None]])

    def update(self, rows: FloatArray, good: BoolArray) -> None:
        """Update the template of the tracked frames with the ``(n, d)`` descriptors that are `good`."""
        updated = unit((1 - RECENT_RATE) * self._recent + RECENT_RATE * rows)
        self._recent = np.where(good[:, None], updated, self._recent)

    def similarity(self, rows: FloatArray) -> FloatArray:
        """Return the ``(n,)`` similarity of one descriptor per keypoint to its best labelled template.

        The template of tracked frames has no say: it resembles whatever was just tracked, an occluder as well.
        """
        return np.asarray(np.einsum("nd,tnd->tn", rows, self._labelled).max(0))

    def labelled_similarity(self, rows: FloatArray, which: IntArray) -> FloatArray:
        """Return the ``(m,)`` similarity of one descriptor for each keypoint of `which` to its labelled templates."""
        return np.asarray(np.einsum("nd,tnd->tn", rows, self._labelled[:, which]).max(0))

    def cross_similarity(self, rows: FloatArray, which: IntArray) -> FloatArray:
        """Return the ``(k, k)`` similarities of the templates of the keypoints `which` to ``(k, d)`` descriptors."""
        best = (self._labelled[:, which] @ rows.T).max(0)
        return np.asarray(np.maximum(best, self._recent[which] @ rows.T - RECENT_DISCOUNT))

    def maps(self, dense: DenseMap, which: IntArray, *, recent: bool = True) -> FloatArray:
        """Return ``(m, gh, gw)`` similarities of all cells to the templates of `which`, labelled and `recent` ones."""
        height, width, size = dense.cells.shape
        cells = dense.cells.reshape(-1, size)
        chosen = self._labelled[:, which]
        best = (chosen.reshape(-1, size) @ cells.T).reshape(len(chosen), len(which), -1).max(0)
        if recent:
            best = np.maximum(best, self._recent[which] @ cells.T - RECENT_DISCOUNT)
        return np.asarray(best.reshape(len(which), height, width))
