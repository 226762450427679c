"""Places where a result may be wrong, the most urgent first: crossings, jumps, interrupted tracks, uncertain names.

They are computed from the table of tracks alone, so that files of any program have them. The thresholds are not those
of `report.moments`, which sees one frame at a time: each finds more with its own (`benchmarks/review_ranks.py`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from mot_dinov3.apps.track_editing.crossings import Crossing, find_crossings, row_iou
from mot_dinov3.apps.track_editing.tracked_boxes import TrackedBoxes
from mot_dinov3.core.structures import Float64Array, IntArray

MAX_PLACES = 300
CROSSING_IOU = 0.15
VELOCITY_SECONDS = 0.5
"""Time over which the speed before a crossing, or before an end, is measured."""
JUMP = 0.5
"""Steps from one box to the next that are suspect, in heights of the box."""
SAME_PLACE_IOU = 0.3
"""IoU of a box with another track's last box from which on it may have been that one's."""
REJOIN_SECONDS = 3.0
"""Longest gap between the end of a track and the beginning of one that may continue it."""
REACH = 1.5
"""Farthest distance, in heights of the box, between a predicted place and the beginning of a track."""
SHORT_SECONDS = 0.5
UNCERTAIN_MARGIN = 0.05
"""Margins between the nearest known identities below which a name is uncertain."""


@dataclasses.dataclass(frozen=True)
class PlaceToReview:
    """A frame to review.

    Attributes:
        kind: ``jump``, ``crossing``, ``continued``, ``gap``, ``name`` or ``short``.
        frame: Where to look.
        tracks: The tracks that take part: one, or two.
        urgency: From 0 to 1.
        text: One line for the user.
        key: The same for the same boxes, whatever tracks they belong to.
    """

    kind: str
    frame: int
    tracks: tuple[int, ...]
    urgency: float
    text: str
    key: str


def find_places(table: TrackedBoxes, fps: float) -> list[PlaceToReview]:
    """Return the places to review, the most urgent first; at most `MAX_PLACES`."""
    if not len(table):
        return []
    runs = _Runs.of(table)
    found = [
        *_jumps(runs, fps),
        *_crossings(runs, fps),
        *_continued(runs, fps),
        *_gaps(runs, fps),
        *_names(runs),
        *_short(runs, fps),
    ]
    found.sort(key=lambda place: (-place.urgency, place.frame, place.key))
    first_of = {(place.kind, place.frame, frozenset(place.tracks)): place for place in reversed(found)}
    return [place for place in found if first_of[place.kind, place.frame, frozenset(place.tracks)] is place][
        :MAX_PLACES
    ]


@dataclasses.dataclass(frozen=True)
class _Runs:
    """A table by track.

    Attributes:
        table: The table.
        order: ``(n,)`` its rows ordered by track and frame.
        track: ``(n,)`` their tracks.
        frame: ``(n,)`` their frames.
        centre: ``(n, 2)`` the centres of their boxes.
        begin: ``(m,)`` the first place of each track in `order`.
        end: ``(m,)`` its last one.
    """

    table: TrackedBoxes
    order: IntArray
    track: IntArray
    frame: IntArray
    centre: Float64Array
    begin: IntArray
    end: IntArray

    @classmethod
    def of(cls, table: TrackedBoxes) -> _Runs:
        order = np.lexsort((table.frame, table.track_id))
        track = table.track_id[order]
        bounds = np.flatnonzero(np.r_[True, track[1:] != track[:-1], True])
        return cls(table, order, track, table.frame[order], _centre(table.xyxy[order]), bounds[:-1], bounds[1:] - 1)

    def place(self, kind: str, row: int, tracks: tuple[int, ...], urgency: float, text: str) -> PlaceToReview:
        """Return a place at a row of the table."""
        frame = int(self.table.frame[row])
        box = ",".join(f"{v:.0f}" for v in self.table.xyxy[row].tolist())
        return PlaceToReview(kind, frame, tracks, round(min(float(urgency), 1.0), 3), text, f"{kind} {frame} {box}")

    def velocity(self, at: int, fps: float) -> Float64Array:
        """Return pixels per frame, x and y, of a track up to its row ``order[at]``."""
        frame = self.frame
        begin = self.begin[np.searchsorted(self.begin, at, side="right") - 1]
        low = int(begin + np.searchsorted(frame[begin : at + 1], frame[at] - VELOCITY_SECONDS * fps))
        if low >= at:
            return np.zeros(2)
        step = self.centre[at] - self.centre[low]
        return np.asarray(step / max(int(frame[at] - frame[low]), 1), np.float64)


def _centre(box: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Float64Array:
    return np.asarray((box[..., :2] + box[..., 2:]) / 2, np.float64)


def _jumps(runs: _Runs, fps: float) -> Iterator[PlaceToReview]:
    """Yield steps that are too long; a shorter one counts where it ends on the last box of another track."""
    table, order = runs.table, runs.order
    before, after = order[:-1], order[1:]
    same = table.track_id[before] == table.track_id[after]
    height = np.maximum((table.xyxy[before, 3] - table.xyxy[before, 1]).astype(np.float64), 1.0)
    gap = table.frame[after] - table.frame[before]
    step = np.linalg.norm(_centre(table.xyxy[after]) - _centre(table.xyxy[before]), axis=1) / height
    usual = float(np.median(step[same & (gap == 1)])) if (same & (gap == 1)).any() else 0.0
    for at in np.flatnonzero(same & (step > JUMP / 3 + 2 * usual * gap)).tolist():
        last, row = int(before[at]), int(after[at])
        track = int(table.track_id[row])
        other, overlap = _taken_from(table, last, row)
        if other is not None:
            text = f"track {track} jumps to where track {other} was: an id switch?"
            yield runs.place("jump", row, (track, other), 0.9 + 0.1 * overlap, text)
        elif step[at] > JUMP + 4 * usual * gap[at]:
            text = f"track {track} jumps by {step[at]:.1f} box heights"
            yield runs.place("jump", row, (track,), 0.5 + min(0.1 * float(step[at]), 0.3), text)


def _taken_from(table: TrackedBoxes, last: int, row: int) -> tuple[int | None, float]:
    """Return the track whose box in the frame of `last` the box `row` overlaps more than its own, and that IoU."""
    frame = int(table.frame[last])
    rows = np.arange(len(table))[table.within(frame, frame + 1)]
    overlap = row_iou(table.xyxy[rows], np.repeat(table.xyxy[row : row + 1], len(rows), 0))
    best = int(overlap.argmax())
    own = float(overlap[rows == last][0])
    if overlap[best] <= max(own, SAME_PLACE_IOU):
        return None, 0.0
    return int(table.track_id[rows[best]]), float(overlap[best])


def _crossings(runs: _Runs, fps: float) -> Iterator[PlaceToReview]:
    """Yield crossings; the more urgent, the more the boxes overlap and the better an exchange fits the motion."""
    for crossing in find_crossings(runs.table, least=CROSSING_IOU, fps=fps):
        exchange = _exchange_fit(runs, crossing, fps)
        one, other = crossing.tracks
        text = f"tracks {one} and {other} cross (overlap {crossing.overlap:.2f})"
        if exchange > 0.6:
            text += ", and their motion fits better if they are swapped"
        yield runs.place("crossing", min(crossing.rows), (one, other), 0.3 * crossing.overlap + 0.6 * exchange, text)


def _exchange_fit(runs: _Runs, crossing: Crossing, fps: float) -> float:
    """Return from 0 to 1 how well the motion of two tracks fits an exchange at their crossing; 0.4 where unknown."""
    frame, centre = runs.frame, runs.centre
    predicted, seen = [], []
    for track in crossing.tracks:
        bounds = np.searchsorted(runs.track, (track, track + 1))
        mine = frame[bounds[0] : bounds[1]]
        before = int(bounds[0] + np.searchsorted(mine, crossing.first)) - 1
        after = int(bounds[0] + np.searchsorted(mine, crossing.last, side="right"))
        if before < bounds[0] or after >= bounds[1]:
            return 0.4
        ahead = int(frame[after] - frame[before])
        predicted.append(centre[before] + ahead * runs.velocity(before, fps))
        seen.append(centre[after])
    straight = sum(float(np.linalg.norm(predicted[i] - seen[i])) for i in (0, 1))
    exchanged = sum(float(np.linalg.norm(predicted[i] - seen[1 - i])) for i in (0, 1))
    return straight / max(straight + exchanged, 1e-9)


def _continued(runs: _Runs, fps: float) -> Iterator[PlaceToReview]:
    """Yield ends of tracks near which another one begins soon after: one object with two ids."""
    table, order = runs.table, runs.order
    first, last = table.frame[order[runs.begin]], table.frame[order[runs.end]]
    by_start = np.argsort(first, kind="stable")
    for track in range(len(first)):
        low, high = np.searchsorted(first[by_start], (last[track] + 1, last[track] + REJOIN_SECONDS * fps + 1))
        starts = by_start[low:high]
        if not len(starts):
            continue
        row = int(order[runs.end[track]])
        height = max(float(table.xyxy[row, 3] - table.xyxy[row, 1]), 1.0)
        ahead = (first[starts] - last[track])[:, None]
        place = _centre(table.xyxy[row]) + ahead * runs.velocity(int(runs.end[track]), fps)
        rows = order[runs.begin[starts]]
        distance = np.linalg.norm(_centre(table.xyxy[rows]) - place, axis=1) / height
        nearest = int(distance.argmin())
        if distance[nearest] < REACH:
            one, other = int(table.track_id[row]), int(table.track_id[rows[nearest]])
            text = f"track {one} ends in frame {last[track]}, and track {other} begins near it"
            yield runs.place(
                "continued", int(rows[nearest]), (one, other), 0.85 - 0.4 * distance[nearest] / REACH, text
            )


def _gaps(runs: _Runs, fps: float) -> Iterator[PlaceToReview]:
    table, order = runs.table, runs.order
    before, after = order[:-1], order[1:]
    gap = table.frame[after] - table.frame[before] - 1
    for at in np.flatnonzero((table.track_id[before] == table.track_id[after]) & (gap > 0)).tolist():
        track, count = int(table.track_id[before[at]]), int(gap[at])
        text = f"track {track} has no box in {count} frame{'s' if count > 1 else ''}"
        yield runs.place("gap", int(after[at]), (track,), 0.15 + 0.3 * (1 - math.exp(-count / fps)), text)


def _names(runs: _Runs) -> Iterator[PlaceToReview]:
    """Yield where the name of a track changes, and where it is least certain."""
    table, order = runs.table, runs.order
    for begin, end in zip(runs.begin.tolist(), runs.end.tolist()):
        rows = order[begin : end + 1]
        rows = rows[table.name[rows] != None]  # noqa: E711 - by element
        if not len(rows):
            continue
        track, names = int(table.track_id[rows[0]]), table.name[rows]
        for at in np.flatnonzero(names[1:] != names[:-1]).tolist():
            text = f"the name of track {track} changes from {names[at]} to {names[at + 1]}"
            yield runs.place("name", int(rows[at + 1]), (track,), 0.7, text)
        margin = table.margin[rows]
        if np.isfinite(margin).any() and (least := float(np.nanmin(margin))) < UNCERTAIN_MARGIN:
            text = f"the name of track {track}, {names[int(np.nanargmin(margin))]}, is uncertain (margin {least:.3f})"
            urgency = 0.5 * (1 - max(least, 0.0) / UNCERTAIN_MARGIN)
            yield runs.place("name", int(rows[int(np.nanargmin(margin))]), (track,), urgency, text)


def _short(runs: _Runs, fps: float) -> Iterator[PlaceToReview]:
    table, order = runs.table, runs.order
    for begin, end in zip(runs.begin.tolist(), runs.end.tolist()):
        count = end - begin + 1
        if count < SHORT_SECONDS * fps:
            track = int(table.track_id[order[begin]])
            text = f"track {track} has only {count} box{'es' if count > 1 else ''}"
            yield runs.place("short", int(order[begin]), (track,), 0.2, text)
