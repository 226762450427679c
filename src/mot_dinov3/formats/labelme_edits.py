"""What a person changed in a frame file that this program wrote: shapes renamed, or given to another instance.

Such a file notes instance, name and digest of each shape. The editors do not show the instance label of this program,
so the group id, which they do show, is where a person says that a shape belongs to another instance.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mot_dinov3.formats.labelme_shapes import OWN_KEY, Shape, flags_of, group_number, shape_digest


class ShapeRecord(NamedTuple):
    """A shape as this program wrote it; the name of an outline is empty."""

    instance: str
    name: str
    digest: str


class RenamedPoint(NamedTuple):
    """A predicted keypoint that a person gave another name."""

    instance: str
    old: str
    new: str


def own_data(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what this program wrote into the file about it."""
    other = content.get("otherData")
    own = other.get(OWN_KEY) if isinstance(other, dict) else None
    return own if isinstance(own, dict) else {}


def is_generated(content: Mapping[str, Any]) -> bool:
    """Return whether a frame file is unchanged since this program wrote it."""
    written, shapes = own_data(content).get("digest"), content.get("shapes")
    return bool(written) and (written == digest(shapes) or written == digest(_without_unset_flags(shapes)))


def _without_unset_flags(shapes: object) -> object:
    """Return shapes without the unset flags that LabelMe's ``--labelflags`` adds; points have one of their own."""
    if not isinstance(shapes, list):
        return shapes
    kept = [("occluded",) if isinstance(s, dict) and s.get("shape_type") == "point" else () for s in shapes]
    return [
        s | {"flags": {k: v for k, v in flags_of(s).items() if v is not False or k in names}}
        if isinstance(s, dict)
        else s
        for s, names in zip(shapes, kept)
    ]


def digest(shapes: object) -> str:
    """Return a digest of a file's shapes that does not depend on its formatting; empty for values never written."""
    try:
        text = json.dumps(_plain(shapes), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    except OverflowError:  # a whole number too large for a float: this program writes none
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: object) -> object:
    """Return `value` without the changes of saving it again: number types, and the empty fields that LabelMe adds."""
    if type(value) in (float, int):  # first and by exact type: an outline holds hundreds of them
        return round(float(value), 3)  # type: ignore[arg-type]
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None and v != {} and v != ""}
    return value


def overrules(content: Mapping[str, Any], generated: Mapping[str, Any], frame: int) -> bool:
    """Return whether `content` has labels of a person of a frame whose file this program wrote.

    A copy of the predictions, as a program may keep one elsewhere, has none.
    """
    shapes = content.get("shapes")
    if not is_generated(generated) or is_generated(content) or not isinstance(shapes, list):
        return False
    untouched = {record.digest for record in shape_records(own_data(generated))}
    return any(shape_digest(raw, frame) not in untouched for raw in shapes)


def shape_records(own: Mapping[str, Any]) -> list[ShapeRecord]:
    """Return the shapes that this program noted in what it wrote about a file."""
    written = own.get("shapes")
    lists = written if isinstance(written, list) else []
    return [ShapeRecord(*record) for record in lists if isinstance(record, list) and _are_texts(record, 3)]


def _are_texts(values: Sequence[object], count: int) -> bool:
    return len(values) == count and all(isinstance(value, str) for value in values)


def group_owners(shapes: Iterable[object], frame: int, untouched: Collection[str]) -> dict[int, str]:
    """Return group id → instance, as this program wrote them: also where a person has changed the ids since.

    Args:
        shapes: All shapes of the file.
        frame: Its frame.
        untouched: Digests of the shapes that this program wrote.
    """
    dicts = [shape for shape in shapes if isinstance(shape, dict)]
    numbers = {group_number(shape.get("group_id")): None for shape in dicts}
    owners: dict[int, str] = {}
    for shape in dicts:
        known = {*untouched, shape.get(OWN_KEY)} - {None, ""}
        instance, own = shape.get("instance_label"), group_number(shape.get("group_id"))
        if not known or not isinstance(instance, str):
            continue
        for number in (own, *(n for n in numbers if n != own)):
            if number is not None and shape_digest(shape | {"group_id": number}, frame) in known:
                owners.setdefault(number, instance)
                break
    return owners


def regrouped(shape: Shape, owners: Mapping[int, str], instances: Collection[str]) -> Shape:
    """Return a shape with the instance that its group id stands for; not one with an instance label of another program.

    Args:
        shape: A shape that a person touched.
        owners: Group id → instance, as `group_owners`.
        instances: Instances of the file as written.
    """
    owner = owners.get(shape.group_id) if shape.group_id is not None else None
    is_given = owner not in (None, shape.instance) and shape.instance in {"", *instances, *owners.values()}
    return dataclasses.replace(shape, instance=owner or "") if is_given else shape


def given_to_the_only_instance(
    labels: Sequence[Shape], predicted: Sequence[Shape], instances: Collection[str]
) -> tuple[Shape, ...]:
    """Return labels, those of points that nothing tells the owner of with the only instance of a file of ours."""
    if len(instances) != 1 or not all(shape.is_point for shape in (*labels, *predicted)):
        return tuple(labels)
    (only,) = instances
    return tuple(
        shape if shape.instance or shape.group_id is not None else dataclasses.replace(shape, instance=only)
        for shape in labels
    )


def renamed_points(
    touched: Sequence[tuple[Mapping[str, Any], Shape]], gone: Iterable[ShapeRecord], frame: int
) -> tuple[RenamedPoint, ...]:
    """Return the keypoints among the `touched` shapes whose former name is among those that are `gone`."""
    return tuple(
        RenamedPoint(record.instance, record.name, shape.label)
        for record in gone
        for raw, shape in touched
        if shape.is_point
        and shape.instance == record.instance
        and record.digest in (raw.get(OWN_KEY), shape_digest({**raw, "label": record.name}, frame))
    )
