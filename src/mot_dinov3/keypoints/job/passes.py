"""Passes through the pictures of a gap, forward or backward in time, each from a labelled frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from mot_dinov3.core.structures import Frame, Keypoints, PointState
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.keypoints.backends.counted import CountedBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.cutie import MaskCarrier
from mot_dinov3.keypoints.estimate import Estimate
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.keypoints.instance import InstanceTracker
from mot_dinov3.keypoints.job.journal import Passed
from mot_dinov3.keypoints.labels import Body
from mot_dinov3.keypoints.partial_labels import only, scattered
from mot_dinov3.keypoints.point_flow import Picture
from mot_dinov3.keypoints.tracker import PointTracker
from mot_dinov3.video import FrameSource
from mot_dinov3.video.random_access import VideoRanges
from mot_dinov3.video.threads import PrefetchSource

CHUNK_BYTES = 200_000_000  # pictures held at once while a gap is read backward

Look = tuple[Picture, float]


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the trackers use; the ablation turns parts off.

    Attributes:
        anchored: Measure against the labelled frame.
        structured: Let keypoints say where their neighbours are.
        two_sided: Solve gaps between labelled frames from both.
    """

    anchored: bool = True
    structured: bool = True
    two_sided: bool = True


@dataclasses.dataclass(frozen=True)
class Start:
    """Where a pass begins.

    Attributes:
        frame: Number of the labelled frame.
        bodies: The instances in it.
        others: Further labelled frames to take templates from.
        origin: Frame that ``--step`` counts from.
        also: Frame that is tracked whatever ``--step`` says, or None.
    """

    frame: int
    bodies: Sequence[Body]
    others: Sequence[tuple[Picture, Sequence[Body]]]
    origin: int
    also: int | None = None


@dataclasses.dataclass(frozen=True)
class Reached:
    """How far an earlier run's pass came.

    Attributes:
        frame: The last frame it tracked.
        places: For each body ``(n, 2)``, NaN where lost.
        outlines: For each body.
    """

    frame: int
    places: Sequence[Points]
    outlines: Sequence[tuple[Points, ...]]

    @classmethod
    def of_estimates(cls, passed: Sequence[Passed]) -> Reached | None:
        """Return where a pass came to, or None where it never began."""
        tracked = [p for p in passed if p.estimates]
        if not tracked:
            return None
        last = tracked[-1]
        lost = [(e.state == PointState.LOST)[:, None] for e in last.estimates]
        places = [np.where(gone, np.nan, e.xy) for gone, e in zip(lost, last.estimates)]
        return cls(last.frame, places, [e.polygons for e in last.estimates])

    @classmethod
    def of_rows(
        cls, frame: int, keypoints: Keypoints, bodies: Sequence[Body], outlines: dict[str, tuple[Points, ...]]
    ) -> Reached:
        """Return where the rows of a frame are."""
        rows = {(i, n): xy for i, n, xy in zip(keypoints.instance, keypoints.name, keypoints.xy)}
        places = [np.array([rows[b.name, name] for name in b.keypoints]) for b in bodies]
        return cls(frame, places, [outlines.get(b.name, ()) for b in bodies])


