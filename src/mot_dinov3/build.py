"""Config → live objects: the one place that knows all the parts.

Everything that can be refused is refused before a model loads: outputs first, then the source, then recorded
detections; weights come last.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import functools
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3 import outputs
from mot_dinov3.config import DetectConfig, TrackConfig
from mot_dinov3.detectors.base import Detector, DetectorConfig
from mot_dinov3.detectors.factory import build_detector
from mot_dinov3.detectors.recorded import RecordedDetector
from mot_dinov3.devices import DeviceConfig, resolve_device
from mot_dinov3.errors import UsageError
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import build_embedder
from mot_dinov3.formats import det_v1, motchallenge, tables, track_v1
from mot_dinov3.gallery.build import build_gallery
from mot_dinov3.gallery.folder import list_identities
from mot_dinov3.linking import Tracklets, link
from mot_dinov3.pipeline.blank import BlankSource
from mot_dinov3.pipeline.linking import LinkedPass, NoSecondPass, SecondPass, TrajectorySink
from mot_dinov3.pipeline.sinks import JsonSink, Retrospective, Sink, TextSink, VideoSink
from mot_dinov3.pipeline.summary import RunSummary
from mot_dinov3.pipeline.tracking import Stages, TrackingPipeline
from mot_dinov3.registry import resolve
from mot_dinov3.scheduler import EmbeddingScheduler, NoScheduler
from mot_dinov3.structures import Detections, Frame, Image, TrackView, VideoInfo
from mot_dinov3.timing import StageTimer
from mot_dinov3.trackers import TRACKERS
from mot_dinov3.trackers.factory import Scene, build_tracker, keeps_tracks, least_score
from mot_dinov3.video import FrameSource, SourceConfig, VideoWriter, open_source
from mot_dinov3.video.threads import ReadAhead, WriteBehind
from mot_dinov3.viz import draw_frame


@dataclasses.dataclass(frozen=True)
class TrackingRun:
    """A run ready to go.

    Attributes:
        pipeline: The frame loop.
        second_pass: What follows it.
        files: What it writes.
        notices: Fallbacks taken while building; a source adds its own while it is read.
    """

    pipeline: TrackingPipeline
    second_pass: SecondPass
    files: tuple[Path, ...]
    notices: tuple[str, ...]

    def all_notices(self) -> list[str]:
        """Return the notices so far, each once."""
        return list(dict.fromkeys((*self.notices, *self.pipeline.stages.source.notices)))

    def summary(self) -> RunSummary:
        """Return what the run cost and found until now."""
        stages = self.pipeline.stages
        return RunSummary(
            counts=self.pipeline.counts,
            timer=self.pipeline.timer,
            embeddings=stages.scheduler.stats,
            models=(stages.detector.info, stages.embedder.info),
            notices=self.all_notices(),
            files=[str(path) for path in self.files],
        )


def build_tracking(config: TrackConfig) -> TrackingRun:
    """Build the main job's live parts.

    Raises:
        MotError: Something cannot be used; see `errors` for the kinds.
    """
    _check_files(config)
    _check_second_pass(config)
    if config.device.device not in ("auto", "cpu"):
        resolve_device(config.device.device)
    resolve("tracker", TRACKERS, config.choice.tracker)
    _check_gallery(config)
    timer = StageTimer()
    opened = _open_input(config, fallback_open=config.embedder.fallback_open, timer=timer)
    source = opened.source
    try:
        built = build_embedder(config.embedder, device=config.device)
        embedder: Embedder = built.embedder
        _warm_up(embedder)
        chosen = (config.choice.tracker, config.tracker, config.hybrid)
        scene = Scene(source.info.fps, (source.info.width, source.info.height), embedder.same_floor)
        tracker = build_tracker(*chosen, scene)
        scheduler = EmbeddingScheduler(config.scheduler, min_score=least_score(*chosen))
        gallery = build_gallery(config.gallery, embedder, memory=keeps_tracks(config.choice.tracker))
        said = (*opened.notices, *built.notices, *gallery.notices)
        stages = Stages(
            source=source,
            detector=opened.detector,
            embedder=embedder,
            scheduler=scheduler if embedder.dim else NoScheduler(),
            tracker=tracker,
            gallery=gallery,
            at_end=opened.at_end,
        )
        makers = _SinkMaker(config, stages, timer, said)
        kept = TrajectorySink()
        sinks = [Retrospective([kept], tracker), *makers.detections()] if config.linked.link else makers.all()
        pipeline = TrackingPipeline(dataclasses.replace(stages, sinks=sinks), timer)
        second: SecondPass = NoSecondPass()
        if config.linked.link:
            second = _linked_pass(config, pipeline, kept, makers)
    except BaseException:
        source.close()
        raise
    return TrackingRun(pipeline, second, tuple(config.output.files()), said)


def _check_gallery(config: TrackConfig) -> None:
    """Refuse a gallery that nothing can be compared with, before anything loads."""
    if config.gallery.gallery is not None and config.embedder.embedder == "none":
        raise UsageError(
            f"gallery '{config.gallery.gallery}' needs an embedder to compare with, and there is none",
            remedy="choose one with --embedder (recorded detections need their video too: --source)",
        )
    if config.gallery.gallery is not None:
        list_identities(Path(config.gallery.gallery))


def _linked_pass(
    config: TrackConfig, pipeline: TrackingPipeline, kept: TrajectorySink, makers: _SinkMaker
) -> LinkedPass:
    """Build what `--link` does after the last frame."""
    info, embedder = pipeline.stages.source.info, pipeline.stages.embedder

    def linked(tracklets: Tracklets) -> Tracklets:
        size = (info.width, info.height)
        return link(tracklets, config.linking, same_floor=embedder.same_floor, size=size)

    return LinkedPass(
        kept,
        linked,
        pictures=functools.partial(_open_ahead, config.source, pipeline.timer) if config.output.video else None,
        sinks=lambda: [*makers.files(), *makers.video(TrackView.empty)],  # after linking nobody is lost
        run=(pipeline.timer, pipeline.counts),
    )


def _check_files(config: TrackConfig) -> None:
    """Refuse what cannot be written or would overwrite what is read."""
    files = config.output.files()
    for path in files:
        for source in (config.source.source, config.detector.dets):
            outputs.check_output(path, source=source)
    doubled = {str(path) for path in files if files.count(path) > 1}
    if doubled:
        raise UsageError(
            f"two outputs have the same name: {', '.join(sorted(doubled))}", remedy="name each differently"
        )


def _check_second_pass(config: TrackConfig) -> None:
    """Refuse to link a video that is to be drawn and cannot be read twice."""
    source = config.source.source
    live = source is not None and not Path(source).exists() and (source.isdigit() or "://" in source)
    if live and config.linked.link and config.output.video:
        raise UsageError(f"--link reads the source twice, and '{source}' is live", remedy="add --no-video")


@dataclasses.dataclass(frozen=True)
class _Input:
    """Where frames and boxes come from."""

    source: FrameSource
    detector: Detector
    notices: tuple[str, ...]
    at_end: Callable[[int], None]


def _open_ahead(config: SourceConfig, timer: StageTimer) -> FrameSource:
    """Open a source that is decoded by a thread of its own, whose work is the stage ``read``."""
    return ReadAhead(open_source(config), busy=functools.partial(timer.stage, "read"))


def _open_input(
    config: TrackConfig | DetectConfig, *, fallback_open: bool = False, timer: StageTimer | None = None
) -> _Input:
    """Open source and detector; recorded detections alone make a source without pictures."""
    source = config.source
    if source.source is None:
        return _open_blank(source, config.detector, config.device)
    frames = _open_ahead(source, timer or StageTimer())
    try:
        built = build_detector(config.detector, device=config.device, fallback_open=fallback_open, motion=config.motion)
        if not isinstance(built.detector, RecordedDetector):
            return _Input(frames, built.detector, built.notices, lambda _: None)
        recorded = built.detector
        notice = recorded.check_against(frames.info, None)
    except BaseException:
        frames.close()
        raise

    def at_end(frames_read: int) -> None:
        if source.end_frame is None:
            recorded.check_against(frames.info, frames_read)

    return _Input(frames, recorded, (*built.notices, *filter(None, [notice])), at_end)


def _open_blank(source: SourceConfig, detector: DetectorConfig, device: DeviceConfig) -> _Input:
    built = build_detector(detector, device=device)
    if not isinstance(built.detector, RecordedDetector):
        raise UsageError("no input: neither a source nor recorded detections", remedy="give --source or --dets")
    info, notice = built.detector.recorded.source_info(source.fps)
    frames = BlankSource(info, source, list(filter(None, [notice])))
    return _Input(frames, built.detector, built.notices, lambda _: None)


@dataclasses.dataclass(frozen=True)
class DetectionRun:
    """A detector over a source, ready to go."""

    source: FrameSource
    detector: Detector
    notices: tuple[str, ...]

    def header(self) -> Mapping[str, Any]:
        """Return the det-v1 header."""
        return detection_header(self.detector, self.source.info)

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Yield a det-v1 record per frame."""
        with self.source as frames:
            for frame in frames:
                yield det_v1.det_v1_frame(frame.index, self.detector.detect(frame), self.detector.names)


