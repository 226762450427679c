"""The gallery's frame loop: recorded detections, tracks, looks at the gallery, names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_FRAME, dumps
from mot_dinov3.core.structures import BoolArray, Detections, Frame, VideoInfo
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.features.base import Embedder
from mot_dinov3.formats.det_v1_stream import DetectionStream, RecordedFrame
from mot_dinov3.formats.track_v1 import track_records
from mot_dinov3.gallery.identifier import Identifier
from mot_dinov3.gallery.job.journal import NoJournal
from mot_dinov3.sinks.base import CompositeSink, Sink
from mot_dinov3.trackers.base import Tracker
from mot_dinov3.video import FrameSource

LineTaker = Callable[[int, str], None]


@dataclasses.dataclass(frozen=True)
class ClassFilter:
    """Which classes are tracked.

    Attributes:
        ids: Class ids.
        words: Class names, casefolded.
        names: Class id → name, of a file of the user's.
    """

    ids: frozenset[int]
    words: frozenset[str]
    names: Mapping[int, str]

    def tracked(self, detections: Detections) -> BoolArray:
        """Return ``(n,)`` bool: the row's class is tracked; all are where nothing was chosen."""
        if not self.ids and not self.words:
            return np.ones(len(detections), np.bool_)
        chosen = []
        for class_id, record in zip(detections.class_id.tolist(), detections.extra):
            name = self.names.get(class_id) or (record or {}).get("class_name") or ""
            chosen.append(class_id in self.ids or name.casefold() in self.words)
        return np.array(chosen, np.bool_)


class Looker:
    """Embeds the rows that are due and asks the gallery who they are.

    Args:
        embedder: Looks at the pictures.
        identifier: Knows the gallery.
        journal: Has the looks of an earlier run, and takes the new ones.
        every: Frames after which a track is looked at again; 0 looks at every row.
        min_score: Boxes below it show too little.
    """

    def __init__(
        self, embedder: Embedder, identifier: Identifier, journal: NoJournal, *, every: int, min_score: float
    ) -> None:
        self.embedder = embedder
        self.identifier = identifier
        self.looks = 0
        self._journal = journal
        self._every = every
        self._min_score = min_score

    def identify(self, frame: Frame, detections: Detections) -> Detections:
        """Return the rows with names, `fresh` where they were looked at in this frame."""
        if self._every:
            rows = self.identifier.due(detections, frame.index, every=self._every, min_score=self._min_score)
        else:
            rows = np.flatnonzero(detections.track_id >= 0)
        fresh = np.zeros(len(detections), np.bool_)
        fresh[rows] = True
        detections = detections.replace(fresh=fresh)
        distance = np.full((len(detections), len(self.identifier.known.names)), np.nan, np.float32)
        if len(rows):
            known = self._journal.looks.pop(frame.index, None)
            if known is not None and known[0].tolist() == rows.tolist() and known[1].shape[1] == distance.shape[1]:
                distance[rows] = known[1]
            else:
                distance[rows] = self._look(frame, detections, rows)
                self._journal.look(frame.index, rows, distance[rows])
        return self.identifier.apply(detections, frame.index, distance)

    def _look(self, frame: Frame, detections: Detections, rows: Any) -> Any:
        embedding = np.zeros((len(detections), self.embedder.dim), np.float32)
        embedding[rows] = self.embedder.embed(frame.pixels(), detections.xyxy[rows])
        self.embedder.synchronize()
        self.looks += len(rows)
        return self.identifier.distances(detections.replace(embedding=embedding))[rows]


@dataclasses.dataclass(frozen=True)
class NamingStages:
    """The live parts of a run.

    Attributes:
        records: The detections.
        pictures: The video, or None where nothing looks at it.
        tracker: Makes the tracks.
        looker: Names them; None leaves them unnamed.
        classes: Which rows are tracked.
        drop_unknown: Leave tracked rows without a name out of all results.
        lines: Take each frame's track-v1 record, once it is final.
        sinks: Take every frame with its picture, as it is known in that moment.
        video: What is known of the video.
        count: Counts the frames that the video really has; 0 where that cannot be done.
    """

    records: DetectionStream
    pictures: FrameSource | None
    tracker: Tracker
    looker: Looker | None
    classes: ClassFilter
    drop_unknown: bool
    lines: Sequence[LineTaker]
    sinks: Sequence[Sink]
    video: VideoInfo
    count: Callable[[], int]


