"""The frame loop of keypoint tracking: gap by gap between labelled frames, from both sides, written live."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from mot_dinov3.core.timing import StageTimer
from mot_dinov3.keypoints.backends.base import DenseBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.fusion import Estimate, FusedEstimate, labelled_keypoints, one_sided, tracked_keypoints
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.keypoints.job.files import SAVE_EVERY, GapRecord, KeypointFiles, Row
from mot_dinov3.keypoints.job.gaps import Gap, leading_gaps, plan_gaps
from mot_dinov3.keypoints.job.journal import PassFrame
from mot_dinov3.keypoints.job.passes import Carried, PassRunner, PassStart, PassTracker
from mot_dinov3.keypoints.job.results import KeypointResults, OrderedWriter
from mot_dinov3.keypoints.job.snapshots import SnapshotParts, has_snapshot, load_snapshot, save_snapshot
from mot_dinov3.keypoints.labels import LabelledInstance, Labels
from mot_dinov3.keypoints.partial_labels import GapSide, combine_partial, complete_outlines, evidence
from mot_dinov3.keypoints.review import exchanged_labels
from mot_dinov3.keypoints.skeleton import symmetry_pairs
from mot_dinov3.video.random_access import VideoRanges


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
        first = next(iter(labels.frames.values()))
        self._names = tuple(zip(*((one.name, name) for one in first for name in one.keypoints)))
        self._pairs = config.symmetry_pairs
        # In a labelled frame, from the pass that ends there: estimates and trackers of the points not labelled in it.
        self._carry_over: Sequence[FusedEstimate] | None = None
        self._arriving: Carried | None = None  # from the gap before; None where a snapshot has them
        self._leaving: Carried | None = None  # of the gap being solved
        self._before = ""  # signature of the gap before
        self._visited: set[str] = set()  # signatures of this run's gaps

    @property
    def interrupted(self) -> bool:
        """True where the run ended before the video."""
        return self.passes.interrupted

    def gaps(self, start: int, stop: int | None) -> list[Gap]:
        """Return the gaps to solve in the frames ``start … stop``, after those that only carry points into them."""
        count, labelled = self._video.info.frame_count, sorted(self.labels.frames)
        gaps = plan_gaps(labelled, start, min(stop or count, count) if count else stop)
        return [*leading_gaps(labelled, gaps, self._goes_on_unlabelled), *gaps]

    def run(self, gaps: Sequence[Gap], *, step: int, tick: Callable[[], bool] = lambda: False) -> None:
        """Solve gaps; `tick` is called for every frame of a pass, and ends the run if true."""
        self.passes.tick, self.passes.step = tick, step
        if gaps:
            self._files.begin(next(gap.first for gap in gaps if not gap.is_leading), gaps[-1].stop)
        complete = False
        try:
            self._solve_all(gaps)
            self._doubt_elsewhere()
            complete = not self.interrupted
        finally:
            self._video.close()
            self._files.end(complete=complete)
        self.results.uncertainties |= self._files.kept_uncertainties()

    def outlines(self, frame: int) -> dict[str, tuple[Points, ...]]:
        """Return the outlines in a frame: the labelled ones, else the tracked ones."""
        return self._files.outlines(frame)

    def _solve_all(self, gaps: Sequence[Gap]) -> None:
        for gap, following in itertools.zip_longest(gaps, gaps[1:]):
            signature = self._signature(gap, self._before)
            self._visited.add(signature)
            rows = self._reusable(gap, signature)
            record = self._files.record(signature)
            self._leaving = None
            if rows is not None and record is not None and self._can_go_on(gap, following, signature):
                self.results.reuse(rows)
            elif self.interrupted:
                record = None
            else:
                record = self._solve(gap, signature)
                record = None if self.interrupted else record
            self._hand_on(gap, signature, record)

    def _doubt_elsewhere(self) -> None:
        """Take over the doubts about labels that earlier runs found in gaps outside of this run's range."""
        before = ""
        for gap in plan_gaps(sorted(self.labels.frames), 0, None):
            signature = self._signature(gap, before)
            before = "" if gap.before is None else signature
            record = None if signature in self._visited else self._files.record(signature)
            if record is not None and gap.after is not None:
                self.results.doubt(gap.after, record.doubts)

    def _reusable(self, gap: Gap, signature: str) -> list[Row] | None:
        """Return the frames of a gap that an earlier run solved; none are needed of a leading one."""
        if gap.is_leading:
            return []
        rows = self._files.reusable(gap.first, gap.stop, signature, exact=self.passes.step > 1)
        has_names = rows is not None and all((row.instance, row.name) == self._names for _, _, row in rows)
        return rows if has_names else None

    def _hand_on(self, gap: Gap, signature: str, record: GapRecord | None) -> None:
        """Save a gap, None for one that is not solved to its end, and take over what it hands on to the next one."""
        self._arriving, self._before = self._leaving, "" if gap.before is None else signature
        carried = None if record is None else record.carried
        self._carry_over = None if carried is None else [one_sided(Estimate.from_record(r)) for r in carried]
        if record is not None and gap.after is not None:
            self.results.doubt(gap.after, record.doubts)
        if record is not None and not gap.is_leading:
            self._files.finished(gap.first, signature, record)

    def _carried_into(self, frame: int) -> Carried:
        """Return the trackers that arrive at a labelled frame from the gap before it, and go on."""
        if self._arriving is not None or not self._before or not self._goes_on_unlabelled(frame):
            return self._arriving or ()
        tracker = self._load_carried(self._before)
        return () if tracker is None else tracker.carried(self._instances[frame])

    def _can_go_on(self, gap: Gap, following: Gap | None, signature: str) -> bool:
        """Return whether the next gap can be solved without this one: the trackers that it needs are on disk."""
        needs = following is not None and gap.after is not None and self._goes_on_unlabelled(gap.after)
        path = self._files.carried_path(signature)
        return not needs or gap.before is None or has_snapshot(path, self._owner(signature))

    def _goes_on_unlabelled(self, frame: int) -> bool:
        return any((~(one.known | one.gone)).any() for one in self._instances[frame])

    def _parts(self) -> SnapshotParts:
        return SnapshotParts(self.passes.backend, self.passes.frame)

    def _load_carried(self, signature: str) -> PassTracker | None:
        return load_snapshot(self._files.carried_path(signature), self._owner(signature), self._parts())

    def _signature(self, gap: Gap, before: str) -> str:
        """Return a digest of everything that the result of a gap depends on; `before` is that of the gap before."""
        known = [self._files.fingerprint, repr(gap.before), repr(gap.after), str(self.passes.step)]
        for number in (gap.before, gap.after):
            known += self._label_digest(number) if number is not None else ()
        if gap.before is not None and self._goes_on_unlabelled(gap.before):
            known.append(before)
        return hashlib.sha256("\n".join(known).encode()).hexdigest()[:32]

    def _label_digest(self, number: int) -> Iterator[str]:
        """Yield what a result depends on in a labelled frame; of names, which are equal, and which left and right."""
        numbers: dict[str, int] = {}
        for one in self._instances.get(number, ()):
            yield str([one.group_id, *(numbers.setdefault(name, len(numbers)) for name in one.keypoints)])
            yield str(symmetry_pairs(one.keypoints, self._pairs))
            for array in (one.xy, one.seen, one.gone, *one.polygons):
                yield array.tobytes().hex()

    def _owner(self, signature: str, side: str = "") -> str:
        """Return the owner of a snapshot: trackers know the names, too."""
        names = hashlib.sha256(repr(self._names).encode()).hexdigest()[:16]
        return f"{signature} {side} {names}"

    def _solve(self, gap: Gap, signature: str) -> GapRecord | None:
        """Solve a gap; return what it hands on to the next one."""
        if gap.before is not None and gap.after is not None:
            return self._solve_between(gap, signature)
        if gap.before is None:
            self._solve_backward_only(gap, signature)
        else:
            self._solve_open(gap, signature)
        return GapRecord(gap.first, self._files.last, ends=gap.stop is None)

    def _solve_open(self, gap: Gap, signature: str) -> None:
        """Track from the last labelled frame to the end; every frame is final as soon as it is tracked."""
        assert gap.before is not None
        instances = self._instances[gap.before]
        writer = OrderedWriter(self.results.write, gap.first, gap.stop)
        tracker = self._resumed(signature, "open")
        rows = self._files.rows_of(gap.first, tracker.frame) if tracker is not None else None
        if rows:
            self.results.reuse(rows)
            number, _, keypoints = rows[-1]
            writer.flush(number, dataclasses.replace(keypoints, outlines=self.outlines(number)))
        start = PassStart(gap.before, instances, (), origin=gap.before, carried=self._carried_into(gap.before))
        frames = self.passes.forward(start, gap.stop, tracker if rows else None)
        for one in self._kept(frames, signature, "open"):
            self._put(writer, one, instances, [one_sided(e) for e in one.estimates])

    def _solve_backward_only(self, gap: Gap, signature: str) -> None:
        """Track from the first labelled frame back to the start."""
        assert gap.after is not None
        instances = self._instances[gap.after]
        start = PassStart(gap.after, instances, (), origin=gap.after, also=gap.first)
        self._track_into_journal(start, "backward", gap.first, signature)
        backward = (self._files.passes.read(signature, "backward", f) for f in range(gap.first, gap.after))
        solved = ((one, [one_sided(e) for e in one.estimates]) for one in backward if one is not None)
        self._write_gap(gap, instances, solved)

    def _solve_between(self, gap: Gap, signature: str) -> GapRecord | None:
        """Track from both labelled frames and fuse."""
        assert gap.before is not None
        assert gap.after is not None
        before, after = self._instances[gap.before], self._instances[gap.after]
        head, tail = self.passes.frame(gap.before), self.passes.frame(gap.after)

        # Forward, including the second labelled frame: some of its points may not be labelled.
        carried = self._carried_into(gap.before)
        forward = PassStart(gap.before, before, [(tail, after)], origin=gap.before, also=gap.after, carried=carried)
        if self._goes_on_unlabelled(gap.after) and self._load_carried(signature) is None:
            self._files.passes.forget(signature)  # the trackers that go on are missing: again
        self._track_into_journal(forward, "forward", gap.after, signature)
        last = self._files.passes.read(signature, "forward", gap.after)

        # Backward.
        if not self.interrupted and self.passes.parts.two_sided:
            start = PassStart(gap.after, after, [(head, before)], origin=gap.before, also=gap.after)
            self._track_into_journal(start, "backward", gap.before + 1, signature)

        # Both, frame by frame.
        sides = [GapSide(one, known) for one, known in zip(before, evidence(before, [lane for _, lane in carried]))]
        ends = [GapSide(one, known) for one, known in zip(after, evidence(after))]
        self._write_gap(gap, before, self._fused(gap, signature, sides, ends))
        if last is None or self.interrupted:
            return None
        doubts = exchanged_labels(gap.before, gap.after, after, last.estimates)
        records = [estimate.as_record() for estimate in last.estimates]
        return GapRecord(gap.first, self._files.last, records, [[d.notice, *d.names] for d in doubts])

    def _fused(
        self, gap: Gap, signature: str, before: Sequence[GapSide], after: Sequence[GapSide]
    ) -> Iterator[tuple[PassFrame, list[FusedEstimate]]]:
        """Yield the frames of a gap in order, from the passes on disk: fused, or one-sided where one is missing."""
        assert gap.before is not None
        assert gap.after is not None
        journal = self._files.passes
        for number in range(gap.before, gap.after):
            one, other = (journal.read(signature, side, number) for side in ("forward", "backward"))
            if one is None:
                continue
            if other is None or not one.estimates or not other.estimates:
                yield one, [one_sided(e) for e in one.estimates]
                continue
            share = (number - gap.before) / (gap.after - gap.before)
            pairs = zip(one.estimates, other.estimates, before, after)
            yield one, [combine_partial(f, b, share, before=side, after=end) for f, b, side, end in pairs]

    def _track_into_journal(self, start: PassStart, side: str, end: int, signature: str) -> None:
        """Track a pass up to `end` into the journal, from where an earlier run was interrupted."""
        journal, forward = self._files.passes, side == "forward"
        done = set(journal.frames(signature, side))
        if end in done:
            return
        tracker = self._resumed(signature, side)
        known = range(0)
        if tracker is not None:
            known = range(min(start.frame, tracker.frame), max(start.frame, tracker.frame) + 1)
        if tracker is not None and not done.issuperset(known):  # the journal was cut behind the snapshot
            tracker, known = None, range(0)
        journal.cut(signature, side, known)
        frames = self.passes.forward(start, end + 1, tracker) if forward else self.passes.backward(start, end, tracker)
        for one in self._kept(frames, signature, side):
            journal.append(signature, side, one)
        if forward and not self.interrupted and self.passes.tracker and self._goes_on_unlabelled(end):
            self._leaving = self.passes.tracker.carried(self._instances[end])
            path = self._files.carried_path(signature)
            save_snapshot(path, self._owner(signature), self.passes.tracker, self.passes.backend)

    def _resumed(self, signature: str, side: str) -> PassTracker | None:
        """Return the tracker of an interrupted pass as it was, or None; the snapshot of another pass is deleted.

        A run that is killed before its own first snapshot would leave it beside rows that do not belong to it.
        """
        path = self._files.paths.tracker
        tracker = load_snapshot(path, self._owner(signature, side), self._parts())
        if tracker is None:
            path.unlink(missing_ok=True)
        return tracker

    def _kept(self, frames: Iterable[PassFrame], signature: str, side: str) -> Iterator[PassFrame]:
        """Yield the frames of a pass, with snapshots of its tracker once those before are written."""
        since = 0
        for one in frames:
            yield one
            since += bool(one.estimates)
            if since == SAVE_EVERY:
                self._snapshot(signature, side)
                since = 0
        if self.interrupted and since:
            self._snapshot(signature, side)

    def _snapshot(self, signature: str, side: str) -> None:
        if self.passes.tracker is not None:
            self._files.drain()
            path, owner = self._files.paths.tracker, self._owner(signature, side)
            save_snapshot(path, owner, self.passes.tracker, self.passes.backend)

    def _write_gap(
        self,
        gap: Gap,
        instances: Sequence[LabelledInstance],
        solved: Iterable[tuple[PassFrame, Sequence[FusedEstimate]]],
    ) -> None:
        """Write a gap's frames in order, the skipped ones interpolated."""
        assert gap.after is not None
        writer = OrderedWriter(self.results.write, gap.first, gap.stop)
        for one, fused in solved:
            self._put(writer, one, instances, fused)
        if not self.interrupted:
            writer.flush(gap.after, labelled_keypoints(self.labels.frames[gap.after], None))

    def _put(
        self,
        writer: OrderedWriter,
        one: PassFrame,
        instances: Sequence[LabelledInstance],
        fused: Sequence[FusedEstimate],
    ) -> None:
        """Write a frame of a pass: as labelled, else as tracked; a skipped one waits."""
        if one.frame in self.labels.frames:
            writer.put(one.frame, one.time, labelled_keypoints(self.labels.frames[one.frame], self._carry_over), None)
        elif fused:
            writer.put(one.frame, one.time, tracked_keypoints(instances, fused), fused)
        else:
            writer.wait(one.frame, one.time)
