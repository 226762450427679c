"""Moments of a run in which an id may have been given to another object, for a person to check first.

They are found while the run goes, from the settled rows alone: where a track begins beside one that was just lost,
comes back after a gap, jumps, crosses another one, or gets another known identity.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Iterator, Mapping

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.structures import BoolArray, Detections, FloatArray
from mot_dinov3.report.timelines import REID_AFTER_S

MAX_MOMENTS = 400
MAX_LISTED = 120
MAX_SEEN = 2000  # tracks that are remembered
NEAR_S = 3.0  # after a track was lost, a new one beside its last box may be the same object
NEAR_HEIGHTS = 1.0  # distance to that box, in heights; and as much again for each second
JUMP_HEIGHTS = 0.7  # from one frame to the next
MIN_OVERLAP = 0.3  # IoU of two tracks that cross
APART_S = 0.5  # without overlap, after which a crossing is over
YOUNG_S = 1.0  # a track that overlaps another one as soon as it begins
BORDER = 0.02  # of the image's width or height
APPEARANCE_RATE = 0.2  # weight of the newest embedding in a track's mean

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True, order=True)
class UncertainMoment:
    """A moment to check: its risk in 0…1, when (s), the track and the other one (0: none), and what happened."""

    risk: float
    time: float
    track_id: int
    other_id: int
    kind: str
    text: str


@dataclasses.dataclass(frozen=True)
class _Sighting:
    """The last detection of a track: since when it exists, when, its box, the known identity, the mean embedding."""

    since: float
    time: float
    box: Box
    name: str | None = None
    appearance: FloatArray | None = None


@dataclasses.dataclass
class _Crossing:
    """Two tracks that overlap: when last and when most, by how much, their similarity, and whether one is young."""

    last: float
    peak: float
    similarity: float | None
    young: bool
    overlap: float = 0.0


class UncertainMoments:
    """Finds uncertain moments, frame by frame, in bounded memory.

    Args:
        step: Seconds from a frame to the next.
        size: Width and height of the image (px), 0 where unknown: who leaves it and who enters it there are two.
    """

    def __init__(self, step: float, size: tuple[int, int] = (0, 0)) -> None:
        self._step = step
        self._size = size
        self._found: list[UncertainMoment] = []
        self._seen: dict[int, _Sighting] = {}
        self._crossings: dict[tuple[int, int], _Crossing] = {}
        self._begin: float | None = None

    def add(self, time: float, rows: Detections, detected: BoolArray) -> None:
        """Add a frame's final rows; `detected`, ``(n,)``, is false for predictions."""
        self._begin = time if self._begin is None else self._begin
        rows = rows[detected & (rows.track_id >= 1)]
        now = _sightings(time, rows)
        for track_id, sighting in now.items():
            before = self._seen.get(track_id)
            if before is not None:
                found = self._continued(track_id, before, sighting)
            else:
                found = self._born(track_id, sighting, now) if time > self._begin else iter(())
            for moment in found:
                self._keep(moment)
        now = {track_id: _merged(self._seen.get(track_id), sighting) for track_id, sighting in now.items()}
        self._cross(time, now)
        self._seen |= now
        if len(self._seen) > 2 * MAX_SEEN:
            self._seen = dict(sorted(self._seen.items(), key=lambda item: item[1].time)[-MAX_SEEN:])

    def listed(self) -> list[UncertainMoment]:
        """Return the moments by falling risk, `MAX_LISTED` at most."""
        for pair, crossing in self._crossings.items():
            self._keep(_crossed(pair, crossing))
        self._crossings.clear()
        return sorted(self._found, key=lambda moment: (-moment.risk, moment.time))[:MAX_LISTED]

    def _keep(self, moment: UncertainMoment) -> None:
        (heapq.heappush if len(self._found) < MAX_MOMENTS else heapq.heappushpop)(self._found, moment)

    def _born(self, track_id: int, now: _Sighting, present: Mapping[int, _Sighting]) -> Iterator[UncertainMoment]:
        """Yield the track that a new one may continue: lost shortly before, near its first box."""
        nearest = (NEAR_HEIGHTS, 0, 0.0)
        for other, seen in self._seen.items():
            gap = now.time - seen.time
            if other not in present and gap <= NEAR_S:
                nearest = min(nearest, (_heights(seen.box, now.box) / (1 + gap), other, gap))
        reach, other, gap = nearest
        if other:
            similarity = _similarity(self._seen[other], now)
            left_and_entered = self._at_border(self._seen[other].box) and self._at_border(now.box)
            risk = 0.9 - 0.3 * reach - (0.4 if left_and_entered else 0.0)
            text = f"begins where track {other} was lost {gap:.2g} s before{_similar(similarity)}"
            yield UncertainMoment(risk, now.time, track_id, other, "new id", text)

    def _at_border(self, box: Box) -> bool:
        """Return whether a box reaches the border of the image."""
        x1, y1, x2, y2 = box
        width, height = self._size
        inside = (
            x1 >= BORDER * width
            and x2 <= (1 - BORDER) * width
            and y1 >= BORDER * height
            and y2 <= (1 - BORDER) * height
        )
        return bool(width) and not inside

    def _continued(self, track_id: int, before: _Sighting, now: _Sighting) -> Iterator[UncertainMoment]:
        """Yield what is uncertain about a track's next detection: a gap before it, a jump, another identity."""
        gap, moved = now.time - before.time, _heights(before.box, now.box)
        if gap > max(REID_AFTER_S, 1.5 * self._step) + self._step:
            text = f"re-identified after {gap:.1f} s, {moved:.1f} box heights away"
            risk = min(0.9, 0.4 + 0.05 * gap + 0.1 * moved)
            yield UncertainMoment(risk, now.time, track_id, 0, "re-identified", text)
        elif moved > JUMP_HEIGHTS:
            text = f"jumps by {moved:.1f} box heights within {gap:.2f} s"
            yield UncertainMoment(min(0.9, 0.5 + 0.2 * moved), now.time, track_id, 0, "jump", text)
        if None not in (before.name, now.name) and before.name != now.name:
            text = f"identity changes from {before.name} to {now.name}"
            yield UncertainMoment(0.97, now.time, track_id, 0, "identity", text)

    def _cross(self, time: float, now: Mapping[int, _Sighting]) -> None:
        """Follow the pairs that overlap; those that are apart for a while have crossed."""
        ids = list(now)
        xyxy = np.array([sighting.box for sighting in now.values()], np.float32).reshape(-1, 4)
        overlap = np.triu(boxes.iou(xyxy, xyxy), 1)
        for a, b in zip(*np.nonzero(overlap >= MIN_OVERLAP)):
            pair = (min(ids[a], ids[b]), max(ids[a], ids[b]))
            value = float(overlap[a, b])
            if pair not in self._crossings:
                first, second = now[pair[0]], now[pair[1]]
                young = time - max(first.since, second.since) < YOUNG_S and time > (self._begin or 0.0) + YOUNG_S
                self._crossings[pair] = _Crossing(time, time, _similarity(first, second), young)
            known = self._crossings[pair]
            known.last = time
            if value > known.overlap:
                known.overlap, known.peak = value, time
        over = [pair for pair, crossing in self._crossings.items() if time - crossing.last > APART_S]
        for pair in over:
            self._keep(_crossed(pair, self._crossings.pop(pair)))


