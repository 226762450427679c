"""Fast objects: a new track and a box that do not overlap, and that nothing else competes for."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.structures import BoolArray, Float64Array, IntArray

REACH = 3.0  # box sizes that an object may move in a frame, along each axis
RESIZED = 1.25  # its greatest change of width and height meanwhile


def lone_pairs(
    predicted: Float64Array, centre: Float64Array, sought: BoolArray, free: BoolArray
) -> tuple[IntArray, IntArray]:
    """Return the places, pair by pair, of tracks and boxes that are alone in each other's reach and alike in size.

    The reach of a new track is large, since its velocity is unknown; in a crowd there is always another one in it.

    Args:
        predicted: ``(4, m)`` centre boxes of all tracks.
        centre: ``(4, n)`` centre boxes of all detections.
        sought: ``(m,)`` bool: the track has found no box.
        free: ``(n,)`` bool: the box belongs to no track yet.
    """
    away = np.abs(predicted[:2, :, None] - centre[:2, None])
    near = (away <= REACH * np.maximum(predicted[2:, :, None], centre[2:, None])).all(axis=0)  # (m, n)
    alone = near & (near.sum(axis=1) == 1)[:, None] & (near.sum(axis=0) == 1)
    track, box = np.nonzero(alone & sought[:, None] & free)
    change = np.abs(np.log(np.maximum(centre[2:, box], 1e-6) / np.maximum(predicted[2:, track], 1e-6)))
    kept = (change <= np.log(RESIZED)).all(axis=0)
    return track[kept], box[kept]
