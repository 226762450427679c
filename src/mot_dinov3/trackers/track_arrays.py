"""The tracks, as a struct of arrays: one row a track, one column a property."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, FloatArray, IntArray, TrackState, TrackView
from mot_dinov3.trackers import kalman

Array = npt.NDArray[np.float64]

VOTE_KEPT = 0.95  # share of a track's votes that each further one leaves
_AXIS = {"motion": 2}  # axis along which a column's tracks lie, where it is not the first


@dataclasses.dataclass
class Tracks:
    """All tracks a tracker holds. Columns are changed in place; rows come and go through `keep` and `add`.

    Attributes:
        key: ``(m,)`` number of birth, the stable handle.
        track_id: ``(m,)`` public id, −1 until confirmed.
        state: ``(m,)`` int64 of `TrackState`.
        hits: ``(m,)`` matches so far, the first box included.
        matched: ``(m,)`` bool: matched in the last frame.
        begun: ``(m,)`` time of the first box, s.
        seen: ``(m,)`` time of the last match, s.
        motion: ``(5, 4, m)`` filter state, see `kalman`: the one column whose last axis counts the tracks.
        score: ``(m,)`` score of the last box.
        class_id: ``(m,)`` class of the last box, or the voted one.
        embedding: ``(m, d)`` unit rows, zero where there is none; d = 0 until the first embedding arrives. It is never
            changed, but exchanged: views of the tracks share it.
        embedded_frame: ``(m,)`` index of the frame of the last fresh embedding, −1 never.
        votes: ``(m, c)`` faded scores of the boxes of each class, c = 0 unless classes are voted.
        trail: ``(m, confirm_hits, 2)`` frame and row of a tentative track's boxes, −1 where there is none.
    """

    key: IntArray
    track_id: IntArray
    state: IntArray
    hits: IntArray
    matched: BoolArray
    begun: Array
    seen: Array
    motion: Array
    score: Array
    class_id: IntArray
    embedding: FloatArray
    embedded_frame: IntArray
    votes: Array
    trail: IntArray

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def none(cls, trail: int) -> Tracks:
        """Return no tracks yet; a tentative one will remember its last `trail` boxes."""
        row, real = np.zeros(0, np.int64), np.zeros(0)
        flag, motion = np.zeros(0, np.bool_), np.zeros((5, 4, 0))
        embedding, votes = np.zeros((0, 0), np.float32), np.zeros((0, 0))
        places = np.zeros((0, trail, 2), np.int64)
        return cls(row, row, row, row, flag, real, real, motion, real, row, embedding, row, votes, places)

    def born(self, keys: IntArray, motion: Array) -> Tracks:
        """Return new tentative tracks, with the columns' widths of these, that have but a handle and a motion."""
        n = len(keys)
        fresh = Tracks(*(np.zeros((n, *column.shape[1:]), column.dtype) for column in vars(self).values()))
        fresh.key, fresh.motion = keys, motion  # the only one whose shape above is wrong
        fresh.state[:] = int(TrackState.TENTATIVE)
        for column in (fresh.track_id, fresh.class_id, fresh.embedded_frame, fresh.trail):
            column[:] = -1
        return fresh

    def keep(self, rows: BoolArray) -> None:
        """Forget all tracks but these."""
        for name, column in vars(self).items():
            setattr(self, name, column.compress(rows, axis=_AXIS.get(name, 0)))

    def add(self, others: Tracks) -> None:
        """Append new tracks."""
        for name, column in vars(self).items():
            setattr(self, name, np.concatenate([column, getattr(others, name)], axis=_AXIS.get(name, 0)))

    def places(self, owner: IntArray, rows: IntArray) -> IntArray:
        """Return ``(m,)`` the row that each track was matched with; any row for the others."""
        place = np.zeros(len(self), np.int64)
        place[owner] = rows
        return place

    def correct(self, boxes: Array, deviation: Array) -> None:
        """Let the matched tracks take in measured centre boxes.

        Args:
            boxes: ``(4, m)`` a box for each track; those of tracks that were not matched are left out.
            deviation: ``(4, m)`` standard deviation of the measurement, px.
        """
        self.motion = np.where(self.matched, kalman.update(self.motion, boxes, deviation), self.motion)

    def widen(self, dim: int) -> None:
        """Make room for embeddings of length `dim`."""
        self.embedding = np.zeros((len(self), dim), np.float32)

    def vote(self, rows: IntArray, class_id: IntArray, score: Array) -> None:
        """Let boxes vote for their tracks' classes; older votes fade, so that a real change wins in the end."""
        missing = int(class_id.max(initial=-1)) + 2 - self.votes.shape[1]  # class −1, unknown, has column 0
        if missing > 0:
            self.votes = np.pad(self.votes, ((0, 0), (0, missing)))
        self.votes[rows] *= VOTE_KEPT
        self.votes[rows, class_id + 1] += score
        self.class_id[rows] = self.votes[rows].argmax(axis=1) - 1

    @property
    def confirmed(self) -> BoolArray:
        """``(m,)`` bool: has a public id (confirmed or lost)."""
        return self.track_id >= 0

    @property
    def corners(self) -> Array:
        """``(4, m)`` float64 corner boxes where the motion filter sees the tracks now."""
        return kalman.corner_boxes(self.motion[kalman.POS])

    def view(self) -> TrackView:
        """Return what the other stages may see of the tracks, as they are now."""
        return TrackView(
            key=self.key.copy(),
            track_id=self.track_id.copy(),
            state=self.state.copy(),
            xyxy=np.ascontiguousarray(self.corners.T, np.float32),
            matched=self.matched.copy(),
            embedding=self.embedding if self.embedding.shape[1] else None,
            embedded_frame=self.embedded_frame.copy(),
            class_id=self.class_id.copy(),
        )
