"""What a gallery run writes and tells of its settled rows: the overview of tracks and names, and the CSV table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.formats import tracks_csv
from mot_dinov3.gallery.job.config import RunPaths
from mot_dinov3.gallery.job.loop import GalleryStages, kept
from mot_dinov3.sinks.base import CompositeSink, FilterSink, IdBackfill, Sink, TrackOverview
from mot_dinov3.sinks.files import TextSink, csv_lines


class GalleryTables:
    """Makes the sinks of settled rows.

    Args:
        paths: The files of the run.
        stages: The parts of the run.
        names: Class id → name; it may grow while the run continues.

    Attributes:
        overview: What was tracked and named.
    """

    def __init__(self, paths: RunPaths, stages: GalleryStages, names: Mapping[int, str]) -> None:
        known = 0 if stages.matcher is None else len(stages.matcher.identifier.known.names)
        self.overview = TrackOverview(names, keeps_tracks=stages.tracker.keeps_tracks, known=known)
        self._paths, self._stages, self._names = paths, stages, names

    def settled(self) -> Sink:
        """Return the sink of every frame with all of its rows; it hands on those of the results, once final."""
        return IdBackfill(_KeptRows([self.overview, *self._files()], self._stages), self._stages.tracker)

    def _files(self) -> Iterator[Sink]:
        if self._paths.csv_path is not None:
            head = [tracks_csv.csv_line(tracks_csv.TRACK_COLUMNS)]
            yield TextSink(self._paths.csv_path, csv_lines(self._names), head=head)


class _KeptRows(FilterSink):
    """Hands the rows of the results on."""

    stage = None

    def __init__(self, sinks: Sequence[Sink], stages: GalleryStages) -> None:
        super().__init__(CompositeSink(sinks))
        self._stages = stages

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        self._sink.write(frame, kept(detections, self._stages))
