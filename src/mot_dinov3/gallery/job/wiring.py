"""Wiring of the `gallery` command: from options to a run that is ready to go.

Everything that can be refused is refused before a model loads. Where no stage needs images (no embedder, no drawing),
only the header of the video is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import ChainMap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mot_dinov3.core import files
from mot_dinov3.core.class_filter import ClassFilter, class_counts
from mot_dinov3.core.errors import FormatError, run_checks
from mot_dinov3.core.files import journal_path
from mot_dinov3.core.output_lock import OutputLocks
from mot_dinov3.core.run_mark import check_outputs
from mot_dinov3.core.structures import Detections, Frame, Image, TrackView, VideoInfo
from mot_dinov3.core.timing import StageTimer, now_utc
from mot_dinov3.features.base import Embedder
from mot_dinov3.formats.det_v1_stream import DetectionStream
from mot_dinov3.formats.recorded_detections import ReadOptions
from mot_dinov3.formats.recorded_stream import RecordedStream, open_detections
from mot_dinov3.formats.track_v1 import track_v1_header, tracker_block
from mot_dinov3.gallery.identifier import Identifier
from mot_dinov3.gallery.job.config import GalleryJobConfig, RunPaths, check_needs, identity
from mot_dinov3.gallery.job.identification import open_identifier
from mot_dinov3.gallery.job.journal import GalleryJournal
from mot_dinov3.gallery.job.loop import (
    GalleryLoop,
    GalleryMatcher,
    GalleryStages,
    LineTaker,
    check_last_frame,
    untracked_notices,
)
from mot_dinov3.gallery.job.tables import GalleryTables
from mot_dinov3.sinks.base import CompositeSink, Sink
from mot_dinov3.sinks.display import FolderSink, RetimedSink, VideoSink, WindowSink, check_screen
from mot_dinov3.trackers.base import TrackerRequest, build_tracker
from mot_dinov3.video import FrameSource, SourceConfig, VideoWriter, open_source
from mot_dinov3.video.image_files import image_names
from mot_dinov3.viz import DrawConfig, draw_frame
from mot_dinov3.viz.text_drawing import missing_glyphs


class GalleryRun:
    """A run ready to go.

    Args:
        config: All options.
        line: Takes each frame's record too, or None.
        created: Time of the run, ISO 8601; None takes the clock's.

    Attributes:
        notices: Messages for the user.
        frame_total: Frames expected, 0 where unknown.
        overview: What was tracked and named.

    Raises:
        MotError: Something cannot be used; see `errors` for the kinds.
    """

    def __init__(self, config: GalleryJobConfig, *, line: LineTaker | None = None, created: str | None = None) -> None:
        self.config = config
        self.created = created or now_utc()
        self.paths = RunPaths.of(config)
        self.timer = StageTimer()
        self.notices: list[str] = []
        self.stopped = False
        checks = (
            lambda: check_needs(config),
            lambda: ClassFilter.of(config.inputs.classes, config.inputs.class_names),
            self._check_outputs,
        )
        _, self._classes, _ = run_checks(*checks)
        self._locks = OutputLocks(self.paths.outputs())
        try:
            self.complete = self._is_complete()
            self._build(line)
        except BaseException:
            self._locks.release()
            raise
        if self.complete:
            self._locks.release()

    def _build(self, line: LineTaker | None) -> None:
        config = self.config
        self._open = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            self.records = opened.enter_context(open_detections(config.inputs.dets, self._read_options()))
            if self.complete:
                return
            self.notices += self._classes.check_names(self._names_ahead(), self.records.path)
            self.info, self._images = self._open_video(opened)
            self._check_video()
            self.frame_total = self.info.frame_count
            embedder, identifier, notices = open_identifier(config)
            self.notices += notices
            self._journal = self._make_journal()
            stages = self._stages(embedder, identifier, line)
            self.loop = GalleryLoop(stages, self.timer)
            names = ChainMap(dict(self._classes.names), self.records.state.names)
            self._tables = tables = GalleryTables(self.paths, stages, self.timer, names)
            self.overview = tables.overview
            self.loop.tables = [tables.settled(), *([] if tables.report is None else tables.report.frames)]
            self._open = opened.pop_all()

    def interrupt_when(self, stop: Callable[[], bool]) -> None:
        """End the run, also while a frame is waited for, once `stop` returns true."""
        if self._images is not None:
            self._images.interrupt_when(stop)

    def run(self, tick: Callable[[], bool] = lambda: False) -> bool:
        """Run to the end, or until `tick` or the window says stop; return whether the end was reached."""
        with self._locks:
            return self._run(tick)

    def _run(self, tick: Callable[[], bool]) -> bool:
        sinks = CompositeSink([*self.loop.tables, *self.loop.stages.sinks])
        try:
            with self._open:
                whole = self.loop.run(lambda: tick() or self.stopped)
            if self.stopped:
                self.loop.finish()
            sinks.close()
            self.notices += self._late_notices(whole=whole)
            if self._tables.report is not None:
                self._tables.report.write(self.config, self.created, self._tables, self.notices)
            if self._journal is not None:
                self._journal.close(whole=whole or self.stopped, tail=self.loop.unsettled())
        except BaseException:
            sinks.abort()
            if self._journal is not None:
                self._journal.abort()
            raise
        return whole

    def _late_notices(self, *, whole: bool) -> Iterator[str]:
        """Yield what can be told when the frames are over."""
        if self._images is not None:
            yield from self._images.notices
        matcher = self.loop.stages.matcher
        if self.loop.stages.sinks:
            known = () if matcher is None else matcher.identifier.known.names
            yield from filter(None, [missing_glyphs((*known, *self._class_names().values()))])
        yield from () if matcher is None else matcher.identifier.threshold_notices()
        yield from (*self.records.notices, *self.records.state.left_out.notices())
        if whole and self.config.inputs.classes.strip() and not self.loop.tracked:
            notice = f"nothing was tracked: no detection is of the classes '{self.config.inputs.classes}'"
            present = class_counts(self.loop.others, self._class_names())
            yield f"{notice}: '{self.records.path}' has {present}" if present else notice
        yield from untracked_notices(self.loop, self.config.hybrid.track_thresh) if whole else ()

    def stats(self) -> dict[str, Any]:
        """Return numbers of the run: frames, frames per second, milliseconds per stage and frame, embeddings."""
        frames, seconds = self.loop.frames, sum(self.timer.frame_ms) / 1e3
        matcher = self.loop.stages.matcher
        return {
            "frames": frames,
            "fps": frames / seconds if seconds else 0.0,
            "stage_ms": {name: ms / max(frames, 1) for name, ms in self.timer.stage_ms.items()},
            "embeddings": matcher.embedded if matcher else 0,
            "identities": len(matcher.identifier.known.names) if matcher else 0,
        }

    def header(self) -> dict[str, Any]:
        """Return the track-v1 keys but ``frames``."""
        inputs = self.config.inputs
        chosen: list[Any] = [*sorted(self._classes.ids), *sorted(self._classes.words)]
        matcher = None if self.complete else self.loop.stages.matcher
        learnt = None if matcher is None else matcher.identifier.learnt_threshold
        used: dict[str, Any] = {} if learnt is None else {"gallery_threshold": round(learnt, 4)}
        used["device"] = "cpu" if matcher is None else matcher.embedder.info.device  # what "auto" came to
        return track_v1_header(
            source_header=self.records.header,
            created_at_utc=self.created,
            tracker=tracker_block(
                inputs.tracker,
                self.config.reported() | used,
                track_classes=chosen or None,
                filter_gallery=inputs.filter_gallery,
            ),
        )

    def _read_options(self) -> ReadOptions:
        """Return what other formats than det-v1 are read with: they may lack the size, and name the images."""
        inputs = self.config.inputs
        width = height = 0
        if Path(inputs.dets).is_dir() and Path(inputs.source).is_file():
            from mot_dinov3.video.media import read_header

            info = read_header(inputs.source)
            width, height = info.width, info.height
        images = image_names(inputs.source)
        return ReadOptions(
            width, height, self._classes.names, source=inputs.source, images=images, strict=inputs.strict
        )

    def _names_ahead(self) -> Iterator[dict[int, str]]:
        """Yield the class names that the detections have shown, after each frame."""
        if isinstance(self.records, RecordedStream):
            yield dict(self.records.state.names)
            return
        with DetectionStream(self.records.path) as records:
            for _ in records:
                yield records.state.names

    def _is_complete(self) -> bool:
        """Tell whether the run to resume came to its end; refuse outputs that are no results of it."""
        path, outputs = self.paths.json_path, self.paths.outputs()
        if not self.config.output.resume or path is None or journal_path(path).exists():
            return False
        return check_outputs(outputs, identity(self.config))

    def _check_outputs(self) -> None:
        inputs, paths = self.config.inputs, self.paths
        for path in filter(None, (paths.json_path, paths.video_path, paths.csv_path, paths.report_path)):
            for source in (inputs.source, inputs.dets):
                files.check_output(path, source=source, within=Path(self.config.output.out_dir))
        if paths.frames_dir is not None:
            first = paths.frames_dir / "000000.jpg"
            files.check_output(first, source=inputs.source, within=Path(self.config.output.out_dir))
        if self.config.output.show:
            check_screen()
        if paths.video_path is not None:
            from mot_dinov3.video.encoders import encoder_of

            self._encoder = encoder_of(fourcc) if (fourcc := self.config.output.fourcc) else None

    def _open_video(self, opened: contextlib.ExitStack) -> tuple[VideoInfo, FrameSource | None]:
        """Open the video where a stage needs its images; else read only its header."""
        inputs, output = self.config.inputs, self.config.output
        draws = output.frames or output.save_video is not None or output.show or output.report is not None
        path = Path(inputs.source)
        if self.config.gallery.gallery is None and not draws and path.is_file():
            from mot_dinov3.video.media import read_header

            return read_header(inputs.source), None
        source = opened.enter_context(open_source(SourceConfig(source=inputs.source)))
        return source.info, source if self.config.gallery.gallery is not None or draws else None

    def _check_video(self) -> None:
        said, video = self.records.video, self.info
        name = f"'{self.records.path}'"
        if 0 not in (said.width, said.height, video.width, video.height):
            sizes = (said.width, said.height), (video.width, video.height)
            # A header alone does not show whether the images are rotated.
            turned = self._images is None and sizes[0] == sizes[1][::-1]
            if sizes[0] != sizes[1] and not turned:
                raise FormatError(
                    f"{name} is for images of {said.width}×{said.height}, '{video.path}' has "
                    f"{video.width}×{video.height}",
                    remedy="give the detections of this video",
                )
        check_last_frame(self.records, video, self._count_frames)
        if said.frame_count and video.frame_count and said.frame_count != video.frame_count:
            self.notices.append(f"{name} has {said.frame_count} frames, '{video.path}' has {video.frame_count}")

    def _count_frames(self) -> int:
        """Return the number of frames that the video really has, 0 where it cannot be counted."""
        path = Path(self.config.inputs.source)
        if not path.is_file():
            return 0
        from mot_dinov3.video.media import count_frames

        return count_frames(str(path))

    def _make_journal(self) -> GalleryJournal | None:
        if self.paths.json_path is None:
            return None
        return GalleryJournal(
            self.paths.json_path,
            identity(self.config),
            self.header,
            outputs=self.paths.outputs(),
            resume=self.config.output.resume,
        )

    def _stages(
        self, embedder: Embedder | None, identifier: Identifier | None, line: LineTaker | None
    ) -> GalleryStages:
        inputs, size = self.config.inputs, (self.info.width, self.info.height)
        request = TrackerRequest(self.info.fps, size, hybrid=self.config.hybrid)
        tracker = build_tracker(inputs.tracker, request)
        matcher = None
        if embedder is not None and identifier is not None:
            matcher = GalleryMatcher(
                embedder,
                identifier,
                self._journal,
                every=inputs.reid_frequency if tracker.keeps_tracks else 0,
                min_score=lambda: tracker.min_score,
            )
        return GalleryStages(
            records=self.records,
            images=self._images,
            tracker=tracker,
            matcher=matcher,
            classes=self._classes,
            drop_unknown=inputs.filter_gallery,
            lines=[*([self._journal.frame] if self._journal else []), *([line] if line else [])],
            sinks=list(self._sinks()),
            video=self.info,
            count=self._count_frames,
        )

    def _sinks(self) -> Iterator[Sink]:
        """Yield the sinks of drawn frames."""
        if self.paths.video_path is not None and self._images is not None:
            rate = self.config.output.save_fps
            info = self.info if rate is None else dataclasses.replace(self.info, fps=rate)
            sound = self._images.audio_from if rate is None else None
            if rate is None and self._images.sound_notice:
                self.notices.append(self._images.sound_notice)
            writer = VideoWriter(
                self.paths.video_path,
                info=info,
                audio_from=sound,
                encoder=self._encoder,
                pixel_aspect=self._images.pixel_aspect,
            )
            drawn = VideoSink(writer, self._draw, self.timer)
            yield drawn if rate is None else RetimedSink(drawn, rate)
        if self.paths.frames_dir is not None:
            yield FolderSink(self.paths.frames_dir, self._draw)
        if self.config.output.show:
            yield WindowSink(Path(self.config.inputs.source).name, self._draw, self._stop)

    def _stop(self) -> None:
        self.stopped = True

    def _draw(self, frame: Frame, detections: Detections) -> Image:
        names = self._class_names()
        return draw_frame(frame.pixels(), detections, lost=TrackView.empty(), names=names, config=DrawConfig())

    def _class_names(self) -> dict[int, str]:
        """Return the names of the classes that the detections have shown so far."""
        return {**self.records.state.names, **self._classes.names}
