"""Timelines of tracks: when each was detected, predicted or lost, and its trajectory."""

from __future__ import annotations

import dataclasses
import enum
from array import array
from collections import Counter

import numpy as np

from mot_dinov3.core.structures import BoolArray, Detections, TrackState

MAX_TRACKS = 2000
MAX_SPANS = 48
MAX_POINTS = 96
REID_AFTER_S = 0.5  # without a detection; the next one counts as a re-identification


class Observation(enum.IntEnum):
    """State of a track in a span of time."""

    DETECTED = 0
    PREDICTED = 1
    LOST = 2


@dataclasses.dataclass
class TrackSpan:
    """A part of a track's timeline, in seconds."""

    observation: Observation
    start: float
    end: float


@dataclasses.dataclass
class TrackTimeline:
    """The timeline of one track.

    Attributes:
        track_id: Its public id.
        frames: Frames in which it was detected.
        score_sum: Of its detections.
        classes: Detections by class id.
        names: Detections by the name of the known identity.
        spans: Its parts, without gaps, in order.
        reidentified: Seconds at which it was re-identified.
        last_frame: Index of the last frame in which it has a box, counted from the run's first.
        trajectory: Bottom centres of its boxes.
        last_detected: Second of its last detection.
    """

    track_id: int
    frames: int = 0
    score_sum: float = 0.0
    classes: Counter[int] = dataclasses.field(default_factory=Counter)
    names: Counter[str] = dataclasses.field(default_factory=Counter)
    spans: list[TrackSpan] = dataclasses.field(default_factory=list)
    reidentified: list[float] = dataclasses.field(default_factory=list)
    last_frame: int = -1
    trajectory: Trajectory = dataclasses.field(default_factory=lambda: Trajectory())
    last_detected: float = 0.0

    @property
    def first(self) -> float:
        """Second of its first box."""
        return self.spans[0].start

    @property
    def last(self) -> float:
        """Second at which its last box ends."""
        return self.spans[-1].end

    @property
    def score(self) -> float:
        """Mean score of its detections."""
        return self.score_sum / max(self.frames, 1)

    @property
    def class_id(self) -> int:
        """Its most frequent class."""
        return self.classes.most_common(1)[0][0] if self.classes else -1

    @property
    def name(self) -> str:
        """Its most frequent known identity, or an empty string."""
        return self.names.most_common(1)[0][0] if self.names else ""


class Trajectory:
    """Points of a track over time, thinned to a bounded number."""

    def __init__(self) -> None:
        self._kept = array("f")
        self._last = (0.0, 0.0)
        self._count = 0
        self._stride = 1

    def add(self, x: float, y: float) -> None:
        """Append a point."""
        if self._count % self._stride == 0:
            if len(self._kept) >= 2 * MAX_POINTS:
                self._stride *= 2
                pairs = np.frombuffer(self._kept, np.float32).reshape(-1, 2)
                self._kept = array("f", pairs[::2].tobytes())
            if self._count % self._stride == 0:
                self._kept.extend((x, y))
        self._last = (x, y)
        self._count += 1

    def points(self) -> list[tuple[float, float]]:
        """Return the kept points, always with the newest one."""
        kept = [(self._kept[k], self._kept[k + 1]) for k in range(0, len(self._kept), 2)]
        return [*kept, self._last] if (self._count - 1) % self._stride else kept


class TrackHistory:
    """Collects the timelines of all tracks.

    Args:
        step: Seconds from a frame to the next.
        interpolated: Confirmed boxes without a detection count as detected: they lie within a detection interval.

    Attributes:
        timelines: Track id → timeline, the shortest ones left out where there are too many.
        left_out: Number of timelines that were left out.
    """

    def __init__(self, step: float, *, interpolated: bool = False) -> None:
        self.timelines: dict[int, TrackTimeline] = {}
        self.left_out = 0
        self._step = step
        self._interpolated = interpolated
        self._frame = -1

    def add(self, time: float, rows: Detections) -> None:
        """Add a frame's rows, displayed at `time` seconds."""
        self._frame += 1
        rows = rows[rows.track_id >= 1]
        boxes = rows.final_xyxy
        detected = detected_rows(rows, interpolated=self._interpolated)
        for row, (track_id, is_detected) in enumerate(zip(rows.track_id.tolist(), detected.tolist())):
            timeline = self.timelines.get(track_id) or self.timelines.setdefault(track_id, TrackTimeline(track_id))
            observation = Observation.DETECTED if is_detected else Observation.PREDICTED
            _extend(timeline, observation, time, self._step, self._frame)
            x1, _, x2, y2 = boxes[row].tolist()
            timeline.trajectory.add((x1 + x2) / 2, y2)
            if is_detected:
                _add_detection(timeline, rows, row)
        if len(self.timelines) > 2 * MAX_TRACKS:
            self._prune()

    def _prune(self) -> None:
        """Leave out the shortest timelines that have ended."""
        ended = [timeline for timeline in self.timelines.values() if timeline.last_frame < self._frame]
        ended.sort(key=lambda timeline: timeline.frames)
        for timeline in ended[: len(self.timelines) - MAX_TRACKS]:
            del self.timelines[timeline.track_id]
            self.left_out += 1

    def longest(self, most: int) -> list[TrackTimeline]:
        """Return the timelines with the most frames, in the order of their first box."""
        chosen = sorted(self.timelines.values(), key=lambda timeline: (-timeline.frames, timeline.track_id))[:most]
        return sorted(chosen, key=lambda timeline: (timeline.first, timeline.track_id))


def detected_rows(rows: Detections, *, interpolated: bool) -> BoolArray:
    """Return ``(n,)`` bool: the row is a detection, or confirmed within a detection interval."""
    within: BoolArray = rows.state == TrackState.CONFIRMED
    return ~rows.coasted | within if interpolated else ~rows.coasted


def _add_detection(timeline: TrackTimeline, rows: Detections, row: int) -> None:
    timeline.frames += 1
    timeline.score_sum += float(rows.score[row])
    timeline.classes[int(rows.class_id[row])] += 1
    if rows.gallery_id[row] is not None:
        timeline.names[str(rows.gallery_id[row])] += 1


def _extend(timeline: TrackTimeline, observation: Observation, time: float, step: float, frame: int) -> None:
    """Extend a timeline to `time`, the frame with the index `frame`; frames before without a box count as lost."""
    last = timeline.spans[-1] if timeline.spans else None
    if last is not None and timeline.last_frame < frame - 1 and time > last.end:
        timeline.spans.append(TrackSpan(Observation.LOST, last.end, time))
        last = timeline.spans[-1]
    if observation == Observation.DETECTED:
        if last is not None and time - timeline.last_detected > max(REID_AFTER_S, 1.5 * step) + step:
            timeline.reidentified.append(time)
        timeline.last_detected = time
    if last is not None and last.observation == observation:
        last.end = max(last.end, time + step)
    else:
        start = time if last is None else last.end
        timeline.spans.append(TrackSpan(observation, start, max(start, time + step)))
        if len(timeline.spans) > MAX_SPANS:
            _merge_shortest(timeline.spans)
    timeline.last_frame = frame


def _merge_shortest(spans: list[TrackSpan]) -> None:
    """Merge the shortest inner span into the one before it, and that one into the next where both are equal then."""
    k = min(range(1, len(spans) - 1), key=lambda k: spans[k].end - spans[k].start)
    spans[k - 1].end = spans[k].end
    del spans[k]
    if k < len(spans) and spans[k].observation == spans[k - 1].observation:
        spans[k - 1].end = spans[k].end
        del spans[k]
