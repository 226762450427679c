"""Resolving id switches: trajectories that left a crossing with each other's identity are exchanged. Pure functions."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.structures import BoolArray, Float64Array, IntArray
from mot_dinov3.linking.track_appearance import appearance_of, scale, unit
from mot_dinov3.linking.tracklets import Tracklets, sort_rows

MEETING_IOU = 0.3
PAUSE_SECONDS = 1.0
"""Two objects that touch again within this time are still in the same meeting."""
WINDOW_SECONDS = 5.0
"""Time around a meeting in which appearance is compared: beyond it other meetings decide."""
FEWEST_BOXES = 3
"""Embedded boxes from which on a side of a trajectory counts as known: a single one may show somebody in front."""
MARGIN = 0.4
"""Least gain of an exchange, on the scale from different objects (0) to one object (1)."""


@dataclasses.dataclass(frozen=True)
class _Meeting:
    """Two objects that overlap from `start` to `end`, s; `pair` are the rows of their boxes where they overlap most."""

    pair: tuple[int, int]
    start: float
    end: float


def resolve_swaps(tracklets: Tracklets) -> IntArray:
    """Return the ``(n,)`` ids of all rows, trajectories exchanged after a meeting where appearance demands it.

    Before a meeting and after it each of the two has an appearance. If these agree across rather than along the
    trajectories, the identities were swapped in between. If one of the two is missing before or after,
    the known appearances decide.
    """
    track_id = tracklets.track_id.copy()
    if tracklets.embedding is None:
        return track_id
    known = scale(appearance_of(sort_rows(tracklets, track_id), tracklets.embedding))
    if known is None:
        return track_id
    embedded = np.flatnonzero((tracklets.embedding != 0).any(axis=1))
    embedded = embedded[np.argsort(tracklets.time[embedded], kind="stable")]
    for meeting in sorted(_meetings(tracklets), key=lambda m: (m.start, m.pair)):
        one, other = track_id[list(meeting.pair)].tolist()
        if _exchange_gain(tracklets, track_id, embedded, meeting) > MARGIN * (known.same.mean - known.different.mean):
            later = tracklets.time > tracklets.time[meeting.pair[0]]
            first, second = later & (track_id == one), later & (track_id == other)
            track_id[first], track_id[second] = other, one
    return track_id


def _exchange_gain(tracklets: Tracklets, track_id: IntArray, embedded: IntArray, meeting: _Meeting) -> float:
    """Return the mean gain in cosine if the two trajectories are exchanged after the meeting."""
    low = np.searchsorted(tracklets.time[embedded], meeting.start - WINDOW_SECONDS)
    high = np.searchsorted(tracklets.time[embedded], meeting.end + WINDOW_SECONDS, side="right")
    rows = embedded[low:high]
    time, ids = tracklets.time[rows], track_id[rows]
    vectors = tracklets.embedding[rows].astype(np.float64)  # type: ignore[index]

    def mean(chosen: BoolArray) -> Float64Array:
        known = np.count_nonzero(chosen) >= FEWEST_BOXES
        return unit(vectors[chosen].sum(axis=0) * known)

    before, after = time < meeting.start, time > meeting.end
    pair = track_id[list(meeting.pair)]
    old = np.stack([mean(before & (ids == track)) for track in pair])
    new = np.stack([mean(after & (ids == track)) for track in pair])
    cosine = old @ new.T
    had, has = (old != 0).any(axis=1), (new != 0).any(axis=1)
    gains = []
    for i, j in ((0, 1), (1, 0)):
        if had.all() and has[j]:  # both are known before: whose is the second trajectory after the meeting?
            gains.append(cosine[i, j] - cosine[j, j])
        elif has.all() and had[i] and not had[j]:  # both are known after: which of the two is the first one?
            gains.append(cosine[i, j] - cosine[i, i])
    return float(np.mean(gains)) if gains else 0.0


def _meetings(tracklets: Tracklets) -> Iterator[_Meeting]:
    """Yield the meetings of all pairs."""
    rows, overlap = _overlapping(tracklets)
    if not len(rows):
        return
    pair, time = tracklets.track_id[rows], tracklets.time[rows[:, 0]]
    order = np.lexsort((time, pair[:, 1], pair[:, 0]))
    rows, overlap, pair, time = rows[order], overlap[order], pair[order], time[order]
    new = (pair[1:] != pair[:-1]).any(axis=1) | (np.diff(time) > PAUSE_SECONDS)
    bounds = [0, *(np.flatnonzero(new) + 1).tolist(), len(rows)]
    for low, high in itertools.pairwise(bounds):
        peak = low + int(np.argmax(overlap[low:high]))
        yield _Meeting((int(rows[peak, 0]), int(rows[peak, 1])), float(time[low]), float(time[high - 1]))


def _overlapping(tracklets: Tracklets) -> tuple[IntArray, Float64Array]:
    """Return ``(k, 2)`` rows of boxes of the same frame that overlap, the lower id first, and their IoU."""
    order = np.lexsort((tracklets.track_id, tracklets.frame))
    frame = tracklets.frame[order]
    bounds = [0, *(np.flatnonzero(frame[1:] != frame[:-1]) + 1).tolist(), len(frame)]
    rows, overlaps = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for low, high in itertools.pairwise(bounds):
        here = order[low:high]
        iou = np.triu(boxes.iou(tracklets.xyxy[here], tracklets.xyxy[here]), 1)
        first, second = np.nonzero(iou > MEETING_IOU)
        rows.append(np.stack([here[first], here[second]], axis=1))
        overlaps.append(iou[first, second].astype(np.float64))
    return np.concatenate(rows), np.concatenate(overlaps)
