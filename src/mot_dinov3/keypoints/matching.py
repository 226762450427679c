"""Finding a template in a dense map of descriptors: similarity, sub-patch peak, ambiguity."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.structures import FloatArray


@dataclasses.dataclass(frozen=True)
class DenseMap:
    """Descriptors of a picture on a regular grid.

    Attributes:
        cells: ``(gh, gw, d)`` float32 unit rows.
        patch: Pixels from one cell to the next; cell ``(i, j)`` has its centre at ``((j + .5) patch, (i + .5) patch)``.
    """

    cells: FloatArray
    patch: float

    def at(self, points: Points) -> FloatArray:
        """Return ``(n, d)`` unit descriptors at the exact ``(n, 2)`` places, interpolated between four cells."""
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
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-8), np.float32)


def similarity_maps(dense: DenseMap, templates: FloatArray) -> FloatArray:
    """Return ``(n, gh, gw)`` cosines of ``(n, d)`` templates with every cell."""
    height, width, size = dense.cells.shape
    return np.asarray((dense.cells.reshape(-1, size) @ templates.T).T.reshape(-1, height, width), np.float32)


def centres(shape: tuple[int, int], patch: float) -> Points:
    """Return ``(gh, gw, 2)`` pixel places of the cells' centres."""
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    return np.stack([xs + 0.5, ys + 0.5], axis=2) * patch


@dataclasses.dataclass(frozen=True)
class Peak:
    """The best place of a map.

    Attributes:
        xy: ``(2,)`` pixels, finer than a cell.
        value: Height of the peak.
        second: Height of the best other peak, outside two cells around this one; −1 where there is none.
        rival: ``(2,)`` pixels of that one.
    """

    xy: Points
    value: float
    second: float
    rival: Points


def find_peak(heights: npt.NDArray[np.floating], patch: float) -> Peak:
    """Return the highest place of a ``(gh, gw)`` map, refined below the cell.

    The refinement is a soft-argmax over the 3×3 cells around the maximum only (as in Chrono and DINO-Tracker): taken
    over the whole map it would be drawn to every similar place. Cells of −inf are left out.
    """
    row, column = np.unravel_index(int(np.argmax(heights)), heights.shape)
    rows = slice(max(row - 1, 0), row + 2)
    columns = slice(max(column - 1, 0), column + 2)
    part = heights[rows, columns].astype(np.float64)
    usable = np.isfinite(part)
    low = part[usable].min()
    weights = np.where(usable, part - low, 0.0) ** 2 + 1e-12 * usable
    ys, xs = np.mgrid[rows, columns][:, : part.shape[0], : part.shape[1]]
    total = weights.sum()
    xy = np.array([(weights * xs).sum() / total + 0.5, (weights * ys).sum() / total + 0.5]) * patch
    others = heights.copy()
    others[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = -np.inf
    at = np.unravel_index(int(np.argmax(others)), others.shape)
    second = float(others[at])
    rival = (np.array([at[1], at[0]]) + 0.5) * patch
    return Peak(xy, float(heights[row, column]), second if np.isfinite(second) else -1.0, rival)
