"""Life cycle of tracks: tracks as arrays, spawning, confirmation and ids, and predicted boxes of lost tracks."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import (
    BoolArray,
    Detections,
    Float64Array,
    FloatArray,
    Frame,
    IntArray,
    Revision,
    TrackState,
    TrackView,
)
from mot_dinov3.trackers import kalman
from mot_dinov3.trackers.base import Tracker

log = logging.getLogger(__name__)

VOTE_KEPT = 0.95  # share of a track's votes that each further one leaves
_AXIS = {"motion": 2}  # axis along which a column's tracks lie, where it is not the first
GAP_MEMORY = 200.0  # gaps after which the record has half forgotten
GAP_PRIOR = 8.0  # gaps that are taken to have stayed open before any was seen
TOLERANCE = 1e-6  # s, for sums of frame times
TENTATIVE, CONFIRMED, LOST, REMOVED = (  # plain numbers: arrays compare faster with them than with enum members
    int(state) for state in (TrackState.TENTATIVE, TrackState.CONFIRMED, TrackState.LOST, TrackState.REMOVED)
)


@dataclasses.dataclass
class Tracks:
    """All tracks a tracker holds. Columns are changed in place; rows come and go through `keep` and `add`.

    Attributes:
        key: ``(m,)`` number of the track in order of spawning, the stable handle.
        track_id: ``(m,)`` public id, −1 until confirmed.
        state: ``(m,)`` int64 of `TrackState`.
        hits: ``(m,)`` matches so far, the first box included.
        matched: ``(m,)`` bool: matched in the last frame.
        begun: ``(m,)`` time of the first box, s.
        seen: ``(m,)`` time of the last match, s.
        cut: ``(m,)`` bool: ended by a scene cut; it has no place any more and can only be re-identified.
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
    begun: Float64Array
    seen: Float64Array
    cut: BoolArray
    motion: Float64Array
    score: Float64Array
    class_id: IntArray
    embedding: FloatArray
    embedded_frame: IntArray
    votes: Float64Array
    trail: IntArray

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def none(cls, trail: int) -> Tracks:
        """Return an empty table; a tentative track will keep its last `trail` boxes."""
        row, real = np.zeros(0, np.int64), np.zeros(0)
        flag, motion = np.zeros(0, np.bool_), np.zeros((5, 4, 0))
        embedding, votes = np.zeros((0, 0), np.float32), np.zeros((0, 0))
        places = np.zeros((0, trail, 2), np.int64)
        return cls(row, row, row, row, flag, real, real, flag, motion, real, row, embedding, row, votes, places)

    def spawned(self, keys: IntArray, motion: Float64Array) -> Tracks:
        """Return new tentative tracks, with the columns' widths of these, that have but a handle and a motion."""
        n = len(keys)
        fresh = Tracks(*(np.zeros((n, *column.shape[1:]), column.dtype) for column in vars(self).values()))
        fresh.key, fresh.motion = keys, motion  # the only one whose shape above is wrong
        fresh.state[:] = TENTATIVE
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

    def correct(self, boxes: Float64Array, deviation: Float64Array) -> None:
        """Let the matched tracks take in measured centre boxes.

        Args:
            boxes: ``(4, m)`` a box for each track; those of tracks that were not matched are left out.
            deviation: ``(4, m)`` standard deviation of the measurement, px.
        """
        self.motion = np.where(self.matched, kalman.update(self.motion, boxes, deviation), self.motion)

    def vote(self, rows: IntArray, class_id: IntArray, score: Float64Array) -> None:
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
    def corners(self) -> Float64Array:
        """``(4, m)`` float64 corner boxes where the motion filter sees the tracks now."""
        return kalman.corner_boxes(self.motion[kalman.POS])

    def view(self) -> TrackView:
        """Return what the other stages may see of the tracks, as they are now: those that have a place."""
        view = TrackView(
            key=self.key.copy(),
            track_id=self.track_id.copy(),
            state=self.state.copy(),
            xyxy=np.ascontiguousarray(self.corners.T, np.float32),
            matched=self.matched.copy(),
            embedding=self.embedding if self.embedding.shape[1] else None,
            embedded_frame=self.embedded_frame.copy(),
            class_id=self.class_id.copy(),
        )
        return view[~self.cut] if np.count_nonzero(self.cut) else view


