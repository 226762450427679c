"""Where results go: the sinks of a run, and what their headers say."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.files import check_output
from mot_dinov3.core.structures import Detections, Frame, TrackView
from mot_dinov3.core.timing import StageTimer, now_utc
from mot_dinov3.formats import det_v1, motchallenge, track_v1, tracks_csv
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.counts import CountSink
from mot_dinov3.pipeline.detection_interval import Interpolated, LookedAt
from mot_dinov3.pipeline.drawing import FrameDrawer
from mot_dinov3.pipeline.inputs import detection_header
from mot_dinov3.pipeline.interval_detector import Cadence
from mot_dinov3.pipeline.loop import Stages
from mot_dinov3.pipeline.regions import Place
from mot_dinov3.pipeline.report_sinks import NoReport, ReportMaker, Told
from mot_dinov3.pipeline.resume import RecordSink
from mot_dinov3.pipeline.run_identity import taken_over
from mot_dinov3.sinks.backfill import Retrospective
from mot_dinov3.sinks.files import EndSink, JsonSink, Sink, TextSink, VideoSink
from mot_dinov3.sinks.timed import Timed
from mot_dinov3.video import VideoWriter
from mot_dinov3.video.threads import ThreadedWriter


def check_files(config: TrackConfig) -> None:
    """Refuse what cannot be written or would overwrite what is read."""
    written = config.output.files()
    for path in written:
        for source in (config.source.source, config.detector.dets):
            check_output(path, source=source)
    if config.output.save_counts and not config.count.wanted:
        raise UsageError("--save-counts has nothing to save", remedy="say where to count: --line or --zone")
    doubled = {str(path) for path in written if written.count(path) > 1}
    if doubled:
        raise UsageError(
            f"two outputs have the same name: {', '.join(sorted(doubled))}", remedy="name each differently"
        )


class SinkMaker:
    """Makes the sinks of a run: what they write depends on nearly every part of it."""

    def __init__(
        self,
        config: TrackConfig,
        stages: Stages,
        timer: StageTimer,
        *,
        notices: tuple[str, ...],
        places: Sequence[Place] = (),
    ) -> None:
        self.config = config
        self.stages = stages
        self.timer = timer
        self.notices = notices
        self.names = stages.detector.names
        self.looks = Cadence(config.sparse.detect_every, config.source.start_frame)
        kept = stages.detector.info.details.get("classes")
        only_class = len(self.names if kept is None else kept) == 1
        self.shown_names = {} if only_class else self.names
        self.places = places
        self.count = CountSink(places, stages.source.info.fps, self.names)
        self.report = self._report(config.output.report)

    def all(self) -> list[Sink]:
        """Return the sinks of a run in one pass; files wait until their rows are settled."""
        video = self.video(self.stages.tracker.lost)
        first = [self.settled(self.files()), *self.detections(), *video, *self.report.first_pass()]
        return [*first, *self.report.last(), RecordSink(self.stages.record)]

    def first_of_two(self, kept: Sequence[Sink]) -> list[Sink]:
        """Return the sinks of the pass before linking; `kept` get the settled rows."""
        return [self.settled(kept), *self.detections(), *self.report.first_pass()]

    def second_of_two(self) -> list[Sink]:
        """Return the sinks of the pass after linking, in which nobody is lost."""
        drawn = self.video(TrackView.empty)
        return [*self.files(), *drawn, *self.report.last(), RecordSink(self.stages.record)]

    def settled(self, sinks: Sequence[Sink]) -> Sink:
        """Return the sink through which `sinks` get frames whose rows are settled."""
        return Retrospective([Interpolated(sinks, self.looks)], self.stages.tracker)

    def files(self) -> list[Sink]:
        """Return the sinks of the tracks' files."""
        output = self.config.output
        makers: list[tuple[str | None, Callable[[Path], Sink]]] = [
            (output.save_json, self._json),
            (output.save_mot, self._mot),
            (output.save_csv, self._csv),
            (output.save_counts, self._counts),
        ]
        counting = [Timed(self.count, self.timer)] if self.places else []
        written = [Timed(make(Path(name)), self.timer) for name, make in makers if name]
        return [*counting, *written, *self.report.settled()]

    def counted(self) -> list[str]:
        """Return what lines and zones have counted, a line of text for each."""
        return self.count.lines()

    def detections(self) -> list[Sink]:
        """Return the sink of the plain detections, if asked for."""
        name = self.config.output.save_dets
        return [LookedAt(Timed(self._dets(Path(name)), self.timer), self.looks)] if name else []

    def video(self, lost: Callable[[], TrackView]) -> list[Sink]:
        """Return the sink of the video, if asked for; `lost` tells which tracks are lost in the frame being drawn."""
        return [self._video(Path(self.config.output.output), lost)] if self.config.output.video else []

    def _report(self, name: str | None) -> NoReport:
        if name is None:
            return NoReport()
        told = Told(
            lambda: [*self._all_notices(), *taken_over(self.stages.record)], self.count.table if self.places else list
        )
        return ReportMaker(Path(name), self.config, stages=self.stages, timer=self.timer, told=told)

    def _all_notices(self) -> list[str]:
        return list(dict.fromkeys((*self.notices, *self.stages.source.notices)))

    def _video(self, path: Path, lost: Callable[[], TrackView]) -> VideoSink:
        source = self.stages.source
        writer = VideoWriter(path, info=source.info, audio_from=source.audio_from)
        record = self.stages.record
        # A linked video is drawn from the whole: what was drawn from a part of it is of no use.
        kept = writer.continue_from(record.finished_bytes) if record.catching_up and not self.config.linked.link else 0
        behind = ThreadedWriter(writer, busy=functools.partial(self.timer.stage, "write"))
        draw = FrameDrawer(
            self.config, self.places, lost=lost, fps=source.info.fps, names=self.shown_names, timer=self.timer
        )
        return VideoSink(behind, draw, self.timer, kept=kept, skip=draw.skip)

    def _json(self, path: Path) -> JsonSink:
        return JsonSink(
            path,
            lambda frame, detections: track_v1.track_v1_frame(frame.index, detections, self.names),
            self._track_header,
        )

    def _dets(self, path: Path) -> JsonSink:
        return JsonSink(
            path,
            lambda frame, detections: det_v1.det_v1_frame(frame.index, detections[~detections.coasted], self.names),
            self._detection_header,
        )

    def _mot(self, path: Path) -> TextSink:
        def lines(frame: Frame, detections: Detections) -> Iterator[str]:
            for row in motchallenge.mot_rows(frame.index, smoothed(detections)):
                yield row + "\n"

        return TextSink(path, lines)

    def _csv(self, path: Path) -> TextSink:
        def lines(frame: Frame, detections: Detections) -> Iterator[str]:
            for row in tracks_csv.track_rows(frame, smoothed(detections), self.names):
                yield tracks_csv.csv_line(row)

        return TextSink(path, lines, head=[tracks_csv.csv_line(tracks_csv.TRACK_COLUMNS)])

    def _counts(self, path: Path) -> EndSink:
        return EndSink(path, lambda: map(tracks_csv.csv_line, self.count.table()))

    def _detection_header(self) -> Mapping[str, Any]:
        return detection_header(self.stages.detector, self.stages.source.info)

    def _track_header(self) -> Mapping[str, Any]:
        config, info = self.config, self.stages.embedder.info
        settings = {"embedder": info.name, "embedder_weights": info.weights, **dataclasses.asdict(config.tracker)}
        return track_v1.track_v1_header(
            carried=self._detection_header(),
            created_at_utc=now_utc(),
            tracker=track_v1.tracker_block(config.choice.tracker, settings),
            more={"notices": self._all_notices(), **({"counts": self.count.records()} if self.places else {})},
        )


def smoothed(detections: Detections) -> Detections:
    """Return the rows with their tracks' boxes: the filter's estimate is nearer the truth than one detection."""
    return detections if detections.track_xyxy is None else detections.replace(xyxy=detections.track_xyxy)
