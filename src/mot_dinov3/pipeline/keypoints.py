"""The frame loop of keypoint tracking: gap by gap between labelled frames, from both sides, written live."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mot_dinov3.keypoints import review
from mot_dinov3.keypoints.backends.counted import CountedBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.labels import Body, Labels
from mot_dinov3.keypoints.motion import Picture
from mot_dinov3.keypoints.solver import (
    Solved,
    combine,
    interpolate,
    labelled_keypoints,
    one_sided,
    tracked_keypoints,
)
from mot_dinov3.keypoints.tracker import Estimate, InstanceTracker, PointTracker
from mot_dinov3.pipeline.keypoint_files import KeypointFiles
from mot_dinov3.structures import Keypoints, PointState, VideoInfo
from mot_dinov3.video import FrameSource

CHUNK_BYTES = 200_000_000  # pictures held at once while a gap is read backward


@dataclasses.dataclass(frozen=True)
class Gap:
    """Frames to solve: those after labelled frame `before`, or from the start, up to labelled frame `after` or the end.

    Attributes:
        before: Labelled frame in front, or None.
        after: Labelled frame behind, or None.
        first: First frame to write.
        stop: Where to stop, exclusive; None for the end of the video.
    """

    before: int | None
    after: int | None
    first: int
    stop: int | None


def plan_gaps(labelled: Sequence[int], start: int, stop: int | None) -> list[Gap]:
    """Return the gaps that the labelled frames leave in the frames ``start … stop``, in order; pure."""
    gaps = []
    bounds: list[int | None] = [None, *labelled, None]
    for before, after in itertools.pairwise(bounds):
        first = max(start, 0 if before is None else before)
        last = stop if after is None else after if stop is None else min(after, stop)
        if last is None or first < last:
            gaps.append(Gap(before, after, first, last))
    return gaps


@dataclasses.dataclass
class RunCounts:
    """What a run did, for the summary."""

    frames: int = 0
    reused: int = 0
    visible: int = 0
    occluded: int = 0
    lost: int = 0

    def add(self, keypoints: Keypoints) -> None:
        """Count a frame's rows."""
        self.frames += 1
        self.visible += int((keypoints.state == PointState.VISIBLE).sum())
        self.occluded += int((keypoints.state == PointState.OCCLUDED).sum())
        self.lost += int((keypoints.state == PointState.LOST).sum())