class TemporalTracker(Tracker):
    """A tracker that carries tracks from frame to frame: spawns, confirms and numbers them."""

    def __init__(self, confirm_hits: int) -> None:
        self._tracks = Tracks.none(confirm_hits)
        self._index = -1  # of the frame that was predicted last
        self._revisions: list[Revision] = []
        self._confirm_hits = confirm_hits
        self._spawned = 0
        self._ids = 0
        self._followed: IntArray | None = None

    @override
    def lost(self) -> TrackView:
        view = self._tracks.view()
        return view[view.state == TrackState.LOST]

    @property
    @override
    def revisions(self) -> Sequence[Revision]:
        return self._revisions

    @property
    @override
    def settled(self) -> int:
        young = ~self._tracks.confirmed
        if not np.count_nonzero(young):
            return self._index + 1
        past = self._tracks.trail[young, :, 0]
        return int(past[past >= 0].min(initial=self._index + 1))

    def _spawn(self, motion: Float64Array) -> IntArray:
        """Add tentative tracks with these motions; return their rows."""
        new = np.arange(motion.shape[2])
        rows = len(self._tracks) + new
        self._tracks.add(self._tracks.spawned(self._spawned + new, motion))
        self._spawned += len(new)
        self._tracks.matched[rows] = True
        return rows

    def _count_hits(self, owner: IntArray, rows: IntArray) -> None:
        """Count a match of each track `owner` with the detection `rows`, and the frames in which it was followed there.

        They are evidence of an object that was detected before: a track's first box counts once.
        """
        known = self._tracks.hits[owner] > 0
        self._tracks.hits[owner] += 1 if self._followed is None else 1 + known * self._followed.take(rows)

    def _confirm(self, owner: IntArray, rows: IntArray) -> None:
        """Give public ids to tentative tracks with enough matches, in order of spawning, and revise their past rows.

        Args:
            owner: ``(k,)`` tracks that have been matched in this frame.
            rows: ``(k,)`` the detections' rows they were matched with.
        """
        tracks = self._tracks
        young = tracks.track_id.take(owner) < 0
        if not np.count_nonzero(young):
            return
        owner, rows = owner[young], rows[young]
        slot = np.minimum(tracks.hits[owner], self._confirm_hits) - 1
        tracks.trail[owner, slot, 0] = self._index
        tracks.trail[owner, slot, 1] = rows
        chosen = self._ready(owner)
        if not len(chosen):
            return
        chosen.sort()
        self._recover(chosen)
        new = chosen[tracks.track_id[chosen] < 0]
        tracks.track_id[new] = self._ids + 1 + np.arange(len(new))
        self._ids += len(new)
        past = tracks.trail[chosen].reshape(-1, 2)
        ids = np.repeat(tracks.track_id[chosen], self._confirm_hits)
        real = (past[:, 0] >= 0) & (past[:, 0] < self._index)
        self._revisions += [Revision(f, row, i) for (f, row), i in zip(past[real].tolist(), ids[real].tolist())]

    def _labelled(self, owner: IntArray, detections: Detections, **columns: Any) -> Detections:
        """Return the rows with id, state and smoothed box of their tracks `owner`, ``(n,)``, and with more columns."""
        tracks, rows = self._tracks, (owner >= 0).nonzero()[0]
        owner = owner.take(rows)
        track_id, state = np.full(len(detections), -1), np.zeros(len(detections), np.int64)  # NONE
        smooth = detections.xyxy.copy()
        track_id[rows], state[rows] = tracks.track_id.take(owner), tracks.state.take(owner)
        smooth[rows] = tracks.corners.take(owner, axis=1).T
        return detections.replace(track_id=track_id, state=state, track_xyxy=smooth, **columns)

    def _ready(self, owner: IntArray) -> IntArray:
        """Return those of some tentative tracks that are to be confirmed."""
        return owner[self._tracks.hits[owner] >= self._confirm_hits]

    def _recover(self, young: IntArray) -> None:
        """Let tracks that are about to be confirmed take over the ids of lost ones."""


class StreamClock:
    """Time as the frames' stamps have it, from the first frame on.

    Args:
        fps: Frame rate that stands in where stamps do not increase.

    Attributes:
        now: Time of the last frame, s.
        dt: Seconds since the frame before it.
        interval: Usual seconds between two frames: the median of the last three, which a single pause does not change.
        faults: Frames whose stamp did not increase.
    """

    def __init__(self, fps: float) -> None:
        self.now = self.dt = self.interval = 0.0
        self.faults = 0
        self._fps = fps
        self._stamp: float | None = None
        self._steps: list[float] = []

    def step(self, frame: Frame) -> float:
        """Go on to a frame; return `dt`."""
        last, self._stamp = self._stamp, frame.time
        if last is None:
            return self.dt
        self.dt = frame.time - last
        if self.dt <= 0:
            if not self.faults:
                log.warning("frame %d: time does not increase; using 1/%g s instead", frame.index, self._fps)
            self.faults += 1
            self.dt = 1.0 / self._fps
        self.now += self.dt
        self._steps = [*self._steps[-2:], self.dt]
        self.interval = sorted(self._steps)[(len(self._steps) - 1) // 2]
        return self.dt

    def until_missed(self, frames: int) -> float:
        """Return the seconds within which an object can be missed in so many frames, and not in one more."""
        return (frames + 0.5) * self.interval


class GapStatistics:
    """Counts how many of a stream's gaps (frames in which a confirmed track finds no box) closed in time.

    Args:
        seconds: A gap has closed in time when the boxes predicted within it are no older than this,
        frames: or than so many frames.
    """

    def __init__(self, seconds: float, frames: int = 2) -> None:
        self._seconds = seconds
        self._frames = frames
        self._closed = 0.0
        self._open = 0.0

    def observe(self, waited: Float64Array, dt: float, back: BoolArray) -> None:
        """Take in one frame.

        Args:
            waited: ``(m,)`` seconds since each confirmed track was last seen, before this frame's matches.
            dt: Seconds since the last frame.
            back: ``(m,)`` bool: matched in this frame.
        """
        longest = self.limit(dt)
        gap = waited - dt  # age of the last box that could have been predicted
        running = gap > TOLERANCE
        if not np.count_nonzero(running):
            return
        closed = float((running & back & (gap <= longest)).sum())
        late = running & (gap > longest) & (gap - dt <= longest)
        fade = 0.5 ** ((closed + late.sum()) / GAP_MEMORY)
        self._closed, self._open = fade * self._closed + closed, fade * self._open + float(late.sum())

    @property
    def trust(self) -> float:
        """Share of the gaps that closed in time, 0…1; low while few have been seen."""
        return self._closed / (self._closed + self._open + GAP_PRIOR)

    def limit(self, dt: float) -> float:
        """Return for how many seconds predicted boxes are shown: no less than the frames, of `dt` each."""
        return max(self._seconds, self._frames * dt) + TOLERANCE
