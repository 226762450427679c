"""The frame loop of tracking: read, detect, plan, embed, track, identify, write.

`TrackingLoop.step` is the design of the program on one page. What a run was not asked for (appearance, a gallery,
a resume journal) is None there, and its step is left out.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np

from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import Detections, Frame, TrackView
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.detectors.base import Detector
from mot_dinov3.features.base import Embedder
from mot_dinov3.gallery.identifier import Identifier
from mot_dinov3.pipeline.detection_scheduler import DetectionScheduler
from mot_dinov3.pipeline.embedding_check import EmbeddingCheck, embeds_rows
from mot_dinov3.pipeline.resume import BEGIN_ANEW, FrameRecord, ResumeJournal
from mot_dinov3.pipeline.second_pass import LinkedPass
from mot_dinov3.scheduler import EmbeddingScheduler, SchedulerStats
from mot_dinov3.sinks.base import CompositeSink, Sink
from mot_dinov3.trackers.appearance_model import AppearanceCalibration
from mot_dinov3.trackers.base import Tracker, learned_appearance
from mot_dinov3.video import FrameSource

UNTRACKED_FRAMES = 300  # kept while no track begins


@dataclasses.dataclass(frozen=True)
class Stages:
    """The parts of a run, in the order in which a frame passes through them.

    Attributes:
        source: Frames, numbered.
        detector: Frame → boxes.
        tracker: Boxes → identities.
        embedder: Crops → unit rows.
        scheduler: Decides which boxes are embedded; None where the embedder gives nothing and motion alone decides.
        detection: Decides on which frames the detector runs; None where no decision is needed.
        gallery: Names tracks; None without a gallery.
        journal: Boxes and embeddings of an interrupted run and of this one; None where nothing is kept.
        shown_from: Boxes of a lower score that continue no track are in no output.
        keep_boxes: The detector's boxes go into the journal. Not so where they cost nothing to find again, or where the
            detector has to see every frame.
        embedding_check: Keeps what is no embedding out of matching.
        check_end: Gets the number of frames of a source that was read to its end, and may still refuse them.
    """

    source: FrameSource
    detector: Detector
    tracker: Tracker
    embedder: Embedder
    scheduler: EmbeddingScheduler | None = None
    detection: DetectionScheduler | None = None
    gallery: Identifier | None = None
    journal: ResumeJournal | None = None
    shown_from: float = 0.0
    keep_boxes: bool = True
    embedding_check: EmbeddingCheck = dataclasses.field(default_factory=EmbeddingCheck)
    check_end: Callable[[int], None] | None = None

    @property
    def appearance(self) -> AppearanceCalibration | None:
        """What the tracker has learned of the embeddings; None where it compares none, or there are none."""
        return None if self.scheduler is None else learned_appearance(self.tracker)

    @property
    def scheduler_stats(self) -> SchedulerStats:
        """Sums over the run's embeddings, all zero without a scheduler."""
        return SchedulerStats() if self.scheduler is None else self.scheduler.stats


@dataclasses.dataclass
class Counts:
    """Numbers of a run for its summary.

    Attributes:
        untracked: Rows of the first frames, until a track begins, to tell why none does.
    """

    frames: int = 0
    detections: int = 0
    tracks: int = 0
    closing_ms: float = 0.0
    second_pass_ms: float = 0.0
    untracked: list[Detections] = dataclasses.field(default_factory=list)

    def add(self, detections: Detections) -> None:
        """Count one frame's rows."""
        self.frames += 1
        self.detections += len(detections) - int(np.count_nonzero(detections.coasted))
        self.tracks = max(self.tracks, int(detections.track_id.max(initial=0)))
        if self.tracks:
            self.untracked.clear()
        elif self.frames <= UNTRACKED_FRAMES:
            self.untracked.append(detections.replace(embedding=None))


