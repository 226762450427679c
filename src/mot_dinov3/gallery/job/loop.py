"""The frame loop of the gallery job: precomputed detections, tracks, comparisons with the gallery, names."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.class_filter import ClassFilter
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import FormatError, ModelError
from mot_dinov3.core.json_text import MAX_FRAME, dumps
from mot_dinov3.core.structures import Detections, FloatArray, Frame, IntArray, VideoInfo
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.features.base import Embedder, prepare
from mot_dinov3.formats.det_v1 import recorded_time
from mot_dinov3.formats.det_v1_stream import DetectionSource, RecordedFrame
from mot_dinov3.formats.track_v1 import track_records
from mot_dinov3.gallery.identifier import Identifier
from mot_dinov3.gallery.job.journal import GalleryComparison, GalleryJournal
from mot_dinov3.sinks.base import CompositeSink, IdBackfill, Sink
from mot_dinov3.sinks.files import FrameTimes
from mot_dinov3.trackers.base import Tracker
from mot_dinov3.trackers.byte import NEW_ABOVE
from mot_dinov3.video import FrameSource
from mot_dinov3.video.source import RecordedClock

LineTaker = Callable[[int, str], None]


class GalleryMatcher:
    """Embeds the rows that are due and compares them with the gallery.

    Args:
        embedder: Embeds the crops.
        identifier: Identifies tracks by their distances.
        journal: Has the comparisons of an earlier run, and takes the new ones; None where there is none.
        every: Frames after which a track is compared again; 0 compares every row.
        min_score: Returns the score below which boxes are not compared, which may follow the stream.

    Attributes:
        embedded: Crops embedded so far.
    """

    def __init__(
        self,
        embedder: Embedder,
        identifier: Identifier,
        journal: GalleryJournal | None,
        *,
        every: int,
        min_score: Callable[[], float],
    ) -> None:
        self.embedder = embedder
        self.identifier = identifier
        self.embedded = 0
        self._journal = journal
        self._every = every
        self._min_score = min_score

    def identify(self, frame: Frame, detections: Detections) -> Detections:
        """Return the rows with names, `fresh` where they were compared in this frame."""
        if self._every:
            rows = self.identifier.due(detections, frame.index, every=self._every, min_score=self._min_score())
        else:
            rows = np.flatnonzero(detections.track_id >= 0)
        fresh = np.zeros(len(detections), np.bool_)
        fresh[rows] = True
        detections = detections.replace(fresh=fresh)
        distance = np.full((len(detections), len(self.identifier.known.names)), np.nan, np.float32)
        if len(rows):
            distance[rows] = self._distances(frame, detections, rows)
        return self.identifier.apply(detections, frame.index, distance)

    def _distances(self, frame: Frame, detections: Detections, rows: IntArray) -> FloatArray:
        """Return ``(r, k)`` distances of the rows, from an earlier run where it has compared the same ones."""
        journal, width = self._journal, len(self.identifier.known.names)
        known = None if journal is None else journal.comparisons.pop(frame.index, None)
        if known is not None and known.rows.tolist() == rows.tolist() and known.distance.shape[1] == width:
            return known.distance
        embedding = np.zeros((len(detections), self.embedder.dim), np.float32)
        try:
            embedding[rows] = prepare(self.embedder, frame.pixels())(detections.xyxy[rows])
        except ModelError as error:
            raise ModelError(f"frame {frame.index}: {error.message}", remedy=error.remedy) from error
        self.embedder.synchronize()
        self.embedded += len(rows)
        distance = self.identifier.distances(detections.replace(embedding=embedding))[rows]
        if journal is not None:
            journal.compared(frame.index, GalleryComparison(rows, distance))
        return distance


@dataclasses.dataclass(frozen=True)
class GalleryStages:
    """The parts of a run.

    Attributes:
        records: The detections.
        images: The video, or None where no stage needs its images.
        tracker: Makes the tracks.
        matcher: Names them; None leaves them unnamed.
        classes: The classes that are tracked.
        drop_unknown: Leave tracked rows without a name out of all results.
        lines: Take each frame's track-v1 record, once it is final.
        sinks: Take every frame with its image, as it is known in that moment.
        video: Properties of the video.
        count: Returns the number of frames that the video really has; 0 where it cannot be counted.
    """

    records: DetectionSource
    images: FrameSource | None
    tracker: Tracker
    matcher: GalleryMatcher | None
    classes: ClassFilter
    drop_unknown: bool
    lines: Sequence[LineTaker]
    sinks: Sequence[Sink]
    video: VideoInfo
    count: Callable[[], int]


class GalleryLoop:
    """Runs the stages, frame by frame.

    Args:
        stages: The parts.
        timer: Timer of the stages.

    Attributes:
        tables: Take every frame with all of its rows; whoever sets them closes them.
        frames: Records taken so far.
        tracked: Their rows of the classes that are tracked.
        others: Class → number of rows of other classes.
        began: Whether a track has begun.
        best_score: Highest score of the tracked rows until then.
    """

    def __init__(self, stages: GalleryStages, timer: StageTimer) -> None:
        self.stages = stages
        self.timer = timer
        self.tables: Sequence[Sink] = ()
        self.frames = self.tracked = 0
        self.others: Counter[int] = Counter()
        self.began, self.best_score = False, 0.0
        self._alive = False
        self._lines = _TrackLines(stages)
        self._backfill = IdBackfill(self._lines, stages.tracker)

    def run(self, tick: Callable[[], bool] = lambda: False) -> bool:
        """Take frames until the end, or until `tick` says so; return whether the end was reached.

        Where it was not, the last frames may not be final yet: `finish` makes them so, `unsettled` returns them.
        """
        sinks, tables = CompositeSink(self.stages.sinks), CompositeSink(self.tables)
        for frame, record in self._frames():
            rows = self._step(frame, record)
            if record is not None:
                self.frames += 1
                self._lines.records[record.index] = record
                with self.timer.stage("write"):
                    self._backfill.write(frame, rows)
            sinks.write(frame, kept(rows, self.stages))
            tables.write(frame, rows)
            if tick():  # what is not settled is not written, so that a resumed run writes the same
                return False
        if self.stages.images is not None and self.stages.images.interrupted:
            return False
        self.finish()
        return True

    def finish(self) -> None:
        """Hand out what is held: nothing follows."""
        with self.timer.stage("write"):
            self._backfill.close()

    def unsettled(self) -> list[str]:
        """Return the records that are held, as they are known now."""
        return [self._lines.line(frame, rows) for frame, rows in self._backfill.held]

    def _frames(self) -> Iterator[tuple[Frame, RecordedFrame | None]]:
        """Yield every frame with its record, None where the file has none for it."""
        records = iter(self.stages.records)
        if self.stages.images is None:
            return self._without_images(records)
        return self._with_images(records, self.stages.images)

    def _without_images(self, records: Iterator[RecordedFrame]) -> Iterator[tuple[Frame, RecordedFrame | None]]:
        last, total = -1, self.stages.video.frame_count
        clock = RecordedClock(self.stages.records.video.fps)
        for record in self.timer.frames(records):
            if record.index >= total:  # a header may be wrong, or silent
                total = max(total, self.stages.count()) or MAX_FRAME
                if record.index >= total:
                    raise _beyond(self.stages.records, self.stages.video, record.index, total - 1)
            for index in range(last + 1, record.index):
                if not self._alive:  # no track is left: the rest of the gap changes nothing
                    break
                yield Frame(index, clock.time_of(index, None)), None
            yield Frame(record.index, clock.time_of(record.index, recorded_time(record.keys))), record
            last = record.index

    def _with_images(
        self, records: Iterator[RecordedFrame], images: FrameSource
    ) -> Iterator[tuple[Frame, RecordedFrame | None]]:
        upcoming, index = next(records, None), -1
        for frame in self.timer.frames(images):
            index = frame.index
            record = upcoming if upcoming is not None and upcoming.index == index else None
            yield frame, record
            if record is not None:
                with self.timer.stage("read"):
                    upcoming = next(records, None)
        if upcoming is not None and not images.interrupted:
            raise _beyond(self.stages.records, self.stages.video, upcoming.index, index)

    def _step(self, frame: Frame, record: RecordedFrame | None) -> Detections:
        stages, stage = self.stages, self.timer.stage
        rows = Detections.empty() if record is None else record.detections
        with stage("track"):
            view = stages.tracker.predict(frame)
            self._alive = len(view) > 0 or len(rows) > 0
            tracked = stages.classes.keeps(rows)
            self.tracked += int(np.count_nonzero(tracked))
            self.others.update(rows.class_id[~tracked].tolist())
            if tracked.all():
                rows = stages.tracker.update(rows)
            else:  # a negative score tells the tracker to leave a row alone
                masked = rows.replace(score=np.where(tracked, rows.score, -1))
                rows = stages.tracker.update(masked).replace(score=rows.score)
        if not self.began:
            self.began = bool((rows.track_id >= 0).any())
            self.best_score = max(self.best_score, float(np.nan_to_num(rows.score[tracked]).max(initial=0.0)))
        if stages.matcher is None or record is None:
            return rows
        with stage("identify"):
            return stages.matcher.identify(frame, rows)


def check_last_frame(records: DetectionSource, video: VideoInfo, count: Callable[[], int]) -> None:
    """Raise `FormatError` where detections that were read whole lie beyond the end of the video.

    `count` returns the video's real number of frames, 0 where it is unknown: a header may be wrong.
    """
    if records.last_frame >= video.frame_count:
        frames = count() or video.frame_count
        if 0 < frames <= records.last_frame:
            raise _beyond(records, video, records.last_frame, frames - 1)


def _beyond(records: DetectionSource, video: VideoInfo, number: int, last: int) -> FormatError:
    return FormatError(
        f"'{records.path}' has a record for frame {number}, but the last frame of '{video.path}' is {last}",
        remedy="give the detections of this video",
    )


def untracked_notices(loop: GalleryLoop, track_thresh: float) -> list[str]:
    """Return a notice where there are detections to track and no track began: why, and which option helps."""
    if loop.began or not loop.tracked:
        return []
    reason = "a track needs a box in several frames that overlap"
    if loop.best_score < track_thresh + NEW_ABOVE:
        lower = max(np.floor(80 * (loop.best_score - NEW_ABOVE)) / 100, 0.0)
        needed = f"--track-thresh {track_thresh:g} + {NEW_ABOVE:g}; to track them: --track-thresh {lower:g}"
        reason = f"the highest score is {loop.best_score:.2f}, a track needs {needed}"
    return [f"{loop.tracked} box{' was' if loop.tracked == 1 else 'es were'} found and no track began: {reason}"]


class _TrackLines(Sink):
    """Turns settled rows into track-v1 records of their frames, a line of JSON each.

    Attributes:
        records: Frame → its record in the input, until the frame is written.
    """

    stage = None

    def __init__(self, stages: GalleryStages) -> None:
        self.records: dict[int, RecordedFrame] = {}
        self._stages = stages
        self._times = FrameTimes(stages.records.video.fps)

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        line = self.line(frame, detections)
        del self.records[frame.index]
        for take in self._stages.lines:
            take(frame.index, line)

    def line(self, frame: Frame, rows: Detections) -> str:
        """Return a frame's line as its rows are known now."""
        index = frame.index
        record, rows = self.records[index], kept(rows, self._stages)
        classes = self._stages.classes
        written: list[Any] = track_records(rows, classes.names)
        for row in np.flatnonzero(~classes.keeps(rows)).tolist():  # what is not tracked passes through unchanged
            written[row] = rows.extra[row]
        value: Mapping[str, Any] = {"frame": index, "file": f"{index:06d}.jpg", **record.keys, "detections": written}
        value = self._times.stream(value, index, frame.time)
        try:
            return dumps(value)
        except ValueError as error:
            raise FormatError(
                f"'{self._stages.records.path}', frame {index}: a number is not finite",
                remedy="write finite numbers only",
            ) from error


def kept(rows: Detections, stages: GalleryStages) -> Detections:
    """Return the rows of the results: without tracked ones that have no name, where those are to be left out."""
    if not stages.drop_unknown:
        return rows
    named = np.array([name is not None for name in rows.gallery_id], np.bool_)
    return rows[named | ~stages.classes.keeps(rows)]
