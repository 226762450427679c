"""gallery_only: no tracks across frames, every detection stands for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Detections, Frame, Revision, TrackState, TrackView
from mot_dinov3.trackers.base import Tracker, TrackerRequest


class PerFrameTracker(Tracker):
    """Gives every detection its own number, ``det_ind``, or its place in the frame where it has none.

    A row of negative score is left out: a caller marks rows so that are not to be tracked.
    """

    keeps_tracks = False

    def __init__(self, request: TrackerRequest | None = None) -> None:
        self._frame = -1

    @override
    def predict(self, frame: Frame) -> TrackView:
        self._frame = frame.index
        return TrackView.empty()

    @override
    def update(self, detections: Detections) -> Detections:
        number = np.array([_number(source, row) for row, source in enumerate(detections.extra)], np.int64)
        tracked = detections.score >= 0
        return detections.replace(
            track_id=np.where(tracked, number, -1),
            state=np.where(tracked, int(TrackState.CONFIRMED), int(TrackState.NONE)),
            track_xyxy=detections.xyxy,
        )

    @override
    def lost(self) -> TrackView:
        return TrackView.empty()

    @property
    @override
    def revisions(self) -> Sequence[Revision]:
        return ()

    @property
    @override
    def settled(self) -> int:
        return self._frame + 1


def _number(source: Any, row: int) -> int:
    number = source.get("det_ind") if isinstance(source, dict) else None
    return number if type(number) is int and 0 <= number < 2**31 else row
