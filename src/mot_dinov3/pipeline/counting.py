"""Counts crossings and visits; supervision decides on which side of a line, and in which zone, a track is."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import BoolArray, Detections, Float64Array, Frame
from mot_dinov3.pipeline.regions import Region
from mot_dinov3.sinks.base import Sink

SETTLE_SECONDS = 0.1  # s for which a track has to stay on the other side of a line or border
IRREGULAR_PLURALS = {"sheep": "sheep", "mouse": "mice", "knife": "knives", "skis": "skis", "scissors": "scissors"}
LOST_SECONDS = 5.0  # s for which a track that is gone is still on its side of a line


@dataclasses.dataclass(frozen=True)
class DwellTime:
    """The time that a track spent in a zone: from sighting to sighting in it, with gaps of up to `LOST_SECONDS`.

    Attributes:
        class_id: Class of the track when it was last seen there.
        first: Time of its first sighting in the zone, s.
        last: The same of the last one.
        seconds: Time in the zone; visits add up.
    """

    class_id: int
    first: float
    last: float
    seconds: float = 0.0

    def seen(self, class_id: int, time: float, *, stayed: bool) -> DwellTime:
        """Return it after another sighting; `stayed`: the track did not leave in between."""
        gap = time - self.last
        more = gap if stayed and gap <= LOST_SECONDS else 0.0
        return DwellTime(class_id, self.first, time, self.seconds + more)


@dataclasses.dataclass(frozen=True)
class RegionCount:
    """The numbers counted at one line or zone.

    Attributes:
        region: The line or zone.
        entered: By class id: across the line inwards, or into the zone.
        left: The same the other way.
        visitors: By class id: tracks that were ever in the zone; nothing for a line.
        inside: Tracks in the zone now.
        most: Most tracks in the zone at once.
        dwell: Of each track that was ever in the zone, by id.
        present: Tracks in the zone now, by id.
    """

    region: Region
    entered: Counter[int] = dataclasses.field(default_factory=Counter)
    left: Counter[int] = dataclasses.field(default_factory=Counter)
    visitors: Counter[int] = dataclasses.field(default_factory=Counter)
    inside: int = 0
    most: int = 0
    dwell: Mapping[int, DwellTime] = dataclasses.field(default_factory=dict)
    present: Collection[int] = ()

    @property
    def classes(self) -> list[int]:
        """Return the classes that were counted."""
        return sorted({*self.entered, *self.left, *self.visitors})

    def text(self) -> str:
        """Return the numbers as they are drawn: ``in 3  out 1``."""
        now = "" if self.region.is_line else f"  now {self.inside}"
        return f"in {sum(self.entered.values())}  out {sum(self.left.values())}{now}"


class RegionCounter(Sink):
    """Counts settled rows at all regions; put it before the sinks that write what it counted.

    Rows without a track do not count, predicted ones do.
    """

    def __init__(self, regions: Iterable[Region], fps: float) -> None:
        self._triggers = [
            _LineTrigger(region, fps) if region.is_line else _ZoneTrigger(region, fps) for region in regions
        ]

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        rows = detections[detections.track_id >= 1].with_track_boxes()
        for trigger in self._triggers:
            trigger.add(rows, frame.time)

    def counts(self) -> list[RegionCount]:
        """Return what was counted so far."""
        return [trigger.count() for trigger in self._triggers]


class _LineTrigger:
    """A line. A track that vanishes near it and comes back on the other side has crossed it."""

    def __init__(self, region: Region, fps: float) -> None:
        import supervision

        (x1, y1), (x2, y2) = region.points.tolist()
        self._region = region
        self._lost_frames = round(LOST_SECONDS * fps)
        self._frame = 0
        self._last: dict[int, tuple[int, Detections]] = {}
        self._line = supervision.LineZone(
            start=supervision.Point(x1, y1),
            end=supervision.Point(x2, y2),
            triggering_anchors=[supervision.Position.BOTTOM_CENTER],
            minimum_crossing_threshold=max(1, round(SETTLE_SECONDS * fps)),
        )

    def add(self, rows: Detections, time: float) -> None:
        self._frame += 1
        present = set(rows.track_id.tolist())
        self._last = {
            k: v for k, v in self._last.items() if k not in present and self._frame - v[0] <= self._lost_frames
        }
        # supervision forgets a track's side after a few frames without it: show it those that are gone where they were
        gone = [row for _, row in self._last.values()]
        self._line.trigger(Detections.concat([rows, *gone]).to_supervision())
        self._last |= {int(rows.track_id[k]): (self._frame, rows[k : k + 1]) for k in range(len(rows))}

    def count(self) -> RegionCount:
        entered, left = self._line.in_count_per_class, self._line.out_count_per_class
        return RegionCount(self._region, Counter(_known(entered)), Counter(_known(left)))


class _ZoneTrigger:
    """A zone. A track that is in it when first seen has not entered it, but counts as a visitor."""

    def __init__(self, region: Region, fps: float) -> None:
        import supervision

        self._settle_frames = max(1, round(SETTLE_SECONDS * fps))
        self._count = RegionCount(region)
        self._zone = supervision.PolygonZone(np.rint(region.points).astype(np.int64))
        self._inside: dict[int, bool] = {}
        self._other: dict[int, int] = {}  # frames in a row on the other side of the border
        self._visited: set[int] = set()
        self._now = self._most = 0
        self._dwell: dict[int, DwellTime] = {}
        self._present: set[int] = set()
        self._left: set[int] = set()  # seen outside since they were last in the zone

    def add(self, rows: Detections, time: float) -> None:
        inside: BoolArray = self._zone.trigger(rows.to_supervision())
        for track_id, class_id, within in zip(rows.track_id.tolist(), rows.class_id.tolist(), inside.tolist()):
            if within != self._inside.setdefault(track_id, within):
                self._other[track_id] = self._other.get(track_id, 0) + 1
                if self._other[track_id] < self._settle_frames:
                    continue
                (self._count.entered if within else self._count.left)[class_id] += 1
                self._inside[track_id] = within
            self._other.pop(track_id, None)
            if within and track_id not in self._visited:
                self._visited.add(track_id)
                self._count.visitors[class_id] += 1
        self._add_dwell(rows, time)
        self._now = int(inside.sum())
        self._most = max(self._most, self._now)

    def _add_dwell(self, rows: Detections, time: float) -> None:
        """Add the time since the last sighting of the tracks that are settled in the zone."""
        ids = rows.track_id.tolist()
        away = {track_id for track_id in ids if not self._inside[track_id]}
        self._present = {track_id for track_id in ids if track_id not in away}
        for track_id, class_id in zip(ids, rows.class_id.tolist()):
            if track_id in self._present:
                known = self._dwell.get(track_id) or DwellTime(class_id, time, time)
                self._dwell[track_id] = known.seen(class_id, time, stayed=track_id not in self._left)
        self._left = (self._left | away) - self._present

    def count(self) -> RegionCount:
        return dataclasses.replace(
            self._count, inside=self._now, most=self._most, dwell=self._dwell, present=self._present
        )


def _known(counts: Mapping[Any, int]) -> dict[int, int]:
    return {-1 if class_id is None else int(class_id): number for class_id, number in counts.items()}


def count_rows(counts: Sequence[RegionCount], names: Mapping[int, str]) -> list[tuple[str, ...]]:
    """Return a table: its head, then a row for each region and class."""
    table: list[tuple[str, ...]] = [
        ("place", "kind", "class_id", "class_name", "in", "out", "visitors", "most_at_once", "mean_s", "longest_s")
    ]
    for count in counts:
        kind = "line" if count.region.is_line else "zone"
        for class_id in count.classes or [-1]:
            more: tuple[object, ...] = ("",) * 4
            if not count.region.is_line:
                seconds = [dwell.seconds for dwell in count.dwell.values() if dwell.class_id == class_id] or [0.0]
                times = f"{np.mean(seconds):.2f}", f"{max(seconds):.2f}"
                more = (count.visitors[class_id], count.most, *times)
            row = (kind, class_id, names.get(class_id, ""), count.entered[class_id], count.left[class_id], *more)
            table.append((count.region.name, *map(str, row)))
    return table


def count_lines(counts: Sequence[RegionCount], names: Mapping[int, str]) -> list[str]:
    """Return a line of text for each region: ``line 1: person in 3, out 1; car in 0, out 2``."""
    lines = []
    for count in counts:
        parts = []
        for class_id in count.classes:
            name = names.get(class_id, "objects" if class_id < 0 else f"class {class_id}")
            visitors = "" if count.region.is_line else f", {count.visitors[class_id]} tracks in all"
            parts.append(f"{name} in {count.entered[class_id]}, out {count.left[class_id]}{visitors}")
        most = "" if count.region.is_line else f"; at most {count.most} at once{_dwell_text(count)}"
        lines.append(f"{count.region.name}: {'; '.join(parts) or 'nobody'}{most}")
    return lines


def _dwell_text(count: RegionCount) -> str:
    """Return mean and longest time in a zone: ``; 4.2 s on average, longest 12.3 s (ID 7)``."""
    if not count.dwell:
        return ""
    longest = max(count.dwell, key=lambda track_id: count.dwell[track_id].seconds)
    mean = np.mean([dwell.seconds for dwell in count.dwell.values()])
    return f"; {mean:.1f} s on average, longest {count.dwell[longest].seconds:.1f} s (ID {longest})"


def dwell_rows(counts: Sequence[RegionCount], names: Mapping[int, str]) -> list[tuple[str, ...]]:
    """Return a table: its head, then a row for each zone and track that was in it."""
    table: list[tuple[str, ...]] = [("place", "track_id", "class_id", "class_name", "first_s", "last_s", "seconds")]
    for count in counts:
        for track_id, dwell in sorted(count.dwell.items()):
            known = (track_id, dwell.class_id, names.get(dwell.class_id, ""))
            times = (f"{value:.3f}" for value in (dwell.first, dwell.last, dwell.seconds))
            table.append((count.region.name, *map(str, known), *times))
    return table


def count_sentences(count: RegionCount, names: Mapping[int, str]) -> list[str]:
    """Return what was counted at a region in words: ``12 persons crossed line 1 from left to right``, ….

    The two directions of a line are told as they are seen in the image.
    """
    name = count.region.name
    if not count.region.is_line:
        return [
            f"{_number(count.visitors[k], k, names)} in {name}: {count.entered[k]} entered, {count.left[k]} left"
            for k in count.classes
        ] + [f"at most {count.most} at once in {name}{_dwell_text(count)}"]
    inwards = inward_direction(count.region)
    ways = (count.entered, _way(inwards)), (count.left, _way(-inwards))
    sentences = [
        f"{_number(numbers[k], k, names)} crossed {name} {way}"
        for numbers, way in ways
        for k in sorted(numbers)
        if numbers[k]
    ]
    return sentences or [f"nothing crossed {name}"]


def inward_direction(region: Region) -> Float64Array:
    """Return the unit vector, ``(2,)``, of a crossing that counts as in: from the right of a line to its left."""
    dx, dy = region.points[1] - region.points[0]
    inwards: Float64Array = np.array([dy, -dx]) / np.hypot(dx, dy)
    return inwards


def _way(direction: Float64Array) -> str:
    x, y = direction.tolist()
    if abs(x) >= abs(y):
        return "from left to right" if x > 0 else "from right to left"
    return "from top to bottom" if y > 0 else "from bottom to top"


def _number(count: int, class_id: int, names: Mapping[int, str]) -> str:
    """Return a number of objects of a class in words: ``1 person``, ``3 buses``, ``2 objects``."""
    name = names.get(class_id, "object" if class_id < 0 else f"object of class {class_id}")
    if count == 1:
        return f"1 {name}"
    head, _, rest = name.partition(" of ")
    if head in IRREGULAR_PLURALS:
        plural = IRREGULAR_PLURALS[head]
    elif head.endswith(("s", "x", "ch", "sh")):
        plural = f"{head}es"
    else:
        plural = f"{head[:-1]}ies" if re.search("[^aeiou]y$", head) else f"{head}s"
    return f"{count} {plural} of {rest}" if rest else f"{count} {plural}"


def count_records(counts: Sequence[RegionCount], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the counts as track-v1 has them: an object for each region."""
    records = []
    for count in counts:
        by_class = []
        for class_id in count.classes:
            numbers: dict[str, Any] = {"class_id": class_id}
            numbers |= {"class_name": names[class_id]} if class_id in names else {}
            numbers |= {"in": count.entered[class_id], "out": count.left[class_id]}
            by_class.append(numbers if count.region.is_line else {**numbers, "visitors": count.visitors[class_id]})
        kind = "line" if count.region.is_line else "zone"
        record: dict[str, Any] = {"name": count.region.name, "kind": kind}
        record |= {"points": np.round(count.region.points, 2).tolist(), "classes": by_class}
        if not count.region.is_line:
            times = sorted(count.dwell.items())
            record |= {"most_at_once": count.most}
            record |= {"dwell": [{"track_id": track_id, "seconds": round(t.seconds, 3)} for track_id, t in times]}
        records.append(record)
    return records
