"""Sinks: they take every frame of a run in order, and their result becomes final only when they are closed."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Detections, Frame, IntArray, TrackState
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.trackers.base import Tracker


class Sink:
    """Takes every frame of a run in order.

    Attributes:
        stage: Stage that its work counts as; None where it times itself, or where its work is not counted.
    """

    stage: str | None = "save"

    def write(self, frame: Frame, detections: Detections) -> None:
        """Take one frame's finished rows."""

    def close(self) -> None:
        """Finish and put the result in its place."""

    def abort(self) -> None:
        """Stop without touching an earlier result."""


class FilterSink(Sink):
    """Hands frames on to another sink; a subclass changes, holds or leaves out some of them."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    @override
    def close(self) -> None:
        self._sink.close()

    @override
    def abort(self) -> None:
        self._sink.abort()


class TrackFilterSink(FilterSink):
    """Hands on the rows of chosen tracks only.

    Args:
        sink: Gets them.
        track_ids: ``(k,)`` ids.
    """

    def __init__(self, sink: Sink, track_ids: IntArray) -> None:
        super().__init__(sink)
        self._track_ids = track_ids
        self.stage = sink.stage

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        self._sink.write(frame, detections[np.isin(detections.track_id, self._track_ids)])


class CompositeSink(Sink):
    """Hands everything to several sinks, in their order; the timer counts their work, None leaves it uncounted."""

    stage = None

    def __init__(self, sinks: Sequence[Sink], timer: StageTimer | None = None) -> None:
        self._sinks = sinks
        self._timer = timer

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        for sink in self._sinks:
            sink.write(frame, detections)
            if self._timer is not None and sink.stage is not None:
                self._timer.lap(sink.stage)

    @override
    def close(self) -> None:
        for sink in self._sinks:
            sink.close()
            if self._timer is not None and sink.stage is not None:
                self._timer.lap(sink.stage)

    @override
    def abort(self) -> None:
        for sink in self._sinks:
            sink.abort()


class IdBackfill(FilterSink):
    """Holds the last few frames until no id of their rows can change any more.

    File sinks come after it: a tentative track has no id yet, and once it is confirmed, its rows in a file begin with
    its first box.

    Attributes:
        held: Frames that are not settled yet, with their rows.
    """

    stage = None

    def __init__(self, sink: Sink, tracker: Tracker) -> None:
        super().__init__(sink)
        self._tracker = tracker
        self.held: deque[tuple[Frame, Detections]] = deque()

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        self.held.append((dataclasses.replace(frame, image=None), detections))
        for revision in self._tracker.revisions:
            place = next(k for k, (frame, _) in enumerate(self.held) if frame.index == revision.frame_index)
            earlier, rows = self.held[place]
            self.held[place] = earlier, revised(rows, revision.row, revision.track_id)
        settled = self._tracker.settled
        while self.held and self.held[0][0].index < settled:
            self._sink.write(*self.held.popleft())

    @override
    def close(self) -> None:
        while self.held:
            self._sink.write(*self.held.popleft())
        super().close()


def revised(rows: Detections, row: int, track_id: int) -> Detections:
    """Return the rows with `row` given to a track; its own predicted box in that frame, if drawn, was a mistake."""
    ids, state = rows.track_id.copy(), rows.state.copy()
    ids[row], state[row] = track_id, TrackState.CONFIRMED
    mistaken = rows.coasted & (rows.track_id == track_id)
    return rows.replace(track_id=ids, state=state)[~mistaken]
