"""Labels for the appearance calibration: pairs of a frame that motion alone decides, one way or the other."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.structures import BoolArray, Float64Array, IntArray
from mot_dinov3.trackers.appearance_model import AppearanceCalibration
from mot_dinov3.trackers.association import Association, Pairs
from mot_dinov3.trackers.lifecycle import Tracks

CERTAIN = 0.3  # margin of the value by motion from which on a pair is certain
MAX_COMPARED = 16  # tracks of a frame that are compared with each other, at most


def observe_appearance(
    calibration: AppearanceCalibration, found: Association, tracks: Tracks, frame_index: int
) -> None:
    """Let the calibration take in a frame's cosines: of pairs that motion labels, and of tracks seen together.

    Args:
        calibration: It decides which frames are observed.
        found: The frame's association, after its rounds.
        tracks: As they were before they took in their boxes.
        frame_index: 0-based.
    """
    contested = len(found.first) > min(len(found.owner), len(tracks))
    if not calibration.observes(frame_index, contested=contested):
        return
    if found.compared is not None:
        same, rivals = labels(found.first, found.compared.row)
        calibration.observe_same(found.compared.cosine[same], found.compared.gap[same])
        calibration.observe_rivals(found.compared.cosine[rivals])
    present = (found.taken & tracks.confirmed & (tracks.embedded_frame >= 0)).nonzero()[0][:MAX_COMPARED]
    if len(present) > 1:
        vectors = tracks.embedding[present]
        cosine = (vectors @ vectors.T)[np.triu_indices(len(present), 1)]
        calibration.observe_strangers(cosine.astype(np.float64))


def labels(pairs: Pairs, row: IntArray) -> tuple[BoolArray, BoolArray]:
    """Return ``(k,)`` bool of the pairs at `row`, valued by motion: of one object for certain, of two for certain.

    The first are certain pairs, the second those that share their track or their box with one.
    """
    sure = certain(pairs, CERTAIN)
    same = sure[row]
    decided = _shared(pairs.track, sure)[row] | _shared(pairs.box, sure)[row]
    return same, decided & ~same


def _shared(key: IntArray, chosen: BoolArray) -> BoolArray:
    """Return ``(k,)`` bool: the pair's key is that of a chosen pair."""
    marked = np.zeros(int(key.max(initial=-1)) + 1, np.bool_)
    marked[key[chosen]] = True
    return marked[key]


def certain(pairs: Pairs, margin: float) -> BoolArray:
    """Return ``(k,)`` bool: the value exceeds that of every other pair of the track, and of the box, by `margin`."""
    rival = np.maximum(_best_other(pairs.track, pairs.value), _best_other(pairs.box, pairs.value))
    return np.asarray(pairs.value - rival >= margin)


def _best_other(key: IntArray, value: Float64Array) -> Float64Array:
    """Return ``(k,)`` the best value among the other pairs of the same key, 0 where there is none."""
    order = np.lexsort((-value, key))
    key, value = key[order], value[order]
    new = np.ones(len(key), np.bool_)
    new[1:] = key[1:] != key[:-1]
    start = np.flatnonzero(new)[np.cumsum(new) - 1]
    after = np.append(value[1:], 0.0)
    after[np.append(new[1:], True)] = 0.0
    other = np.empty(len(key))
    other[order] = np.where(new, after, value[start])
    return other
