"""Points and outlines as the page sends them, validated where they come in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from mot_dinov3.core.errors import InputError
from mot_dinov3.core.structures import PointState

MAX_NAME = 100  # characters
MAX_SHAPES = 5000  # of a frame, and corners of an outline

STATES = {state.name.lower(): state for state in PointState}


@dataclasses.dataclass(frozen=True)
class LabelShape:
    """A point or an outline that a person drew, as the page sends it.

    Attributes:
        kind: ``point`` or ``polygon``.
        instance: Name of the instance that it belongs to.
        name: Of a keypoint; empty for an outline.
        points: ``n`` places in source pixels; one for a point, none for one that is not in the frame.
        origin: Index of the shape of the file that it was made from, −1 for a new one.
        state: Visible, occluded, or lost: not in the frame.
    """

    kind: str
    instance: str
    name: str
    points: list[list[float]]
    origin: int
    state: PointState = PointState.VISIBLE

    @classmethod
    def parse(cls, raw: object, size: tuple[int, int]) -> LabelShape:
        """Return a shape from its JSON.

        Raises:
            InputError: It is no point or outline, or lies outside the image.
        """
        if not isinstance(raw, dict) or raw.get("kind") not in ("point", "polygon"):
            raise InputError("a label must be a point or a polygon")
        kind = raw["kind"]
        instance = label_name(raw.get("instance"), "an instance")
        name = label_name(raw.get("name"), "a keypoint") if kind == "point" else ""
        origin = raw.get("origin", -1)
        origin = origin if type(origin) is int else -1
        state = _state(raw.get("state", "visible"), name) if kind == "point" else PointState.VISIBLE
        if state == PointState.LOST:
            return cls(kind, instance, name, [], origin, state)
        points = raw.get("points")
        fewest = 1 if kind == "point" else 3
        if not isinstance(points, list) or not fewest <= len(points) <= (1 if kind == "point" else MAX_SHAPES):
            raise InputError(f"{kind} '{name or instance}' needs {'one position' if fewest == 1 else 'three corners'}")
        places = [_point(point, size, name or instance) for point in points]
        return cls(kind, instance, name, places, origin, state)


def label_name(value: object, what: str) -> str:
    """Return a name that labels and files can have; `what` has it.

    Raises:
        InputError: It is empty, too long or not printable, or contains a slash.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME or not value.isprintable():
        raise InputError(f"{what} needs a name of at most {MAX_NAME} printable characters")
    if "/" in value or "\\" in value:
        raise InputError(f"name '{value}' contains a slash", remedy="choose a name without a slash")
    return value.strip()


def _state(value: object, name: str) -> PointState:
    if not isinstance(value, str) or value not in STATES:
        raise InputError(f"the state of '{name}' must be one of {', '.join(STATES)}")
    return STATES[value]


def _point(point: object, size: tuple[int, int], name: str) -> list[float]:
    if not isinstance(point, list) or len(point) != 2 or not all(type(v) in (int, float) for v in point):
        raise InputError(f"'{name}' needs two numbers for each point")
    x, y = (float(v) for v in point)
    if not (math.isfinite(x) and math.isfinite(y) and 0 <= x <= size[0] and 0 <= y <= size[1]):
        raise InputError(f"'{name}' at {x:g}, {y:g} is outside the image of {size[0]}×{size[1]}")
    return [round(x, 2), round(y, 2)]


def check_unique(shapes: Sequence[LabelShape]) -> None:
    """Raise `InputError` where an instance has two points of one name."""
    held: set[tuple[str, str]] = set()
    for shape in shapes:
        key = shape.instance, shape.name
        if shape.kind == "point" and key in held:
            raise InputError(f"'{shape.instance}' has two points '{shape.name}'", remedy="rename or delete one")
        held.add(key)
