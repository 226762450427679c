"""Tracking where the detector looks at every Nth frame only: any tracker, and the flow between its frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, Detections, Frame, Revision, TrackView
from mot_dinov3.trackers.base import Tracker
from mot_dinov3.trackers.optical_flow import BoxFlow

Array = npt.NDArray[np.float64]


class BetweenTracker:
    """Hands the frames that the detector looks at to a tracker, and moves its boxes through all others.

    The tracker sees a video of a lower frame rate. Feeding the moved boxes back to it, as measurements between its
    frames, was tried and left out: where the flow errs, identities suffer.

    Args:
        tracker: What gives the identities.
        looks: Tells of a frame's index whether the detector looks at it.
    """

    def __init__(self, tracker: Tracker, looks: Callable[[int], bool]) -> None:
        self._tracker = tracker
        self._looks = looks
        self._looked = True
        self._flow = BoxFlow()
        self._time = 0.0
        self._looked_at = (0.0, Detections.empty())  # time and rows of the last frame that the detector looked at
        self._rows = Detections.empty()
        self._velocity: Array = np.zeros((0, 2))  # px/s

    def predict(self, frame: Frame) -> TrackView:
        """Return the tracker's tracks; none in a frame that the detector does not look at, where nothing is matched."""
        self._looked = self._looks(frame.index)
        if not self._looked:
            self._follow(frame)
            return TrackView.empty()
        if frame.image is not None:
            self._flow.look(frame.image)
        self._time = frame.time
        return self._tracker.predict(frame)

    def update(self, detections: Detections) -> Detections:
        """Return the tracker's rows; in a frame that the detector does not look at its last ones, moved and coasted."""
        if not self._looked:
            return self._rows
        rows = self._tracker.update(detections)
        shown = rows[rows.track_id >= 1]
        place = _place(shown)
        moved = shown.replace(
            xyxy=place,
            track_xyxy=place,
            coasted=np.ones(len(shown), np.bool_),
            **dict.fromkeys(("embedding", "fresh", "reason", "extra")),
        )
        seen, before = self._looked_at
        self._velocity = velocity(before, moved, self._time - seen)
        self._looked_at, self._rows = (self._time, moved), moved
        return rows

    def lost(self) -> TrackView:
        """Return the tracks that were lost when the detector last looked, for drawing."""
        return self._tracker.lost()

    @property
    def revisions(self) -> Sequence[Revision]:
        """Rows of earlier frames whose tentative track the last `update` confirmed."""
        return self._tracker.revisions if self._looked else ()

    @property
    def settled(self) -> int:
        """Index of the first frame that a later revision can still reach; all before it is final."""
        return self._tracker.settled

    def _follow(self, frame: Frame) -> None:
        """Move the last rows to `frame`: by the flow, and where that cannot be told, on with the velocity they had."""
        dt, self._time = frame.time - self._time, frame.time
        place = _place(self._rows).astype(np.float64)
        step = self._velocity * dt
        if frame.image is not None:
            step = self._flow.step(frame.image, place, step)
            self._velocity = step / dt if dt > 0 else self._velocity
        place = (place + np.tile(step, 2)).astype(np.float32)
        self._rows = self._rows.replace(xyxy=place, track_xyxy=place)
        if frame.image is not None:
            centre = (place[:, :2] + place[:, 2:]) / 2
            inside: BoolArray = np.all((centre >= 0) & (centre <= frame.image.shape[1::-1]), axis=1)
            self._rows, self._velocity = self._rows[inside], self._velocity[inside]


def _place(rows: Detections) -> npt.NDArray[np.float32]:
    """Return where rows are drawn: their tracks' smoothed boxes where there are any."""
    return rows.xyxy if rows.track_xyxy is None else rows.track_xyxy


def velocity(before: Detections, now: Detections, seconds: float) -> Array:
    """Return ``(n, 2)`` px/s of the rows of `now`, by where their tracks were `seconds` before; 0 where unknown."""
    speed = np.zeros((len(now), 2))
    if seconds > 0:
        _, then, here = np.intersect1d(before.track_id, now.track_id, return_indices=True)
        step = now.xyxy[here].astype(np.float64) - before.xyxy[then]
        speed[here] = (step[:, :2] + step[:, 2:]) / (2 * seconds)
    return speed