class Passes:
    """Runs passes.

    Args:
        config: The settings.
        backend: Describes canvases; None follows motion alone.
        video: The video, any range of it.
        timer: Counts the stages ``read``, ``track`` and ``wait``.

    Attributes:
        interrupted: The run is to end.
        tick: Called for every picture looked at; ends the run if true.
        step: Every how many frames are tracked.
        parts: What the trackers use.
        new_carrier: Makes what carries masks through one pass; None leaves that to the trackers.
    """

    def __init__(
        self, config: KeypointConfig, backend: CountedBackend | None, video: VideoRanges, timer: StageTimer
    ) -> None:
        self.config, self.backend = config, backend
        self.parts = Parts()
        self.interrupted = False
        self.tick: Callable[[], bool] = lambda: False
        self.step = 1
        self.new_carrier: Callable[[], MaskCarrier] | None = None
        self._video = video
        self._timer = timer

    def picture(self, frame: int) -> Picture:
        """Return one picture of the video."""
        with self._timer.stage("wait"), self._video.open(frame, frame + 1) as frames:
            return Picture.of(frame, next(iter(frames)).pixels())

    def forward(self, start: Start, stop: int | None, reached: Reached | None = None) -> Iterator[Passed]:
        """Yield a labelled frame and those after it; one that ends the video is tracked whatever ``--step`` says."""
        first = reached.frame if reached else start.frame
        with PrefetchSource(self._opened(first, stop), busy=lambda: self._timer.stage("read")) as frames:
            looks = ((Picture.of(f.index, f.pixels()), f.time) for f in self._waited(frames))
            yield from self._through(start, looks, reached)

    def backward(self, start: Start, low: int, reached: Reached | None = None) -> Iterator[Passed]:
        """Yield a labelled frame and those before it, down to frame `low`, read chunk by chunk."""
        first = reached.frame if reached else start.frame
        yield from self._through(start, self._reversed(low, first + 1), reached)

    def _reversed(self, low: int, stop: int) -> Iterator[Look]:
        info = self._video.info
        most = max(8, CHUNK_BYTES // (3 * info.width * info.height))
        while stop > low:
            with self._timer.stage("wait"):
                start = self._video.chunk_start(low, stop, most)
                with self._video.open(start, stop) as frames:
                    chunk = [(f.index, f.time, f.pixels()) for f in frames]
            while chunk:
                index, time, image = chunk.pop()
                yield Picture.of(index, image), time
            stop = start

    def _opened(self, first: int, stop: int | None) -> FrameSource:
        with self._timer.stage("wait"):
            return self._video.open(first, stop)

    def _waited(self, frames: PrefetchSource) -> Iterator[Frame]:
        source = iter(frames)
        while True:
            with self._timer.stage("wait"):
                frame = next(source, None)
            if frame is None:
                return
            yield frame

    def _through(self, start: Start, looks: Iterable[Look], reached: Reached | None) -> Iterator[Passed]:
        tracker: PointTracker | None = None
        held: Look | None = None
        for picture, time in looks:
            if tracker is None:
                tracker = self._begin(start, picture, reached)
                if reached is None:
                    yield Passed(picture.index, time, [])
                continue
            held = None
            if (picture.index - start.origin) % self.step and picture.index != start.also:
                held = picture, time
                yield Passed(picture.index, time, [])
            else:
                yield Passed(picture.index, time, self._track(tracker, start, picture))
            if self._asked_to_stop():
                return
        if held is not None and tracker is not None and start.also is None:
            yield Passed(held[0].index, held[1], self._track(tracker, start, held[0]))

    def _track(self, tracker: PointTracker, start: Start, picture: Picture) -> list[Estimate]:
        with self._timer.stage("track"):
            return scattered(start.bodies, tracker.step(picture))

    def _asked_to_stop(self) -> bool:
        self.interrupted = self.interrupted or self.tick()
        return self.interrupted

    def _begin(self, start: Start, picture: Picture, reached: Reached | None) -> PointTracker:
        """Return a tracker that starts at a labelled frame, or goes on from where an earlier pass came to."""
        head = picture if picture.index == start.frame else self.picture(start.frame)
        trackers = []
        for i, body in enumerate(start.bodies):
            if not body.known.any():
                continue
            tracker = InstanceTracker(
                self.config,
                self.backend,
                head,
                only(body, body.known),
                anchored=self.parts.anchored,
                structured=self.parts.structured,
            )
            for other_picture, other_bodies in start.others:
                tracker.also_labelled(other_picture, only(other_bodies[i], body.known))
            if reached is not None and head is not picture:
                tracker.jump(picture, reached.places[i][body.known], reached.outlines[i])
            trackers.append(tracker)
        every = self.config.key_every or (self.backend.key_every if self.backend else 1)
        return PointTracker(trackers, picture, key_every=every, carrier=self._carrier(start, head, picture, reached))

    def _carrier(self, start: Start, head: Picture, picture: Picture, reached: Reached | None) -> MaskCarrier | None:
        """Return what carries the masks on, told all outlines that are known; those where the pass begins last."""
        if self.new_carrier is None:
            return None
        carrier = self.new_carrier()
        followed = [i for i, body in enumerate(start.bodies) if body.known.any()]
        views = [(other.image, [bodies[i].polygons for i in followed]) for other, bodies in start.others]
        views.append((head.image, [start.bodies[i].polygons for i in followed]))
        if reached is not None and head is not picture:
            views.append((picture.image, [reached.outlines[i] for i in followed]))
        carrier.learn(views)
        return carrier
