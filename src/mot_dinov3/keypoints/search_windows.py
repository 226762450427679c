"""Search radius and windows of keypoints, and penalties on positions: pure functions of the options."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.geometry import Array, Points

BASE_RADIUS = 2.0  # patches
STRUCTURE_WEIGHT = 0.15  # penalty at one tolerance from the position that the neighbours expect; up to twice that
MASK_WEIGHT = 0.15
RIVAL_WEIGHT = 0.3


def search_radius(config: KeypointConfig, speed: Array, flow: Array, misses: Array) -> Array:
    """Return the ``(n,)`` search radii; they, smoothed speeds and optical flow beyond the prediction are in patches."""
    moving = np.maximum(config.motion_search_gain * speed, config.flow_gain * flow)
    radius = BASE_RADIUS * config.motion_search_tighten + moving + config.motion_search_miss_boost * misses
    return np.clip(radius, config.motion_search_min_radius, config.motion_search_max_radius)


def prior_penalty(
    config: KeypointConfig, distance: Array, *, radius_px: Array | float, misses: Array | float, speed_px: Array | float
) -> Array:
    """Return the penalty on similarities for their `distance`, in source pixels, from the prediction."""
    soft = np.maximum(config.motion_prior_soft_radius_px, radius_px * config.motion_prior_radius_factor)
    soft = np.maximum(soft, 1e-6)
    relief = (1 + misses * config.motion_prior_miss_relief) * (1 + speed_px * config.motion_prior_flow_relief)
    return config.motion_prior_penalty_weight / relief * np.clip((distance / soft) ** 2, 0, 1)


def structure_penalty(distance: Array, tolerance: Array | float) -> Array:
    """Return the penalty for the distance from the position that the neighbours expect."""
    return STRUCTURE_WEIGHT * np.clip((distance / tolerance) ** 2, 0, 2)


def mask_penalty(outside: Array, extent: float) -> Array:
    """Return the penalty for the distance outside the mask; full at a tenth of the instance's extent."""
    return MASK_WEIGHT * np.clip(outside / (0.1 * extent), 0, 1)


def rival_penalty(cells: Points, own: Points, rivals: Points) -> Array | float:
    """Return the penalty on cells nearer to the same keypoint of another instance than to this one's own.

    Args:
        cells: ``(n, gh, gw, 2)`` centres in pixels.
        own: ``(n, 2)`` expected position of each keypoint.
        rivals: ``(n, r, 2)`` expected positions of the others'; NaN where an instance has no such keypoint.
    """
    if not rivals.size:
        return 0.0
    to_own = np.linalg.norm(cells - own[:, None, None], axis=3)
    nearer = np.zeros(to_own.shape, np.bool_)
    for rival in rivals.transpose(1, 0, 2):
        nearer |= np.linalg.norm(cells - rival[:, None, None], axis=3) < to_own  # false where it is NaN
    return RIVAL_WEIGHT * nearer


@dataclasses.dataclass(frozen=True)
class SearchWindows:
    """The cells of a map within the search radius of each of `n` keypoints, padded to squares of one size.

    Attributes:
        rows: ``(n, k, 1)`` rows of the map.
        columns: ``(n, 1, k)`` columns of the map.
        inside: ``(n, k, k)`` bool: the cell is in the map and within the radius.
        corner: ``(n, 2)`` top left corner of the first cell in pixels.
        centres: ``(n, k, k, 2)`` centres of the cells in pixels.
        patch: Pixels of a cell.
    """

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    inside: BoolArray
    corner: Points
    centres: Points
    patch: float

    def of(self, maps: npt.NDArray[np.floating]) -> Array:
        """Return ``(n, k, k)`` values of ``(n, gh, gw)`` maps; −inf outside."""
        taken = maps[np.arange(len(maps))[:, None, None], self.rows, self.columns]
        return np.where(self.inside, taken, -np.inf).astype(np.float64)


def windows_around(xy: Points, radius: Array, shape: tuple[int, int], patch: float) -> SearchWindows:
    """Return windows of a map of `shape` around ``(n, 2)`` positions; lengths in pixels, `patch` of them in a cell."""
    at, cells = xy / patch - 0.5, (radius / patch)[:, None]
    low, high = np.floor(at - cells).astype(int), np.ceil(at + cells).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, (shape[1], shape[0]))
    side = np.arange(max(int((high - low).max(initial=1)), 1))
    xs, ys = low[:, :1] + side, low[:, 1:] + side
    inside = (ys < high[:, 1:])[:, :, None] & (xs < high[:, :1])[:, None, :]
    grid = np.stack(np.broadcast_arrays(xs[:, None, :], ys[:, :, None]), 3)
    rows, columns = ys.clip(0, shape[0] - 1)[:, :, None], xs.clip(0, shape[1] - 1)[:, None, :]
    return SearchWindows(rows, columns, inside, low * patch, (grid + 0.5) * patch, patch)
