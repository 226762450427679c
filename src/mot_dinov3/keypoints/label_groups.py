"""Points of a labelled frame assigned to instances: by explicit label, group, place and the names that others have."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from mot_dinov3.core.structures import PointState
from mot_dinov3.formats.labelme import LabelledFrame
from mot_dinov3.formats.labelme_shapes import Shape
from mot_dinov3.keypoints.geometry import Points

UNASSIGNED = "instance"  # name of the instance of points that belong to no other
SHORTEST_COMBINED = 3  # characters of an instance's name that a label can begin with, without a separator
NEAR = 0.1  # of an outline's extent: a point at most so far outside of it belongs to it …
NEAR_NAMED = 0.5  # … or so far, where a keypoint of that name is known, and the instance has none here


@dataclasses.dataclass(frozen=True)
class LabelledPoint:
    """A keypoint as labelled: ``(2,)`` pixels, and its state; the place of a lost one, which is absent, is NaN."""

    xy: Points
    state: PointState = PointState.VISIBLE


@dataclasses.dataclass(eq=False)
class Group:
    """The shapes of one instance in one frame.

    Attributes:
        base: Its label.
        group_id: LabelMe's number, or None.
        polygons: Labelled outlines.
        predicted: Outlines of an untouched prediction: they tell whose a point is, but are no labels.
        points: Keypoint → label.
        is_absent: The whole instance is not in the frame.
    """

    base: str
    group_id: int | None
    polygons: list[Points] = dataclasses.field(default_factory=list)
    predicted: list[Points] = dataclasses.field(default_factory=list)
    points: dict[str, LabelledPoint] = dataclasses.field(default_factory=dict)
    is_absent: bool = False

    @property
    def outlines(self) -> list[Points]:
        """All outlines, labelled or predicted."""
        return [*self.polygons, *self.predicted]

    @property
    def corners(self) -> Points:
        """``(n, 2)`` positions of all points and corners."""
        places = [p.xy[None] for p in self.points.values() if p.state != PointState.LOST]
        return np.vstack([np.zeros((0, 2)), *places, *self.outlines])

    def join(self, other: Group) -> None:
        """Take over the shapes of another group."""
        self.polygons += other.polygons
        self.predicted += other.predicted
        self.points |= other.points
        self.group_id = other.group_id if self.group_id is None else self.group_id
        self.is_absent = self.is_absent or other.is_absent

    def contains(self, shape: Shape) -> bool:
        """Return whether a point lies in one of the outlines."""
        return any(is_inside(p, shape.points[0]) for p in self.outlines)

    def distance(self, shape: Shape) -> float:
        """Return the pixels from a point to the nearest outline, in shares of the instance's extent."""
        extent = max(float(np.ptp(np.vstack(self.outlines), axis=0).max()), 1.0)
        return min(_to_polygon(p, shape.points[0]) for p in self.outlines) / extent


@dataclasses.dataclass(eq=False)
class FrameGroups:
    """The instances of one frame while they are being resolved, and the points that none of them clearly owns."""

    frame: LabelledFrame
    groups: list[Group] = dataclasses.field(default_factory=list)
    unclear: list[Shape] = dataclasses.field(default_factory=list)


def group_frames(labelled: Sequence[LabelledFrame], notices: list[str]) -> dict[int, list[Group]]:
    """Return frame → instances; the first rule that applies to a point decides.

    The rules: an explicit instance label; the group id of exactly one outlined instance; inside exactly one outline;
    near an outline whose instance lacks that keypoint here. Other points form an instance of their own.
    """
    # Clear points first: they tell which keypoints the instances have.
    frames = [_clear_groups(frame, notices) for frame in _with_plain_labels(labelled)]
    names = {name for one in frames for group in one.groups for name in group.points}

    # Then the others, by distance and name.
    for one in frames:
        _place_unclear(one, names, notices)

    # Predicted points that a person removed are absent.
    for one in frames:
        for instance, name in one.frame.deleted:
            if not _is_renamed(instance, name, one.frame, frames):
                _mark_deleted(one, instance, name)
    return {one.frame.frame: one.groups for one in frames}


def _is_renamed(instance: str, name: str, frame: LabelledFrame, frames: Sequence[FrameGroups]) -> bool:
    """Return whether a predicted point was given a name that no frame has beside its own: it may be the same point."""
    new = {renamed.new for renamed in frame.renamed if renamed[:2] == (instance, name)}
    both = (g for one in frames for g in one.groups if g.base == instance and name in g.points and new & set(g.points))
    return bool(new) and next(both, None) is None


def _mark_deleted(one: FrameGroups, instance: str, name: str) -> None:
    owner = next((g for g in one.groups if g.base == instance), None)
    if owner is None:
        one.groups.append(owner := Group(instance, None))
    owner.points.setdefault(name, LabelledPoint(np.full(2, np.nan), PointState.LOST))


def _clear_groups(frame: LabelledFrame, notices: list[str]) -> FrameGroups:
    """Group the shapes of a frame whose instance is clear."""
    outlined: list[Group] = []
    for shapes, is_label in ((frame.shapes, True), (frame.predicted, False)):
        for shape in (s for s in shapes if not s.is_point):
            group = _of_outline(outlined, shape)
            if is_label and shape.state == PointState.LOST:
                group.is_absent = True
            else:
                (group.polygons if is_label else group.predicted).append(shape.points)
    found = FrameGroups(frame, list(outlined))
    for shape in (s for s in frame.shapes if s.is_point):
        owner = _owner(shape, found.groups, outlined)
        if owner is None:
            found.unclear.append(shape)
            continue
        _put(owner, shape, frame, notices)
        if owner.outlines and not owner.contains(shape) and shape.state != PointState.LOST:
            notices.append(f"'{frame.path.name}': point '{shape.label}' is outside the mask of '{owner.base}'")
    return found


