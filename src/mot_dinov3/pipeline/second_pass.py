"""The second pass of ``--link``: collect the whole video's rows, link them, and write the outputs from the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import BoolArray, Detections, FloatArray, Frame, IntArray, TrackState
from mot_dinov3.core.timing import StageTimer, activity
from mot_dinov3.linking import Tracklets
from mot_dinov3.sinks.base import CompositeSink, Sink
from mot_dinov3.video import FrameSource

if TYPE_CHECKING:
    from mot_dinov3.pipeline.loop import Counts


class TrackletCollector(Sink):
    """Keeps every frame's rows, without images, for linking; predicted boxes are left out, linking fills gaps itself.

    Boxes between two detected frames (coasted, yet CONFIRMED) count as detected.

    Attributes:
        frames: The frames so far with their rows; embeddings are kept apart, and only the ones computed afresh.
    """

    def __init__(self) -> None:
        self.frames: list[tuple[Frame, Detections]] = []
        self._embeddings: list[Detections] = []

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        seen = detections[~detections.coasted | (detections.state == TrackState.CONFIRMED)]
        self.frames.append((dataclasses.replace(frame, image=None), seen.replace(embedding=None)))
        self._embeddings.append(seen[seen.fresh & (seen.track_id >= 1)])

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
    """Yield a `TrackletCollector`'s frames with the ids and boxes of its linked tracklets, which are sorted by frame.

    Filled boxes follow the detected rows.
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


@dataclasses.dataclass(frozen=True)
class LinkedPass:
    """Links what the first pass has kept and writes the outputs, with the source's frames where they are needed.

    Attributes:
        kept: Rows of the first pass.
        link: Joins and smooths.
        reopen: Opens the source again from the first frame of the run; None where no output needs images.
        sinks: Makes the outputs, when the first pass is over.
        timer: The first pass's, which continues.
        counts: The same.
    """

    kept: TrackletCollector
    link: Callable[[Tracklets], Tracklets]
    reopen: Callable[[], FrameSource] | None
    sinks: Callable[[], Sequence[Sink]]
    timer: StageTimer
    counts: Counts

    def run(self, stop: Callable[[], bool]) -> None:
        """Link, write every frame, and close the outputs; abort them on any error, and where `stop` says so.

        A video that is half drawn is no result, and everything that it is drawn from is in the journal.
        """
        start = self.timer.clock()
        self.timer.start()
        with activity("linking the tracks"):
            linked = self.link(self.kept.tracklets())
        self.timer.lap("track")
        self.counts.tracks = len(np.unique(linked.track_id))
        sinks = CompositeSink(self.sinks(), self.timer)
        try:
            for frame, rows in self._with_images(relabelled(self.kept.frames, linked)):
                sinks.write(frame, rows)
                if stop():
                    sinks.abort()
                    return
            sinks.close()
        except BaseException:
            sinks.abort()
            raise
        self.counts.second_pass_ms = 1e3 * (self.timer.clock() - start)

    def _with_images(self, rows: Iterable[tuple[Frame, Detections]]) -> Iterator[tuple[Frame, Detections]]:
        if self.reopen is None:
            yield from rows
            return
        with self.reopen() as source:
            frames = iter(source)
            for known, detections in rows:
                self.timer.start()
                frame = next(frames, None)
                self.timer.lap("wait")
                if frame is None or frame.index != known.index:
                    raise VideoError(f"'{source.info.path}' changed between the two passes of --link")
                yield frame, detections
