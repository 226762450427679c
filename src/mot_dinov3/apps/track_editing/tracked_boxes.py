"""All tracked boxes of a video as one table, which edits change, and the way back to detections by frame."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.errors import InputError
from mot_dinov3.core.structures import BoolArray, Detections, FloatArray, IntArray
from mot_dinov3.formats.recorded_detections import RecordedDetections, recorded_states

ADDED = -1
"""`TrackedBoxes.source` of a box that an edit has added."""
DETECTED, PREDICTED, INTERPOLATED = 0, 1, 2
"""Kinds of the boxes of a stretch of a track."""
_CLASS_KEYS = ("class_id", "class", "class_name")
_ObjectArray = npt.NDArray[np.object_]


@dataclasses.dataclass(frozen=True)
class TrackedBoxes:
    """Tracked boxes, ordered by frame.

    Attributes:
        frame: ``(n,)`` int64, from 0.
        track_id: ``(n,)`` int64 ≥ 0, unique within a frame.
        xyxy: ``(n, 4)`` float32 pixels: the track's smoothed box where there is one.
        score: ``(n,)`` float32.
        class_id: ``(n,)`` int64, −1 where unknown.
        coasted: ``(n,)`` bool: nothing was detected there, the box is predicted or interpolated.
        name: ``(n,)`` object: name of the known identity (str), or None.
        margin: ``(n,)`` float32 how much farther the next known identity is, NaN where unknown.
        source: ``(n,)`` int64 number of the row in the file, in the order of the frames; `ADDED` where there is none.
        next_id: The id that the next new track gets: ids of deleted tracks are not given to others.
        class_names: Class id → name.
    """

    frame: IntArray
    track_id: IntArray
    xyxy: FloatArray
    score: FloatArray
    class_id: IntArray
    coasted: BoolArray
    name: _ObjectArray
    margin: FloatArray
    source: IntArray
    next_id: int
    class_names: Mapping[int, str] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    def replace(self, **columns: Any) -> TrackedBoxes:
        """Return a copy with the named columns exchanged."""
        return dataclasses.replace(self, **columns)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns by name."""
        return {name: value for name, value in self.__dict__.items() if isinstance(value, np.ndarray)}

    def keep(self, rows: BoolArray) -> TrackedBoxes:
        """Return the table of the rows of a mask."""
        return self.replace(**{name: column[rows] for name, column in self.columns().items()})

    def add(self, added: Mapping[str, npt.NDArray[Any]]) -> TrackedBoxes:
        """Return the table with further rows, given by column."""
        joined = {name: np.concatenate([column, added[name]]) for name, column in self.columns().items()}
        order = np.argsort(joined["frame"], kind="stable")
        return self.replace(**{name: column[order] for name, column in joined.items()})

    def rows_of(self, track: int) -> IntArray:
        """Return the rows of a track, by frame.

        Raises:
            InputError: There is no such track.
        """
        rows = np.flatnonzero(self.track_id == track)
        if not len(rows):
            raise InputError(f"there is no track {track}", remedy="it may have been merged or deleted: see the list")
        return rows

    def name_of(self, rows: IntArray) -> str | None:
        """Return the most frequent name of some rows, or None."""
        names = Counter(name for name in self.name[rows].tolist() if name is not None)
        return names.most_common(1)[0][0] if names else None

    def within(self, first: int, stop: int) -> slice:
        """Return the rows of the frames from `first` to before `stop`."""
        low, high = np.searchsorted(self.frame, (first, stop))
        return slice(int(low), int(high))


def table_of(recorded: RecordedDetections) -> TrackedBoxes:
    """Return the tracked boxes of a file."""
    numbers = sorted(recorded.frames)
    parts = [recorded.frames[number] for number in numbers]
    rows = Detections.concat([part.replace(embedding=None, extra=None) for part in parts])
    frame = np.repeat(np.array(numbers, np.int64), list(map(len, parts)))
    tracked = rows.track_id >= 0
    rows, source = rows[tracked], np.flatnonzero(tracked)
    return TrackedBoxes(
        frame=frame[tracked],
        track_id=rows.track_id,
        xyxy=rows.final_xyxy,
        score=rows.score,
        class_id=rows.class_id,
        coasted=rows.coasted,
        name=rows.gallery_id,
        margin=rows.gallery_margin,
        source=source,
        next_id=int(rows.track_id.max(initial=0)) + 1,
        class_names=recorded.names,
    )


