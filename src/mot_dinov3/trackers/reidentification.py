"""Re-identification: which new tracks may be lost ones."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.structures import IntArray
from mot_dinov3.trackers import appearance_model, kalman
from mot_dinov3.trackers.appearance_model import SimilarityScales
from mot_dinov3.trackers.association import Pairs
from mot_dinov3.trackers.config import TrackerConfig
from mot_dinov3.trackers.lifecycle import Tracks

AGE_RISE = 0.5  # by how much more evidence is required when the time for recovery is over
START_REACH = 1.0  # body heights that a prediction may be off at once


def reid_candidates(
    tracks: Tracks, young: IntArray, now: float, config: TrackerConfig, scales: SimilarityScales
) -> Pairs:
    """Return the pairs of a lost track and one of the `young` (by its position there) that may be the same object.

    A track that takes over an id has begun after the loss, and nothing is faster than `recovery_speed`. A pair's value
    is by how much the log-likelihood ratio of its embeddings exceeds that of a choice among its rivals; the longer ago
    the loss, the more is required.
    """
    known = tracks.embedded_frame >= 0
    if not np.count_nonzero(known):
        none = np.zeros(0, np.int64)
        return Pairs(none, none, np.zeros(0))
    young = np.where(known[young], young, -1)
    lost = np.flatnonzero(tracks.confirmed & ~tracks.matched & known)
    track, young_row = (rows.ravel() for rows in np.meshgrid(lost, np.flatnonzero(young >= 0), indexing="ij"))
    cosine = appearance_model.cosine(tracks.embedding, tracks.embedding, track, young[young_row])
    place, other = tracks.motion[kalman.POS], young[young_row]
    distance = np.hypot(*(place[:2, track] - place[:2, other])) / place[3, other]  # of centres, in body heights
    age = now - tracks.seen[track]
    near = (distance <= START_REACH + config.recovery_speed * age) | tracks.cut[track]  # a cut leaves no place
    possible = near & (tracks.begun[other] > tracks.seen[track])
    track, young_row, cosine, age = track[possible], young_row[possible], cosine[possible], age[possible]
    rivals = np.maximum(np.bincount(track, minlength=1)[track], np.bincount(young_row, minlength=1)[young_row])
    required = np.log(rivals) + AGE_RISE * np.minimum(age / max(config.recovery_seconds, 1e-6), 1.0)
    value = scales.appearance.recovery_evidence(cosine) - required - config.recovery_evidence
    return Pairs(track, young_row, value)[value > 0]
