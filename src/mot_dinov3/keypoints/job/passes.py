"""Passes through the frames of a gap, forward or backward in time, each from a labelled frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from mot_dinov3.core.structures import Keypoints, PointState
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.keypoints.backends.base import DenseBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.cutie import CutieMaskTracker
from mot_dinov3.keypoints.fusion import Estimate
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.keypoints.instance import ALL_PARTS, InstanceTracker
from mot_dinov3.keypoints.job.journal import PassFrame
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.partial_labels import expand_estimates, select_keypoints
from mot_dinov3.keypoints.point_flow import FlowFrame
from mot_dinov3.keypoints.tracker import PointTracker
from mot_dinov3.video.random_access import VideoRanges
from mot_dinov3.video.threads import PrefetchSource

CHUNK_BYTES = 200_000_000  # images held at once while a gap is read backward

TimedFrame = tuple[FlowFrame, float]


@dataclasses.dataclass(frozen=True)
class PassStart:
    """The beginning of a pass.

    Attributes:
        frame: Number of the labelled frame.
        instances: The instances in it.
        others: Further labelled frames to take templates from.
        origin: Frame that ``--step`` counts from.
        also: Frame that is tracked whatever ``--step`` says, or None.
    """

    frame: int
    instances: Sequence[LabelledInstance]
    others: Sequence[tuple[FlowFrame, Sequence[LabelledInstance]]]
    origin: int
    also: int | None = None


@dataclasses.dataclass(frozen=True)
class PassState:
    """The last frame of an interrupted pass.

    Attributes:
        frame: Its number.
        xy: For each instance ``(n, 2)`` positions, NaN where lost.
        outlines: For each instance.
    """

    frame: int
    xy: Sequence[Points]
    outlines: Sequence[tuple[Points, ...]]

    @classmethod
    def of_estimates(cls, frames: Sequence[PassFrame]) -> PassState | None:
        """Return the state at the end of a pass, or None where it never began."""
        tracked = [f for f in frames if f.estimates]
        if not tracked:
            return None
        last = tracked[-1]
        xy = [np.where((e.state == PointState.LOST)[:, None], np.nan, e.xy) for e in last.estimates]
        return cls(last.frame, xy, [e.polygons for e in last.estimates])

    @classmethod
    def of_rows(
        cls,
        frame: int,
        keypoints: Keypoints,
        instances: Sequence[LabelledInstance],
        outlines: dict[str, tuple[Points, ...]],
    ) -> PassState:
        """Return the state in a frame whose rows are known."""
        rows = {(i, n): xy for i, n, xy in zip(keypoints.instance, keypoints.name, keypoints.xy)}
        xy = [np.array([rows[one.name, name] for name in one.keypoints]) for one in instances]
        return cls(frame, xy, [outlines.get(one.name, ()) for one in instances])


class PassRunner:
    """Runs passes.

    Args:
        config: The tracker's options.
        backend: Describes canvases; None tracks by motion alone.
        video: The video, any range of it.
        timer: Counts the stages ``read``, ``track`` and ``wait``.

    Attributes:
        interrupted: The run is to end.
        tick: Called for every frame of a pass; ends the run if true.
        step: Every how many frames are tracked.
        parts: The parts of the method in use.
        new_mask_tracker: Makes the mask tracker of one pass; None leaves masks to the instance trackers.
    """

    def __init__(
        self, config: KeypointConfig, backend: DenseBackend | None, video: VideoRanges, timer: StageTimer
    ) -> None:
        self.config, self.backend = config, backend
        self.parts = ALL_PARTS
        self.interrupted = False
        self.tick: Callable[[], bool] = lambda: False
        self.step = 1
        self.new_mask_tracker: Callable[[], CutieMaskTracker] | None = None
        self._video = video
        self._timer = timer

    def frame(self, number: int) -> FlowFrame:
        """Return one frame of the video."""
        with self._timer.stage("wait"), self._video.open(number, number + 1) as frames:
            return FlowFrame.of(number, next(iter(frames)).pixels())

    def forward(self, start: PassStart, stop: int | None, state: PassState | None = None) -> Iterator[PassFrame]:
        """Yield a labelled frame and those after it; one that ends the video is tracked whatever ``--step`` says."""
        with self._timer.stage("wait"):
            source = self._video.open(state.frame if state else start.frame, stop)
        with PrefetchSource(source, busy=lambda: self._timer.stage("read")) as frames:
            timed = ((FlowFrame.of(f.index, f.pixels()), f.time) for f in self._timer.frames(frames))
            yield from self._through(start, timed, state)

    def backward(self, start: PassStart, low: int, state: PassState | None = None) -> Iterator[PassFrame]:
        """Yield a labelled frame and those before it, down to frame `low`, read chunk by chunk."""
        first = state.frame if state else start.frame
        yield from self._through(start, self._reversed(low, first + 1), state)

    def _reversed(self, low: int, stop: int) -> Iterator[TimedFrame]:
        info = self._video.info
        most = max(8, CHUNK_BYTES // (3 * info.width * info.height))
        while stop > low:
            with self._timer.stage("wait"):
                start = self._video.chunk_start(low, stop, most)
                with self._video.open(start, stop) as frames:
                    chunk = [(f.index, f.time, f.pixels()) for f in frames]
            while chunk:
                index, time, image = chunk.pop()
                yield FlowFrame.of(index, image), time
            stop = start

    def _through(self, start: PassStart, frames: Iterable[TimedFrame], state: PassState | None) -> Iterator[PassFrame]:
        """Track through frames; the first one is the labelled frame or that of `state`."""
        tracker: PointTracker | None = None
        skipped: TimedFrame | None = None
        for frame, time in frames:
            if tracker is None:
                tracker = self._begin(start, frame, state)
                if state is None:
                    yield PassFrame(frame.index, time, [])
                continue
            skipped = None
            if (frame.index - start.origin) % self.step and frame.index != start.also:
                skipped = frame, time
                yield PassFrame(frame.index, time, [])
            else:
                yield PassFrame(frame.index, time, self._track(tracker, start, frame))
            self.interrupted = self.interrupted or self.tick()
            if self.interrupted:
                return
        if skipped is not None and tracker is not None and start.also is None:
            yield PassFrame(skipped[0].index, skipped[1], self._track(tracker, start, skipped[0]))

    def _track(self, tracker: PointTracker, start: PassStart, frame: FlowFrame) -> list[Estimate]:
        with self._timer.stage("track"):
            return expand_estimates(start.instances, tracker.step(frame))

    def _begin(self, start: PassStart, frame: FlowFrame, state: PassState | None) -> PointTracker:
        """Return a tracker that starts at the labelled frame, or continues from the state of an earlier pass."""
        labelled = frame if frame.index == start.frame else self.frame(start.frame)
        if labelled is frame:
            state = None
        trackers = []
        for i, instance in enumerate(start.instances):
            known = instance.known
            if not known.any():
                continue
            wanted = select_keypoints(instance, known)
            tracker = InstanceTracker(self.config, self.backend, labelled, wanted, self.parts)
            for other, instances in start.others:
                tracker.learn(other, select_keypoints(instances[i], known))
            if state is not None:
                tracker.restart(frame, state.xy[i][known], state.outlines[i])
            trackers.append(tracker)
        every = self.config.key_every or (self.backend.key_every if self.backend else 1)
        masks = self._mask_tracker(start, labelled, frame, state)
        return PointTracker(trackers, frame, key_every=every, mask_tracker=masks)

    def _mask_tracker(
        self, start: PassStart, labelled: FlowFrame, frame: FlowFrame, state: PassState | None
    ) -> CutieMaskTracker | None:
        """Return a mask tracker that knows all outlines; those where the pass begins come last."""
        if self.new_mask_tracker is None:
            return None
        tracker = self.new_mask_tracker()
        chosen = [i for i, instance in enumerate(start.instances) if instance.known.any()]
        views = [(other.image, [instances[i].polygons for i in chosen]) for other, instances in start.others]
        views.append((labelled.image, [start.instances[i].polygons for i in chosen]))
        if state is not None:
            views.append((frame.image, [state.outlines[i] for i in chosen]))
        tracker.learn(views)
        return tracker
