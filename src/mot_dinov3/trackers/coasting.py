"""When may a lost track's predicted box be shown? Where this stream's own record says that such gaps close."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, Detections, IntArray
from mot_dinov3.trackers.track_arrays import Tracks

MEMORY = 200.0  # gaps after which the record has half forgotten
PRIOR = 8.0  # gaps that are taken to have stayed open before any was seen
TOLERANCE = 1e-6  # s, for sums of frame times


class GapRecord:
    """Counts how many of a stream's gaps (frames in which a confirmed track finds no box) closed in time.

    Args:
        seconds: A gap has closed in time when the boxes predicted within it are no older than this, or than two frames.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._closed = 0.0
        self._open = 0.0

    def observe(self, waited: npt.NDArray[np.float64], dt: float, back: BoolArray) -> None:
        """Take in one frame.

        Args:
            waited: ``(m,)`` seconds since each confirmed track was last seen, before this frame's matches.
            dt: Seconds since the last frame.
            back: ``(m,)`` bool: matched in this frame.
        """
        longest = limit(self._seconds, dt)
        gap = waited - dt  # age of the last box that could have been predicted
        running = gap > TOLERANCE
        if not np.count_nonzero(running):
            return
        closed = float((running & back & (gap <= longest)).sum())
        late = running & (gap > longest) & (gap - dt <= longest)
        fade = 0.5 ** ((closed + late.sum()) / MEMORY)
        self._closed, self._open = fade * self._closed + closed, fade * self._open + float(late.sum())

    @property
    def trust(self) -> float:
        """Share of the gaps that closed in time, 0…1; low while few have been seen."""
        return self._closed / (self._closed + self._open + PRIOR)


def limit(seconds: float, dt: float) -> float:
    """Return for how long predicted boxes are shown: `seconds`, but two frames at low frame rates."""
    return max(seconds, 2 * dt) + TOLERANCE


def predicted(tracks: Tracks, rows: IntArray) -> Detections:
    """Return the chosen tracks' predicted boxes as coasted rows."""
    xyxy = np.ascontiguousarray(tracks.corners.take(rows, axis=1).T, np.float32)
    return Detections(
        xyxy,
        score=tracks.score[rows].astype(np.float32),
        class_id=tracks.class_id[rows],
        track_id=tracks.track_id[rows],
        state=tracks.state[rows],
        coasted=np.ones(len(rows), np.bool_),
        track_xyxy=xyxy,
    )
