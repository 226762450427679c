"""The tracks that a tracker holds, as the other stages may see them."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import numpy as np

from mot_dinov3.core.structures.arrays import BoolArray, FloatArray, IntArray


class TrackState(enum.IntEnum):
    """Life of a track; NONE marks a detection that belongs to no track."""

    NONE = 0
    TENTATIVE = 1
    CONFIRMED = 2
    LOST = 3
    REMOVED = 4


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
