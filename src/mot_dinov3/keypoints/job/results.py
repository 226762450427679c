"""What becomes of a solved frame: rows, files, counts and doubts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from mot_dinov3.core.structures import Keypoints, PointState
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.keypoints import review
from mot_dinov3.keypoints.fusion import Solved, labelled_keypoints
from mot_dinov3.keypoints.job.files import KeypointFiles, Row
from mot_dinov3.keypoints.labels import Labels


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


class KeypointResults:
    """Writes frames, counts them, and notes how doubtful they are.

    Args:
        files: Where they go.
        labels: The labelled frames: by their limbs the others are judged.
        timer: Counts the stage ``write``.
    """

    def __init__(self, files: KeypointFiles, labels: Labels, timer: StageTimer) -> None:
        self.files = files
        self.counts = RunCounts()
        self.doubts: dict[int, review.Doubt] = {}
        self._labels = labels
        self._timer = timer

    def write(self, frame: int, time: float, keypoints: Keypoints, solved: Sequence[Solved] | None) -> None:
        """Write a frame that was solved now; `solved` is None for a labelled or interpolated one."""
        with self._timer.stage("write"):
            if not review.is_labelled(keypoints):
                self._doubt(self._judged(frame, keypoints, solved))
            self._note(frame, time, keypoints)
            self.files.write_frame(frame, keypoints)

    def reuse(self, rows: Sequence[Row]) -> None:
        """Take over frames of an earlier run: their files are there."""
        with self._timer.stage("write"):
            for frame, time, keypoints in rows:
                if not review.is_labelled(keypoints):
                    self._doubt(self.files.doubts.earlier(frame) or review.doubt_of_rows(frame, keypoints))
                self._note(frame, time, keypoints)
        self.counts.reused += len(rows)

    def _note(self, frame: int, time: float, keypoints: Keypoints) -> None:
        self.files.write_rows(frame, time, keypoints)
        self.counts.add(keypoints)

    def _doubt(self, doubt: review.Doubt) -> None:
        self.doubts[doubt.frame] = doubt
        self.files.doubts.write(doubt)  # before the rows: what can be reused has its doubt

    def _judged(self, frame: int, keypoints: Keypoints, solved: Sequence[Solved] | None) -> review.Doubt:
        if solved is None:
            return review.doubt_of_rows(frame, keypoints)
        return review.doubt_of(frame, keypoints, solved, self._usual(frame))

    def _usual(self, frame: int) -> Keypoints:
        return self._labelled(min(self._labels.frames, key=lambda n: (abs(n - frame), n)))

    @functools.lru_cache(maxsize=4)  # noqa: B019 - this lives as long as the run
    def _labelled(self, number: int) -> Keypoints:
        return labelled_keypoints(self._labels.frames[number], None)
