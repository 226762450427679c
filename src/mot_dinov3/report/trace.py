"""Collects the data of a report during a run: one object a concern, each filled by a sink of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Detections, Frame, Image, Reason, VideoInfo
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.report.best_crops import BackgroundEstimate, BestCrops
from mot_dinov3.report.bins import Heatmap, TimeBins
from mot_dinov3.report.box_history import BoxHistory
from mot_dinov3.report.moments import UncertainMoments
from mot_dinov3.report.timelines import TrackHistory, detected_rows
from mot_dinov3.sinks.base import Sink

REASONS = (Reason.NEW, Reason.WEAK_IOU, Reason.CROWDED, Reason.REFRESH, Reason.REUSED, Reason.DEFERRED)
_LATENCY, _DETECTIONS = "latency", "detections"


class RunTrace:
    """Data of a run over time, in bounded memory.

    Args:
        stages: Names of the stages whose times are kept.
        parallel: Those among them that run in threads of their own, in parallel to the others.
        info: The source.
        interpolated: See `TrackHistory`.

    Attributes:
        columns: Columns of the bins: ``latency`` and the stages in ms, ``detections``, and rows by `REASONS`.
        bins: These columns over time.
        history: The tracks.
        heatmap: Seconds of the tracks by position.
        best_crops: The sharpest crop of each track.
        background: The background of the frames.
        boxes: The boxes of the tracks, frame by frame.
        moments: Where ids are uncertain.
        first: Index of the first frame in the source.
        begin: Its time in the source (s); 0 before it.
        seconds: Time that the frames so far are shown, by their own times.
    """

    def __init__(
        self, stages: Sequence[str], info: VideoInfo, *, parallel: Sequence[str] = (), interpolated: bool = False
    ) -> None:
        self.stages = tuple(stages)
        self.parallel = tuple(parallel)
        self.columns = (_LATENCY, *self.stages, _DETECTIONS, *(reason.name for reason in REASONS))
        self.info = info
        self.bins = TimeBins(len(self.columns))
        self.history = TrackHistory(1 / info.fps, interpolated=interpolated)
        self.heatmap = Heatmap(info.width, info.height)
        self.best_crops = BestCrops()
        self.background = BackgroundEstimate()
        self.boxes = BoxHistory()
        self.moments = UncertainMoments(1 / info.fps, (info.width, info.height))
        self.first = 0
        self.begin = 0.0
        self.seconds = 0.0
        self._interpolated = interpolated
        self._begin: float | None = None

    def add_frame(self, time: float, rows: Detections, *, latency_ms: float, stage_ms: Mapping[str, float]) -> None:
        """Add the times of a frame and the number of its rows by reason."""
        reasons = np.bincount(rows.reason, minlength=max(Reason) + 1)
        stages = [stage_ms.get(name, 0.0) for name in self.stages]
        detections = float((~rows.coasted).sum())
        values = [latency_ms, *stages, detections, *(float(reasons[reason]) for reason in REASONS)]
        self.begin = time if self._begin is None else self._begin
        self._begin = self.begin
        self.bins.add(time, np.array(values))
        self.seconds = time - self.begin + 1 / self.info.fps

    def add_tracks(self, time: float, rows: Detections) -> None:
        """Add a frame's final rows."""
        found = detected_rows(rows, interpolated=self._interpolated)
        self.history.add(time, rows)
        self.boxes.add(time, rows, found)
        self.moments.add(time, rows, found)
        detected = rows[(rows.track_id >= 1) & ~rows.coasted]
        boxes = detected.final_xyxy
        feet = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1)
        self.heatmap.add(feet, 1 / self.info.fps)

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
    """Collects stage times and embedding reasons; it belongs behind all sinks whose time counts.

    Attributes:
        last: Time of the last frame on the timer's clock; None before the first.
    """

    stage = None

    def __init__(self, trace: RunTrace, timer: StageTimer) -> None:
        self._trace = trace
        self._timer = timer
        self._known: dict[str, float] = dict(timer.stage_ms)
        self.last: float | None = None

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        if self.last is None:
            self._trace.first = frame.index
        now, busy = self._timer.clock(), dict(self._timer.stage_ms)
        spent = {name: ms - self._known.get(name, 0.0) for name, ms in busy.items()}
        own = sum(ms for name, ms in spent.items() if name not in self._trace.parallel)
        latency = own if self.last is None else 1e3 * (now - self.last)
        self._trace.add_frame(frame.time, detections, latency_ms=latency, stage_ms=spent)
        self.last, self._known = now, busy


class TrackSink(Sink):
    """Collects the tracks; it belongs where rows are final."""

    def __init__(self, trace: RunTrace) -> None:
        self._trace = trace

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        self._trace.add_tracks(frame.time, detections)


class ImageSink(Sink):
    """Collects crops and the background, where frames have images.

    `anonymized`, where given, returns the image of a frame with all objects hidden; crops are left out then.
    """

    def __init__(self, trace: RunTrace, anonymized: Callable[[Frame, Detections], Image] | None = None) -> None:
        self._trace = trace
        self._anonymized = anonymized

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        if frame.image is None:
            return
        anonymized = self._anonymized
        if anonymized is not None:
            self._trace.background.add(lambda: anonymized(frame, detections))
        else:
            self._trace.background.add(frame.pixels)
            self._trace.best_crops.add(frame.image, detections, frame.time)
