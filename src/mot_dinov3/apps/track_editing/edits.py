"""The edits of a track table: pure operations, each refused where it would make a wrong table."""

from __future__ import annotations

import dataclasses
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from mot_dinov3.apps.track_editing.crossings import check_two
from mot_dinov3.apps.track_editing.tracked_boxes import ADDED, TrackedBoxes
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import InputError, unknown_name
from mot_dinov3.core.structures import BoolArray, IntArray

MAX_NAME = 100  # characters
MAX_CLASS = 1_000_000
_SHOWN = 4  # stretches of frames that a message names


class Edit(ABC):
    """A change of a track table; a frozen dataclass whose fields are plain JSON."""

    kind: ClassVar[str]

    @abstractmethod
    def apply(self, table: TrackedBoxes) -> TrackedBoxes:
        """Return the changed table.

        Raises:
            InputError: The edit does not fit the table; nothing is changed.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return the edit as a sentence without its full stop."""

    def to_json(self) -> dict[str, Any]:
        """Return the edit for a journal: the inverse of `parse_edit`."""
        return {"kind": self.kind, **self.__dict__}


@dataclasses.dataclass(frozen=True)
class MergeTracks(Edit):
    """Makes `other` a part of `track`, whose id, and name if it has one, is kept.

    Where both have a box in a frame and one of the two is predicted, the detected one is kept. With `fill`, the boxes
    in the gaps between the two are interpolated.
    """

    kind: ClassVar[str] = "merge"
    track: int
    other: int
    fill: bool = False

    @override
    def apply(self, table: TrackedBoxes) -> TrackedBoxes:
        check_two(self.track, self.other)
        mine, theirs = table.rows_of(self.track), table.rows_of(self.other)
        both, at_mine, at_theirs = np.intersect1d(table.frame[mine], table.frame[theirs], return_indices=True)
        mine_there, theirs_there = mine[at_mine], theirs[at_theirs]
        clash = ~table.coasted[mine_there] & ~table.coasted[theirs_there]
        if clash.any():
            raise InputError(
                f"tracks {self.track} and {self.other} both have a box in {frame_words(both[clash])}",
                remedy="they are two objects there: split or swap them first, or delete the wrong boxes",
            )
        gone = np.where(table.coasted[theirs_there], theirs_there, mine_there)
        track_id, name = table.track_id.copy(), table.name.copy()
        track_id[theirs] = self.track
        kept_name = table.name_of(mine)
        name[theirs if kept_name is not None else mine] = kept_name or table.name_of(theirs)
        kept = np.ones(len(table), np.bool_)
        kept[gone] = False
        merged = table.replace(track_id=track_id, name=name)
        if not self.fill:
            return merged.keep(kept)
        is_other = np.zeros(len(table), np.bool_)
        is_other[theirs] = True
        joints = _joints(merged.keep(kept), is_other[kept], self.track)
        return fill_gaps(merged.keep(kept), self.track, joints)

    @override
    def describe(self) -> str:
        return f"merged track {self.other} into {self.track}" + (", gap filled" if self.fill else "")


@dataclasses.dataclass(frozen=True)
class SplitTrack(Edit):
    """Makes the boxes of a track from `frame` on a new track."""

    kind: ClassVar[str] = "split"
    track: int
    frame: int

    @override
    def apply(self, table: TrackedBoxes) -> TrackedBoxes:
        rows = table.rows_of(self.track)
        later = rows[table.frame[rows] >= self.frame]
        if not len(later) or len(later) == len(rows):
            first, last = table.frame[rows[[0, -1]]].tolist()
            raise InputError(
                f"track {self.track} has no boxes on both sides of frame {self.frame}",
                remedy=f"it covers frames {first} to {last}: choose one after the first",
            )
        track_id = table.track_id.copy()
        track_id[later] = table.next_id
        return table.replace(track_id=track_id, next_id=table.next_id + 1)

    @override
    def describe(self) -> str:
        return f"split track {self.track} at frame {self.frame}"


