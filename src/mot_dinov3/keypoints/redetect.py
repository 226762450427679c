"""Re-detection of lost points: over the mask, over the canvas and over the whole frame, with a cycle check.

A position counts only if its own descriptor, matched against the labelled frame, leads back to the labelled point.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.structures import BoolArray, Image, IntArray
from mot_dinov3.keypoints.backends.base import DenseBackend
from mot_dinov3.keypoints.descriptor_maps import DenseMap, Templates, find_peaks, similarity_maps
from mot_dinov3.keypoints.geometry import (
    Array,
    Canvas,
    Matrix,
    Points,
    apply,
    invert,
    robust_similarity,
    scale_of,
    warp,
)

CYCLE_PATCHES = 2.0  # most distance between the end of the way back and the labelled point
SIMILAR_SHARE = 0.8  # of its typical similarity that a re-detected point must have
TILES = 2  # of the frame, searched per key frame: bounds the cost
FOUND_SHARE = 0.3  # of an instance's keypoints that must be found in a tile, at least two of several
FITS = 0.1  # of the instance's extent: most distance from a similarity of their layout


@dataclasses.dataclass(frozen=True)
class ReferenceMap:
    """The described canvas of the labelled frame, the target of the cycle check.

    Attributes:
        dense: Its descriptors.
        points: ``(n, 2)`` labelled points on the canvas.
        templates: Templates of the keypoints.
        min_similarity: Least similarity of a re-detected point.
    """

    dense: DenseMap
    points: Points
    templates: Templates
    min_similarity: float


def redetect(
    reference: ReferenceMap, dense: DenseMap, which: IntArray, *, penalty: Array, typical: Array
) -> tuple[Points, BoolArray]:
    """Return positions of keypoints in a described image, and which of them pass all checks.

    Args:
        reference: The labelled frame.
        dense: The image.
        which: ``(m,)`` rows of the keypoints.
        penalty: ``(m, gh, gw)`` or broadcastable: subtracted from the similarities; infinite where no point may be.
        typical: ``(m,)`` similarity that the keypoints have when they are visible.
    """
    similarity = reference.templates.maps(dense, which, recent=False)
    heights = similarity - penalty
    possible = np.isfinite(heights).any((1, 2))
    heights[~possible] = 0.0
    peaks = find_peaks(heights, dense.patch)
    rows = dense.at(peaks.xy)
    back = find_peaks(similarity_maps(reference.dense, rows), reference.dense.patch)
    apart = np.linalg.norm(back.xy - reference.points[which], axis=1)
    returned = apart < CYCLE_PATCHES * reference.dense.patch
    least = np.maximum(reference.min_similarity, SIMILAR_SHARE * typical)
    return peaks.xy, possible & (reference.templates.labelled_similarity(rows, which) >= least) & returned


class FrameSearch:
    """A search for a whole instance over the frame, a few tiles at a time.

    Args:
        reference: The labelled frame.
        backend: Describes tiles.
        canvas: The instance's canvas: tiles have its size and scale.
        points: ``(n, 2)`` labelled points in pixels of the labelled frame.
        extent: Size of the instance in them.
    """

    def __init__(
        self, reference: ReferenceMap, backend: DenseBackend, canvas: Canvas, *, points: Points, extent: float
    ) -> None:
        self._reference, self._backend, self._canvas = reference, backend, canvas
        self._points, self._extent = points, extent
        self._next = 0

    def search(self, image: Image, pose: Matrix, typical: Array) -> Points | None:
        """Search the next tiles at scale and angle of `pose`; return ``(n, 2)`` positions, NaN where lost, or None."""
        tiles = tile_matrices(self._canvas, pose, (image.shape[1], image.shape[0]))
        for _ in range(min(TILES, len(tiles))):
            matrix = tiles[self._next % len(tiles)]
            self._next += 1
            dense = self._backend.describe(warp(image, matrix, self._canvas.side))
            every, nowhere = np.arange(len(typical)), np.zeros((1, 1, 1))
            xy, sure = redetect(self._reference, dense, every, penalty=nowhere, typical=typical)
            found = self._in_frame(xy, sure, matrix, scale_of(pose))
            if found is not None:
                return found
        return None

    def _in_frame(self, on_tile: Points, sure: BoolArray, matrix: Matrix, scale: float) -> Points | None:
        """Return a tile's positions in the frame if enough of them fit the instance's layout."""
        n = len(on_tile)
        least = min(n, max(2, round(FOUND_SHARE * n)))
        if sure.sum() < least:
            return None
        xy = apply(invert(matrix), on_tile)
        if n > 1:
            pose = robust_similarity(self._points[sure], xy[sure], np.ones(int(sure.sum())), width=0.03 * self._extent)
            if pose is None or not 0.6 < scale_of(pose) / scale < 1.6:
                return None
            apart = np.linalg.norm(apply(pose, self._points) - xy, axis=1)
            sure = sure & (apart < FITS * self._extent * scale_of(pose))
        return np.where(sure[:, None], xy, np.nan) if sure.sum() >= least else None


def tile_matrices(canvas: Canvas, pose: Matrix, size: tuple[int, int]) -> list[Matrix]:
    """Return matrices from pixels of the frame to tiles that cover it, overlapping by half.

    The tiles are those of the canvas in side, scale and angle; `size` is the frame's width and height.
    """
    linear = canvas.matrix(pose)[:, :2]
    corners = np.array([(0, 0), (size[0], 0), (0, size[1]), size]) @ linear.T
    low, high = corners.min(0), corners.max(0)
    counts = np.maximum(np.ceil((high - low) / canvas.side * 2).astype(int) - 1, 1)
    starts = [np.linspace(a, max(b - canvas.side, a), n) for a, b, n in zip(low, high, counts)]
    return [np.hstack([linear, -np.array([[x], [y]])]) for y in starts[1] for x in starts[0]]
