"""What a gallery run writes and tells of its settled rows: overview of tracks and names, CSV table, HTML report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mot_dinov3.core.compat import override
from mot_dinov3.core.files import replacing
from mot_dinov3.core.json_text import printable
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.formats import tracks_csv
from mot_dinov3.gallery.job.config import GalleryJobConfig, RunPaths
from mot_dinov3.gallery.job.loop import GalleryStages, kept
from mot_dinov3.report.environment import settings, versions, video_address
from mot_dinov3.report.page import RunFacts, build_page
from mot_dinov3.report.trace import ImageSink, RunTrace, TimeSink, TrackSink
from mot_dinov3.sinks.base import CompositeSink, FilterSink, IdBackfill, Sink, TrackOverview
from mot_dinov3.sinks.files import TextSink, csv_lines

STAGES = ("read", "wait", "track", "embed", "identify", "draw", "write")  # "embed" is asked for by the charts


class GalleryTables:
    """Makes the sinks of settled rows.

    Args:
        paths: The files of the run.
        stages: The parts of the run.
        timer: Times its stages.
        names: Class id → name; it may grow while the run continues.

    Attributes:
        names: As given.
        overview: What was tracked and named.
        report: The report, None where none is written.
    """

    def __init__(self, paths: RunPaths, stages: GalleryStages, timer: StageTimer, names: Mapping[int, str]) -> None:
        known = 0 if stages.matcher is None else len(stages.matcher.identifier.known.names)
        self.overview = TrackOverview(names, keeps_tracks=stages.tracker.keeps_tracks, known=known)
        self.report = None
        if paths.report_path is not None:
            self.report = GalleryReport(paths.report_path, paths.video_path, stages, timer)
        self._paths, self._stages, self.names = paths, stages, names

    def settled(self) -> Sink:
        """Return the sink of every frame with all of its rows; it hands on those of the results, once final."""
        return IdBackfill(_KeptRows([self.overview, *self._files()], self._stages), self._stages.tracker)

    def _files(self) -> Iterator[Sink]:
        if self._paths.csv_path is not None:
            head = [tracks_csv.csv_line(tracks_csv.TRACK_COLUMNS)]
            yield TextSink(self._paths.csv_path, csv_lines(self.names), head=head)
        if self.report is not None:
            yield self.report.tracks


class GalleryReport:
    """Collects a report while the run continues, and writes it when it is over.

    Attributes:
        tracks: Sink of settled rows.
        frames: Sinks of every frame with its image.
    """

    def __init__(self, path: Path, video: Path | None, stages: GalleryStages, timer: StageTimer) -> None:
        self._path, self._video = path, video
        self._stages, self._timer = stages, timer
        self._trace = RunTrace(STAGES, stages.video)
        self.tracks = TrackSink(self._trace)
        self.frames: list[Sink] = [TimeSink(self._trace, timer), ImageSink(self._trace)]

    def write(self, config: GalleryJobConfig, created: str, tables: GalleryTables, notices: Sequence[str]) -> None:
        """Write the page; `created` is the time of the run, ISO 8601."""
        info = None if self._stages.matcher is None else self._stages.matcher.embedder.info
        models = {} if info is None else {"embedder": (f"{info.name} {info.weights} ({info.place})", False)}
        facts = RunFacts(
            source=Path(config.inputs.source).name,
            written=created,
            tiles=self._tiles(tables.overview),
            notices=notices,
            settings={"models": models, **settings(config)},
            versions=versions(),
            names=tables.names,
            video=video_address(self._video, self._path),
            video_option="--save-video NAME",
            embeds=False,
        )
        with replacing(self._path) as part:
            part.write_text(printable(build_page(self._trace, facts)), encoding="utf-8", newline="\n")

    def _tiles(self, overview: TrackOverview) -> dict[str, tuple[str, str]]:
        """Return the numbers on top of the page: label → (value, note)."""
        seconds = sum(self._timer.frame_ms) / 1e3
        rate = len(self._timer.frame_ms) / seconds if seconds else 0.0
        tiles = {
            "frames": (f"{overview.frames:,}", f"{self._trace.seconds:.1f} s"),
            "tracks": (f"{len(overview.tracks):,}", "of the classes that are tracked"),
            "speed": (f"{rate:.1f} fps", "effective, all stages"),
        }
        if overview.known:
            unnamed = sum(not track.named for track in overview.tracks.values())
            tiles["recognised"] = (f"{len(overview.identities)}", f"of {overview.known} identities; {unnamed} unnamed")
        return tiles


class _KeptRows(FilterSink):
    """Hands the rows of the results on."""

    stage = None

    def __init__(self, sinks: Sequence[Sink], stages: GalleryStages) -> None:
        super().__init__(CompositeSink(sinks))
        self._stages = stages

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        self._sink.write(frame, kept(detections, self._stages))
