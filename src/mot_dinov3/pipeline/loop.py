"""The main job's frame loop: detect, predict, embed on a budget, update, write."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Generator, Iterator, Sequence

from mot_dinov3.core.structures import Detections, FloatArray, Frame, IntArray
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.detectors.base import Detector
from mot_dinov3.features.base import Embedder, look
from mot_dinov3.gallery.identifier import Identification, NoGallery
from mot_dinov3.pipeline.resume import NoRecord, Scheduling
from mot_dinov3.pipeline.summary import Counts
from mot_dinov3.sinks.files import Several, Sink
from mot_dinov3.trackers.base import Tracker
from mot_dinov3.video import FrameSource


@dataclasses.dataclass(frozen=True)
class Stages:
    """The live parts of a run, in the order in which a frame meets them.

    `at_end` is told how many frames the source has, once it has ended by itself, and may still refuse them; `record` is
    told that the run was interrupted.
    """

    source: FrameSource
    detector: Detector
    embedder: Embedder
    scheduler: Scheduling
    tracker: Tracker
    sinks: Sequence[Sink] = ()
    gallery: Identification = dataclasses.field(default_factory=NoGallery)
    at_end: Callable[[int], None] = lambda _: None
    record: NoRecord = dataclasses.field(default_factory=NoRecord)


class TrackingPipeline:
    """Runs the stages over a source, frame by frame.

    Args:
        stages: The parts, ready to use.
        timer: Where stage times go.

    Attributes:
        counts: What came by, for the summary.
    """

    def __init__(self, stages: Stages, timer: StageTimer) -> None:
        self.stages = stages
        self.timer = timer
        self._sinks = Several(stages.sinks)
        self.counts = Counts()

    def __iter__(self) -> Iterator[tuple[Frame, Detections]]:
        """Yield each frame with its finished rows, after the sinks have taken it."""
        for frame in self.timer.frames(self.stages.source):
            detections = self.step(frame)
            self._sinks.write(frame, detections)
            self.counts.add(detections)
            yield frame, detections

    def step(self, frame: Frame) -> Detections:
        """Take one frame through detector, scheduler, tracker and gallery."""
        stages, stage = self.stages, self.timer.stage
        with stage("detect"):
            detections = stages.detector.detect(frame)
        with stage("track"):
            view = stages.tracker.predict(frame)
        with stage("embed"):
            plan = stages.scheduler.plan(detections, view, frame.index)
            detections = stages.scheduler.run(plan, detections, view, self._embed(frame, detections))
        with stage("track"):
            tracked = stages.tracker.update(detections)
            return stages.gallery.identify(tracked, frame.index)

    def _embed(self, frame: Frame, detections: Detections) -> Callable[[IntArray], FloatArray]:
        return embeds_rows(self.stages.embedder, frame, detections)

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Take frames until the source ends or `stop` says so, then close all; abort the sinks on any error."""
        with contextlib.closing(self.results()) as results:
            for _ in results:
                try:
                    if stop():
                        break
                except BaseException as error:  # noqa: BLE001 - raised again, where the sinks are aborted
                    results.throw(error)

    def results(self) -> Generator[tuple[Frame, Detections], None, None]:
        """Yield each frame with its finished rows; close all after the last one, abort the sinks on any error.

        A caller that closes the generator stops the run: what was done so far is finished. A run that is stopped before
        it has caught up with the one it goes on from leaves that one's results alone.
        """
        frames_read = 0
        try:
            try:
                for frame, detections in self:
                    frames_read = frame.index + 1
                    yield frame, detections
                self.stages.at_end(frames_read)
            except GeneratorExit:
                self.stages.record.stop()
            self.abort() if self.stages.record.catching_up else self.close()
        except BaseException:
            self.abort()
            raise
        finally:
            self.stages.source.close()

    def close(self) -> None:
        """Put all outputs in their places."""
        start = self.timer.clock()
        self._sinks.close()
        self.counts.closing_ms = 1e3 * (self.timer.clock() - start)

    def abort(self) -> None:
        """Leave all outputs unfinished; earlier results stay."""
        self._sinks.abort()
        self.stages.record.abort()


def embeds_rows(embedder: Embedder, frame: Frame, detections: Detections) -> Callable[[IntArray], FloatArray]:
    """Return what embeds the given rows of a frame, and returns when the device has finished."""
    looked = functools.cache(lambda: look(embedder, frame.pixels()))

    def embed(rows: IntArray) -> FloatArray:
        embedded = looked()(detections.xyxy[rows])
        embedder.synchronize()
        return embedded

    return embed
