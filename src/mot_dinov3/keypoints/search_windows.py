"""Where a keypoint may be looked for, and what speaks against a place: pure functions of the settings."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.geometry import Points

Array = npt.NDArray[np.float64]

BASE_RADIUS = 2.0  # patches
STRUCTURE_WEIGHT = 0.15  # subtracted at one tolerance from where the neighbours expect a point; up to twice that
MASK_WEIGHT = 0.15
RIVAL_WEIGHT = 0.3


def search_radius(config: KeypointConfig, speed: Array, flow: Array, misses: Array) -> Array:
    """Return the ``(n,)`` search radii in patches.

    Args:
        config: The settings.
        speed: ``(n,)`` smoothed speed, patches per frame.
        flow: ``(n,)`` measured optical flow beyond the prediction, patches.
        misses: ``(n,)`` consecutive misses.
    """
    moving = np.maximum(config.motion_search_gain * speed, config.flow_gain * flow)
    radius = BASE_RADIUS * config.motion_search_tighten + moving + config.motion_search_miss_boost * misses
    return np.clip(radius, config.motion_search_min_radius, config.motion_search_max_radius)


def prior_penalty(
    config: KeypointConfig,
    distance: Array,
    *,
    radius_px: Array | float,
    misses: Array | float,
    speed_px: Array | float,
) -> Array:
    """Return what is subtracted from similarities for their `distance`, in source pixels, from the prediction."""
    soft = np.maximum(config.motion_prior_soft_radius_px, radius_px * config.motion_prior_radius_factor)
    soft = np.maximum(soft, 1e-6)
    relief = (1 + misses * config.motion_prior_miss_relief) * (1 + speed_px * config.motion_prior_flow_relief)
    return config.motion_prior_penalty_weight / relief * np.clip((distance / soft) ** 2, 0, 1)


def structure_penalty(distance: Array, tolerance: Array | float) -> Array:
    """Return what is subtracted for the distance from where the neighbours expect the point."""
    return STRUCTURE_WEIGHT * np.clip((distance / tolerance) ** 2, 0, 2)


def mask_penalty(outside: Array, extent: float) -> Array:
    """Return what is subtracted for the distance outside the mask; full at a tenth of the instance's extent."""
    return MASK_WEIGHT * np.clip(outside / (0.1 * extent), 0, 1)


def rival_penalty(places: Points, own: Points, rivals: Points) -> Array | float:
    """Return what is subtracted at places nearer to the same keypoint of another instance than to this one's own.

    Args:
        places: ``(n, gh, gw, 2)``.
        own: ``(n, 2)`` where each keypoint is expected.
        rivals: ``(n, r, 2)`` where the others' are expected; NaN where an instance has no such keypoint.
    """
    if not rivals.size:
        return 0.0
    to_own = np.linalg.norm(places - own[:, None, None], axis=3)
    nearer = np.zeros(to_own.shape, np.bool_)
    for rival in rivals.transpose(1, 0, 2):
        nearer |= np.linalg.norm(places - rival[:, None, None], axis=3) < to_own  # false where it is NaN
    return RIVAL_WEIGHT * nearer


@dataclasses.dataclass(frozen=True)
class Windows:
    """The cells of a map within the search radius of each of `n` keypoints, padded to squares of one size.

    Attributes:
        rows: ``(n, k, 1)`` rows of the map.
        columns: ``(n, 1, k)`` columns of the map.
        inside: ``(n, k, k)`` bool: the cell is in the map and within the radius.
        corner: ``(n, 2)`` pixels where the first cell begins.
        places: ``(n, k, k, 2)`` pixels of the cells' centres.
        patch: Pixels of a cell.
    """

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    inside: BoolArray
    corner: Points
    places: Points
    patch: float

    def of(self, maps: npt.NDArray[np.floating]) -> Array:
        """Return ``(n, k, k)`` values of ``(n, gh, gw)`` maps, or of one ``(gh, gw)`` map for all; −inf outside."""
        taken = (
            maps[self.rows, self.columns]
            if maps.ndim == 2
            else maps[np.arange(len(maps))[:, None, None], self.rows, self.columns]
        )
        return np.where(self.inside, taken, -np.inf).astype(np.float64)


def windows_around(places: Points, radius: Array, shape: tuple[int, int], patch: float) -> Windows:
    """Return the windows of a map around `places`.

    Args:
        places: ``(n, 2)`` pixels.
        radius: ``(n,)`` pixels.
        shape: Rows and columns of the map.
        patch: Pixels of a cell.
    """
    at, cells = places / patch - 0.5, (radius / patch)[:, None]
    low, high = np.floor(at - cells).astype(int), np.ceil(at + cells).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, (shape[1], shape[0]))
    side = np.arange(max(int((high - low).max(initial=1)), 1))
    xs, ys = low[:, :1] + side, low[:, 1:] + side
    inside = (ys < high[:, 1:])[:, :, None] & (xs < high[:, :1])[:, None, :]
    grid = np.stack(np.broadcast_arrays(xs[:, None, :], ys[:, :, None]), 3)
    rows, columns = ys.clip(0, shape[0] - 1)[:, :, None], xs.clip(0, shape[1] - 1)[:, None, :]
    return Windows(rows, columns, inside, low * patch, (grid + 0.5) * patch, patch)
