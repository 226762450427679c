"""The boxes of a frame with the results of all stages, and the tracks as other stages see them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.errors import MotError
from mot_dinov3.core.structures.arrays import BoolArray, FloatArray, IntArray


class TrackState(enum.IntEnum):
    """State of a track; NONE marks a detection that belongs to no track."""

    NONE = 0
    TENTATIVE = 1
    CONFIRMED = 2
    LOST = 3
    REMOVED = 4


class Reason(enum.IntEnum):
    """Reason why a row was, or was not, embedded in this frame: the decision of the scheduler."""

    NONE = 0
    NEW = 1
    WEAK_IOU = 2
    CROWDED = 3
    REFRESH = 4
    DEFERRED = 5
    REUSED = 6
    LOW_SCORE = 7


_NEUTRAL: dict[str, tuple[Any, object]] = {
    "score": (np.dtype(np.float32), 1.0),
    "class_id": (np.dtype(np.int64), -1),
    "track_id": (np.dtype(np.int64), -1),
    "state": (np.dtype(np.int64), int(TrackState.NONE)),
    "fresh": (np.dtype(np.bool_), False),
    "reason": (np.dtype(np.int64), int(Reason.NONE)),
    "coasted": (np.dtype(np.bool_), False),
    "gallery_id": (np.dtype(np.object_), None),
    "gallery_distance": (np.dtype(np.float32), np.nan),
    "gallery_margin": (np.dtype(np.float32), np.nan),
    "extra": (np.dtype(np.object_), None),
    "class_name": (np.dtype(np.object_), ""),
}
"""Columns of one value a row: their type and what a row has where nothing is known."""

_LATE = ("embedding", "track_xyxy", "class_name")
"""Columns that are None until a stage sets them."""

_SUPERVISION = ("xyxy", "score", "class_id", "track_id")
"""Columns that `supervision.Detections` has, too; the others go to its ``data``."""


@dataclasses.dataclass(frozen=True)
class Detections:
    """The boxes of one frame with the results of all stages, row by row.

    Columns left out are filled with their neutral value, so that every column of a finished object is an array of
    ``n`` rows, but for `embedding`, `track_xyxy` and `class_name`, which are None until a stage sets them. Index it
    with a boolean mask, an integer array or a slice to get the same struct with fewer rows.

    Attributes:
        xyxy: ``(n, 4)`` float32 boxes as detected.
        score: ``(n,)`` float32 in 0…1.
        class_id: ``(n,)`` int64, −1 where unknown.
        track_id: ``(n,)`` int64 ≥ 1, −1 for none; a detection's own number, from 0, where each stands for itself.
        state: ``(n,)`` int64 of `TrackState`.
        embedding: ``(n, d)`` float32 unit rows, or None; an all-zero row has no embedding.
        fresh: ``(n,)`` bool: the embedding was computed in this frame.
        reason: ``(n,)`` int64 of `Reason`.
        coasted: ``(n,)`` bool: the row is a lost track's predicted box, nothing was detected there.
        track_xyxy: ``(n, 4)`` float32 the track's smoothed box, or None.
        gallery_id: ``(n,)`` object: name of the known identity (str), or None.
        gallery_distance: ``(n,)`` float32 distance to that identity (0 is the same image), NaN where there is none.
        gallery_margin: ``(n,)`` float32 how much farther the next identity is, NaN where there is none.
        extra: ``(n,)`` object: dict of what a detector or an input record gives beyond the columns (det-v1's optional
            keys: ``obb``, ``keypoints``, ``segments``, …), or None.
        class_name: ``(n,)`` object: name of the class (str), empty where unknown; None where no stage has set it.

    Raises:
        MotError: A column's shape does not fit; the message names expected and actual shape.
    """

    xyxy: FloatArray
    score: FloatArray = None  # type: ignore[assignment]
    class_id: IntArray = None  # type: ignore[assignment]
    track_id: IntArray = None  # type: ignore[assignment]
    state: IntArray = None  # type: ignore[assignment]
    embedding: FloatArray | None = None
    fresh: BoolArray = None  # type: ignore[assignment]
    reason: IntArray = None  # type: ignore[assignment]
    coasted: BoolArray = None  # type: ignore[assignment]
    track_xyxy: FloatArray | None = None
    gallery_id: npt.NDArray[np.object_] = None  # type: ignore[assignment]
    gallery_distance: FloatArray = None  # type: ignore[assignment]
    gallery_margin: FloatArray = None  # type: ignore[assignment]
    extra: npt.NDArray[np.object_] = None  # type: ignore[assignment]
    class_name: npt.NDArray[np.object_] | None = None

    def __post_init__(self) -> None:
        self._settle(self.__dict__)  # xyxy comes first: the others are measured by it

    def _settle(self, names: Iterable[str]) -> None:
        """Give columns their type, or their neutral value where they are missing, and check their shapes."""
        columns = self.__dict__  # frozen for others
        for name in list(names):
            value, n = columns[name], len(columns["xyxy"])
            if value is None and name in _LATE:
                continue
            if name in _NEUTRAL:
                dtype, neutral = _NEUTRAL[name]
                if value is None:
                    array = np.empty(n, dtype)
                    array.fill(neutral)  # np.full takes three times as long
                else:
                    array = np.asarray(value, dtype)
                if array.shape != (n,):
                    raise MotError(f"Detections.{name} must have shape ({n},), got {array.shape}")
            else:
                width = None if name == "embedding" else 4
                array = np.asarray(value, np.float32)
                if name == "xyxy" and n == 0:
                    array = np.zeros((0, 4), np.float32)
                if array.ndim != 2 or len(array) != n or (width is not None and array.shape[1] != width):
                    raise MotError(f"Detections.{name} must have shape ({n}, {width or 'd'}), got {array.shape}")
            columns[name] = array

    @classmethod
    def _of_settled(cls, columns: dict[str, Any]) -> Detections:
        """Return the struct of columns known to fit, without checking them once more."""
        made = object.__new__(cls)
        made.__dict__.update(columns)
        return made

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, rows: BoolArray | IntArray | slice | Sequence[int]) -> Detections:
        """Return the struct of the chosen rows: a boolean mask, integer indices or a slice."""
        picked = rows if isinstance(rows, slice) else np.asarray(rows)
        if isinstance(picked, np.ndarray) and picked.size == 0 and picked.dtype != np.bool_:
            picked = picked.astype(np.int64)
        return self._of_settled({name: None if c is None else c[picked] for name, c in self.__dict__.items()})

    def columns(self) -> dict[str, Any]:
        """Return the columns by name, in the order of the class."""
        return dict(self.__dict__)

    def replace(self, **columns: Any) -> Detections:
        """Return a copy with the named columns exchanged."""
        if "xyxy" in columns or not columns.keys() <= self.__dict__.keys():
            return dataclasses.replace(self, **columns)
        copy = self._of_settled({**self.__dict__, **columns})
        copy._settle(columns)
        return copy

    @property
    def final_xyxy(self) -> FloatArray:
        """``(n, 4)`` their tracks' boxes where set: the filter's estimate is nearer the truth than one detection."""
        return self.xyxy if self.track_xyxy is None else self.track_xyxy

    def with_track_boxes(self) -> Detections:
        """Return the rows with `final_xyxy` as their boxes."""
        return self if self.track_xyxy is None else self.replace(xyxy=self.track_xyxy)

    @property
    def has_embedding(self) -> BoolArray:
        """``(n,)`` bool: the row carries an embedding, computed now or cached."""
        if self.embedding is None or not self.embedding.shape[1]:
            return np.zeros(len(self), np.bool_)
        found = self.embedding[:, 0] != 0  # of hardly any embedding is the first number zero: the rest is seldom read
        rest = (~found).nonzero()[0]
        if len(rest):
            found[rest] = np.any(self.embedding[rest] != 0, axis=1)
        return found

    def named(self, names: Mapping[int, str]) -> Detections:
        """Return the rows with `class_name`: from `names`, class id → name, or else from the records of a file."""
        ids = self.class_id.tolist()
        return self.replace(class_name=[names.get(c) or _recorded_name(r) for c, r in zip(ids, self.extra)])

    def to_supervision(self) -> Any:
        """Return the rows as `supervision.Detections`; what it has no column for goes to its ``data``."""
        import supervision

        data = {name: c for name, c in self.__dict__.items() if name not in _SUPERVISION and c is not None}
        if self.class_name is None and any(names := [_recorded_name(record) for record in self.extra]):
            data["class_name"] = np.array(names, np.object_)
        return supervision.Detections(
            self.xyxy, confidence=self.score, class_id=self.class_id, tracker_id=self.track_id, data=data
        )

    @classmethod
    def from_supervision(cls, detections: Any) -> Detections:
        """Return the rows of a `supervision.Detections`; of its ``data``, what `to_supervision` put there.

        Raises:
            MotError: A column's shape does not fit.
        """
        beside = {field.name for field in dataclasses.fields(cls)}.difference(_SUPERVISION)
        known = {name: column for name, column in detections.data.items() if name in beside}
        return cls(detections.xyxy, detections.confidence, detections.class_id, detections.tracker_id, **known)

    def to_dataframe(self) -> Any:
        """Return a `pandas.DataFrame` with a row each, its columns named as in the table of ``--save-csv``.

        Enumerations are written as lower-case names; `embedding` and `extra` are left out; the corners of `track_xyxy`
        are there where a stage has set it.
        """
        import pandas

        columns: dict[str, Any] = {name: self.__dict__[name] for name in ("track_id", "class_id", "score")}
        columns |= dict(zip(("x1", "y1", "x2", "y2"), self.xyxy.T))
        columns["state"] = np.array([TrackState(v).name.lower() for v in self.state], np.object_)
        columns |= {"embedded": self.fresh, "coasted": self.coasted}
        columns["reason"] = np.array([Reason(v).name.lower() for v in self.reason], np.object_)
        columns |= {name: self.__dict__[name] for name in ("gallery_id", "gallery_distance", "gallery_margin")}
        if self.track_xyxy is not None:
            columns |= dict(zip(("track_x1", "track_y1", "track_x2", "track_y2"), self.track_xyxy.T))
        return pandas.DataFrame(columns)

    @classmethod
    def empty(cls) -> Detections:
        """Return a struct without rows."""
        return cls(np.zeros((0, 4), np.float32))

    @classmethod
    def concat(cls, parts: Sequence[Detections]) -> Detections:
        """Join structs row-wise; a column that a part lacks is filled with zeros there."""
        parts = [p for p in parts if len(p)] or [cls.empty()]
        if len(parts) == 1:
            return parts[0]
        joined: dict[str, Any] = {}
        for name in parts[0].__dict__:
            columns = [part.__dict__[name] for part in parts]
            known = [c for c in columns if c is not None]
            if known and len(known) < len(columns):
                columns = [_blank(name, len(p), known[0]) if c is None else c for p, c in zip(parts, columns)]
            joined[name] = np.concatenate(columns) if known else None
        return cls._of_settled(joined)


def _blank(name: str, count: int, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the rows of a column that was not set, with the type and width of one that was."""
    return np.full((count, *like.shape[1:]), _NEUTRAL[name][1] if name in _NEUTRAL else 0, like.dtype)


