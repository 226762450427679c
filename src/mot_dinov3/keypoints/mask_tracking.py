"""The mask of one instance on its canvas, cell by cell of the described picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.keypoints import masks
from mot_dinov3.keypoints.descriptor_maps import DenseMap
from mot_dinov3.keypoints.geometry import Canvas, Points

Array = npt.NDArray[np.float64]

COVERED = 0.25  # of a cell, from which it counts as inside


class CanvasMask:
    """Knows which cells of a canvas are the instance's, and carries that on by label propagation if it is to.

    Args:
        canvas: How the instance is looked at.
        carried: Descriptors carry the mask on; else something else does.
    """

    def __init__(self, canvas: Canvas, *, carried: bool) -> None:
        self._canvas, self._carried = canvas, carried
        self._contexts: list[masks.Context] = []

    def begin(self, dense: DenseMap, polygons: Sequence[Points]) -> None:
        """Take the outlines on the canvas of the labelled frame, which `dense` describes."""
        if self._carried and polygons:
            self._contexts.append(masks.Context(dense, self._share(polygons, dense)))

    def carry(self, dense: DenseMap) -> Sequence[Points] | None:
        """Return the outlines that label propagation gives on the canvas, or None where something else carries them."""
        if not self._contexts:
            return None
        import cv2

        share = masks.propagate(self._contexts, dense)
        first, *recent = self._contexts
        self._contexts = [first, *recent[-(masks.RECENT - 1) :], masks.Context(dense, share)]
        side = self._canvas.side
        return masks.outlines(cv2.resize(share, (side, side), interpolation=cv2.INTER_CUBIC) > 0.5)

    def outside(self, polygons: Sequence[Points], dense: DenseMap) -> Array | None:
        """Return how many pixels each cell of `dense` is outside the outlines, or None where there are none."""
        if not len(polygons):
            return None
        return masks.outside_distance(self._share(polygons, dense) > COVERED) * dense.patch

    def _share(self, polygons: Sequence[Points], dense: DenseMap) -> Array:
        """Return how much of each cell polygons on the canvas cover."""
        import cv2

        mask = masks.rasterize(polygons, (self._canvas.side, self._canvas.side)).astype(np.float32)
        size = (dense.cells.shape[1], dense.cells.shape[0])
        return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float64)
