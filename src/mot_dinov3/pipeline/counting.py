"""Counts crossings and visits; supervision decides on which side of a line, and in which zone, a track is."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import BoolArray, Detections, Frame
from mot_dinov3.pipeline.regions import Region
from mot_dinov3.sinks.base import Sink

SETTLE_SECONDS = 0.1  # s for which a track has to stay on the other side of a line or border
LOST_SECONDS = 5.0  # s for which a track that is gone is still on its side of a line


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
    """

    region: Region
    entered: Counter[int] = dataclasses.field(default_factory=Counter)
    left: Counter[int] = dataclasses.field(default_factory=Counter)
    visitors: Counter[int] = dataclasses.field(default_factory=Counter)
    inside: int = 0
    most: int = 0

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
            trigger.add(rows)

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

    def add(self, rows: Detections) -> None:
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

    def add(self, rows: Detections) -> None:
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
        self._now = int(inside.sum())
        self._most = max(self._most, self._now)

    def count(self) -> RegionCount:
        return dataclasses.replace(self._count, inside=self._now, most=self._most)


def _known(counts: Mapping[Any, int]) -> dict[int, int]:
    return {-1 if class_id is None else int(class_id): number for class_id, number in counts.items()}


def count_rows(counts: Sequence[RegionCount], names: Mapping[int, str]) -> list[tuple[str, ...]]:
    """Return a table: its head, then a row for each region and class."""
    table: list[tuple[str, ...]] = [
        ("place", "kind", "class_id", "class_name", "in", "out", "visitors", "most_at_once")
    ]
    for count in counts:
        kind = "line" if count.region.is_line else "zone"
        for class_id in count.classes or [-1]:
            more = ("", "") if count.region.is_line else (count.visitors[class_id], count.most)
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
        most = "" if count.region.is_line else f"; at most {count.most} at once"
        lines.append(f"{count.region.name}: {'; '.join(parts) or 'nobody'}{most}")
    return lines


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
        records.append(record if count.region.is_line else {**record, "most_at_once": count.most})
    return records