@dataclasses.dataclass(frozen=True)
class SwapTracks(Edit):
    """Exchanges two tracks from frame `first` to before `stop`, or to the end; each takes the other's name with it."""

    kind: ClassVar[str] = "swap"
    track: int
    other: int
    first: int
    stop: int | None = None

    @override
    def apply(self, table: TrackedBoxes) -> TrackedBoxes:
        check_two(self.track, self.other)
        rows = [table.rows_of(track) for track in (self.track, self.other)]
        inside = [_between(table, of_track, self.first, self.stop) for of_track in rows]
        if not any(map(len, inside)):
            raise InputError(
                f"neither track {self.track} nor {self.other} has a box from frame {self.first} on",
                remedy="choose an earlier frame",
            )
        track_id, name = table.track_id.copy(), table.name.copy()
        for moved, track, stays in ((inside[0], self.other, 1), (inside[1], self.track, 0)):
            track_id[moved] = track
            rest = np.setdiff1d(rows[stays], inside[stays])
            if len(rest):
                name[moved] = table.name_of(rest)
        return table.replace(track_id=track_id, name=name)

    @override
    def describe(self) -> str:
        until = "on" if self.stop is None else f"to {self.stop - 1}"
        return f"swapped tracks {self.track} and {self.other} from frame {self.first} {until}"


@dataclasses.dataclass(frozen=True)
class DeleteBoxes(Edit):
    """Deletes the boxes of a track from frame `first` to before `stop`; None stands for its beginning and end."""

    kind: ClassVar[str] = "delete"
    track: int
    first: int | None = None
    stop: int | None = None

    @override
    def apply(self, table: TrackedBoxes) -> TrackedBoxes:
        gone = _between(table, table.rows_of(self.track), self.first or 0, self.stop)
        if not len(gone):
            raise InputError(f"track {self.track} has no box there", remedy="choose other frames")
        kept = np.ones(len(table), np.bool_)
        kept[gone] = False
        return table.keep(kept)

    @override
    def describe(self) -> str:
        if self.first is None and self.stop is None:
            return f"deleted track {self.track}"
        until = "to its end" if self.stop is None else f"to frame {self.stop - 1}"
        return f"deleted track {self.track} from frame {self.first or 0} {until}"


@dataclasses.dataclass(frozen=True)
class RenameTrack(Edit):
    """Names a track; an empty name removes the one it has."""

    kind: ClassVar[str] = "rename"
    track: int
    name: str

    @override
    def apply(self, table: TrackedBoxes) -> TrackedBoxes:
        if not self.name.isprintable() or len(self.name) > MAX_NAME:
            raise InputError(f"{self.name[:40]!r} cannot be a name", remedy=f"use at most {MAX_NAME} plain characters")
        name = table.name.copy()
        name[table.rows_of(self.track)] = self.name.strip() or None
        return table.replace(name=name)

    @override
    def describe(self) -> str:
        return f"named track {self.track} {self.name}" if self.name else f"removed the name of track {self.track}"


@dataclasses.dataclass(frozen=True)
class ChangeClass(Edit):
    """Gives a track another class; `class_name` names a class that has no name yet."""

    kind: ClassVar[str] = "class"
    track: int
    class_id: int
    class_name: str = ""

    @override
    def apply(self, table: TrackedBoxes) -> TrackedBoxes:
        if not 0 <= self.class_id <= MAX_CLASS or not self.class_name.isprintable() or len(self.class_name) > MAX_NAME:
            raise InputError(f"class {self.class_id} cannot be used", remedy=f"use a number from 0 to {MAX_CLASS}")
        class_id = table.class_id.copy()
        class_id[table.rows_of(self.track)] = self.class_id
        names = dict(table.class_names)
        if self.class_name.strip():
            names.setdefault(self.class_id, self.class_name.strip())
        return table.replace(class_id=class_id, class_names=names)

    @override
    def describe(self) -> str:
        return f"changed the class of track {self.track} to {self.class_name or self.class_id}"


@dataclasses.dataclass(frozen=True)
class FillGaps(Edit):
    """Interpolates the boxes in the gaps of a track that begin from frame `first` to before `stop`, or in all."""

    kind: ClassVar[str] = "fill"
    track: int
    first: int = 0
    stop: int | None = None

    @override
    def apply(self, table: TrackedBoxes) -> TrackedBoxes:
        rows = table.rows_of(self.track)
        seen = rows[~table.coasted[rows] | (table.source[rows] == ADDED)]
        have = np.searchsorted(table.frame[rows], table.frame[seen])
        frame = table.frame[seen]
        gaps = np.flatnonzero(np.diff(frame) > np.diff(have))  # a frame between the two has no box at all
        begins = frame[gaps]
        gaps = gaps[(begins >= self.first) & (begins < (np.inf if self.stop is None else self.stop))]
        if not len(gaps):
            raise InputError(f"track {self.track} has no gap there", remedy="choose a track with a gap")
        return fill_gaps(table, self.track, np.stack([seen[gaps], seen[gaps + 1]], axis=1))

    @override
    def describe(self) -> str:
        return f"filled the gaps of track {self.track}"


