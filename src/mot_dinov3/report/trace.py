"""Gathers a run for its report: one object a concern, each fed by a sink of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Detections, Frame, Image, Reason, VideoInfo
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.report.best_crops import Portraits, Scene
from mot_dinov3.report.bins import PresenceMap, TimeBins
from mot_dinov3.report.timelines import TrackHistory
from mot_dinov3.sinks.base import Sink

REASONS = (Reason.NEW, Reason.WEAK_IOU, Reason.CROWDED, Reason.REFRESH, Reason.REUSED, Reason.DEFERRED)
_LATENCY, _DETECTIONS = "latency", "detections"


class RunTrace:
    """What a run did, frame by frame.

    Args:
        stages: Names of the stages whose times are kept.
        beside: Those among them whose time goes by beside that of the others, in threads.
        info: The source.
        followed: See `TrackHistory`.

    Attributes:
        columns: What the bins hold: ``latency`` and the stages in ms, ``detections``, and rows by `REASONS`.
        bins: Those, over time.
        history: The tracks.
        presence: Where they were.
        portraits: Their pictures.
        scene: The place.
    """

    def __init__(
        self, stages: Sequence[str], info: VideoInfo, *, beside: Sequence[str] = (), followed: bool = False
    ) -> None:
        self.stages = tuple(stages)
        self.beside = tuple(beside)
        self.columns = (_LATENCY, *self.stages, _DETECTIONS, *(reason.name for reason in REASONS))
        self.info = info
        self.bins = TimeBins(len(self.columns))
        self.history = TrackHistory(1 / info.fps, followed=followed)
        self.presence = PresenceMap(info.width, info.height)
        self.portraits = Portraits()
        self.scene = Scene()

    def add_frame(self, time: float, rows: Detections, *, latency_ms: float, stage_ms: Mapping[str, float]) -> None:
        """Take in what a frame took and what was embedded in it."""
        reasons = np.bincount(rows.reason, minlength=max(Reason) + 1)
        stages = [stage_ms.get(name, 0.0) for name in self.stages]
        detections = float((~rows.coasted).sum())
        values = [latency_ms, *stages, detections, *(float(reasons[reason]) for reason in REASONS)]
        self.bins.add(time, np.array(values))

    def add_tracks(self, time: float, rows: Detections) -> None:
        """Take in a frame's final rows."""
        self.history.add(time, rows)
        mine = rows[(rows.track_id >= 1) & ~rows.coasted]
        place = mine.xyxy if mine.track_xyxy is None else mine.track_xyxy
        feet = np.stack([(place[:, 0] + place[:, 2]) / 2, place[:, 3]], axis=1)
        self.presence.add(feet, 1 / self.info.fps)

    def series(self, column: str) -> list[float]:
        """Return a column's mean per frame over time."""
        return [round(value, 3) for value in self.bins.mean[:, self.columns.index(column)].tolist()]

    def peaks(self, column: str) -> list[float]:
        """Return a column's largest value of a frame over time."""
        return [round(value, 3) for value in self.bins.peak[:, self.columns.index(column)].tolist()]

    def total(self, column: str) -> float:
        """Return a column's sum over the run."""
        return float(self.bins.total[self.columns.index(column)])


class TimeSink(Sink):
    """Gathers times and embeddings; put it behind all sinks whose work counts.

    Args:
        trace: Where they go.
        timer: The run's.

    Attributes:
        last: When it took the last frame, on the timer's clock; None before the first.
    """

    stage = None

    def __init__(self, trace: RunTrace, timer: StageTimer) -> None:
        self._trace = trace
        self._timer = timer
        self._known: dict[str, float] = dict(timer.stage_ms)
        self.last: float | None = None

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        now, busy = self._timer.clock(), dict(self._timer.stage_ms)
        spent = {name: ms - self._known.get(name, 0.0) for name, ms in busy.items()}
        own = sum(ms for name, ms in spent.items() if name not in self._trace.beside)
        latency = own if self.last is None else 1e3 * (now - self.last)
        self._trace.add_frame(frame.time, detections, latency_ms=latency, stage_ms=spent)
        self.last, self._known = now, busy


class TrackSink(Sink):
    """Gathers the tracks; put it where rows are settled."""

    def __init__(self, trace: RunTrace) -> None:
        self._trace = trace

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        self._trace.add_tracks(frame.time, detections)


class PictureSink(Sink):
    """Gathers pictures, where there are any.

    Args:
        trace: Where they go.
        hidden: Returns the picture of a frame with everybody in it hidden, where that is wanted: portraits are left out
            then.
    """

    def __init__(self, trace: RunTrace, hidden: Callable[[Frame, Detections], Image] | None = None) -> None:
        self._trace = trace
        self._hidden = hidden

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        if frame.image is None:
            return
        hidden = self._hidden
        if hidden is not None:
            self._trace.scene.look(lambda: hidden(frame, detections))
        else:
            self._trace.scene.look(frame.pixels)
            self._trace.portraits.look(frame.image, detections, frame.time)
