"""Labelled frames resolved into instances, each with its keypoints and outlines."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.errors import FormatError
from mot_dinov3.formats.labelme import LabelledFrame
from mot_dinov3.formats.labelme_shapes import Shape
from mot_dinov3.keypoints.geometry import Points

UNASSIGNED = "instance"  # name of the instance of points that belong to no other


@dataclasses.dataclass(frozen=True)
class LabelledInstance:
    """One instance of one labelled frame.

    Attributes:
        name: Unique among the instances of the video.
        group_id: Stable number of the instance.
        keypoints: ``n`` names, each once.
        xy: ``(n, 2)`` float64 pixels; NaN for a keypoint that is not labelled here.
        polygons: Outlines, each ``(k, 2)``; empty where the instance has none.
    """

    name: str
    group_id: int
    keypoints: tuple[str, ...]
    xy: Points
    polygons: tuple[Points, ...] = ()

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """``(n,)`` bool: the keypoint is labelled here."""
        return np.asarray(np.isfinite(self.xy).all(1), np.bool_)


@dataclasses.dataclass(eq=False)
class _Group:
    """The shapes of one instance while a frame is being resolved."""

    base: str
    group_id: int | None
    polygons: list[Points] = dataclasses.field(default_factory=list)
    points: dict[str, Points] = dataclasses.field(default_factory=dict)

    def contains(self, shape: Shape) -> bool:
        """Return whether a point lies in one of the outlines."""
        return any(_inside(p, shape.points[0]) for p in self.polygons)


@dataclasses.dataclass(frozen=True)
class Labels:
    """All labelled frames of a video, with the same instances and keypoints, in the same order, in each.

    Attributes:
        frames: Frame number → its instances; one that is not in a frame has only NaN there.
        notices: Ambiguous or skipped labels.
    """

    frames: dict[int, tuple[LabelledInstance, ...]]
    notices: tuple[str, ...]


def resolve_instances(labelled: Sequence[LabelledFrame]) -> Labels:
    """Assign points to instances, and give every instance a name and a number that are the same in all frames.

    Raises:
        FormatError: No frame has a labelled point.
    """
    notices = [n for frame in labelled for n in frame.notices]
    found = {frame.frame: _associate(frame, notices) for frame in labelled}
    found = {number: instances for number, instances in found.items() if any(i.points for i in instances)}
    if not found:
        where = labelled[0].path.parent if labelled else "the result folder"
        raise FormatError(f"no labelled point in '{where}'", remedy="label points on one frame with LabelMe or Annolid")
    named = _by_unique_name(found)
    order: dict[str, dict[str, None]] = {}
    group_ids: dict[str, int | None] = {}
    for groups in named.values():
        for name, group in groups.items():
            order.setdefault(name, {}).update(dict.fromkeys(group.points))
            if group_ids.get(name) is None:
                group_ids[name] = group.group_id
    order = {name: points for name, points in order.items() if points}
    numbers = _numbers({name: group_ids[name] for name in order})
    frames = {}
    for number, groups in named.items():
        row = []
        for name, keypoints in order.items():
            group = groups.get(name, _Group(name, None))
            xy = np.array([group.points.get(k, (np.nan, np.nan)) for k in keypoints], np.float64)
            row.append(LabelledInstance(name, numbers[name], tuple(keypoints), xy, tuple(group.polygons)))
        frames[number] = tuple(row)
    return Labels(frames, tuple(notices))


def _associate(frame: LabelledFrame, notices: list[str]) -> list[_Group]:
    """Group a frame's shapes into instances; the first rule that applies to a point decides."""
    outlined: list[_Group] = []
    for shape in frame.shapes:
        if not shape.is_point:
            _of_outline(outlined, shape).polygons.append(shape.points)
    instances = list(outlined)
    unassigned: list[Shape] = []
    for shape in (s for s in frame.shapes if s.is_point):
        owner = _owner(shape, instances, outlined)
        if owner is None:
            unassigned.append(shape)
            continue
        _put(owner, shape, frame, notices)
        if owner in outlined and not owner.contains(shape):
            notices.append(f"'{frame.path.name}': point '{shape.label}' is outside the mask of '{owner.base}'")
    if unassigned:
        rest = _Group(UNASSIGNED, None)
        instances.append(rest)
        if outlined:
            labels = ", ".join(s.label for s in unassigned)
            notices.append(f"'{frame.path.name}': points without a clear instance form a separate one: {labels}")
        for shape in unassigned:
            _put(rest, shape, frame, notices)
    return instances