def _sightings(time: float, rows: Detections) -> dict[int, _Sighting]:
    """Return the detections of a frame by track id."""
    names, embedding = rows.gallery_id.tolist(), rows.embedding
    computed = [False] * len(rows) if embedding is None else (rows.fresh & embedding.any(1)).tolist()
    return {
        track_id: _Sighting(
            time,
            time,
            (box[0], box[1], box[2], box[3]),
            None if names[row] is None else str(names[row]),
            embedding[row] if embedding is not None and computed[row] else None,
        )
        for row, (track_id, box) in enumerate(zip(rows.track_id.tolist(), rows.final_xyxy.tolist()))
    }


def _merged(before: _Sighting | None, now: _Sighting) -> _Sighting:
    """Return the newest detection, with the last known name and the mean of the embeddings."""
    if before is None:
        return now
    mean, newest = before.appearance, now.appearance
    if mean is not None and newest is not None:
        newest = mean + np.float32(APPEARANCE_RATE) * (newest - mean)
    return _Sighting(before.since, now.time, now.box, now.name or before.name, mean if newest is None else newest)


def _crossed(pair: tuple[int, int], crossing: _Crossing) -> UncertainMoment:
    similarity = crossing.similarity or 0.0
    risk = 0.2 + 0.5 * crossing.overlap + 0.2 * max(similarity, 0) + (0.3 if crossing.young else 0.0)
    text = f"crosses track {pair[1]}: overlap {100 * crossing.overlap:.0f} %{_similar(crossing.similarity)}"
    return UncertainMoment(min(risk, 0.95), crossing.peak, *pair, "crossing", text)


def _similarity(one: _Sighting, other: _Sighting) -> float | None:
    """Return the cosine of two tracks' mean embeddings; None where one has none."""
    a, b = one.appearance, other.appearance
    if a is None or b is None:
        return None
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9))


def _similar(similarity: float | None) -> str:
    return "" if similarity is None else f", similarity {similarity:.2f}"


def _heights(before: Box, after: Box) -> float:
    """Return the distance of two boxes' centres in heights of the larger one."""
    x1, y1, x2, y2 = before
    u1, v1, u2, v2 = after
    return math.hypot(x1 + x2 - u1 - u2, y1 + y2 - v1 - v2) / 2 / max(y2 - y1, v2 - v1, 1.0)
