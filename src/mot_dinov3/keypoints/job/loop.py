"""The frame loop of keypoint tracking: gap by gap between labelled frames, from both sides, written live."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Sequence

from mot_dinov3.core.timing import StageTimer
from mot_dinov3.keypoints.backends.base import DenseBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.fusion import Estimate, FusedEstimate, labelled_keypoints, one_sided, tracked_keypoints
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.keypoints.job.files import KeypointFiles
from mot_dinov3.keypoints.job.journal import PassFrame
from mot_dinov3.keypoints.job.passes import PassRunner, PassStart, PassState
from mot_dinov3.keypoints.job.results import KeypointResults, OrderedWriter
from mot_dinov3.keypoints.labels import LabelledInstance, Labels
from mot_dinov3.keypoints.partial_labels import combine_partial, complete_outlines, fill_unlabelled
from mot_dinov3.video.random_access import VideoRanges


@dataclasses.dataclass(frozen=True)
class Gap:
    """Frames to solve: those after labelled frame `before`, or from the start, up to labelled frame `after` or the end.

    Attributes:
        before: Labelled frame before it, or None.
        after: Labelled frame after it, or None.
        first: First frame to write.
        stop: Exclusive end; None for the end of the video.
    """

    before: int | None
    after: int | None
    first: int
    stop: int | None

    def frame_visits(self) -> int:
        """Return the number of frames in all passes through it, 0 where its end is unknown."""
        if self.before is not None and self.after is not None:
            return 2 * (self.after - self.before)
        if self.after is not None:
            return self.after - self.first
        return 0 if self.stop is None or self.before is None else self.stop - self.before - 1


def plan_gaps(labelled: Sequence[int], start: int, stop: int | None) -> list[Gap]:
    """Return the gaps between labelled frames within the frames ``start … stop``, in order; pure."""
    gaps = []
    bounds: list[int | None] = [None, *labelled, None]
    for before, after in itertools.pairwise(bounds):
        first = max(start, 0 if before is None else before)
        last = stop if after is None else after if stop is None else min(after, stop)
        if last is None or first < last:
            gaps.append(Gap(before, after, first, last))
    return gaps


class KeypointPipeline:
    """Solves all gaps of a video.

    Args:
        config: The tracker's options.
        backend: Describes canvases; None tracks by motion alone.
        labels: The labelled frames.
        video: The video, any range of it.
        files: The run's files, with the results of an earlier run.

    Attributes:
        passes: Runs the passes through the frames.
        results: The solved frames.
        timer: Time of each stage.
    """

    def __init__(
        self,
        config: KeypointConfig,
        backend: DenseBackend | None,
        labels: Labels,
        video: VideoRanges,
        files: KeypointFiles,
    ) -> None:
        self.labels = labels
        self.timer = StageTimer()
        self.passes = PassRunner(config, backend, video, self.timer)
        self.results = KeypointResults(files, labels, self.timer)
        self._files, self._video = files, video
        self._instances = complete_outlines(labels.frames)
        # Estimates in a labelled frame from the pass that ends there: positions of the points not labelled in it.
        self._carry_over: Sequence[FusedEstimate] | None = None

    @property
    def interrupted(self) -> bool:
        """True where the run ended before the video."""
        return self.passes.interrupted

    def gaps(self, start: int, stop: int | None) -> list[Gap]:
        """Return the gaps to solve in the frames ``start … stop``."""
        count = self._video.info.frame_count
        return plan_gaps(sorted(self.labels.frames), start, min(stop or count, count) if count else stop)

    def run(self, gaps: Sequence[Gap], *, step: int, tick: Callable[[], bool] = lambda: False) -> None:
        """Solve gaps; `tick` is called for every frame of a pass, and ends the run if true."""
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
        """Return the outlines in a frame: the labelled ones, else the tracked ones."""
        if frame in self.labels.frames:
            return {one.name: one.polygons for one in self.labels.frames[frame] if one.polygons}
        return self._files.outlines(frame)

    def _solve_all(self, gaps: Sequence[Gap]) -> None:
        for gap in gaps:
            signature = self._signature(gap)
            reusable = self._files.reusable(gap.first, gap.stop, signature)
            if reusable is not None:
                self.results.reuse(reusable)
                records = self._files.carry_over(signature)
                self._carry_over = None if records is None else [one_sided(Estimate.from_record(r)) for r in records]
                self._files.finished(gap.first, signature, records)
            elif not self.interrupted:
                last = self._solve(gap, signature)
                self._carry_over = last
                if not self.interrupted:
                    records = None if last is None else [fused.estimate.as_record() for fused in last]
                    self._files.finished(gap.first, signature, records)

    def _signature(self, gap: Gap) -> str:
        """Return a digest of everything that the result of a gap depends on."""
        known = [self._files.fingerprint, repr(gap.before), repr(gap.after), str(self.passes.step)]
        for number in (gap.before, gap.after):
            for one in self._instances.get(number, ()) if number is not None else ():
                known += [one.name, str(one.group_id), *one.keypoints, one.xy.tobytes().hex()]
                known += [p.tobytes().hex() for p in one.polygons]
        if self._carry_over is not None and gap.before is not None:
            missing = [~one.known for one in self.labels.frames[gap.before]]
            known += [f.estimate.xy[m].tobytes().hex() for f, m in zip(self._carry_over, missing) if m.any()]
        return hashlib.sha256("\n".join(known).encode()).hexdigest()[:32]

    def _solve(self, gap: Gap, signature: str) -> list[FusedEstimate] | None:
        """Solve a gap; return the estimates to carry over into the next one."""
        if gap.before is not None and gap.after is not None:
            return self._solve_between(gap, signature)
        if gap.before is None:
            self._solve_backward_only(gap, signature)
        else:
            self._solve_open(gap, signature)
        return None

    def _solve_open(self, gap: Gap, signature: str) -> None:
        """Track from the last labelled frame to the end; every frame is final as soon as it is tracked."""
        assert gap.before is not None
        instances = fill_unlabelled(self._instances[gap.before], self._carry_over)
        writer = OrderedWriter(self.results.write, gap.first, gap.stop)
        resumed = self._files.resumable(gap.first, signature)
        state = None
        if resumed is not None and resumed[-1][0] > gap.before:
            self.results.reuse(resumed)
            frame, _, keypoints = resumed[-1]
            state = PassState.of_rows(frame, keypoints, instances, self._files.outlines(frame))
            writer.flush(frame, keypoints)
        for one in self.passes.forward(PassStart(gap.before, instances, (), origin=gap.before), gap.stop, state):
            fused = [one_sided(e) for e in one.estimates]
            self._put(writer, one, instances, fused)
            if fused:
                self._files.progressed(gap.first, one.frame, signature)

    def _solve_backward_only(self, gap: Gap, signature: str) -> None:
        """Track from the first labelled frame back to the start."""
        assert gap.after is not None
        instances = self._instances[gap.after]
        start = PassStart(gap.after, instances, (), origin=gap.after, also=gap.first)
        frames = self._tracked(start, "backward", gap.first, signature)
        solved = {f.frame: [one_sided(e) for e in f.estimates] for f in frames if f.estimates}
        self._write_gap(gap, frames, instances, solved)

    def _solve_between(self, gap: Gap, signature: str) -> list[FusedEstimate] | None:
        """Track from both labelled frames and fuse; return the estimates of the first pass in the second one."""
        assert gap.before is not None
        assert gap.after is not None
        before, after = fill_unlabelled(self._instances[gap.before], self._carry_over), self._instances[gap.after]
        head, tail = self.passes.frame(gap.before), self.passes.frame(gap.after)

        # Forward, including the second labelled frame: some of its points may not be labelled.
        start = PassStart(gap.before, before, [(tail, after)], origin=gap.before, also=gap.after)
        forward = self._tracked(start, "forward", gap.after, signature)
        solved = {f.frame: [one_sided(e) for e in f.estimates] for f in forward if f.estimates}
        last = solved.pop(gap.after, None)

        # Backward, fused frame by frame with the forward pass.
        if not self.interrupted and self.passes.parts.two_sided:
            start = PassStart(gap.after, after, [(head, before)], origin=gap.before, also=gap.after)
            by_frame = {f.frame: f.estimates for f in forward}
            for one in self._tracked(start, "backward", gap.before + 1, signature):
                if not one.estimates:
                    continue
                share = (one.frame - gap.before) / (gap.after - gap.before)
                solved[one.frame] = [
                    combine_partial(f, b, share, before=instance_before, after=instance_after)
                    for f, b, instance_before, instance_after in zip(by_frame[one.frame], one.estimates, before, after)
                ]
        self._write_gap(gap, forward, before, solved)
        return last

    def _tracked(self, start: PassStart, side: str, end: int, signature: str) -> list[PassFrame]:
        """Return the frames of a pass up to `end`: those of an earlier run, and new ones, which go into the journal."""
        done = self._files.passes.read(signature, side)
        found = {f.frame: f for f in done}
        if end not in found:
            state = PassState.of_estimates(done)
            forward = side == "forward"
            frames = self.passes.forward(start, end + 1, state) if forward else self.passes.backward(start, end, state)
            for one in frames:
                found[one.frame] = one
                self._files.passes.append(signature, side, one)
        return [found[number] for number in sorted(found)]

    def _write_gap(
        self,
        gap: Gap,
        frames: Sequence[PassFrame],
        instances: Sequence[LabelledInstance],
        solved: dict[int, list[FusedEstimate]],
    ) -> None:
        """Write a gap's frames in order, the skipped ones interpolated."""
        writer = OrderedWriter(self.results.write, gap.first, gap.stop)
        for one in frames:
            if one.frame != gap.after:
                self._put(writer, one, instances, solved.get(one.frame))
        if gap.after is not None and not self.interrupted:
            writer.flush(gap.after, labelled_keypoints(self.labels.frames[gap.after], None))

    def _put(
        self,
        writer: OrderedWriter,
        one: PassFrame,
        instances: Sequence[LabelledInstance],
        fused: Sequence[FusedEstimate] | None,
    ) -> None:
        """Write a frame of a pass: as labelled, else as tracked; a skipped one waits."""
        if one.frame in self.labels.frames:
            writer.put(one.frame, one.time, labelled_keypoints(self.labels.frames[one.frame], self._carry_over), None)
        elif fused:
            writer.put(one.frame, one.time, tracked_keypoints(instances, fused), fused)
        else:
            writer.wait(one.frame, one.time)
