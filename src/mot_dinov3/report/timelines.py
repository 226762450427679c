"""What became of every track: when it was seen, predicted or lost, and where it went."""

from __future__ import annotations

import dataclasses
import enum
from array import array
from collections import Counter

import numpy as np

from mot_dinov3.core.structures import Detections, TrackState

MOST_TRACKS = 2000
MOST_SPANS = 48
MOST_POINTS = 96
AGAIN_AFTER = 0.5  # s without a detection from which seeing a track once more counts as finding it again


class Seen(enum.IntEnum):
    """What is known of a track for a while."""

    DETECTED = 0
    PREDICTED = 1
    LOST = 2


@dataclasses.dataclass
class Span:
    """A stretch of a track's life, in seconds."""

    seen: Seen
    start: float
    end: float


@dataclasses.dataclass
class Life:
    """One track.

    Attributes:
        track_id: Its public number.
        frames: Frames in which it was detected.
        score_sum: Of its detections.
        classes: Detections by class id.
        names: Detections by the name of the known identity.
        spans: Its life, without gaps, in order.
        again: Seconds at which it was found again.
        last_frame: Number of the last frame with a box of it, counted from the run's first.
    """

    track_id: int
    frames: int = 0
    score_sum: float = 0.0
    classes: Counter[int] = dataclasses.field(default_factory=Counter)
    names: Counter[str] = dataclasses.field(default_factory=Counter)
    spans: list[Span] = dataclasses.field(default_factory=list)
    again: list[float] = dataclasses.field(default_factory=list)
    last_frame: int = -1
    path: Path = dataclasses.field(default_factory=lambda: Path())
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
        """The known identity it was mostly taken for, or nothing."""
        return self.names.most_common(1)[0][0] if self.names else ""


class Path:
    """Where a track went, thinned to a bounded number of points."""

    def __init__(self) -> None:
        self._kept = array("f")
        self._last = (0.0, 0.0)
        self._seen = 0
        self._stride = 1

    def add(self, x: float, y: float) -> None:
        """Append a point."""
        if self._seen % self._stride == 0:
            if len(self._kept) >= 2 * MOST_POINTS:
                self._stride *= 2
                pairs = np.frombuffer(self._kept, np.float32).reshape(-1, 2)
                self._kept = array("f", pairs[::2].tobytes())
            if self._seen % self._stride == 0:
                self._kept.extend((x, y))
        self._last = (x, y)
        self._seen += 1

    def points(self) -> list[tuple[float, float]]:
        """Return the points kept, the newest always among them."""
        kept = [(self._kept[k], self._kept[k + 1]) for k in range(0, len(self._kept), 2)]
        return [*kept, self._last] if (self._seen - 1) % self._stride else kept


class TrackHistory:
    """Follows what is written about the tracks.

    Args:
        step: Seconds from a frame to the next.
        followed: Confirmed boxes without a detection count as detected: they stand between two looks of the detector.

    Attributes:
        lives: Track id → its life, the shortest ones left out where there are too many.
        left_out: Lives that were left out.
    """

    def __init__(self, step: float, *, followed: bool = False) -> None:
        self.lives: dict[int, Life] = {}
        self.left_out = 0
        self._step = step
        self._followed = followed
        self._frame = -1

    def add(self, time: float, rows: Detections) -> None:
        """Take in a frame's rows, shown at `time` seconds."""
        self._frame += 1
        rows = rows[rows.track_id >= 1]
        place = rows.xyxy if rows.track_xyxy is None else rows.track_xyxy
        detected = ~rows.coasted | (self._followed & (rows.state == TrackState.CONFIRMED))
        for row, (track_id, seen) in enumerate(zip(rows.track_id.tolist(), detected.tolist())):
            life = self.lives.get(track_id) or self.lives.setdefault(track_id, Life(track_id))
            _lengthen(life, Seen.DETECTED if seen else Seen.PREDICTED, time, self._step, self._frame)
            x1, _, x2, y2 = place[row].tolist()
            life.path.add((x1 + x2) / 2, y2)
            if seen:
                _count(life, rows, row)
        if len(self.lives) > 2 * MOST_TRACKS:
            self._forget()

    def _forget(self) -> None:
        """Leave out the shortest lives that are over."""
        over = [life for life in self.lives.values() if life.last_frame < self._frame]
        over.sort(key=lambda life: life.frames)
        for life in over[: len(self.lives) - MOST_TRACKS]:
            del self.lives[life.track_id]
            self.left_out += 1

    def longest(self, most: int) -> list[Life]:
        """Return the lives with the most frames, in the order in which they began."""
        chosen = sorted(self.lives.values(), key=lambda life: (-life.frames, life.track_id))[:most]
        return sorted(chosen, key=lambda life: (life.first, life.track_id))


def _count(life: Life, rows: Detections, row: int) -> None:
    life.frames += 1
    life.score_sum += float(rows.score[row])
    life.classes[int(rows.class_id[row])] += 1
    if rows.gallery_id[row] is not None:
        life.names[str(rows.gallery_id[row])] += 1


def _lengthen(life: Life, seen: Seen, time: float, step: float, frame: int) -> None:
    """Let the life go on at `time` in the frame with the number `frame`; what lies before without a box was lost."""
    last = life.spans[-1] if life.spans else None
    if last is not None and life.last_frame < frame - 1 and time > last.end:
        life.spans.append(Span(Seen.LOST, last.end, time))
        last = life.spans[-1]
    if seen == Seen.DETECTED:
        if last is not None and time - life.last_detected > max(AGAIN_AFTER, 1.5 * step) + step:
            life.again.append(time)
        life.last_detected = time
    if last is not None and last.seen == seen:
        last.end = max(last.end, time + step)
    else:
        start = time if last is None else last.end
        life.spans.append(Span(seen, start, max(start, time + step)))
        if len(life.spans) > MOST_SPANS:
            _join_shortest(life.spans)
    life.last_frame = frame


def _join_shortest(spans: list[Span]) -> None:
    """Give the shortest span between two others to the one before it, and join what is alike then."""
    k = min(range(1, len(spans) - 1), key=lambda k: spans[k].end - spans[k].start)
    spans[k - 1].end = spans[k].end
    del spans[k]
    if k < len(spans) and spans[k].seen == spans[k - 1].seen:
        spans[k - 1].end = spans[k].end
        del spans[k]
