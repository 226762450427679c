"""The mask of one instance from frame to frame: its outline in the frame, and its cells on the described canvas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mot_dinov3.core.structures import BoolArray
from mot_dinov3.keypoints import masks
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.descriptor_maps import DenseMap
from mot_dinov3.keypoints.geometry import Array, Canvas, Matrix, Points, apply, scale_of
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.point_flow import SupportMotion

REACH = 0.06  # of the instance's extent: over which a support's influence on the outline falls off
MAX_DRIFT = 0.2  # of the extent: most distance of a corner from the labelled outline under the current pose
VANISHED = 0.02  # of the labelled area, below which a mask counts as lost
COVERED = 0.25  # of a cell, from which it counts as inside


class OutlineTracker:
    """The outline of an instance, in pixels of the current frame.

    Args:
        config: The stage's options.
        instance: The instance in its labelled frame.
        extent: Its size in pixels.
        size: Rows and columns of the frames.

    Attributes:
        polygons: Empty where there is no mask, or it was lost for too long.
    """

    def __init__(
        self, config: KeypointConfig, instance: LabelledInstance, *, extent: float, size: tuple[int, ...]
    ) -> None:
        self._config, self._labelled, self._extent = config, instance.polygons, extent
        self._size = (size[0], size[1])
        self._lost = 0
        self.polygons: tuple[Points, ...] = () if config.masks == "none" else instance.polygons

    def restart(self, pose: Matrix, polygons: Sequence[Points]) -> None:
        """Continue from another frame with its polygons, or with the labelled ones under `pose` where it has none."""
        self._lost = 0
        if self._config.masks != "none":
            self.polygons = tuple(polygons) or tuple(apply(pose, p) for p in self._labelled)

    def move(self, pose: Matrix, whole: Matrix, motion: SupportMotion) -> None:
        """Move as the instance does, to `pose`: as a whole, and each corner half as far as the supports around it."""
        if self.polygons:
            reach = REACH * self._extent
            moved = [apply(whole, p) + 0.5 * motion.at(p, reach=reach) for p in self.polygons]
            expected = [apply(pose, p) for p in self._labelled]
            self.polygons = masks.limit_drift(moved, expected, reach=MAX_DRIFT * self._extent * scale_of(pose))

    def update(self, polygons: Sequence[Points]) -> None:
        """Take a propagator's outlines; where it has none, the last ones stay for a while."""
        self.polygons = tuple(polygons) or self.polygons
        self._lost = 0 if len(polygons) else self._lost + 1

    def expire(self, pose: Matrix) -> None:
        """Drop the outline once its propagator has lost the instance for too long, or it has shrunk to nothing."""
        expected = masks.area(self._labelled) * scale_of(pose) ** 2
        if self.polygons and masks.area(self.polygons) < VANISHED * expected:
            self._lost += 1
        elif self._config.masks == "flow":
            self._lost = 0
        if self._lost > self._config.max_mask_fallback_frames:
            self.polygons = ()

    def snap(self, xy: Points) -> tuple[Points, BoolArray]:
        """Return points, those that left the outline a little moved into it, and which are too far from it."""
        if not (self.polygons and self._config.mask_enforce_position):
            return xy, np.zeros(len(xy), np.bool_)
        mask = masks.rasterize(self.polygons, self._size)
        return masks.snap(xy, mask, radius=self._config.mask_enforce_snap_radius)


class CanvasMaskTracker:
    """The mask of an instance by cells of its described canvas; can propagate it by descriptors.

    Args:
        canvas: The instance's canvas.
        propagates: Propagate labels by descriptors; otherwise something else tracks the mask.
    """

    def __init__(self, canvas: Canvas, *, propagates: bool) -> None:
        self._canvas, self._propagates = canvas, propagates
        self._contexts: list[masks.MaskContext] = []

    def begin(self, dense: DenseMap, polygons: Sequence[Points]) -> None:
        """Take the outlines on the canvas of the labelled frame, which `dense` describes."""
        if self._propagates and polygons:
            self._contexts.append(masks.MaskContext(dense, self._share(polygons, dense)))

    def propagate(self, dense: DenseMap) -> Sequence[Points] | None:
        """Return the outlines on the canvas by label propagation, or None where something else tracks the mask."""
        if not self._contexts:
            return None
        import cv2

        share = masks.propagate(self._contexts, dense)
        first, *recent = self._contexts
        self._contexts = [first, *recent[-(masks.RECENT - 1) :], masks.MaskContext(dense, share)]
        side = self._canvas.side
        return masks.outlines(cv2.resize(share, (side, side), interpolation=cv2.INTER_CUBIC) > 0.5)

    def outside(self, polygons: Sequence[Points], dense: DenseMap) -> Array | None:
        """Return ``(gh, gw)`` pixels that each cell of `dense` is outside the outlines, or None without outlines."""
        if not len(polygons):
            return None
        return masks.outside_distance(self._share(polygons, dense) > COVERED) * dense.patch

    def _share(self, polygons: Sequence[Points], dense: DenseMap) -> Array:
        """Return the share of each cell that polygons on the canvas cover."""
        import cv2

        mask = masks.rasterize(polygons, (self._canvas.side, self._canvas.side)).astype(np.float32)
        size = (dense.cells.shape[1], dense.cells.shape[0])
        return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float64)
