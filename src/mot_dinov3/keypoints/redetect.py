"""Finding points again that were lost: over the mask, over the canvas, and over the whole frame, with a cycle check.

A place counts only if its own descriptor, looked for in the labelled frame, leads back to where the point was clicked.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, Image, IntArray
from mot_dinov3.keypoints.backends import DenseBackend
from mot_dinov3.keypoints.descriptor_maps import DenseMap, find_peaks, similarity_maps
from mot_dinov3.keypoints.geometry import Canvas, Matrix, Points, apply, invert, robust_similarity, scale_of, warp
from mot_dinov3.keypoints.templates import Templates

Array = npt.NDArray[np.float64]

CYCLE_PATCHES = 2.0  # how near to its click the way back must end
LIKE_USUAL = 0.8  # of its usual similarity that a place found again must have
TILES = 2  # of the frame, looked at per key frame: bounds the cost
SHARE = 0.3  # of an instance's keypoints that must be found in a tile, at least two of several
FITS = 0.1  # of the instance's extent: how far they may be from a similarity of their layout


@dataclasses.dataclass(frozen=True)
class Origin:
    """The labelled frame, for the way back.

    Attributes:
        dense: Its canvas, described.
        points: ``(n, 2)`` clicks on the canvas.
        templates: What the keypoints look like.
        least: Similarity that a place found again must have at least.
    """

    dense: DenseMap
    points: Points
    templates: Templates
    least: float


def find_again(
    origin: Origin, dense: DenseMap, which: IntArray, *, penalty: Array, usual: Array
) -> tuple[Points, BoolArray]:
    """Return where keypoints are in a described picture, and which of them are there for sure.

    Args:
        origin: The labelled frame.
        dense: The picture.
        which: ``(m,)`` rows of the keypoints.
        penalty: ``(m, gh, gw)`` or broadcastable: what speaks against each place; infinite where none is allowed.
        usual: ``(m,)`` similarity that the keypoints have when they are seen.
    """
    similar = origin.templates.maps(dense, which, recent=False)
    heights = similar - penalty
    possible = np.isfinite(heights).any((1, 2))
    heights[~possible] = 0.0
    peaks = find_peaks(heights, dense.patch)
    rows = dense.at(peaks.xy)
    back = find_peaks(similarity_maps(origin.dense, rows), origin.dense.patch)
    apart = np.linalg.norm(back.xy - origin.points[which], axis=1)
    returned = apart < CYCLE_PATCHES * origin.dense.patch
    similar_enough = origin.templates.similar_rows(rows, which) >= np.maximum(origin.least, LIKE_USUAL * usual)
    return peaks.xy, possible & similar_enough & returned


class FrameSearch:
    """Looks for a whole instance all over the frame, a few tiles at a time.

    Args:
        origin: The labelled frame.
        backend: Describes tiles.
        canvas: How the instance is looked at: a tile is as large, and the instance as large in it.
        points: ``(n, 2)`` clicks in pixels of the labelled frame.
        extent: Size of the instance in them.
    """

    def __init__(self, origin: Origin, backend: DenseBackend, canvas: Canvas, *, points: Points, extent: float) -> None:
        self._origin, self._backend, self._canvas = origin, backend, canvas
        self._points, self._extent = points, extent
        self._next = 0

    def look(self, image: Image, pose: Matrix, usual: Array) -> Points | None:
        """Look at the next tiles; return ``(n, 2)`` places in the frame, NaN where a point was not found, or None.

        Args:
            image: The frame.
            pose: How the instance was seen last: its size and angle are looked for.
            usual: ``(n,)`` similarity that the keypoints have when they are seen.
        """
        tiles = tile_matrices(self._canvas, pose, (image.shape[1], image.shape[0]))
        for _ in range(min(TILES, len(tiles))):
            matrix = tiles[self._next % len(tiles)]
            self._next += 1
            dense = self._backend.describe(warp(image, matrix, self._canvas.side))
            places = find_again(self._origin, dense, np.arange(len(usual)), penalty=np.zeros((1, 1, 1)), usual=usual)
            found = self._in_frame(*places, matrix, scale_of(pose))
            if found is not None:
                return found
        return None

    def _in_frame(self, places: Points, sure: BoolArray, matrix: Matrix, scale: float) -> Points | None:
        """Return a tile's places in the frame if enough of them fit the instance's layout."""
        n = len(places)
        least = min(n, max(2, round(SHARE * n)))
        if sure.sum() < least:
            return None
        xy = apply(invert(matrix), places)
        if n > 1:
            pose = robust_similarity(self._points[sure], xy[sure], np.ones(int(sure.sum())), width=0.03 * self._extent)
            if pose is None or not 0.6 < scale_of(pose) / scale < 1.6:
                return None
            apart = np.linalg.norm(apply(pose, self._points) - xy, axis=1)
            sure = sure & (apart < FITS * self._extent * scale_of(pose))
        return np.where(sure[:, None], xy, np.nan) if sure.sum() >= least else None


def tile_matrices(canvas: Canvas, pose: Matrix, size: tuple[int, int]) -> list[Matrix]:
    """Return matrices from pixels of the frame to tiles of the canvas's size that cover it, overlapping by half.

    Args:
        canvas: Gives side and scale.
        pose: Gives scale and angle.
        size: Width and height of the frame.
    """
    linear = canvas.matrix(pose)[:, :2]
    corners = np.array([(0, 0), (size[0], 0), (0, size[1]), size]) @ linear.T
    low, high = corners.min(0), corners.max(0)
    counts = np.maximum(np.ceil((high - low) / canvas.side * 2).astype(int) - 1, 1)
    starts = [np.linspace(a, max(b - canvas.side, a), n) for a, b, n in zip(low, high, counts)]
    return [np.hstack([linear, -np.array([[x], [y]])]) for y in starts[1] for x in starts[0]]