def recorded_of(table: TrackedBoxes, recorded: RecordedDetections) -> RecordedDetections:
    """Return the detections of a file with the tracks of a table: the inverse of `table_of`.

    Boxes that the table lacks are left out; those of no track stay. What a file has beside tracks, names and classes
    stays, but for the distance of a known identity whose name has changed.
    """
    offsets = dict.fromkeys(table.frame.tolist(), 0)
    count = 0
    for number in sorted(recorded.frames):
        offsets[number] = count
        count += len(recorded.frames[number])
    frames: dict[int, Detections] = {}
    nothing = Detections.empty()
    for number in sorted(offsets.keys() | recorded.frames.keys()):
        rows = recorded.frames.get(number, nothing)
        frames[number] = _edited_frame(table, table.within(number, number + 1), rows, offsets[number])
    return dataclasses.replace(recorded, frames=frames, names=table.class_names)


def _edited_frame(table: TrackedBoxes, here: slice, rows: Detections, offset: int) -> Detections:
    """Return the rows of a frame as the table has them, then the added ones."""
    source = table.source[here]
    known = np.flatnonzero(source != ADDED) + here.start
    added = np.flatnonzero(source == ADDED) + here.start
    kept = np.flatnonzero(rows.track_id < 0)
    place = table.source[known] - offset
    chosen = np.concatenate([kept, place])
    order = np.argsort(chosen, kind="stable")
    edited = rows[chosen]
    columns = {
        "track_id": np.concatenate([edited.track_id[: len(kept)], table.track_id[known]]),
        "class_id": np.concatenate([edited.class_id[: len(kept)], table.class_id[known]]),
        "gallery_id": np.concatenate([edited.gallery_id[: len(kept)], table.name[known]]),
    }
    renamed = columns["gallery_id"] != edited.gallery_id
    reclassified = columns["class_id"] != edited.class_id
    if reclassified.any():
        columns["extra"] = _without_class(edited.extra, reclassified)
    for name in ("gallery_distance", "gallery_margin"):
        columns[name] = np.where(renamed, np.nan, getattr(edited, name))
    edited = edited.replace(**columns)[order]
    if not len(added):
        return edited
    more = _added_rows(table, added)  # with track boxes only where the others have them: a column is whole or absent
    return Detections.concat([edited, more if edited.track_xyxy is None else more.replace(track_xyxy=more.xyxy)])


def _without_class(records: _ObjectArray, rows: BoolArray) -> _ObjectArray:
    """Return the records of a file, those of `rows` without their class, which the column gives."""
    changed = records.copy()
    for row in np.flatnonzero(rows).tolist():
        if isinstance(changed[row], dict):
            changed[row] = {key: value for key, value in changed[row].items() if key not in _CLASS_KEYS}
    return changed


def _added_rows(table: TrackedBoxes, rows: IntArray) -> Detections:
    track_id, coasted = table.track_id[rows], table.coasted[rows]
    return Detections(
        table.xyxy[rows],
        table.score[rows],
        table.class_id[rows],
        track_id,
        state=recorded_states(track_id, coasted),
        coasted=coasted,
        gallery_id=table.name[rows],
    )


@dataclasses.dataclass(frozen=True)
class TrackSummary:
    """A track of a table.

    Attributes:
        track: Its id.
        count: Number of its boxes.
        class_id: Its most frequent class.
        name: Its name; empty where it has none.
        stretches: First frame, last frame and kind of each stretch without a gap, by frame: `DETECTED` and so on.
    """

    track: int
    count: int
    class_id: int
    name: str
    stretches: tuple[tuple[int, int, int], ...]

    @property
    def first(self) -> int:
        """Its first frame."""
        return self.stretches[0][0]

    @property
    def last(self) -> int:
        """Its last frame."""
        return self.stretches[-1][1]


def summarise(table: TrackedBoxes) -> Iterator[TrackSummary]:
    """Yield all tracks, the earliest first."""
    if not len(table):
        return
    order = np.lexsort((table.frame, table.track_id))
    track, frame = table.track_id[order], table.frame[order]
    kind = np.where(table.source[order] == ADDED, INTERPOLATED, np.where(table.coasted[order], PREDICTED, DETECTED))
    change = track[1:] != track[:-1]
    begins = np.flatnonzero(np.r_[True, change | (np.diff(frame) != 1) | (np.diff(kind) != 0)])
    ends = np.r_[begins[1:], len(frame)] - 1
    bounds = np.flatnonzero(np.r_[True, change, True])
    found = []
    stretches = list(zip(frame[begins].tolist(), frame[ends].tolist(), kind[begins].tolist()))
    of_track = np.searchsorted(begins, bounds)
    for number, (low, high) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist())):
        rows = order[low:high]
        classes, times = np.unique(table.class_id[rows], return_counts=True)
        mine = tuple(stretches[of_track[number] : of_track[number + 1]])
        class_id = int(classes[times.argmax()])
        found.append(TrackSummary(int(track[low]), high - low, class_id, table.name_of(rows) or "", mine))
    yield from sorted(found, key=lambda one: (one.first, one.track))
