"""What trackers that carry tracks from frame to frame have in common: births, public ids, and whom they revise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import IntArray, Revision, TrackState, TrackView
from mot_dinov3.trackers.base import Tracker
from mot_dinov3.trackers.track_arrays import Tracks


class TemporalTracker(Tracker):
    """Holds the tracks, numbers them, and remembers where those without a number yet have been.

    Args:
        confirm_hits: Matches that confirm a track.
    """

    def __init__(self, confirm_hits: int) -> None:
        self._tracks = Tracks.none(confirm_hits)
        self._index = -1  # of the frame that was predicted last
        self._revisions: list[Revision] = []
        self._confirm_hits = confirm_hits
        self._births = 0
        self._ids = 0

    @override
    def lost(self) -> TrackView:
        return self._tracks.view()[self._tracks.state == TrackState.LOST]

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

    def _bear(self, motion: npt.NDArray[np.float64]) -> IntArray:
        """Add tentative tracks with these motions; return their rows."""
        new = np.arange(motion.shape[2])
        rows = len(self._tracks) + new
        self._tracks.add(self._tracks.born(self._births + new, motion))
        self._births += len(new)
        self._tracks.matched[rows] = True
        return rows

    def _confirm(self, owner: IntArray, rows: IntArray) -> None:
        """Give public ids to tentative tracks with enough matches, in order of birth, and revise their past rows.

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
        chosen = self._proven(owner)
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

    def _proven(self, owner: IntArray) -> IntArray:
        """Return those of some tentative tracks that are to be confirmed."""
        return owner[self._tracks.hits[owner] >= self._confirm_hits]

    def _recover(self, young: IntArray) -> None:
        """Let tracks that are about to be confirmed take over the ids of lost ones."""