class NamingPipeline:
    """Runs the stages, frame by frame.

    Args:
        stages: The parts.
        timer: Where stage times go.

    Attributes:
        frames: Records taken so far.
        tracked: Their rows of the classes that are tracked.
    """

    def __init__(self, stages: NamingStages, timer: StageTimer) -> None:
        self.stages = stages
        self.timer = timer
        self.frames = self.tracked = 0
        self._alive = False
        self._held: dict[int, tuple[RecordedFrame, Detections]] = {}

    def run(self, tick: Callable[[], bool] = lambda: False) -> bool:
        """Take frames until the end, or until `tick` says so; return whether the end was reached.

        Where it was not, the last frames may not be final yet: `finish` makes them so, `unsettled` tells them.
        """
        sinks = CompositeSink(self.stages.sinks)
        for frame, record in self._moments():
            rows = self._step(frame, record)
            if record is not None:
                self._hold(record, rows)
            self._release(self.stages.tracker.settled)
            sinks.write(frame, self._kept(rows))
            if tick():  # what is not settled is not written, so that a run that goes on from here writes the same
                return False
        self.finish()
        return True

    def finish(self) -> None:
        """Hand out what is held: nothing follows."""
        self._release(None)

    def unsettled(self) -> list[str]:
        """Return the records that are held, as they are known now."""
        return [self._line(record, rows) for record, rows in self._held.values()]

    def _moments(self) -> Iterator[tuple[Frame, RecordedFrame | None]]:
        """Yield every frame with its record, None where the file has none for it."""
        records = iter(self.stages.records)
        if self.stages.pictures is None:
            return self._without_pictures(records)
        return self._with_pictures(records, self.stages.pictures)

    def _without_pictures(self, records: Iterator[RecordedFrame]) -> Iterator[tuple[Frame, RecordedFrame | None]]:
        fps, last, total = self.stages.records.video.fps, -1, self.stages.video.frame_count
        for record in self.timer.frames(records):
            if record.index >= total:  # a header may be wrong, or silent
                total = max(total, self.stages.count()) or MAX_FRAME
                if record.index >= total:
                    raise self._beyond(record.index, total - 1)
            for index in range(last + 1, record.index):
                if not self._alive:  # nobody is left to be lost: the rest of the gap changes nothing
                    break
                yield Frame(index, index / fps), None
            yield Frame(record.index, record.index / fps), record
            last = record.index

    def _with_pictures(
        self, records: Iterator[RecordedFrame], pictures: FrameSource
    ) -> Iterator[tuple[Frame, RecordedFrame | None]]:
        upcoming, index = next(records, None), -1
        for frame in self.timer.frames(pictures):
            index = frame.index
            record = upcoming if upcoming is not None and upcoming.index == index else None
            yield frame, record
            if record is not None:
                with self.timer.stage("read"):
                    upcoming = next(records, None)
        if upcoming is not None:
            raise self._beyond(upcoming.index, index)

    def _beyond(self, number: int, last: int) -> FormatError:
        return FormatError(
            f"'{self.stages.records.path}' has a record for frame {number}, but the last frame of "
            f"'{self.stages.video.path}' is {last}",
            remedy="give the detections of this video",
        )

    def _step(self, frame: Frame, record: RecordedFrame | None) -> Detections:
        stages, stage = self.stages, self.timer.stage
        rows = Detections.empty() if record is None else record.detections
        with stage("track"):
            view = stages.tracker.predict(frame)
            self._alive = len(view) > 0 or len(rows) > 0
            tracked = stages.classes.tracked(rows)
            self.tracked += int(np.count_nonzero(tracked))
            if tracked.all():
                rows = stages.tracker.update(rows)
            else:  # a negative score tells the tracker to leave a row alone
                masked = rows.replace(score=np.where(tracked, rows.score, -1))
                rows = stages.tracker.update(masked).replace(score=rows.score)
        if stages.looker is None or record is None:
            return rows
        with stage("identify"):
            return stages.looker.identify(frame, rows)

    def _hold(self, record: RecordedFrame, rows: Detections) -> None:
        self.frames += 1
        self._held[record.index] = (record, rows.replace(track_id=rows.track_id.copy()))
        for revision in self.stages.tracker.revisions:
            self._held[revision.frame_index][1].track_id[revision.row] = revision.track_id

    def _release(self, settled: int | None) -> None:
        """Hand out the records whose rows nothing can change any more; all for None."""
        with self.timer.stage("write"):
            for index in list(self._held):
                if settled is not None and index >= settled:
                    return
                record, rows = self._held.pop(index)
                line = self._line(record, rows)
                for take in self.stages.lines:
                    take(index, line)

    def _kept(self, rows: Detections) -> Detections:
        if not self.stages.drop_unknown:
            return rows
        named = np.array([name is not None for name in rows.gallery_id], np.bool_)
        return rows[named | ~self.stages.classes.tracked(rows)]

    def _line(self, record: RecordedFrame, rows: Detections) -> str:
        rows = self._kept(rows)
        tracked = self.stages.classes.tracked(rows)
        written: list[Any] = track_records(rows, self.stages.classes.names)
        for row in np.flatnonzero(~tracked).tolist():  # what is not tracked passes through as it came
            written[row] = rows.extra[row]
        value = {"frame": record.index, "file": f"{record.index:06d}.jpg", **record.keys, "detections": written}
        try:
            return dumps(value)
        except ValueError as error:
            raise FormatError(
                f"'{self.stages.records.path}', frame {record.index}: a number is not finite",
                remedy="write finite numbers only",
            ) from error
