"""The outline of one instance while it is carried on from picture to picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray
from mot_dinov3.keypoints import masks
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.geometry import Matrix, Points, apply, scale_of
from mot_dinov3.keypoints.labels import Body

Array = npt.NDArray[np.float64]

REACH = 0.06  # of the instance's extent: over which a support's influence on the outline falls off
ASTRAY = 0.2  # of the extent: how far a corner may be from where the labelled outline has it
SHRUNK = 0.02  # of the labelled area, below which a mask is as good as lost


class CarriedOutline:
    """The outline of an instance.

    Args:
        config: The settings.
        body: The instance in its labelled frame.
        extent: Its size in pixels.
        size: Rows and columns of the pictures.

    Attributes:
        polygons: In pixels of the current picture; none where there is no mask, or it was lost for too long.
    """

    def __init__(self, config: KeypointConfig, body: Body, *, extent: float, size: tuple[int, ...]) -> None:
        self._config, self._body, self._extent = config, body, extent
        self._size = (size[0], size[1])
        self._lost = 0
        self.polygons: tuple[Points, ...] = () if config.masks == "none" else body.polygons

    def jump(self, pose: Matrix, polygons: Sequence[Points]) -> None:
        """Go on from a later picture with its polygons, or with the labelled ones seen in `pose`."""
        self._lost = 0
        if self._config.masks != "none":
            self.polygons = tuple(polygons) or tuple(apply(pose, p) for p in self._body.polygons)

    def carry(self, pose: Matrix, whole: Matrix, supports: Points, moves: Points, weights: Array) -> None:
        """Move on as the supports do.

        Args:
            pose: From the labelled frame to the new picture.
            whole: How the instance moved as a whole.
            supports: ``(m, 2)`` support points before.
            moves: ``(m, 2)`` how they moved beyond `whole`.
            weights: ``(m,)`` how far each is to be trusted.
        """
        if self.polygons:
            moved = masks.carry(self.polygons, whole, supports, moves, weights, reach=REACH * self._extent)
            usual = [apply(pose, p) for p in self._body.polygons]
            self.polygons = masks.held(moved, usual, reach=ASTRAY * self._extent * scale_of(pose))

    def take(self, polygons: Sequence[Points]) -> None:
        """Take what a propagator found; the last outline stays for a while where that is nothing."""
        self.polygons = tuple(polygons) or self.polygons
        self._lost = 0 if len(polygons) else self._lost + 1

    def give_up(self, pose: Matrix) -> None:
        """Drop the outline once its propagator has lost the instance for too long, or it shrank to nothing."""
        usual = masks.area(self._body.polygons) * scale_of(pose) ** 2
        if self.polygons and masks.area(self.polygons) < SHRUNK * usual:
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
