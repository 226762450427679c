"""Crossings of tracks: which boxes overlap, from when to when, and where two tracks cross the next time."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from mot_dinov3.apps.track_editing.tracked_boxes import TrackedBoxes
from mot_dinov3.core.boxes import area
from mot_dinov3.core.errors import InputError
from mot_dinov3.core.structures import Float64Array, FloatArray, IntArray

PAUSE_SECONDS = 1.0
"""Two tracks that touch again within this time are still in the same crossing."""


@dataclasses.dataclass(frozen=True)
class Crossing:
    """Two tracks whose boxes overlap from frame `first` to frame `last`, most in frame `peak`.

    Attributes:
        tracks: The two, the lower id first.
        rows: Their rows of the table in frame `peak`.
        overlap: IoU in frame `peak`.
    """

    tracks: tuple[int, int]
    first: int
    last: int
    peak: int
    rows: tuple[int, int]
    overlap: float


def find_crossings(table: TrackedBoxes, *, least: float, fps: float) -> Iterator[Crossing]:
    """Yield the crossings of all pairs of tracks with an IoU above `least`, pair by pair."""
    rows, overlap = overlapping_rows(table, least)
    if not len(rows):
        return
    pair, frame = table.track_id[rows], table.frame[rows[:, 0]]
    order = np.lexsort((frame, pair[:, 1], pair[:, 0]))
    rows, overlap, pair, frame = rows[order], overlap[order], pair[order], frame[order]
    new = (pair[1:] != pair[:-1]).any(axis=1) | (np.diff(frame) > PAUSE_SECONDS * fps)
    bounds = [0, *(np.flatnonzero(new) + 1).tolist(), len(rows)]
    for low, high in itertools.pairwise(bounds):
        peak = low + int(overlap[low:high].argmax())
        one, other = rows[peak].tolist()
        tracks = int(pair[low, 0]), int(pair[low, 1])
        first, last = int(frame[low]), int(frame[high - 1])
        yield Crossing(tracks, first, last, int(frame[peak]), (one, other), float(overlap[peak]))


def overlapping_rows(table: TrackedBoxes, least: float) -> tuple[IntArray, Float64Array]:
    """Return ``(k, 2)`` rows of boxes of one frame with an IoU above `least`, the lower id first, and their IoU."""
    order = np.lexsort((table.track_id, table.frame))
    frame, xyxy = table.frame[order], table.xyxy[order]
    pairs, overlaps = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    # Each row is compared with the one `step` rows later, until no frame has so many rows.
    for step in range(1, len(order)):
        same = np.flatnonzero(frame[step:] == frame[:-step])
        if not len(same):
            break
        iou = row_iou(xyxy[same], xyxy[same + step])
        touching = iou > least
        at = same[touching]
        pairs.append(np.stack([order[at], order[at + step]], axis=1))
        overlaps.append(iou[touching].astype(np.float64))
    return np.concatenate(pairs), np.concatenate(overlaps)


def next_crossing(table: TrackedBoxes, track: int, other: int, frame: int) -> int:
    """Return the frame after `frame` in which two tracks overlap most when they cross the next time.

    Boxes that overlap in `frame` itself belong to a crossing that is going on, which is not the next one.

    Raises:
        InputError: They do not cross again.
    """
    check_two(track, other)
    mine, theirs = table.rows_of(track), table.rows_of(other)
    both, at_mine, at_theirs = np.intersect1d(table.frame[mine], table.frame[theirs], return_indices=True)
    overlap = row_iou(table.xyxy[mine[at_mine]], table.xyxy[theirs[at_theirs]])
    later = both > frame
    touching = both[overlap > 0]
    running = touching[touching >= frame]
    # Skip the crossing in progress: the frames that follow `frame` one by one.
    end = frame - 1
    for number in running.tolist():
        if number > end + 1:
            break
        end = number
    following = later & (overlap > 0) & (both > end)
    if not following.any():
        raise InputError(
            f"tracks {track} and {other} do not cross after frame {frame}", remedy="swap them to the end of the video"
        )
    start = int(np.flatnonzero(following)[0])
    stop = start + 1
    while stop < len(both) and following[stop] and both[stop] == both[stop - 1] + 1:
        stop += 1
    return int(both[start + int(overlap[start:stop].argmax())])


def row_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the ``(n,)`` IoU of the boxes ``(n, 4)``, row by row."""
    size = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.clip(size, 0, None).prod(axis=1)
    return np.asarray(shared / np.maximum(area(a) + area(b) - shared, 1e-9), np.float32)


def check_two(track: int, other: int) -> None:
    """Refuse a pair of tracks that is one.

    Raises:
        InputError: They are the same.
    """
    if track == other:
        raise InputError(f"both are track {track}", remedy="select two different tracks")