def _of_outline(instances: list[_Group], shape: Shape) -> _Group:
    base = shape.instance or shape.label
    for instance in instances:
        if instance.base == base and shape.group_id is not None and instance.group_id == shape.group_id:
            return instance
    instances.append(_Group(base, shape.group_id))
    return instances[-1]


def _owner(shape: Shape, instances: list[_Group], outlined: list[_Group]) -> _Group | None:
    if shape.instance:
        return _of_label(shape, instances)
    if shape.group_id is not None:
        same = [i for i in outlined if i.group_id == shape.group_id]
        if len(same) == 1:
            return same[0]
    around = [i for i in outlined if i.contains(shape)]
    if len(around) == 1:
        return around[0]
    if shape.group_id is None:
        return None
    for instance in instances:  # points that share a number belong together, also without an outline
        if instance not in outlined and instance.group_id == shape.group_id:
            return instance
    instances.append(_Group(f"{UNASSIGNED}_{shape.group_id}", shape.group_id))
    return instances[-1]


def _of_label(shape: Shape, instances: list[_Group]) -> _Group:
    """Return the instance that an explicit label names; the group id distinguishes those that share the label."""
    same = [i for i in instances if i.base == shape.instance]
    exact = [i for i in same if i.group_id == shape.group_id]
    if len(exact) == 1:
        return exact[0]
    if shape.group_id is None and same:
        around = [i for i in same if i.contains(shape)]
        return (around or same)[0]
    unnumbered = [i for i in same if i.group_id is None]
    if len(unnumbered) == 1 and len(same) == 1:
        unnumbered[0].group_id = shape.group_id
        return unnumbered[0]
    instances.append(_Group(shape.instance, shape.group_id))
    return instances[-1]


def _put(instance: _Group, shape: Shape, frame: LabelledFrame, notices: list[str]) -> None:
    name = keypoint_name(shape, instance.base)
    if name in instance.points:
        notices.append(f"'{frame.path.name}': '{instance.base}' has two points '{name}'; the first one is used")
        return
    instance.points[name] = shape.points[0]


def keypoint_name(shape: Shape, instance: str) -> str:
    """Return the keypoint's name: a combined label like ``animalnose`` without its instance's name."""
    for whole in dict.fromkeys((shape.instance, instance)):
        if whole and shape.label.startswith(whole) and len(shape.label) > len(whole):
            rest = shape.label[len(whole) :]
            stripped = rest.lstrip(" _-:.")
            if stripped and (stripped == shape.display or not shape.display):
                return stripped
    return shape.label


def _inside(polygon: Points, point: Points) -> bool:
    """Return whether a point lies in a polygon, by the even-odd rule."""
    x, y = point
    x1, y1 = polygon.T
    x2, y2 = np.roll(polygon, -1, axis=0).T
    crossing = (y1 > y) != (y2 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
    return bool(np.count_nonzero(crossing & (x < at)) % 2)


def _by_unique_name(found: dict[int, list[_Group]]) -> dict[int, dict[str, _Group]]:
    """Return frame → name → instance, frames in order; a label that two of a frame share gets their numbers."""
    shared = {
        base
        for groups in found.values()
        for base, count in collections.Counter(g.base for g in groups).items()
        if count > 1
    }
    named: dict[int, dict[str, _Group]] = {}
    for number, groups in sorted(found.items()):
        position: collections.Counter[str] = collections.Counter()
        names = []
        for group in groups:
            position[group.base] += 1
            mark = group.group_id if group.group_id is not None else position[group.base]
            names.append(f"{group.base}_{mark}" if group.base in shared else group.base)
        doubled = [name for name in names if names.count(name) > 1]
        if doubled:
            raise FormatError(
                f"frame {number}: two instances have the name '{doubled[0]}'", remedy="give each its own group_id"
            )
        named[number] = dict(zip(names, groups))
    return named


def _numbers(wanted: dict[str, int | None]) -> dict[str, int]:
    """Return a number for each instance: its own where no one before has it, else the lowest free one."""
    taken: dict[str, int] = {}
    for name, number in wanted.items():
        if number is not None and number not in taken.values():
            taken[name] = number
    free = (n for n in range(1, len(wanted) + len(taken) + 2) if n not in set(taken.values()))
    return {name: taken[name] if name in taken else next(free) for name in wanted}