EDITS: Mapping[str, type[Edit]] = {
    one.kind: one for one in (MergeTracks, SplitTrack, SwapTracks, DeleteBoxes, RenameTrack, ChangeClass, FillGaps)
}


def parse_edit(values: Mapping[str, Any]) -> Edit:
    """Return the edit of a JSON object with its ``kind`` and fields.

    Raises:
        InputError: A field is missing, unknown or of another type.
        UnknownNameError: There is no such kind.
    """
    if not isinstance(values, Mapping):
        raise InputError("an edit must be an object")
    kind = str(values.get("kind"))[:40]
    if kind not in EDITS:
        raise unknown_name("edit", kind, EDITS)
    fields = {field.name: field for field in dataclasses.fields(EDITS[kind])}  # type: ignore[arg-type]
    given = {key: value for key, value in values.items() if key != "kind"}
    if unknown := sorted(given.keys() - fields.keys()):
        raise InputError(
            f"edit '{kind}' has no field '{unknown[0][:40]}'", remedy=f"its fields are {', '.join(fields)}"
        )
    for name, field in fields.items():
        if name not in given and field.default is dataclasses.MISSING:
            raise InputError(f"edit '{kind}' lacks '{name}'")
        if name in given and not _fits(given[name], str(field.type)):
            raise InputError(f"edit '{kind}': {name} must be {field.type}, got {str(given[name])[:40]}")
    return EDITS[kind](**given)


def _fits(value: object, wanted: str) -> bool:
    """Return whether a JSON value is of a field's type: a whole number is from 0, and no boolean."""
    if value is None:
        return "None" in wanted
    if wanted.startswith("int"):
        return type(value) is int and 0 <= value < 2**53
    return type(value).__name__ == wanted


def fill_gaps(table: TrackedBoxes, track: int, ends: IntArray) -> TrackedBoxes:
    """Return the table with boxes interpolated between ``(k, 2)`` rows of a track, in place of predicted ones."""
    rows = table.rows_of(track)
    kept = np.ones(len(table), np.bool_)
    parts: list[dict[str, Any]] = []
    for before, after in ends.tolist():
        first, last = int(table.frame[before]), int(table.frame[after])
        kept[rows[(table.frame[rows] > first) & (table.frame[rows] < last)]] = False
        frame = np.arange(first + 1, last)
        share = ((frame - first) / (last - first)).astype(np.float32)
        made = {name: np.repeat(column[before : before + 1], len(frame), 0) for name, column in table.columns().items()}
        made["frame"] = frame
        made["xyxy"] = table.xyxy[before] + share[:, None] * (table.xyxy[after] - table.xyxy[before])
        made["score"] = table.score[before] + share * (table.score[after] - table.score[before])
        made["coasted"], made["source"] = np.ones(len(frame), np.bool_), np.full(len(frame), ADDED)
        parts.append(made | {"margin": np.full(len(frame), np.nan, np.float32)})
    added = {name: np.concatenate([part[name] for part in parts]) for name in table.columns()} if parts else {}
    return table.keep(kept).add(added) if added else table.keep(kept)


def _joints(table: TrackedBoxes, is_other: BoolArray, track: int) -> IntArray:
    """Return ``(k, 2)`` detected rows of a merged track between which it changes from one part to the other, and back.

    Only those with a frame between them count.
    """
    rows = table.rows_of(track)
    seen = rows[~table.coasted[rows] | (table.source[rows] == ADDED)]
    joint = (is_other[seen[1:]] != is_other[seen[:-1]]) & (np.diff(table.frame[seen]) > 1)
    at = np.flatnonzero(joint)
    return np.stack([seen[at], seen[at + 1]], axis=1)


def _between(table: TrackedBoxes, rows: IntArray, first: int, stop: int | None) -> IntArray:
    frame = table.frame[rows]
    return rows[(frame >= first) & (frame < (np.inf if stop is None else stop))]


def frame_words(frames: Iterable[int]) -> str:
    """Return frames in words: ``frames 3 to 7, 9 and 2 more stretches``."""
    stretches: list[list[int]] = []
    for number in map(int, frames):
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1][1] = number
        else:
            stretches.append([number, number])
    words = [str(a) if a == b else f"{a} to {b}" for a, b in itertools.islice(stretches, _SHOWN)]
    more = f" and {len(stretches) - _SHOWN} more stretches" if len(stretches) > _SHOWN else ""
    only = len(stretches) == 1 and stretches[0][0] == stretches[0][1]
    return f"frame {words[0]}" if only else f"frames {', '.join(words)}{more}"
