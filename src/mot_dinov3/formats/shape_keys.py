"""Keys of det-v1 for more than a box: rotated box, keypoints, outlines, what an annotator said of it.

``obb`` is [centre x, centre y, width, height, angle], the angle in radians and clockwise, ``keypoints`` are [x, y,
score], ``segments`` are polygons of [x, y]; all are in pixels. ``occluded`` is true for an object that is partly
hidden, ``attributes`` are name → text. A reader of det-v1 keeps such a key whatever it holds:
here it is valid, or not there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

from mot_dinov3.core.json_text import MAX_COORDINATE, is_number

OBB, KEYPOINTS, SEGMENTS = "obb", "keypoints", "segments"
OCCLUDED, ATTRIBUTES = "occluded", "attributes"

Corners = tuple[float, float, float, float]
Point = tuple[float, float]


def obb_of(record: Mapping[str, Any] | None) -> list[float] | None:
    """Return a record's rotated box; None where it has no valid one."""
    value = (record or {}).get(OBB)
    return list(map(float, value)) if _is_numbers(value, 5) and min(value[2:4]) > 0 else None


def keypoints_of(record: Mapping[str, Any] | None) -> list[list[float]] | None:
    """Return a record's keypoints, each with a score; None where it has no valid ones."""
    value = (record or {}).get(KEYPOINTS)
    if not isinstance(value, list) or not value or not all(_is_numbers(p, 2) or _is_numbers(p, 3) for p in value):
        return None
    return [[float(p[0]), float(p[1]), float(p[2]) if len(p) > 2 else 1.0] for p in value]


def segments_of(record: Mapping[str, Any] | None) -> list[list[Point]]:
    """Return a record's polygons of three or more points, as far as they are valid."""
    value = (record or {}).get(SEGMENTS)
    polygons = value if isinstance(value, list) else []
    return [
        [(float(x), float(y)) for x, y in polygon]
        for polygon in polygons
        if isinstance(polygon, list) and len(polygon) > 2 and all(_is_numbers(point, 2) for point in polygon)
    ]


def is_occluded(record: Mapping[str, Any] | None) -> bool:
    """Return whether a record is that of an object that is partly hidden."""
    return (record or {}).get(OCCLUDED) is True


def attributes_of(record: Mapping[str, Any] | None) -> dict[str, str]:
    """Return a record's attributes that are texts, by name."""
    value = (record or {}).get(ATTRIBUTES)
    found = value if isinstance(value, dict) else {}
    return {name: text for name, text in found.items() if isinstance(text, str) and name}


def unkept(record: Mapping[str, Any], shapes: Iterable[str]) -> set[str]:
    """Return which keys of a record a format with some `shapes` does not keep: others, and those that are not valid."""
    valid: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
        OBB: obb_of,
        KEYPOINTS: keypoints_of,
        SEGMENTS: segments_of,
        OCCLUDED: is_occluded,
        ATTRIBUTES: attributes_of,
    }
    return set(record) - {key for key in shapes if valid[key](record) or not record.get(key)}


def upright(obb: list[float]) -> Corners:
    """Return the corners of a rotated box before its rotation."""
    x, y, width, height, _ = obb
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def rotated(box: Corners, degrees: float) -> tuple[Corners, list[float]]:
    """Return the upright hull of a box that is rotated clockwise around its centre, and the box as ``obb``."""
    angle = math.radians(degrees)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    width, height = box[2] - box[0], box[3] - box[1]
    across = (width * abs(math.cos(angle)) + height * abs(math.sin(angle))) / 2
    down = (width * abs(math.sin(angle)) + height * abs(math.cos(angle))) / 2
    return (x - across, y - down, x + across, y + down), [x, y, width, height, angle]


def polygon_area(polygon: list[Point]) -> float:
    """Return the area that a polygon encloses, in square pixels."""
    ends = [*polygon[1:], polygon[0]]
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(polygon, ends))) / 2


def _is_numbers(value: object, count: int) -> TypeGuard[list[float]]:
    """Tell whether a value is a list of so many finite numbers of a plausible size."""
    if not isinstance(value, list) or len(value) != count or not all(map(is_number, value)):
        return False
    return max(map(abs, value)) <= MAX_COORDINATE
