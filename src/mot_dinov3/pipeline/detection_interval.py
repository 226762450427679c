"""What becomes of the boxes between two looks of the detector once the second one is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mot_dinov3.core.structures import Detections, Frame, TrackState
from mot_dinov3.sinks.files import Several, Sink


class Interpolated:
    """Holds frames back until the detector looks again, and puts tracks seen on both sides on the straight line.

    A file need not show what was known at the moment: between two looks a line is nearer the truth than any
    prediction. It stands behind `Retrospective`, so that rows have their final ids.

    Args:
        sinks: Where finished frames go.
        looks: Tells of a frame's index whether the detector looked at it.
    """

    def __init__(self, sinks: Sequence[Sink], looks: Callable[[int], bool]) -> None:
        self._sinks = Several(sinks)
        self._looks = looks
        self._before: tuple[Frame, Detections] | None = None
        self._held: list[tuple[Frame, Detections]] = []

    def write(self, frame: Frame, detections: Detections) -> None:
        """Take a frame; pass it and those before it on where the detector looked."""
        if not self._looks(frame.index):
            self._held.append((frame, detections))
            return
        if self._before is not None:
            start, rows = self._before
            for place, (between, held) in enumerate(self._held):
                share = (between.time - start.time) / (frame.time - start.time)
                self._held[place] = between, on_the_line(held, rows, detections, share)
        self._release()
        self._sinks.write(frame, detections)
        self._before = frame, detections

    def _release(self) -> None:
        for frame, rows in self._held:
            self._sinks.write(frame, rows)
        self._held.clear()

    def close(self) -> None:
        """Pass on what is held and close the sinks."""
        self._release()
        self._sinks.close()

    def abort(self) -> None:
        """Abort the sinks."""
        self._sinks.abort()


class LookedAt:
    """Passes on only the frames that the detector looked at: in the others nothing was found because nobody looked.

    Args:
        sink: Where they go.
        looks: Tells of a frame's index whether the detector looked at it.
    """

    def __init__(self, sink: Sink, looks: Callable[[int], bool]) -> None:
        self._sink = sink
        self._looks = looks

    def write(self, frame: Frame, detections: Detections) -> None:
        """Pass the frame on where the detector looked."""
        if self._looks(frame.index):
            self._sink.write(frame, detections)

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()

    def abort(self) -> None:
        """Abort the sink."""
        self._sink.abort()


def on_the_line(rows: Detections, before: Detections, after: Detections, share: float) -> Detections:
    """Return the rows of a frame between two looks, with the boxes of tracks seen in both on the line between them.

    Args:
        rows: What was predicted.
        before: The last frame looked at.
        after: The next one.
        share: How far the frame is on the way, 0…1.

    Returns:
        The tracks seen on both sides, coasted and CONFIRMED; then the other predicted rows, which are LOST now.
    """
    first, last = (found[(found.track_id >= 1) & ~found.coasted] for found in (before, after))
    ids, start, end = np.intersect1d(first.track_id, last.track_id, return_indices=True)
    other = rows[~np.isin(rows.track_id, ids)]
    lost = other.replace(state=np.where(other.track_id >= 1, int(TrackState.LOST), other.state))
    if not len(ids):
        return lost
    from_, to = first[start], last[end]
    boxes = {"xyxy": (1 - share) * from_.xyxy + share * to.xyxy}
    if from_.track_xyxy is not None and to.track_xyxy is not None:
        boxes["track_xyxy"] = (1 - share) * from_.track_xyxy + share * to.track_xyxy
    line = from_.replace(
        **boxes,
        score=(1 - share) * from_.score + share * to.score,
        coasted=np.ones(len(ids), np.bool_),
        state=np.full(len(ids), int(TrackState.CONFIRMED)),
        **dict.fromkeys(("embedding", "fresh", "reason", "extra")),
    )
    return Detections.concat([line, lost])