def _recorded_name(record: object) -> str:
    """Return the class name in a record of a file; empty where it has none."""
    return str(record.get("class_name") or "") if isinstance(record, dict) else ""


@dataclasses.dataclass(frozen=True)
class TrackView:
    """The tracks a tracker holds right now, as the other stages may see them: read-only, row by row.

    Index it with a boolean mask to get the same struct with fewer rows.

    Attributes:
        key: ``(m,)`` int64: the tracker's own handle, unique in a run, also of tracks without a public id yet.
        track_id: ``(m,)`` int64: public id ≥ 1, −1 while tentative.
        state: ``(m,)`` int64 of `TrackState`.
        xyxy: ``(m, 4)`` float32 boxes predicted for the current frame.
        matched: ``(m,)`` bool: the track was matched in the last frame (it is *live*).
        embedding: ``(m, d)`` float32 cached unit rows (all zero: none yet), or None while no track has one.
        embedded_frame: ``(m,)`` int64: index of the frame in which an embedding of it was last computed, −1 never.
        class_id: ``(m,)`` int64.
    """

    key: IntArray
    track_id: IntArray
    state: IntArray
    xyxy: FloatArray
    matched: BoolArray
    embedding: FloatArray | None
    embedded_frame: IntArray
    class_id: IntArray

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, rows: BoolArray) -> TrackView:
        chosen: dict[str, Any] = {name: None if c is None else c[rows] for name, c in self.__dict__.items()}
        return TrackView(**chosen)

    @classmethod
    def empty(cls) -> TrackView:
        """Return the view of a tracker that holds nothing."""
        none = np.zeros(0, np.int64)
        return cls(none, none, none, np.zeros((0, 4), np.float32), np.zeros(0, np.bool_), None, none, none)


@dataclasses.dataclass(frozen=True)
class Revision:
    """A row of an earlier frame that turned out to belong to a track: its tentative track has been confirmed since."""

    frame_index: int
    row: int
    track_id: int
