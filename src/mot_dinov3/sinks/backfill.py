"""What is known of a frame only later: rows of a tentative track get its id once it is confirmed.

File sinks are wrapped in `Retrospective`, which holds back a few frames until the fate of their tentative tracks is
known, so that a track's file rows start at its first box.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence

from mot_dinov3.core.structures import Detections, Frame, TrackState
from mot_dinov3.sinks.files import Several, Sink
from mot_dinov3.trackers.base import Tracker


class Retrospective:
    """Holds back the last few frames of file sinks, so that a track's tentative rows get their id after all.

    Args:
        sinks: Where settled frames go.
        tracker: Tells which rows of earlier frames have been confirmed, and which frames are settled.
    """

    def __init__(self, sinks: Sequence[Sink], tracker: Tracker) -> None:
        self._sinks = Several(sinks)
        self._tracker = tracker
        self._held: deque[tuple[Frame, Detections]] = deque()

    def write(self, frame: Frame, detections: Detections) -> None:
        """Take a frame, mend the held ones, and pass on those whose rows are settled."""
        self._held.append((dataclasses.replace(frame, image=None), detections))
        self._revise()
        while self._held and self._held[0][0].index < self._tracker.settled:
            self._release()

    def _revise(self) -> None:
        for revision in self._tracker.revisions:
            place = next(k for k in range(len(self._held)) if self._held[k][0].index == revision.frame_index)
            frame, rows = self._held[place]
            self._held[place] = frame, revised(rows, revision.row, revision.track_id)

    def _release(self) -> None:
        self._sinks.write(*self._held.popleft())

    def close(self) -> None:
        """Pass on what is held and close the sinks."""
        while self._held:
            self._release()
        self._sinks.close()

    def abort(self) -> None:
        """Abort the sinks."""
        self._sinks.abort()


def revised(rows: Detections, row: int, track_id: int) -> Detections:
    """Return the rows with `row` given to a track; its own predicted box in that frame, if shown, was a mistake."""
    ids, state = rows.track_id.copy(), rows.state.copy()
    ids[row], state[row] = track_id, TrackState.CONFIRMED
    mistaken = rows.coasted & (rows.track_id == track_id)
    return rows.replace(track_id=ids, state=state)[~mistaken]
