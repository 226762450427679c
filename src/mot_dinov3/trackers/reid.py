"""Lost tracks found again by their looks alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import IntArray
from mot_dinov3.trackers import appearance_model, kalman
from mot_dinov3.trackers.association import Pairs
from mot_dinov3.trackers.config import TrackerConfig
from mot_dinov3.trackers.track_arrays import Tracks

AGE_RISE = 0.1  # by how much the floor has risen when the time for recovery is over
START_REACH = 1.0  # body heights that a prediction may be off at once


def reunions(tracks: Tracks, young: IntArray, now: float, config: TrackerConfig, same_floor: float) -> Pairs:
    """Return the pairs of a lost track and one of the `young` (by its position there) that may be the same object.

    Nobody is in two places: an heir has begun after the loss. Nobody is faster than `recovery_speed`. The longer ago
    the loss, the more alike they must look; a pair's value is by how much its likeness (0 = the embedder's floor,
    1 = the same picture) exceeds what is demanded.
    """
    known = tracks.embedded_frame >= 0
    young = np.where(known[young], young, -1)
    lost = np.flatnonzero(tracks.confirmed & ~tracks.matched & known)
    track, heir = (rows.ravel() for rows in np.meshgrid(lost, np.flatnonzero(young >= 0), indexing="ij"))
    cosine = appearance_model.cosine(tracks.embedding, tracks.embedding, track, young[heir])
    alike = appearance_model.likeness(cosine, same_floor)
    age = now - tracks.seen[track]
    value = alike - config.recovery_floor - AGE_RISE * np.minimum(age / max(config.recovery_seconds, 1e-6), 1.0)
    reachable = _distance(tracks, track, young[heir]) <= START_REACH + config.recovery_speed * age
    after = tracks.begun[young[heir]] > tracks.seen[track]
    return Pairs(track, heir, value)[reachable & after & (value > 0)]


def _distance(tracks: Tracks, a: IntArray, b: IntArray) -> npt.NDArray[np.float64]:
    """Return ``(k,)`` distances of centres, in body heights of `b`."""
    place = tracks.motion[kalman.POS]
    return np.asarray(np.hypot(*(place[:2, a] - place[:2, b])) / place[3, b])
