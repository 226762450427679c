"""Detection interval: the detector runs on every Nth frame, and between them boxes follow the optical flow.

The tracker sees a video of a lower frame rate. Files need not show what was known at the moment: between two detected
frames a straight line is nearer the truth than any prediction, and `GapInterpolator` puts it there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Detections, Frame, Revision, TrackState, TrackView
from mot_dinov3.detectors.base import Detector
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.sinks.base import FilterSink, Sink
from mot_dinov3.trackers.base import Tracker, learned_appearance
from mot_dinov3.trackers.box_following import BoxFollower

IsDetected = Callable[[int], bool]
"""Tells of a frame's index whether the detector runs on it."""


@dataclasses.dataclass(frozen=True)
class DetectionInterval:
    """Tells whether the detector runs on a frame: on every `every`-th one from `start` on."""

    every: int
    start: int = 0

    @classmethod
    def of(cls, config: TrackConfig) -> DetectionInterval | None:
        """Return the interval of a run; None where the detector runs on every frame."""
        every = config.interval.detect_every
        return cls(every, config.source.start_frame) if every > 1 else None

    def __call__(self, index: int) -> bool:
        """Return whether the detector runs on frame `index`."""
        return (index - self.start) % self.every == 0


class IntervalDetector(Detector):
    """Runs a detector on some frames only and finds nothing in the others."""

    def __init__(self, detector: Detector, is_detected: IsDetected) -> None:
        self._detector = detector
        self._is_detected = is_detected
        self.info = detector.info
        self.names = detector.names

    @override
    def detect(self, frame: Frame) -> Detections:
        return self._detector.detect(frame) if self._is_detected(frame.index) else Detections.empty()


class IntervalTracker(Tracker):
    """Hands the detected frames to a tracker, and moves its boxes through all others by optical flow.

    Feeding the moved boxes back to the tracker, as measurements between its frames, was tried and left out: where the
    flow errs, identities suffer. That the flow led a tentative box to a detection counts for its confirmation.

    Args:
        tracker: Gets the detected frames.
        is_detected: Tells which they are.
        follower: Moves the boxes.
    """

    def __init__(self, tracker: Tracker, is_detected: IsDetected, follower: BoxFollower | None = None) -> None:
        self._tracker = tracker
        self.min_score = tracker.min_score
        self.appearance = learned_appearance(tracker)
        self.cuts = getattr(tracker, "cuts", ())
        self.scores = getattr(tracker, "scores", None)
        self._add_evidence = getattr(tracker, "add_evidence", None)
        self._is_detected = is_detected
        self._detected = True
        self._follower = BoxFollower() if follower is None else follower

    @override
    def predict(self, frame: Frame) -> TrackView:
        """Return the tracker's tracks; none in a frame without detections, where nothing is matched."""
        self._follower.advance(frame)
        self._detected = self._is_detected(frame.index)
        return self._tracker.predict(frame) if self._detected else TrackView.empty()

    @override
    def update(self, detections: Detections) -> Detections:
        """Return the tracker's rows; in a frame without detections its last ones, moved and coasted."""
        if not self._detected:
            rows = self._follower.rows
            return rows[rows.track_id >= 1]
        if self._add_evidence is not None:
            self._add_evidence(self._follower.led_to(detections.xyxy))
        rows = self._tracker.update(detections)
        self.min_score = self._tracker.min_score
        shown = rows[(rows.track_id >= 1) | (rows.state == TrackState.TENTATIVE)]
        place = shown.final_xyxy
        moved = shown.replace(
            xyxy=place,
            track_xyxy=place,
            coasted=np.ones(len(shown), np.bool_),
            **dict.fromkeys(("embedding", "fresh", "reason", "extra")),
        )
        self._follower.restart(moved, detections.xyxy)
        return rows

    @override
    def lost(self) -> TrackView:
        """Return the tracks that were lost in the last detected frame, for drawing."""
        return self._tracker.lost()

    @property
    @override
    def revisions(self) -> Sequence[Revision]:
        return self._tracker.revisions if self._detected else ()

    @property
    @override
    def settled(self) -> int:
        return self._tracker.settled


class GapInterpolator(FilterSink):
    """Holds frames until the next detected one, and puts tracks found on both sides on the straight line between.

    It stands behind `IdBackfill`, so that rows have their final ids. Across a hard cut there is no line: an object that
    is in both scenes is in another place.

    Args:
        sink: Gets the frames.
        is_detected: Tells on which frames the detector ran.
        cuts: Frames in which the tracker saw that a new scene had begun, a list that grows.
    """

    stage = None

    def __init__(self, sink: Sink, is_detected: IsDetected, cuts: Sequence[int] = ()) -> None:
        super().__init__(sink)
        self._is_detected = is_detected
        self._cuts = cuts
        self._before: tuple[Frame, Detections] | None = None
        self._held: list[tuple[Frame, Detections]] = []

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        if not self._is_detected(frame.index):
            self._held.append((frame, detections))
            return
        if self._before is not None:
            start, rows = self._before
            is_cut = any(start.index < cut <= frame.index for cut in reversed(self._cuts))
            found = Detections.empty() if is_cut else detections
            for place, (between, held) in enumerate(self._held):
                share = (between.time - start.time) / (frame.time - start.time)
                self._held[place] = between, interpolated(held, rows, found, share)
        self._release()
        self._sink.write(frame, detections)
        self._before = frame, detections

    def _release(self) -> None:
        for frame, rows in self._held:
            self._sink.write(frame, rows)
        self._held.clear()

    @override
    def close(self) -> None:
        self._release()
        super().close()


class DetectedFramesOnly(FilterSink):
    """Passes on only the frames that the detector ran on: in the others, no box does not mean no object."""

    def __init__(self, sink: Sink, is_detected: IsDetected) -> None:
        super().__init__(sink)
        self._is_detected = is_detected

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        if self._is_detected(frame.index):
            self._sink.write(frame, detections)


def interpolated(rows: Detections, before: Detections, after: Detections, share: float) -> Detections:
    """Return the rows of a frame between two detected ones, with tracks found in both on the line between their boxes.

    Args:
        rows: Predicted rows.
        before: The last detected frame.
        after: The next one.
        share: Position of the frame between the two, 0…1.

    Returns:
        The tracks found on both sides, coasted and CONFIRMED; then the other predicted rows, which are LOST now.
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
