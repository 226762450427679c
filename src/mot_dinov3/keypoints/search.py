"""Where a keypoint may be looked for, and what speaks against a place: pure functions of the settings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
    config: KeypointConfig, distance: Array, *, radius_px: float, misses: float, speed_px: float
) -> Array:
    """Return what is subtracted from similarities for their `distance`, in source pixels, from the prediction."""
    soft = max(config.motion_prior_soft_radius_px, radius_px * config.motion_prior_radius_factor, 1e-6)
    relief = (1 + misses * config.motion_prior_miss_relief) * (1 + speed_px * config.motion_prior_flow_relief)
    return config.motion_prior_penalty_weight / relief * np.clip((distance / soft) ** 2, 0, 1)


def structure_penalty(distance: Array, tolerance: float) -> Array:
    """Return what is subtracted for the distance from where the neighbours expect the point."""
    return STRUCTURE_WEIGHT * np.clip((distance / tolerance) ** 2, 0, 2)


def mask_penalty(outside: Array, extent: float) -> Array:
    """Return what is subtracted for the distance outside the mask; full at a tenth of the instance's extent."""
    return MASK_WEIGHT * np.clip(outside / (0.1 * extent), 0, 1)


def rival_penalty(places: Points, own: Points, rivals: Points) -> Array | float:
    """Return what is subtracted at places nearer to the same keypoint of another instance than to this one's own.

    Args:
        places: ``(gh, gw, 2)``.
        own: ``(2,)`` where this keypoint is expected.
        rivals: ``(r, 2)`` where the others' are expected.
    """
    if not len(rivals):
        return 0.0
    to_own = np.linalg.norm(places - own, axis=2)
    to_rival = np.linalg.norm(places[:, :, None] - rivals, axis=3).min(2)
    return RIVAL_WEIGHT * (to_rival < to_own)