class KeypointPipeline:
    """Solves all gaps of a video.

    Args:
        config: The settings.
        backend: Describes canvases; None follows motion alone.
        labels: The labelled frames.
        open_frames: Opens the video from a frame up to another (exclusive), or to its end.
        files: Where results go, and what an earlier run left.
    """

    def __init__(
        self,
        config: KeypointConfig,
        backend: CountedBackend | None,
        labels: Labels,
        open_frames: Callable[[int, int | None], FrameSource],
        files: KeypointFiles,
    ) -> None:
        self.config, self.backend, self.labels = config, backend, labels
        self._open = open_frames
        self._files = files
        self.counts = RunCounts()
        self.doubts: dict[int, review.Doubt] = {}
        self.notices: list[str] = []
        self.interrupted = False
        self._stop: Callable[[], bool] = lambda: False
        self._step = 1
        self.anchored = self.structured = self.two_sided = True  # what the ablation turns off

    def run(
        self, info: VideoInfo, *, start: int, stop: int | None, step: int, tick: Callable[[], bool] = lambda: False
    ) -> None:
        """Solve the frames ``start … stop``; `tick` is called for every picture looked at, and ends the run if true."""
        self._stop, self._step = tick, step
        known_stop = min(stop or info.frame_count, info.frame_count) if info.frame_count else stop
        self._files.begin()
        try:
            self._solve_all(plan_gaps(sorted(self.labels.frames), start, known_stop))
        finally:
            self._files.end()

    def _solve_all(self, gaps: Sequence[Gap]) -> None:
        carried: list[Solved] | None = None
        for gap in gaps:
            signature = self._signature(gap, carried)
            kept = self._files.reusable(gap.first, gap.stop, signature)
            if kept is not None:
                for frame, time, keypoints in kept:
                    self._write(frame, time, keypoints, None)
                    self.counts.reused += 1
                carried = None
                self._files.finished(gap.first, signature)
            elif not self.interrupted:
                carried = self._solve(gap, signature, carried)

    def outlines(self, frame: int) -> dict[str, tuple[np.ndarray, ...]]:
        """Return the outlines that were tracked in a frame."""
        return self._files.outlines(frame)

    def _signature(self, gap: Gap, carried: Sequence[Solved] | None) -> str:
        """Return a digest of all that the result of a gap depends on."""
        known = [self._files.fingerprint, repr(gap.before), repr(gap.after), str(self._step)]
        for number in (gap.before, gap.after):
            for body in self.labels.frames.get(number, ()) if number is not None else ():
                known += [body.name, str(body.group_id), *body.keypoints, body.xy.tobytes().hex()]
                known += [p.tobytes().hex() for p in body.polygons]
        if carried is not None and gap.before is not None:
            missing = [~b.known for b in self.labels.frames[gap.before]]
            known += [s.estimate.xy[m].tobytes().hex() for s, m in zip(carried, missing) if m.any()]
        return hashlib.sha256("\n".join(known).encode()).hexdigest()[:32]

    # -- one gap ------------------------------------------------------------------------------------------------

    def _solve(self, gap: Gap, signature: str, carried: Sequence[Solved] | None) -> list[Solved] | None:
        if gap.before is None:
            self._solve_backward_only(gap)
        elif gap.after is None:
            self._solve_open(gap, carried, signature)
        else:
            carried = self._solve_between(gap, carried)
        if not self.interrupted:
            self._files.finished(gap.first, signature)
        return list(carried) if carried is not None and gap.after is not None and gap.before is not None else None

    def _solve_open(self, gap: Gap, carried: Sequence[Solved] | None, signature: str) -> None:
        """Follow from the last labelled frame to the end; every frame is final as soon as it is tracked."""
        assert gap.before is not None
        bodies = self._filled(gap.before, carried)
        resumed = self._files.resumable(gap.first, signature)
        tracker: PointTracker | None = None
        writer = _InOrder(self._step, self._write_solved)
        first = gap.before
        if resumed is not None and resumed.frame > gap.before:
            with self._open(gap.before, gap.before + 1) as frames:
                head = Picture.of(gap.before, next(iter(frames)).pixels())
            first = resumed.frame
            tracker = self._begin(head, bodies, ())
            for number, time, keypoints in resumed.rows:
                self._write(number, time, keypoints, None)
                self.counts.reused += 1
        held: tuple[Picture, float] | None = None
        with self._open(first, gap.stop) as frames:
            for frame in frames:
                picture = Picture.of(frame.index, frame.pixels())
                if frame.index == first:
                    if tracker is None:
                        tracker = self._begin(picture, bodies, ())
                        rows = labelled_keypoints(bodies, carried)
                        writer.put(frame.index, frame.time, rows, None, write=frame.index >= gap.first)
                    else:
                        assert resumed is not None
                        self._jump(tracker, picture, resumed.keypoints)
                        writer.skip_to(frame.index, frame.time, resumed.keypoints)
                    continue
                assert tracker is not None
                if (frame.index - gap.before) % self._step:
                    held = picture, frame.time
                    writer.wait(frame.index, frame.time)
                    continue
                held = None
                self._put_open(gap, tracker, bodies, writer, picture, frame.time)
                self._files.progressed(gap.first, frame.index, signature)
                if self._interrupted():
                    return
        if held is not None and tracker is not None:  # the end of the video is not one of the tracked frames
            self._put_open(gap, tracker, bodies, writer, *held)

    def _put_open(
        self,
        gap: Gap,
        tracker: PointTracker,
        bodies: Sequence[Body],
        writer: _InOrder,
        picture: Picture,
        time: float,
    ) -> None:
        solved = [one_sided(e) for e in self._scattered(bodies, tracker.step(picture))]
        writer.put(picture.index, time, tracked_keypoints(bodies, solved), solved, write=picture.index >= gap.first)

    def _solve_backward_only(self, gap: Gap) -> None:
        """Follow from the first labelled frame back to the start."""
        assert gap.after is not None
        bodies = self._filled(gap.after, None)
        solved: dict[int, tuple[float, list[Solved]]] = {}
        for picture, time, estimates in self._backward(gap, bodies, ()):
            solved[picture] = time, [one_sided(e) for e in estimates]
            self._files.write_frame(picture, tracked_keypoints(bodies, solved[picture][1]))
        self._write_gap(gap, bodies, solved, None)

    def _solve_between(self, gap: Gap, carried: Sequence[Solved] | None) -> list[Solved] | None:
        """Follow from both labelled frames and combine; returns what is known of the points at the second one."""
        assert gap.before is not None
        assert gap.after is not None
        before, after = self._filled(gap.before, carried), self._filled(gap.after, None)
        with self._open(gap.after, gap.after + 1) as frames:
            tail = Picture.of(gap.after, next(iter(frames)).pixels())
        forward: dict[int, tuple[float, list[Estimate]]] = {}
        tracker: PointTracker | None = None
        head: Picture | None = None
        last: list[Solved] | None = None
        with self._open(gap.before, gap.after + 1) as frames:
            for frame in frames:
                picture = Picture.of(frame.index, frame.pixels())
                if tracker is None:
                    head = picture
                    tracker = self._begin(picture, before, [(tail, after)])
                    forward[frame.index] = frame.time, []
                elif frame.index == gap.after:
                    last = [one_sided(e) for e in self._scattered(before, tracker.step(picture))]
                elif (frame.index - gap.before) % self._step == 0:
                    forward[frame.index] = frame.time, self._scattered(before, tracker.step(picture))
                else:
                    forward[frame.index] = frame.time, []
                if self._interrupted():
                    break
        solved = {n: (time, [one_sided(e) for e in one]) for n, (time, one) in forward.items() if one}
        if not self.interrupted and head is not None and self.two_sided:
            span = gap.after - gap.before
            for number, _, estimates in self._backward(gap, after, [(head, before)]):
                if number not in solved:
                    continue
                share = (number - gap.before) / span
                both = zip(forward[number][1], estimates, before, after)
                solved[number] = (
                    forward[number][0],
                    [_combined(f, b, share, fb, bb) for f, b, fb, bb in both],
                )
        times = {number: time for number, (time, _) in forward.items()}
        self._write_gap(gap, before, solved, carried, times=times)
        return last

    # -- passes -------------------------------------------------------------------------------------------------

    def _begin(
        self, picture: Picture, bodies: Sequence[Body], others: Sequence[tuple[Picture, Sequence[Body]]]
    ) -> PointTracker:
        """Return a tracker that starts at a labelled frame, with templates of the other ones."""
        trackers = []
        for i, body in enumerate(bodies):
            if not body.known.any():
                continue
            tracker = InstanceTracker(
                self.config,
                self.backend,
                picture,
                _only(body, body.known),
                anchored=self.anchored,
                structured=self.structured,
            )
            for other_picture, other_bodies in others:
                tracker.also_labelled(other_picture, _only(other_bodies[i], body.known))
            trackers.append(tracker)
        every = self.config.key_every or (self.backend.key_every if self.backend else 1)
        return PointTracker(trackers, picture, key_every=every)

    def _jump(self, tracker: PointTracker, picture: Picture, keypoints: Keypoints) -> None:
        """Take a tracker on to the last frame of an interrupted run."""
        rows = {(i, n): xy for i, n, xy in zip(keypoints.instance, keypoints.name, keypoints.xy)}
        outlines = self._files.outlines(picture.index)
        for one in tracker.trackers:
            xy = np.array([rows[one.body.name, name] for name in one.body.keypoints])
            one.jump(picture, xy, outlines.get(one.body.name, ()))
        tracker.go_on_from(picture)

    def _backward(
        self, gap: Gap, bodies: Sequence[Body], others: Sequence[tuple[Picture, Sequence[Body]]]
    ) -> Iterator[tuple[int, float, list[Estimate]]]:
        """Yield frame, time and estimates from the labelled frame behind a gap back to its start, chunk by chunk."""
        assert gap.after is not None
        low = gap.first if gap.before is None else gap.before + 1
        origin = gap.after if gap.before is None else gap.before  # of the frames that --step tracks
        tracker: PointTracker | None = None
        stop = gap.after + 1
        while stop > low:
            start = max(low, stop - self._chunk(stop))
            with self._open(start, stop) as frames:
                chunk = [(f.index, f.time, f.pixels()) for f in frames]
            for index, time, image in reversed(chunk):
                if index != gap.after and (index - origin) % self._step and index != gap.first:
                    continue
                picture = Picture.of(index, image)
                if tracker is None:
                    self._chunk_frames = max(8, CHUNK_BYTES // max(image.nbytes, 1))
                    tracker = self._begin(picture, bodies, others)
                    continue
                yield index, time, self._scattered(bodies, tracker.step(picture))
                if self._interrupted():
                    return
            stop = start

    _chunk_frames = 0

    def _chunk(self, _: int) -> int:
        return self._chunk_frames or 1

    def _filled(self, number: int, carried: Sequence[Solved] | None) -> tuple[Body, ...]:
        """Return the bodies of a labelled frame; what is not labelled there is taken from where it was tracked to."""
        bodies = self.labels.frames[number]
        if carried is None:
            return bodies
        filled = []
        for body, solved in zip(bodies, carried):
            there = solved.estimate.state != PointState.LOST
            xy = np.where((body.known | ~there)[:, None], body.xy, solved.estimate.xy)
            filled.append(dataclasses.replace(body, xy=xy, polygons=body.polygons or solved.estimate.polygons))
        return tuple(filled)

    def _scattered(self, bodies: Sequence[Body], estimates: Sequence[Estimate]) -> list[Estimate]:
        """Return an estimate per body with a row per keypoint: lost where it was not followed."""
        found = iter(estimates)
        return [_rows(next(found), b.known) if b.known.any() else _nowhere(b) for b in bodies]

    def _interrupted(self) -> bool:
        self.interrupted = self.interrupted or self._stop()
        return self.interrupted

    # -- results ------------------------------------------------------------------------------------------------

    def _write_gap(
        self,
        gap: Gap,
        bodies: Sequence[Body],
        solved: dict[int, tuple[float, list[Solved]]],
        carried: Sequence[Solved] | None,
        *,
        times: dict[int, float] | None = None,
    ) -> None:
        """Write a gap's frames in order, the skipped ones interpolated."""
        writer = _InOrder(self._step, self._write_solved)
        every = {number: time for number, (time, _) in solved.items()} | (times or {})
        for number in sorted(every):
            if number == gap.before:
                rows = labelled_keypoints(self.labels.frames[number], carried)
                writer.put(number, every[number], rows, None, write=number >= gap.first)
            elif number in solved:
                one = solved[number][1]
                wanted = number >= gap.first and (gap.stop is None or number < gap.stop)
                writer.put(number, every[number], tracked_keypoints(bodies, one), one, write=wanted)
            else:
                writer.wait(number, every[number])
        if gap.after is not None and writer.waiting and not self.interrupted:
            writer.put(gap.after, 0.0, labelled_keypoints(self.labels.frames[gap.after], None), None, write=False)
        writer.flush()

    def _write_solved(self, frame: int, time: float, keypoints: Keypoints, solved: Sequence[Solved] | None) -> None:
        self._write(frame, time, keypoints, solved)
        self._files.write_frame(frame, keypoints)

    def _write(self, frame: int, time: float, keypoints: Keypoints, solved: Sequence[Solved] | None) -> None:
        self._files.write_rows(frame, time, keypoints)
        self.counts.add(keypoints)
        if review.is_labelled(keypoints):
            return
        if solved is None:
            self.doubts[frame] = review.doubt_of_rows(frame, keypoints)
        else:
            self.doubts[frame] = review.doubt_of(frame, keypoints, solved, self._usual(frame))

    def _usual(self, frame: int) -> Keypoints:
        nearest = min(self.labels.frames, key=lambda n: (abs(n - frame), n))
        return self._labelled(nearest)

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a pipeline lives as long as the run
    def _labelled(self, number: int) -> Keypoints:
        return labelled_keypoints(self.labels.frames[number], None)


class _InOrder:
    """Writes frames in order; those between two tracked ones wait until they can be interpolated."""

    def __init__(self, step: int, write: Callable[[int, float, Keypoints, Sequence[Solved] | None], None]) -> None:
        self._write = write
        self._step = step
        self._last: tuple[int, Keypoints] | None = None
        self.waiting: list[tuple[int, float]] = []

    def wait(self, frame: int, time: float) -> None:
        """Note a frame that is not tracked."""
        self.waiting.append((frame, time))

    def skip_to(self, frame: int, time: float, keypoints: Keypoints) -> None:
        """Take a frame as the last one, without writing it."""
        self._last = frame, keypoints

    def put(
        self, frame: int, time: float, keypoints: Keypoints, solved: Sequence[Solved] | None, *, write: bool
    ) -> None:
        """Write what waits, then this frame, if it is to be written."""
        for number, moment in self.waiting:
            if number >= frame:
                continue
            last, before = self._last or (frame, keypoints)
            share = (number - last) / (frame - last) if self._last else 1.0
            self._write(number, moment, interpolate(before, keypoints, share), None)
        self.waiting = []
        self._last = frame, keypoints
        if write:
            self._write(frame, time, keypoints, solved)

    def flush(self) -> None:
        """Give up what still waits: its far side was never reached."""
        self.waiting = []


def _combined(forward: Estimate, backward: Estimate, share: float, before: Body, after: Body) -> Solved:
    """Combine both sides row by row; a row that only one side follows is that side's."""
    both = combine(forward, backward, share=share)
    only_forward, only_backward = before.known & ~after.known, after.known & ~before.known
    estimate = both.estimate
    for rows, side in ((only_forward, forward), (only_backward, backward)):
        if rows.any():
            estimate = dataclasses.replace(
                estimate,
                xy=np.where(rows[:, None], side.xy, estimate.xy),
                variance=np.where(rows, side.variance, estimate.variance),
                score=np.where(rows, side.score, estimate.score),
                state=np.where(rows, side.state, estimate.state),
            )
    one_side = only_forward | only_backward
    return Solved(estimate, np.where(one_side, 0.0, both.disagreement))


def _only(body: Body, rows: np.ndarray) -> Body:
    names = tuple(n for n, keep in zip(body.keypoints, rows) if keep)
    return dataclasses.replace(body, keypoints=names, xy=body.xy[rows])


def _rows(estimate: Estimate, known: np.ndarray) -> Estimate:
    if known.all():
        return estimate
    n = len(known)
    xy, variance, score = np.zeros((n, 2)), np.full(n, 1e6), np.zeros(n)
    state, swapped = np.full(n, int(PointState.LOST), np.int64), np.zeros(n, np.bool_)
    xy[known], variance[known], score[known] = estimate.xy, estimate.variance, estimate.score
    state[known], swapped[known] = estimate.state, estimate.swapped
    return Estimate(xy, variance, score, state, estimate.polygons, swapped)


def _nowhere(body: Body) -> Estimate:
    n = len(body.xy)
    state = np.full(n, int(PointState.LOST), np.int64)
    return Estimate(np.zeros((n, 2)), np.full(n, 1e6), np.zeros(n), state, (), np.zeros(n, np.bool_))