def build_detection(config: DetectConfig) -> DetectionRun:
    """Build what `detect` runs."""
    opened = _open_input(config)
    return DetectionRun(opened.source, opened.detector, opened.notices)


def detection_header(detector: Detector, info: VideoInfo) -> Mapping[str, Any]:
    """Return the det-v1 header of a detector's boxes; recorded ones hand on their own."""
    if isinstance(detector, RecordedDetector) and detector.recorded.header:
        return {"schema_version": det_v1.SCHEMA, **detector.recorded.header}
    return det_v1.det_v1_header(info, detector.info)


def _warm_up(embedder: Embedder) -> None:
    """Run one crop, so that what a first call costs (allocation, kernels) is not taken for the cost of a crop."""
    if embedder.dim:
        embedder.embed(np.zeros((64, 64, 3), np.uint8), np.array([[8, 8, 40, 56]], np.float32))
        embedder.synchronize()


class _SinkMaker:
    """Makes the sinks of a run: what they write depends on nearly every part of it."""

    def __init__(self, config: TrackConfig, stages: Stages, timer: StageTimer, notices: tuple[str, ...]) -> None:
        self.config = config
        self.stages = stages
        self.timer = timer
        self.notices = notices
        self.names = stages.detector.names
        kept = stages.detector.info.details.get("classes")
        only_class = len(self.names if kept is None else kept) == 1
        self.shown_names = {} if only_class else self.names

    def all(self) -> list[Sink]:
        """Return the sinks of a run in one pass; files wait until their rows are settled."""
        tracker = self.stages.tracker
        return [Retrospective(self.files(), tracker), *self.detections(), *self.video(tracker.lost)]

    def files(self) -> list[Sink]:
        """Return the sinks of the tracks' files."""
        output = self.config.output
        makers: list[tuple[str | None, Callable[[Path], Sink]]] = [
            (output.save_json, self._json),
            (output.save_mot, self._mot),
            (output.save_csv, self._csv),
        ]
        return [make(Path(name)) for name, make in makers if name]

    def detections(self) -> list[Sink]:
        """Return the sink of the plain detections, if asked for."""
        name = self.config.output.save_dets
        return [self._dets(Path(name))] if name else []

    def video(self, lost: Callable[[], TrackView]) -> list[Sink]:
        """Return the sink of the video, if asked for; `lost` tells which tracks are lost in the frame being drawn."""
        return [self._video(Path(self.config.output.output), lost)] if self.config.output.video else []

    def _video(self, path: Path, lost: Callable[[], TrackView]) -> VideoSink:
        source = self.stages.source
        writer = VideoWriter(path, info=source.info, audio_from=source.audio_from)
        behind = WriteBehind(writer, busy=functools.partial(self.timer.stage, "write"))
        return VideoSink(behind, functools.partial(self._draw, lost), self.timer)

    def _draw(self, lost: Callable[[], TrackView], frame: Frame, detections: Detections) -> Image:
        return draw_frame(frame.pixels(), detections, lost=lost(), names=self.shown_names, config=self.config.draw)

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
            for row in tables.track_rows(frame, smoothed(detections), self.names):
                yield csv_line(row)

        return TextSink(path, lines, head=[csv_line(tables.TRACK_COLUMNS)])

    def _detection_header(self) -> Mapping[str, Any]:
        return detection_header(self.stages.detector, self.stages.source.info)

    def _track_header(self) -> Mapping[str, Any]:
        config, info = self.config, self.stages.embedder.info
        settings = {"embedder": info.name, "embedder_weights": info.weights, **dataclasses.asdict(config.tracker)}
        return track_v1.track_v1_header(
            carried=self._detection_header(),
            created_at_utc=now_utc(),
            tracker=track_v1.tracker_block(config.choice.tracker, settings),
            more={"notices": list(dict.fromkeys((*self.notices, *self.stages.source.notices)))},
        )


def smoothed(detections: Detections) -> Detections:
    """Return the rows with their tracks' boxes: the filter's estimate is nearer the truth than one detection."""
    return detections if detections.track_xyxy is None else detections.replace(xyxy=detections.track_xyxy)


def csv_line(row: tuple[str, ...]) -> str:
    """Return one CSV line with its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()


def now_utc() -> str:
    """Return the time of the run, ISO 8601; ``SOURCE_DATE_EPOCH`` fixes it where equal runs must write equal files."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.now(datetime.timezone.utc)
    moment = datetime.datetime.fromtimestamp(int(fixed), datetime.timezone.utc) if fixed else now
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
