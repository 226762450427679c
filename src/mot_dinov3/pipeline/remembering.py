"""Detector and scheduler of a run that is recorded: what an earlier run has found out is not found out again."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import Detections, FloatArray, Frame, IntArray, TrackView
from mot_dinov3.detectors.base import Detector
from mot_dinov3.pipeline.findings import Findings
from mot_dinov3.pipeline.resume import NoRecord, Scheduling
from mot_dinov3.scheduler import EmbeddingPlan, EmbedRows, SchedulerStats


class Remembering:
    """Detector and scheduler of a run whose findings are recorded.

    Attributes:
        detector: The detector, which asks the record first.
        scheduler: The scheduler, which asks the record first and writes to it last.
    """

    def __init__(self, record: NoRecord, detector: Detector, scheduler: Scheduling, *, boxes: bool) -> None:
        """Wrap both; `boxes` False runs the detector again instead, where it must see every frame or costs nothing."""
        self._record = record
        self._boxes = boxes
        self._frame = -1
        self._known: Findings | None = None
        self._found: Detections | None = None
        self.detector = _RememberingDetector(detector, self)
        self.scheduler = _RememberingScheduler(scheduler, self)

    def known(self, frame: int) -> Findings | None:
        """Return what an earlier run found out about a frame."""
        if frame != self._frame:
            self._frame, self._found = frame, None
            self._known = self._record.recall(frame)
        return self._known

    def keep_boxes(self, frame: int, boxes: Detections) -> None:
        """Remember what the detector found until the frame is noted."""
        self._found = boxes if self._boxes else None

    def keep_embeddings(self, frame: int, done: Detections) -> None:
        """Note a frame: its boxes, and which rows were embedded."""
        rows = np.flatnonzero(done.fresh)
        embedding = np.zeros((0, 0), np.float32) if done.embedding is None else done.embedding[rows]
        self._record.note(frame, Findings(self._found, rows, embedding))


class _RememberingDetector:
    """Finds what an earlier run found."""

    def __init__(self, detector: Detector, memory: Remembering) -> None:
        self._detector = detector
        self._memory = memory
        self.info = detector.info
        self.names = detector.names

    def detect(self, frame: Frame) -> Detections:
        """Return the boxes of `frame`."""
        known = self._memory.known(frame.index)
        if known is not None and known.boxes is not None:
            return known.boxes
        found = self._detector.detect(frame)
        self._memory.keep_boxes(frame.index, found)
        return found


class _RememberingScheduler:
    """Embeds what an earlier run has not embedded."""

    def __init__(self, scheduler: Scheduling, memory: Remembering) -> None:
        self._scheduler = scheduler
        self._memory = memory
        self._frame = -1

    @property
    def stats(self) -> SchedulerStats:
        """The scheduler's."""
        return self._scheduler.stats

    def plan(self, detections: Detections, view: TrackView, frame_index: int) -> EmbeddingPlan:
        """Decide what a frame needs."""
        self._frame = frame_index
        return self._scheduler.plan(detections, view, frame_index)

    def run(self, plan: EmbeddingPlan, detections: Detections, view: TrackView, embed: EmbedRows) -> Detections:
        """Embed and reuse; what is on record is taken from there."""
        known = self._memory.known(self._frame)
        if known is not None:
            if not (known.rows.min(initial=0) >= 0 and known.rows.max(initial=-1) < len(detections)):
                raise UsageError(
                    f"frame {self._frame} has {len(detections)} boxes now, but more of them are on record as embedded",
                    remedy="the input is not what it was; leave --resume out to begin anew",
                )
            return self._scheduler.repeat(plan, detections, view, (known.rows, known.embedding))
        done = self._scheduler.run(plan, detections, view, embed)
        self._memory.keep_embeddings(self._frame, done)
        return done

    def repeat(
        self, plan: EmbeddingPlan, detections: Detections, view: TrackView, computed: tuple[IntArray, FloatArray]
    ) -> Detections:
        """Do again what was done in an earlier run."""
        return self._scheduler.repeat(plan, detections, view, computed)