def _of_outline(instances: list[Group], shape: Shape) -> Group:
    base = shape.instance or shape.label
    for instance in instances:
        if instance.base == base and shape.group_id is not None and instance.group_id == shape.group_id:
            return instance
    instances.append(Group(base, shape.group_id))
    return instances[-1]


def _owner(shape: Shape, instances: list[Group], outlined: list[Group]) -> Group | None:
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
    instances.append(Group(f"{UNASSIGNED}_{shape.group_id}", shape.group_id))
    return instances[-1]


def _of_label(shape: Shape, instances: list[Group]) -> Group:
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
    instances.append(Group(shape.instance, shape.group_id))
    return instances[-1]


def _place_unclear(one: FrameGroups, names: set[str], notices: list[str]) -> None:
    """Give the other points to the nearest instance that they fit, and what is left to an instance of its own."""
    outlined, file = [g for g in one.groups if g.outlines], one.frame.path.name
    left = []
    for shape in sorted(one.unclear, key=lambda s: min((g.distance(s) for g in outlined), default=0.0)):
        fitting = list(_fitting(shape, outlined, names))
        if not fitting:
            left.append(shape)
            continue
        owner = min(fitting, key=lambda g: g.distance(shape))
        _put(owner, shape, one.frame, notices)
        notices.append(f"'{file}': point '{shape.label}' is outside the outline of '{owner.base}'; taken as its own")
    if not left:
        return
    rest = Group(UNASSIGNED, None)
    one.groups.append(rest)
    if outlined:
        labels = ", ".join(f"'{s.label}'" for s in left)
        notices.append(f"'{file}': points without a clear instance form a separate one: {labels}")
    for shape in left:
        _put(rest, shape, one.frame, notices)


def _fitting(shape: Shape, outlined: Sequence[Group], names: set[str]) -> Iterator[Group]:
    """Yield the instances that a point without a clear one can belong to: near, and without such a keypoint."""
    around = [g for g in outlined if g.contains(shape)]
    free = [g for g in around or outlined if shape.label not in g.points]
    if len(around) > 1:
        yield from free if len(free) == 1 else ()
        return
    reach = NEAR_NAMED if shape.label in names else NEAR
    yield from (group for group in free if group.distance(shape) <= reach)


def _put(instance: Group, shape: Shape, frame: LabelledFrame, notices: list[str]) -> None:
    name = shape.label
    if name in instance.points:
        remedy = "" if instance.outlines else "; give each animal its own group_id"
        notices.append(f"'{frame.path.name}': '{instance.base}' has two points '{name}'; the first one is used{remedy}")
        return
    is_absent = shape.state == PointState.LOST
    instance.points[name] = LabelledPoint(np.full(2, np.nan) if is_absent else shape.points[0], shape.state)


def _with_plain_labels(labelled: Sequence[LabelledFrame]) -> list[LabelledFrame]:
    """Return the frames with the names of keypoints as labels, where those are combined as in ``animalnose``.

    Annolid says so by a display label. Without one, labels count as combined only where all of an instance begin with
    its name: ``mouth`` of the animal ``m`` is no ``outh``.
    """
    owners: dict[str, set[str]] = {}
    outlines = {s.instance or s.label for f in labelled for s in (*f.shapes, *f.predicted) if not s.is_point}
    for shape in (s for f in labelled for s in f.shapes if s.is_point):
        owners.setdefault(shape.instance, set()).add(shape.label)
    combined = {
        base: all(any(_rest(label, b) for b in ({base} if base else outlines)) for label in labels)
        for base, labels in owners.items()
    }

    def plain(shape: Shape) -> Shape:
        bases = (shape.instance,) if shape.instance else sorted(outlines, key=len, reverse=True)
        for base in bases if shape.is_point else ():
            if shape.display and shape.label.startswith(base) and shape.label.endswith(shape.display) and base:
                return dataclasses.replace(shape, label=shape.display)
            if not shape.display and combined[shape.instance] and (rest := _rest(shape.label, base)):
                return dataclasses.replace(shape, label=rest)
        return shape

    return [dataclasses.replace(frame, shapes=tuple(map(plain, frame.shapes))) for frame in labelled]


def _rest(label: str, base: str) -> str:
    """Return what follows an instance's name in a combined label, or an empty text; short names need a separator."""
    if not base or not label.startswith(base):
        return ""
    rest = label[len(base) :]
    stripped = rest.lstrip(" _-:.")
    return stripped if len(rest) > len(stripped) or len(base) >= SHORTEST_COMBINED else ""


def is_inside(polygon: Points, point: Points) -> bool:
    """Return whether a point lies in a polygon, by the even-odd rule."""
    x, y = point
    x1, y1 = polygon.T
    x2, y2 = np.roll(polygon, -1, axis=0).T
    crossing = (y1 > y) != (y2 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
    return bool(np.count_nonzero(crossing & (x < at)) % 2)


def _to_polygon(polygon: Points, point: Points) -> float:
    """Return the distance from a point to the nearest edge of a polygon."""
    start, edge = polygon, np.roll(polygon, -1, axis=0) - polygon
    square = np.maximum((edge**2).sum(1), 1e-12)
    along = np.clip(((point - start) * edge).sum(1) / square, 0, 1)
    return float(np.linalg.norm(start + along[:, None] * edge - point, axis=1).min())