class TrackingLoop:
    """Runs the stages over a source, frame by frame.

    Attributes:
        counts: Frames, detections and identities so far.
        second_pass: Linking and writing after the last frame of a linked run; else None.
    """

    def __init__(self, stages: Stages, sinks: Sequence[Sink], timer: StageTimer) -> None:
        self.stages = stages
        self.timer = timer
        self.counts = Counts()
        self.second_pass: LinkedPass | None = None
        self._frames_read = 0
        self._stopped = False
        self.sinks = CompositeSink(sinks, timer)

    def step(self, frame: Frame) -> Detections:
        """Take one frame through all stages and return its finished rows."""
        stages, journal, lap = self.stages, self.stages.journal, self.timer.lap

        # Detect, unless the boxes can be followed, or take the boxes that an interrupted run found.
        known = None if journal is None else journal.read(frame.index)
        if stages.detection is not None:
            stages.detection.decide(frame, None if known is None else known.detection)
        boxes = None if known is None else known.boxes
        detections = stages.detector.detect(frame) if boxes is None else boxes
        lap("detect")

        # Predict where the tracks are now.
        tracks = stages.tracker.predict(frame)
        lap("track")

        # Plan whose appearance is worth computing, and embed it within the budget.
        embedded = self._embed(frame, detections, tracks, known)
        if journal is not None and known is None:
            reason = None if stages.detection is None else stages.detection.reason(frame.index)
            journal.write(frame.index, FrameRecord.of(detections if stages.keep_boxes else None, embedded, reason))
        lap("embed")

        # Associate boxes with tracks, and tracks with known identities.
        rows = stages.tracker.update(embedded)
        if stages.shown_from:
            rows = rows[(rows.track_id >= 0) | (rows.score >= stages.shown_from)]
        if stages.gallery is not None:
            rows = stages.gallery.identify(rows, frame.index)
        lap("track")

        # Draw and write.
        self.sinks.write(frame, rows)
        self.counts.add(rows)
        return rows

    def _embed(self, frame: Frame, detections: Detections, tracks: TrackView, known: FrameRecord | None) -> Detections:
        """Return the rows with embeddings: computed, reused from their tracks, or taken from an earlier run."""
        scheduler = self.stages.scheduler
        if scheduler is None:
            return detections
        scheduler.min_score = self.stages.tracker.min_score  # it may follow the scores of the stream
        plan = scheduler.plan(detections, tracks, frame.index)
        embedder, check = self.stages.embedder, self.stages.embedding_check
        if known is None:
            computed = scheduler.run(plan, detections, tracks, embeds_rows(embedder, frame, detections))
            return check.usable(computed, frame.index, embedder)
        if not (known.rows.min(initial=0) >= 0 and known.rows.max(initial=-1) < len(detections)):
            raise UsageError(
                f"frame {frame.index} has {len(detections)} boxes now, but the journal has embeddings of more",
                remedy=f"the input is not what it was; {BEGIN_ANEW}",
            )
        repeated = scheduler.repeat(plan, detections, tracks, (known.rows, known.embedding))
        return check.usable(repeated, frame.index, embedder)

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Take frames until the source ends or `stop` says so, then close the outputs; abort them on any error.

        A linked run's second pass is not part of it.
        """
        with self._outputs():
            for frame in self.timer.frames(self.stages.source):
                self.step(frame)
                self._frames_read = frame.index + 1
                self._stopped = self._stopped or stop()
                if self._stopped:
                    break
            self._stopped = self._stopped or self.stages.source.interrupted

    def stop(self) -> None:
        """Finish the outputs after this frame."""
        self._stopped = True

    def results(self, *, ended: Callable[[], object] = lambda: None) -> Generator[tuple[Frame, Detections], None, None]:
        """Yield each frame with its finished rows; close the outputs after the last one, abort them on any error.

        A caller that closes the generator stops the run: the frames so far are finished, linked where that was asked
        for. A run that is stopped before it has caught up with the one that it resumes leaves that one's results alone.
        `ended` is called when everything is closed.
        """
        try:
            with self._outputs(second_pass=self.second_pass):
                for frame in self.timer.frames(self.stages.source):
                    rows = self.step(frame)
                    self._frames_read = frame.index + 1
                    yield frame, rows.named(self.stages.detector.names)
                    if self._stopped:
                        break
        finally:
            ended()

    @contextlib.contextmanager
    def _outputs(self, *, second_pass: LinkedPass | None = None) -> Iterator[None]:
        """Close the outputs when the frames inside are over, and abort them on any error; close the source."""
        stages = self.stages
        try:
            try:
                yield
            except GeneratorExit:
                self._stopped = True
            if not self._stopped and stages.check_end is not None:
                stages.check_end(self._frames_read)
            if self._stopped and stages.journal is not None:
                stages.journal.stop()
            if self.is_behind:
                self.abort()
                return
            self.close()
            if second_pass is not None:
                second_pass.run(lambda: False)
        except BaseException:
            self.abort()
            raise
        finally:
            stages.source.close()

    @property
    def is_behind(self) -> bool:
        """True while an interrupted run has finished more frames than this one, which resumes it, has yet."""
        return self.stages.journal is not None and self.stages.journal.is_behind

    def close(self) -> None:
        """Put all outputs in their places."""
        start = self.timer.clock()
        self.timer.start()
        self.sinks.close()
        self.counts.closing_ms = 1e3 * (self.timer.clock() - start)

    def abort(self) -> None:
        """Leave all outputs unfinished; earlier results stay."""
        self.sinks.abort()
        if self.stages.journal is not None:
            self.stages.journal.abort()
