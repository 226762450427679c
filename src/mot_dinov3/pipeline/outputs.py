"""Outputs of a tracking run: its sinks, and the headers of its files."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.files import check_extension, check_output, check_output_folder
from mot_dinov3.core.special_files import is_null, is_special
from mot_dinov3.core.structures import Detections, TrackView
from mot_dinov3.core.timing import StageTimer, now_utc
from mot_dinov3.formats import det_v1_writer, track_v1, tracks_csv
from mot_dinov3.formats.track_embeddings import SCHEMA, EmbeddingTable
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.counting import RegionCounter, count_lines, count_records, count_rows, dwell_rows
from mot_dinov3.pipeline.detection_interval import DetectedFramesOnly, DetectionInterval, GapInterpolator
from mot_dinov3.pipeline.drawing import DrawnOnce, FrameDrawer, HudMeter
from mot_dinov3.pipeline.inputs import detection_header, header_fps
from mot_dinov3.pipeline.loop import Stages
from mot_dinov3.pipeline.regions import Region
from mot_dinov3.pipeline.report_sinks import ReportFactory
from mot_dinov3.pipeline.resume import ResumeSink
from mot_dinov3.pipeline.run_identity import resume_notice
from mot_dinov3.pipeline.track_descriptors import (
    DescriptorCollector,
    DescriptorSink,
    calibration_facts,
    embedder_facts,
    embedding_table,
)
from mot_dinov3.sinks.base import CompositeSink, IdBackfill, Sink, TrackFilterSink, TrackOverview
from mot_dinov3.sinks.display import VideoSink, WindowSink, check_screen
from mot_dinov3.sinks.files import JsonSink, SummarySink, TextSink, csv_lines, mot_lines
from mot_dinov3.sinks.track_crops import CropSink, is_crop_name
from mot_dinov3.trackers.base import tracker_class
from mot_dinov3.video import VideoWriter
from mot_dinov3.video.encoders import container_of
from mot_dinov3.video.media import hide_password
from mot_dinov3.video.presets import begin_video, preset_writer
from mot_dinov3.video.threads import ThreadedWriter
from mot_dinov3.viz import Trails
from mot_dinov3.viz.text_drawing import missing_glyphs


def check_files(config: TrackConfig) -> None:
    """Refuse what cannot be written or would overwrite what is read."""
    written = config.output.files()
    if config.output.show:
        check_screen()
    if config.output.video:
        container_of(Path(config.output.output))
    for name, kind, extensions in config.output.texts():
        check_extension(Path(name), kind, extensions)
    crops = config.output.save_crops
    if crops:
        check_output_folder(Path(crops), holds=is_crop_name)
    for path in written[: -1 if crops else None]:
        for source in (config.source.source, config.detector.dets):
            check_output(path, source=source)
    _check_needs(config)
    places = [_place(path) for path in written]
    doubled = {str(path) for path, place in zip(written, places) if places.count(place) > 1 and not is_null(path)}
    if doubled:
        raise UsageError(
            f"two outputs have the same name: {', '.join(sorted(doubled))}", remedy="give each a different name"
        )


def _check_needs(config: TrackConfig) -> None:
    """Refuse outputs that lack what they are made from."""
    if config.output.save_counts and not config.count.wanted:
        raise UsageError("--save-counts requires a line or a zone", remedy="give --line or --zone")
    if config.output.save_dwell and config.count.zone is None:
        raise UsageError("--save-dwell requires a zone", remedy="give --zone FILE")
    if config.output.save_embeddings and config.embedder.embedder == "none":
        raise UsageError(
            "--save-embeddings needs an embedder, and none is selected",
            remedy="choose one with --embedder (precomputed detections also need their video: --source)",
        )
    if config.output.save_crops and config.draw.anonymize != "none":
        raise UsageError("--save-crops shows what --anonymize hides", remedy="leave out one of them")


def _place(path: Path) -> object:
    """Return what identifies the place of an output, however it is spelled; of a special file, the file itself."""
    if is_special(path):
        status = path.stat()
        return status.st_dev, status.st_ino
    return path.parent.resolve() / path.name


class SinkFactory:
    """Makes the sinks of a run: what they write depends on nearly every part of it."""

    def __init__(
        self,
        config: TrackConfig,
        stages: Stages,
        timer: StageTimer,
        *,
        notices: tuple[str, ...],
        regions: Sequence[Region] = (),
    ) -> None:
        self.config = config
        self.stages = stages
        self.timer = timer
        self.notices = notices
        self.names = stages.detector.names
        self.regions = regions
        kept = stages.detector.info.details.get("classes")
        only_class = len(self.names if kept is None else kept) == 1
        self.shown_names = {} if only_class else self.names
        output = config.output
        self._descriptors = DescriptorCollector(per_box=output.embeddings_per_box) if output.save_embeddings else None
        self.count = RegionCounter(regions, stages.source.info.fps) if regions else None
        self.overview = TrackOverview(
            self.names,
            keeps_tracks=tracker_class(config.choice.tracker).keeps_tracks,
            known=0 if stages.gallery is None else len(stages.gallery.known.names),
        )
        self._writer_notices: list[str] = []
        self.report = self._report(config.output.report)
        self.late_notices: Callable[[], list[str]] = list  # what can be told when the run is over
        self.stop: Callable[[], None] = lambda: None  # called for the key q in the window
        self._chosen = config.selection.chosen
        self._is_detected = stages.detection or DetectionInterval.of(config)
        self._drawing_notices = self._missing_glyphs() if config.output.video or config.output.show else []

    def single_pass(self) -> list[Sink]:
        """Return the sinks of a run in one pass; files wait until their rows are settled."""
        report = self.report
        times = [] if report is None else [report.times]
        return [
            *self._observers(),
            self.settled(self.files()),
            *self.detections(),
            *self.video(self.stages.tracker.lost),
            *times,
            *self.last(),
        ]

    def first_pass(self, collector: Sink) -> list[Sink]:
        """Return the sinks of the pass before linking; `collector` gets the settled rows."""
        times = [] if self.report is None else [self.report.times]
        return [*self._observers(), self.settled([collector]), *self.detections(), *times]

    def second_pass(self) -> list[Sink]:
        """Return the sinks of the pass after linking, in which no track is lost."""
        return [*self.files(), *self.video(TrackView.empty), *self.last()]

    def _observers(self) -> list[Sink]:
        """Return what sees each frame with its image before its rows are settled."""
        return [] if self._descriptors is None else [self._descriptors]

    def settled(self, sinks: Sequence[Sink]) -> Sink:
        """Return the sink through which `sinks` get frames whose rows are settled."""
        behind: Sink = CompositeSink(sinks, self.timer)
        if self._is_detected is not None:
            behind = GapInterpolator(behind, self._is_detected, getattr(self.stages.tracker, "cuts", ()))
        return IdBackfill(behind, self.stages.tracker)

    def files(self) -> list[Sink]:
        """Return the sinks of the tracks' files; counting comes first, so that they can contain its result."""
        output = self.config.output
        found: list[Sink] = [] if self.count is None else [self.count]
        found += [self._json(Path(output.save_json))] if output.save_json else []
        found += [TextSink(Path(output.save_mot), mot_lines)] if output.save_mot else []
        if output.save_csv:
            head = [tracks_csv.csv_line(tracks_csv.TRACK_COLUMNS)]
            found.append(TextSink(Path(output.save_csv), csv_lines(self.names), head=head))
        if output.save_counts:
            found.append(SummarySink(Path(output.save_counts), lambda: map(tracks_csv.csv_line, self._count_table())))
        if output.save_embeddings and self._descriptors is not None:
            found.append(DescriptorSink(Path(output.save_embeddings), self._descriptors, self._embedding_table))
        if output.save_dwell:
            found.append(SummarySink(Path(output.save_dwell), lambda: map(tracks_csv.csv_line, self._dwell_table())))
        found += [] if self.report is None else [self.report.tracks]
        return self._of_chosen([*found, self.overview])

    def _of_chosen(self, sinks: Sequence[Sink]) -> list[Sink]:
        """Return the sinks as they get the chosen tracks only."""
        return list(sinks) if self._chosen is None else [TrackFilterSink(sink, self._chosen) for sink in sinks]

    def detections(self) -> list[Sink]:
        """Return the sink of the plain detections, if asked for."""
        name = self.config.output.save_dets
        if not name:
            return []

        def record(index: int, rows: Detections) -> Mapping[str, Any]:
            return det_v1_writer.det_v1_frame(index, rows[~rows.coasted], self.names)

        sink = JsonSink(Path(name), record, self._detection_header, fps=self._header_fps)
        return [sink if self._is_detected is None else DetectedFramesOnly(sink, self._is_detected)]

    def video(self, lost: Callable[[], TrackView]) -> list[Sink]:
        """Return the sinks of drawn frames, if asked for; `lost` returns the tracks lost in the frame being drawn."""
        output, source = self.config.output, self.stages.source
        crops: list[Sink] = []
        if output.save_crops:
            crops.append(CropSink(Path(output.save_crops), output.crops_per_track, self._chosen))
        if not (output.video or output.show):
            return crops
        drawer = self._drawer(lost)
        draw = DrawnOnce(drawer) if output.video and output.show else drawer
        found = crops
        if output.show:
            title = Path(source.info.path).name
            found.append(WindowSink(title, draw, lambda: self.stop(), interrupted=lambda: source.interrupted))
        return [*found, self._video(Path(output.output), draw)] if output.video else found

    def last(self) -> list[Sink]:
        """Return the sinks that come after all others: the report's page, and the end of the resume journal."""
        page = [] if self.report is None else self._of_chosen(self.report.page())
        return [*page, *([] if self.stages.journal is None else [ResumeSink(self.stages.journal)])]

    def counted(self) -> list[str]:
        """Return the counts of lines and zones, a line of text for each."""
        return [] if self.count is None else count_lines(self.count.counts(), self.names)

    def _count_table(self) -> list[tuple[str, ...]]:
        return [] if self.count is None else count_rows(self.count.counts(), self.names)

    def _dwell_table(self) -> list[tuple[str, ...]]:
        return [] if self.count is None else dwell_rows(self.count.counts(), self.names)

    def all_notices(self) -> list[str]:
        """Return the notices so far, each once."""
        gallery = self.stages.gallery
        learnt = [] if gallery is None or not self.timer.frame_ms else gallery.threshold_notices()
        found = (
            *self._file_notices(),
            *self._drawing_notices,
            *self._writer_notices,
            *resume_notice(self.stages.journal),
            *learnt,
            *self.late_notices(),
        )
        return list(dict.fromkeys(found))

    def _file_notices(self) -> list[str]:
        """Return the notices of a file's header, which do not depend on how often the run was interrupted."""
        stages = self.stages
        return list(dict.fromkeys((*self.notices, *stages.source.notices, *stages.embedding_check.notices)))

    def _missing_glyphs(self) -> list[str]:
        """Return a notice where a name cannot be drawn."""
        known = () if self.stages.gallery is None else self.stages.gallery.known.names
        notice = missing_glyphs((*self.shown_names.values(), *known, *(region.name for region in self.regions)))
        return [notice] if notice else []

    def _report(self, name: str | None) -> ReportFactory | None:
        if name is None:
            return None
        return ReportFactory(
            self.config,
            self.stages,
            self.timer,
            notices=self.all_notices,
            counts=lambda: [] if self.count is None else self.count.counts(),
        )

    def _drawer(self, lost: Callable[[], TrackView]) -> FrameDrawer:
        config, fps = self.config, self.stages.source.info.fps
        return FrameDrawer(
            config.draw,
            self.names if "class" in config.draw.label_parts else self.shown_names,
            lost,
            Trails(round(config.draw.trails * fps)),
            RegionCounter(self.regions, fps) if self.regions else None,
            HudMeter(config.scheduler, self.timer, second_pass=config.linked.link) if config.draw.hud else None,
            self._chosen,
            self._detected_because if config.draw.reasons and self.stages.detection is not None else None,
        )

    def _detected_because(self, index: int) -> str:
        """Return why the detector ran, or did not, on frame `index`."""
        return "" if self.stages.detection is None else self.stages.detection.reason(index).text

    def _video(self, path: Path, draw: FrameDrawer | DrawnOnce) -> VideoSink:
        config, source, journal = self.config, self.stages.source, self.stages.journal
        if source.audio_from is None and source.sound_notice:
            self.notices = (*self.notices, source.sound_notice)
        writer = VideoWriter(path, info=source.info, audio_from=source.audio_from, pixel_aspect=source.pixel_aspect)
        self._writer_notices = writer.notices
        # A linked video is drawn from all rows: what was drawn from a part of them is of no use.
        is_continued = journal is not None and journal.is_behind and not config.linked.link
        finished_bytes = journal.finished_bytes if journal is not None and is_continued else None
        fps, preset = source.info.fps, config.output.preset
        kept = begin_video(writer, preset, finished_bytes)
        chosen = writer if kept else preset_writer(writer, preset, fps, config.interval.target_fps(fps))
        behind = ThreadedWriter(chosen, busy=functools.partial(self.timer.stage, "write"))
        return VideoSink(behind, draw, self.timer, kept=kept, skip=draw.skip)

    def _json(self, path: Path) -> JsonSink:
        plain = functools.partial(track_v1.track_v1_frame, names=self.names)
        is_detected = self._is_detected

        def record(index: int, rows: Detections) -> Mapping[str, Any]:
            return plain(index, rows, detected=is_detected is None or is_detected(index))

        record_of = plain if is_detected is None else record
        return JsonSink(path, record_of, self._track_header, fps=self._header_fps)

    @property
    def _header_fps(self) -> float:
        """Frame rate in the headers: the source's, or that of a file of precomputed detections."""
        return header_fps(self._detection_header(), self.stages.source.info)

    def _detection_header(self) -> Mapping[str, Any]:
        return detection_header(self.stages.detector, self.stages.source.info)

    def _embedding_table(self, collector: DescriptorCollector) -> EmbeddingTable:
        config, embedder, learned = self.config, self.stages.embedder, self.stages.appearance
        info = self.stages.source.info
        meta = {
            "schema_version": SCHEMA,
            "source": hide_password(info.path),
            "fps": info.fps,
            "size": [info.width, info.height],
            "tracker": config.choice.tracker,
            "linked": config.linked.link,
            "embedder": {**embedder_facts(embedder), "crop_pad": config.embedder.crop_pad},
            "calibration": None if learned is None else calibration_facts(learned),
        }
        per_box = config.output.embeddings_per_box
        return embedding_table(collector, meta, names=self.names, dim=embedder.dim, per_box=per_box)

    def _track_header(self) -> Mapping[str, Any]:
        config, info = self.config, self.stages.embedder.info
        settings = {"embedder": info.name, "embedder_weights": info.weights, **dataclasses.asdict(config.tracker)}
        counts = {} if self.count is None else {"counts": count_records(self.count.counts(), self.names)}
        return track_v1.track_v1_header(
            source_header=self._detection_header(),
            created_at_utc=now_utc(),
            tracker=track_v1.tracker_block(config.choice.tracker, settings),
            more={"notices": self._file_notices(), **counts},
        )
