"""The frame loop of keypoint tracking: gap by gap between labelled frames, from both sides, written live."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.keypoints.backends.counted import CountedBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.fusion import Solved, labelled_keypoints, one_sided, tracked_keypoints
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.keypoints.job.files import KeypointFiles
from mot_dinov3.keypoints.job.gaps import Gap, plan_gaps
from mot_dinov3.keypoints.job.journal import Passed
from mot_dinov3.keypoints.job.ordered_writer import InOrder
from mot_dinov3.keypoints.job.passes import Passes, Reached, Start
from mot_dinov3.keypoints.job.results import KeypointResults
from mot_dinov3.keypoints.labels import Body, Labels
from mot_dinov3.keypoints.partial_labels import as_record, combined, filled, from_record, with_outlines
from mot_dinov3.video.random_access import VideoRanges


class KeypointPipeline:
    """Solves all gaps of a video.

    Args:
        config: The settings.
        backend: Describes canvases; None follows motion alone.
        labels: The labelled frames.
        video: The video, any range of it.
        files: Where results go, and what an earlier run left.

    Attributes:
        passes: Runs through the pictures.
        results: What was found.
        timer: Where the time goes.
    """

    def __init__(
        self,
        config: KeypointConfig,
        backend: CountedBackend | None,
        labels: Labels,
        video: VideoRanges,
        files: KeypointFiles,
    ) -> None:
        self.labels = labels
        self.timer = StageTimer()
        self.passes = Passes(config, backend, video, self.timer)
        self.results = KeypointResults(files, labels, self.timer)
        self._files, self._video = files, video
        self._bodies = with_outlines(labels.frames)

    @property
    def interrupted(self) -> bool:
        """The run was ended before the video was."""
        return self.passes.interrupted

    def gaps(self, info: VideoInfo, start: int, stop: int | None) -> list[Gap]:
        """Return the gaps to solve in the frames ``start … stop``."""
        known_stop = min(stop or info.frame_count, info.frame_count) if info.frame_count else stop
        return plan_gaps(sorted(self.labels.frames), start, known_stop)

    def run(self, gaps: Sequence[Gap], *, step: int, tick: Callable[[], bool] = lambda: False) -> None:
        """Solve gaps; `tick` is called for every picture looked at, and ends the run if true."""
        self.passes.tick, self.passes.step = tick, step
        self._files.begin()
        complete = False
        try:
            self._solve_all(gaps)
            complete = not self.interrupted
        finally:
            self._video.close()
            self._files.end(complete=complete)

    def outlines(self, frame: int) -> dict[str, tuple[Points, ...]]:
        """Return the outlines in a frame: a person's, or else what was tracked."""
        if frame in self.labels.frames:
            return {b.name: b.polygons for b in self.labels.frames[frame] if b.polygons}
        return self._files.outlines(frame)

    def _solve_all(self, gaps: Sequence[Gap]) -> None:
        carried: list[Solved] | None = None
        for gap in gaps:
            signature = self._signature(gap, carried)
            kept = self._files.reusable(gap.first, gap.stop, signature)
            if kept is not None:
                self.results.reuse(kept)
                record = self._files.carried(signature)
                carried = None if record is None else from_record(record)
                self._files.finished(gap.first, signature, record)
            elif not self.interrupted:
                carried = self._solve(gap, signature, carried)

    def _signature(self, gap: Gap, carried: Sequence[Solved] | None) -> str:
        """Return a digest of all that the result of a gap depends on."""
        known = [self._files.fingerprint, repr(gap.before), repr(gap.after), str(self.passes.step)]
        for number in (gap.before, gap.after):
            for body in self._bodies.get(number, ()) if number is not None else ():
                known += [body.name, str(body.group_id), *body.keypoints, body.xy.tobytes().hex()]
                known += [p.tobytes().hex() for p in body.polygons]
        if carried is not None and gap.before is not None:
            missing = [~b.known for b in self.labels.frames[gap.before]]
            known += [s.estimate.xy[m].tobytes().hex() for s, m in zip(carried, missing) if m.any()]
        return hashlib.sha256("\n".join(known).encode()).hexdigest()[:32]

    def _solve(self, gap: Gap, signature: str, carried: Sequence[Solved] | None) -> list[Solved] | None:
        last = None
        if gap.before is None:
            self._solve_backward_only(gap, signature)
        elif gap.after is None:
            self._solve_open(gap, signature, carried)
        else:
            last = self._solve_between(gap, signature, carried)
        if not self.interrupted:
            self._files.finished(gap.first, signature, None if last is None else as_record(last))
        return last

    def _solve_open(self, gap: Gap, signature: str, carried: Sequence[Solved] | None) -> None:
        """Follow from the last labelled frame to the end; every frame is final as soon as it is tracked."""
        assert gap.before is not None
        bodies = filled(self._bodies[gap.before], carried)
        writer = InOrder(self.results.write)
        resumed = self._files.resumable(gap.first, signature)
        reached = None
        if resumed is not None and resumed.frame > gap.before:
            self.results.reuse(resumed.rows)
            outlines = self._files.outlines(resumed.frame)
            reached = Reached.of_rows(resumed.frame, resumed.keypoints, bodies, outlines)
            writer.skip_to(resumed.frame, resumed.keypoints)
        start = Start(gap.before, bodies, (), origin=gap.before)
        for passed in self.passes.forward(start, gap.stop, reached):
            if passed.frame == gap.before:
                self._put_labelled(writer, gap, passed.time, carried)
                continue
            if not passed.estimates:
                writer.wait(passed.frame, passed.time)
                continue
            solved = [one_sided(e) for e in passed.estimates]
            rows = tracked_keypoints(bodies, solved)
            writer.put(passed.frame, passed.time, rows, solved, write=passed.frame >= gap.first)
            self._files.progressed(gap.first, passed.frame, signature)

    def _solve_backward_only(self, gap: Gap, signature: str) -> None:
        """Follow from the first labelled frame back to the start."""
        assert gap.after is not None
        bodies = self._bodies[gap.after]
        start = Start(gap.after, bodies, (), origin=gap.after, also=gap.first)
        passed = self._backward(start, gap.first, signature)
        solved = {p.frame: [one_sided(e) for e in p.estimates] for p in passed if p.estimates}
        self._write_gap(gap, bodies, {p.frame: p.time for p in passed}, solved, None)

    def _solve_between(self, gap: Gap, signature: str, carried: Sequence[Solved] | None) -> list[Solved] | None:
        """Follow from both labelled frames and combine; returns what is known of the points at the second one."""
        assert gap.before is not None
        assert gap.after is not None
        before, after = filled(self._bodies[gap.before], carried), self._bodies[gap.after]
        head, tail = self.passes.picture(gap.before), self.passes.picture(gap.after)
        start = Start(gap.before, before, [(tail, after)], origin=gap.before, also=gap.after)
        forward = self._forward(start, gap.after + 1, signature)
        solved = {p.frame: [one_sided(e) for e in p.estimates] for p in forward if p.estimates}
        last = solved.pop(gap.after, None)
        if not self.interrupted and self.passes.parts.two_sided:
            start = Start(gap.after, after, [(head, before)], origin=gap.before, also=gap.after)
            both = {p.frame: p.estimates for p in forward}
            for passed in self._backward(start, gap.before + 1, signature):
                if not passed.estimates:
                    continue
                share = (passed.frame - gap.before) / (gap.after - gap.before)
                solved[passed.frame] = [
                    combined(f, b, share, before=bf, after=ba)
                    for f, b, bf, ba in zip(both[passed.frame], passed.estimates, before, after)
                ]
        self._write_gap(gap, before, {p.frame: p.time for p in forward}, solved, carried)
        return last

    def _forward(self, start: Start, stop: int, signature: str) -> list[Passed]:
        done = self._files.passes.read(signature, "forward")
        reached = Reached.of_estimates(done)
        return self._noted(done, self.passes.forward(start, stop, reached), signature, "forward", stop - 1)

    def _backward(self, start: Start, low: int, signature: str) -> list[Passed]:
        done = self._files.passes.read(signature, "backward")
        reached = Reached.of_estimates(done)
        return self._noted(done, self.passes.backward(start, low, reached), signature, "backward", low)

    def _noted(
        self, done: Sequence[Passed], passed: Iterable[Passed], signature: str, side: str, end: int
    ) -> list[Passed]:
        """Return what a pass found, in an earlier run and now; what is new goes into the journal."""
        found = {p.frame: p for p in done}
        if end not in found:
            for one in passed:
                found[one.frame] = one
                self._files.passes.append(signature, side, one)
        return [found[frame] for frame in sorted(found)]

    def _put_labelled(self, writer: InOrder, gap: Gap, time: float, carried: Sequence[Solved] | None) -> None:
        assert gap.before is not None
        rows = labelled_keypoints(self.labels.frames[gap.before], carried)
        writer.put(gap.before, time, rows, None, write=gap.before >= gap.first)

    def _write_gap(
        self,
        gap: Gap,
        bodies: Sequence[Body],
        times: dict[int, float],
        solved: dict[int, list[Solved]],
        carried: Sequence[Solved] | None,
    ) -> None:
        """Write a gap's frames in order, the skipped ones interpolated."""
        writer = InOrder(self.results.write)
        for number in sorted(times):
            if number == gap.after:
                continue
            if number == gap.before:
                self._put_labelled(writer, gap, times[number], carried)
            elif number in solved:
                wanted = number >= gap.first and (gap.stop is None or number < gap.stop)
                one = solved[number]
                writer.put(number, times[number], tracked_keypoints(bodies, one), one, write=wanted)
            else:
                writer.wait(number, times[number])
        if gap.after is not None and writer.waiting and not self.interrupted:
            rows = labelled_keypoints(self.labels.frames[gap.after], None)
            writer.put(gap.after, 0.0, rows, None, write=False)
