"""Results of a keypoint run: solved frames in order, written, counted and judged."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence

import numpy as np

from mot_dinov3.core.structures import BoolArray, IntArray, Keypoints, PointState
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.keypoints import review
from mot_dinov3.keypoints.fusion import FusedEstimate, interpolate, labelled_keypoints
from mot_dinov3.keypoints.job.files import KeypointFiles, Row
from mot_dinov3.keypoints.labels import Labels

Write = Callable[[int, float, Keypoints, Sequence[FusedEstimate] | None], None]


def as_written(keypoints: Keypoints) -> Keypoints:
    """Return rows with the digits that the files keep of them: what follows from them is the same after a resume."""
    outlines = {name: tuple(np.round(p, 2) for p in polygons) for name, polygons in keypoints.outlines.items()}
    xy, score = np.round(keypoints.xy, 3), np.round(keypoints.score, 4)
    return dataclasses.replace(keypoints, xy=xy, score=score, outlines=outlines)


class OrderedWriter:
    """Writes the frames of a range in order; skipped ones wait until they can be interpolated between two tracked ones.

    Args:
        write: Takes frame, time, rows and the estimates that they come from.
        first: First frame of the range.
        stop: Exclusive end, or None.
    """

    def __init__(self, write: Write, first: int, stop: int | None) -> None:
        self._write, self._wanted = write, range(first, sys.maxsize if stop is None else stop)
        self._last: tuple[int, Keypoints] | None = None
        self._waiting: list[tuple[int, float]] = []

    def wait(self, frame: int, time: float) -> None:
        """Note a frame that is not tracked."""
        self._waiting.append((frame, time))

    def put(self, frame: int, time: float, keypoints: Keypoints, tracked: Sequence[FusedEstimate] | None) -> None:
        """Write the waiting frames, then this one."""
        keypoints = as_written(keypoints)
        self.flush(frame, keypoints)
        if frame in self._wanted:
            self._write(frame, time, keypoints, tracked)

    def flush(self, frame: int, keypoints: Keypoints) -> None:
        """Write the waiting frames, interpolated up to this one, which is not written."""
        keypoints = as_written(keypoints)
        last, before = self._last or (frame, keypoints)
        for number, moment in self._waiting:
            if number < frame and number in self._wanted:
                share = (number - last) / (frame - last) if frame > last else 1.0
                self._write(number, moment, as_written(interpolate(before, keypoints, share)), None)
        self._waiting = []
        self._last = frame, keypoints


class KeypointResults:
    """Writes frames, counts them, and records their uncertainty.

    Args:
        files: The run's files.
        labels: The labelled frames: their limbs are the normal ones.
        timer: Counts the stage ``write``.

    Attributes:
        frames: Number of frames.
        reused: How many of them an earlier run solved.
        by_state: ``(3,)`` number of points in each `PointState`.
        uncertainties: Frame → uncertainty of its points.
        notices: Labels that look exchanged.
    """

    def __init__(self, files: KeypointFiles, labels: Labels, timer: StageTimer) -> None:
        self.files = files
        self.frames = self.reused = 0
        self.by_state: IntArray = np.zeros(len(PointState), np.int64)
        self.uncertainties: dict[int, review.FrameUncertainty] = {}
        self.notices: list[str] = []
        self._label_doubts: dict[int, list[str]] = {}
        for doubt in labels.doubts:
            self._label_doubts.setdefault(doubt.frame, []).extend(doubt.names)
        self._labels, self._numbers = labels, sorted(labels.frames)
        self._labelled = functools.lru_cache(4)(lambda number: labelled_keypoints(labels.frames[number], None))
        self._timer = timer

    def write(self, frame: int, time: float, keypoints: Keypoints, tracked: Sequence[FusedEstimate] | None) -> None:
        """Write a frame that was solved now; `tracked` is None for a labelled or interpolated one."""
        with self._timer.stage("write"):
            if not review.is_labelled(keypoints):
                absent = self._absent(frame, keypoints)
                if tracked is None:
                    self._record(review.rows_uncertainty(frame, keypoints, absent))
                else:
                    nearest = self._labelled(min(self._labels.frames, key=lambda n: (abs(n - frame), n)))
                    self._record(review.frame_uncertainty(frame, keypoints, tracked, nearest, absent))
            self._add(frame, time, keypoints)
            self.files.write_frame(frame, keypoints)

    def reuse(self, rows: Sequence[Row]) -> None:
        """Take over frames of an earlier run: their files exist."""
        with self._timer.stage("write"):
            for frame, time, keypoints in rows:
                if not review.is_labelled(keypoints):
                    earlier = self.files.uncertainties.get(frame)
                    absent = self._absent(frame, keypoints)
                    self._record(earlier or review.rows_uncertainty(frame, keypoints, absent))
                self._add(frame, time, keypoints)
        self.reused += len(rows)

    def _absent(self, frame: int, keypoints: Keypoints) -> BoolArray:
        place = bisect.bisect(self._numbers, frame)
        beside = self._numbers[max(place - 1, 0) : place + 1]
        return review.absent_points(keypoints, map(self._labelled, beside))

    def doubt(self, frame: int, doubts: Sequence[Sequence[str]]) -> None:
        """Note keypoints of a labelled frame whose labels look exchanged, each after the notice that says so."""
        self.notices += [notice for notice, *_ in doubts]
        self._label_doubts.setdefault(frame, []).extend(name for _, *names in doubts for name in names)

    def finish(self) -> None:
        """Rank the labelled frames in doubt first."""
        for frame, names in self._label_doubts.items():
            if names:
                self.uncertainties[frame] = review.label_uncertainty(frame, names)

    def _add(self, frame: int, time: float, keypoints: Keypoints) -> None:
        self.files.write_rows(frame, time, keypoints)
        self.frames += 1
        self.by_state += np.bincount(keypoints.state, minlength=len(PointState))

    def _record(self, uncertainty: review.FrameUncertainty) -> None:
        self.uncertainties[uncertainty.frame] = uncertainty
        self.files.note_uncertainty(uncertainty)  # before the rows: every frame that can be reused has one
