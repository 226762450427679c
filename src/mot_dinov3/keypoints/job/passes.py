"""Passes through the frames of a gap, forward or backward in time, each from a labelled frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from mot_dinov3.core.structures import BoolArray
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.keypoints.backends.base import DenseBackend
from mot_dinov3.keypoints.config import ALL_PARTS, KeypointConfig
from mot_dinov3.keypoints.cutie import CutieMaskTracker
from mot_dinov3.keypoints.fusion import Estimate
from mot_dinov3.keypoints.instance import InstanceTracker
from mot_dinov3.keypoints.job.journal import PassFrame
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.partial_labels import Lane, merge_estimates, select_keypoints, without_hidden
from mot_dinov3.keypoints.point_flow import FlowFrame
from mot_dinov3.keypoints.tracker import PointTracker
from mot_dinov3.video.random_access import VideoRanges
from mot_dinov3.video.threads import PrefetchSource

CHUNK_BYTES = 200_000_000  # images held at once while a gap is read backward

TimedFrame = tuple[FlowFrame, float]
Carried = Sequence[tuple[InstanceTracker, Lane]]


@dataclasses.dataclass(frozen=True)
class PassStart:
    """The beginning of a pass.

    Attributes:
        frame: Number of the labelled frame.
        instances: The instances in it.
        others: Further labelled frames to take templates from.
        origin: Frame that ``--step`` counts from.
        also: Frame that is tracked whatever ``--step`` says, or None.
        carried: Trackers that arrive from before, and go on with the keypoints that are not labelled here.
    """

    frame: int
    instances: Sequence[LabelledInstance]
    others: Sequence[tuple[FlowFrame, Sequence[LabelledInstance]]]
    origin: int
    also: int | None = None
    carried: Carried = ()


class PassTracker:
    """Tracks all keypoints of a pass.

    Args:
        points: Its trackers.
        lanes: What each of them answers for.
    """

    def __init__(self, points: PointTracker, lanes: Sequence[Lane]) -> None:
        self._points, self._lanes = points, tuple(lanes)

    @property
    def frame(self) -> int:
        """Number of the last tracked frame."""
        return self._points.frame

    def step(self, frame: FlowFrame, instances: Sequence[LabelledInstance]) -> list[Estimate]:
        """Move on to the next frame; return an estimate for each of the `instances` that the pass began with."""
        return merge_estimates(instances, self._lanes, self._points.step(frame) if self._lanes else [])

    def carried(self, instances: Sequence[LabelledInstance]) -> Carried:
        """Return the trackers that go on from a labelled frame: with keypoints that nobody labelled in it."""
        lanes = [lane.among(_unlabelled(instances[lane.instance])) for lane in self._lanes]
        return [(tracker, lane) for tracker, lane in zip(self._points.trackers, lanes) if len(lane.rows)]


def _unlabelled(instance: LabelledInstance) -> BoolArray:
    return np.asarray(~(instance.known | instance.gone), np.bool_)


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
        tracker: That of the pass under way, or of the last one.
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
        self.tracker: PassTracker | None = None
        self._video = video
        self._timer = timer

    def frame(self, number: int) -> FlowFrame:
        """Return one frame of the video."""
        with self._timer.stage("wait"), self._video.open(number, number + 1) as frames:
            return FlowFrame.of(number, next(iter(frames)).pixels())

    def forward(self, start: PassStart, stop: int | None, resumed: PassTracker | None = None) -> Iterator[PassFrame]:
        """Yield a labelled frame and those after it; one that ends the video is tracked whatever ``--step`` says.

        With a `resumed` tracker, only the frames after its last one are yielded.
        """
        with self._timer.stage("wait"):
            source = self._video.open(resumed.frame if resumed else start.frame, stop)
        with PrefetchSource(source, busy=lambda: self._timer.stage("read")) as frames:
            timed = ((FlowFrame.of(f.index, f.pixels()), f.time) for f in self._timer.frames(frames))
            yield from self._through(start, timed, resumed)

    def backward(self, start: PassStart, low: int, resumed: PassTracker | None = None) -> Iterator[PassFrame]:
        """Yield a labelled frame and those before it, down to frame `low`, read chunk by chunk."""
        first = resumed.frame if resumed else start.frame
        yield from self._through(start, self._reversed(low, first + 1), resumed)

    def _reversed(self, low: int, stop: int) -> Iterator[TimedFrame]:
        """Yield frames from `stop` (exclusive) down to `low`.

        All chunks share one array: hundreds of images between small objects would fragment the heap, which then grows
        with the length of the video.
        """
        info = self._video.info
        most = max(8, CHUNK_BYTES // (3 * info.width * info.height))
        chunk = np.empty((min(most, stop - low), info.height, info.width, 3), np.uint8)
        while stop > low:
            times: list[tuple[int, float]] = []
            with self._timer.stage("wait"):
                start = self._video.chunk_start(low, stop, most)
                with self._video.open(start, stop) as frames:
                    for frame in frames:
                        chunk[len(times)] = frame.pixels()
                        times.append((frame.index, frame.time))
            for at in range(len(times) - 1, -1, -1):
                yield FlowFrame.of(times[at][0], chunk[at].copy()), times[at][1]
            stop = start

    def _through(
        self, start: PassStart, frames: Iterable[TimedFrame], resumed: PassTracker | None
    ) -> Iterator[PassFrame]:
        """Track through frames; the first one is the labelled frame or the last one of the `resumed` tracker."""
        self.tracker = None
        skipped: TimedFrame | None = None
        for frame, time in frames:
            if self.tracker is None:
                with self._timer.stage("track"):
                    self.tracker = resumed or self._begin(start, frame)
                if resumed is None:
                    yield PassFrame(frame.index, time, [])
                continue
            skipped = None
            if (frame.index - start.origin) % self.step and frame.index != start.also:
                skipped = frame, time
                yield PassFrame(frame.index, time, [])
            else:
                yield PassFrame(frame.index, time, self._track(self.tracker, start, frame))
            self.interrupted = self.interrupted or self.tick()
            if self.interrupted:
                return
        if skipped is not None and self.tracker is not None and start.also is None:
            yield PassFrame(skipped[0].index, skipped[1], self._track(self.tracker, start, skipped[0]))

    def _track(self, tracker: PassTracker, start: PassStart, frame: FlowFrame) -> list[Estimate]:
        with self._timer.stage("track"):
            return tracker.step(frame, start.instances)

    def _begin(self, start: PassStart, labelled: FlowFrame) -> PassTracker:
        """Return a tracker that starts at the labelled frame, together with those that arrive there."""
        trackers: list[InstanceTracker] = []
        lanes: list[Lane] = []
        for i, instance in enumerate(start.instances):
            seen = instance.seen
            if not seen.any():
                continue
            wanted = select_keypoints(instance, seen)
            tracker = InstanceTracker(self.config, self.backend, labelled, wanted, self.parts)
            for other, instances in start.others:
                tracker.learn(other, select_keypoints(without_hidden(instances[i]), seen))
            trackers.append(tracker)
            lanes.append(Lane(i, np.arange(int(seen.sum())), np.flatnonzero(seen)))
        trackers += [tracker for tracker, _ in start.carried]
        lanes += [lane for _, lane in start.carried]
        every = self.config.key_every or (self.backend.key_every if self.backend else 1)
        masks = self._mask_tracker(start, labelled, list(dict.fromkeys(lane.instance for lane in lanes)))
        return PassTracker(PointTracker(trackers, labelled, key_every=every, mask_tracker=masks), lanes)

    def _mask_tracker(self, start: PassStart, labelled: FlowFrame, chosen: Sequence[int]) -> CutieMaskTracker | None:
        """Return a mask tracker that knows all outlines of the `chosen` instances, those where the pass begins last."""
        if self.new_mask_tracker is None:
            return None
        tracker = self.new_mask_tracker()
        views = [(other.image, [instances[i].polygons for i in chosen]) for other, instances in start.others]
        views.append((labelled.image, [start.instances[i].polygons for i in chosen]))
        tracker.learn(views)
        return tracker
