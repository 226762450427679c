"""The second pass of ``--link``: collect the whole video's rows, link them, and write the outputs from the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import BoolArray, Detections, FloatArray, Frame, IntArray, TrackState
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.linking import Tracklets
from mot_dinov3.pipeline.summary import Counts
from mot_dinov3.sinks.files import Several, Sink
from mot_dinov3.video import FrameSource


class SecondPass(Protocol):
    """What happens after the last frame."""

    @property
    def frame_total(self) -> int:
        """Frames it is going to write."""
        ...

    def run(self, stop: Callable[[], bool]) -> None:
        """Do it, asking `stop` after each frame."""
        ...


class NoSecondPass:
    """Stands in where everything was written in the first pass."""

    frame_total = 0

    def run(self, stop: Callable[[], bool]) -> None:
        """Do nothing."""


class TrajectorySink:
    """Keeps every frame's rows, without pictures, for linking; predicted boxes are left out, linking fills gaps itself.

    Boxes between two looks of the detector (coasted, yet CONFIRMED) count as seen.

    Attributes:
        frames: The frames so far with their rows; embeddings are kept apart, and only the ones computed afresh.
    """

    def __init__(self) -> None:
        self.frames: list[tuple[Frame, Detections]] = []
        self._embeddings: list[Detections] = []

    def write(self, frame: Frame, detections: Detections) -> None:
        """Keep one frame."""
        seen = detections[~detections.coasted | (detections.state == TrackState.CONFIRMED)]
        self.frames.append((dataclasses.replace(frame, image=None), seen.replace(embedding=None)))
        self._embeddings.append(seen[seen.fresh & (seen.track_id >= 1)])

    def close(self) -> None:
        """Nothing is written yet."""

    def abort(self) -> None:
        """Nothing was written."""

    def tracklets(self) -> Tracklets:
        """Return all rows that belong to a track, in the order in which `relabelled` takes them back."""
        owned = [rows[rows.track_id >= 1] for _, rows in self.frames]
        repeat = [len(rows) for rows in owned]
        joined = Detections.concat(owned)
        return Tracklets(
            frame=np.repeat([frame.index for frame, _ in self.frames], repeat).astype(np.int64),
            time=np.repeat([frame.time for frame, _ in self.frames], repeat).astype(np.float64),
            track_id=joined.track_id,
            xyxy=joined.xyxy,
            score=joined.score,
            embedding=self._embedding(joined.fresh),
        )

    def _embedding(self, fresh: BoolArray) -> FloatArray | None:
        computed = Detections.concat(self._embeddings).embedding
        if computed is None:
            return None
        rows = np.zeros((len(fresh), computed.shape[1]), np.float32)
        rows[fresh] = computed
        return rows


def relabelled(frames: Sequence[tuple[Frame, Detections]], linked: Tracklets) -> Iterator[tuple[Frame, Detections]]:
    """Yield the frames with the ids and boxes of the linked result; filled boxes follow the detected rows.

    Args:
        frames: What `TrajectorySink` kept.
        linked: The linked `TrajectorySink.tracklets`, sorted by frame.
    """
    assert linked.row is not None  # a result always has it
    back = np.full(sum(int((rows.track_id >= 1).sum()) for _, rows in frames), -1)
    back[linked.row[linked.row >= 0]] = np.flatnonzero(linked.row >= 0)
    classes: dict[int, int] = {}
    start = 0
    for frame, rows in frames:
        owned = np.flatnonzero(rows.track_id >= 1)
        found = back[start : start + len(owned)]
        start += len(owned)
        track_id, boxes = rows.track_id.copy(), rows.xyxy.copy()
        track_id[owned], boxes[owned] = linked.track_id[found], linked.xyxy[found]
        classes.update(zip(track_id[owned].tolist(), rows.class_id[owned].tolist()))
        seen = rows.replace(track_id=track_id, track_xyxy=boxes)
        low, high = np.searchsorted(linked.frame, [frame.index, frame.index + 1])
        filled = low + np.flatnonzero(linked.row[low:high] < 0)
        yield frame, Detections.concat([seen, _filled_rows(linked, filled, classes)]) if len(filled) else seen


def _filled_rows(linked: Tracklets, which: IntArray, classes: Mapping[int, int]) -> Detections:
    """Return the boxes that fill gaps, with the class their track was last seen with."""
    return Detections(
        linked.xyxy[which],
        linked.score[which],
        class_id=np.array([classes[track_id] for track_id in linked.track_id[which].tolist()], np.int64),
        track_id=linked.track_id[which],
        state=np.full(len(which), int(TrackState.CONFIRMED)),
        coasted=np.ones(len(which), np.bool_),
        track_xyxy=linked.xyxy[which],
    )


class LinkedPass:
    """Links what the first pass has kept and writes the outputs, over the source's pictures where they are needed.

    Args:
        kept: Where the first pass put its rows.
        link: Joins and smooths.
        pictures: Opens the source again from the first frame of the run; None where no output needs pictures.
        sinks: Makes the outputs, when the first pass is over.
        run: Timer and counts of the run, which go on.
    """

    def __init__(
        self,
        kept: TrajectorySink,
        link: Callable[[Tracklets], Tracklets],
        *,
        pictures: Callable[[], FrameSource] | None,
        sinks: Callable[[], Sequence[Sink]],
        run: tuple[StageTimer, Counts],
    ) -> None:
        self._kept = kept
        self._link = link
        self._pictures = pictures
        self._sinks = sinks
        self._timer, self._counts = run

    @property
    def frame_total(self) -> int:
        """Frames to write."""
        return len(self._kept.frames)

    def run(self, stop: Callable[[], bool]) -> None:
        """Link, write every frame, and close the outputs; abort them on any error, and where `stop` says so.

        A video that is half drawn is no result, and everything that it is drawn from is on record.
        """
        start = self._timer.clock()
        with self._timer.stage("track"):
            linked = self._link(self._kept.tracklets())
        self._counts.tracks = len(np.unique(linked.track_id))
        sinks = Several(self._sinks())
        try:
            for frame, rows in self._with_pictures(relabelled(self._kept.frames, linked)):
                sinks.write(frame, rows)
                if stop():
                    sinks.abort()
                    return
            sinks.close()
        except BaseException:
            sinks.abort()
            raise
        self._counts.second_pass_ms = 1e3 * (self._timer.clock() - start)

    def _with_pictures(self, rows: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Detections]]:
        if self._pictures is None:
            yield from rows
            return
        with self._pictures() as source:
            frames = iter(source)
            for known, detections in rows:
                with self._timer.stage("wait"):
                    frame = next(frames, None)
                if frame is None or frame.index != known.index:
                    raise VideoError(f"'{source.info.path}' changed between the two passes of --link")
                yield frame, detections
