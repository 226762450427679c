"""Labels that contradict each other: keypoints and instances that were probably renamed between labelled frames."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from mot_dinov3.core.structures import PointState
from mot_dinov3.formats.labelme_edits import RenamedPoint
from mot_dinov3.keypoints.label_groups import Group

ALIKE = 0.75  # of difflib's ratio: two names differ by a spelling


@dataclasses.dataclass(frozen=True)
class LabelDoubt:
    """Two names that look like one.

    Attributes:
        frame: The later labelled frame.
        notice: The question to the user.
        names: The two names.
    """

    frame: int
    notice: str
    names: tuple[str, str]


def find_renames(
    named: Mapping[int, Mapping[str, Group]], renamed: Mapping[int, Sequence[RenamedPoint]] | None = None
) -> list[LabelDoubt]:
    """Return keypoints of an instance, and instances with one group id, that are never labelled in the same frame.

    Args:
        named: Frame → name → instance.
        renamed: Frame → predictions that a person gave another name.
    """
    instances = dict.fromkeys(name for groups in named.values() for name in groups)
    doubts = _renamed_instances(named)
    return [*doubts, *(doubt for name in instances for doubt in _of_instance(name, named, renamed or {}))]


def _of_instance(
    instance: str, named: Mapping[int, Mapping[str, Group]], renamed: Mapping[int, Sequence[RenamedPoint]]
) -> Iterable[LabelDoubt]:
    """Yield the doubts about an instance's keypoints, each pair of names once."""
    predictions: dict[tuple[str, str], LabelDoubt] = {}
    for doubt in _renamed_predictions(instance, named, renamed):
        predictions.setdefault(doubt.names, doubt)
    yield from predictions.values()
    yield from _renamed_keypoints(instance, named, {name for names in predictions for name in names})


def _renamed_predictions(
    instance: str, named: Mapping[int, Mapping[str, Group]], renamed: Mapping[int, Sequence[RenamedPoint]]
) -> Iterable[LabelDoubt]:
    """Yield predictions with a new name whose former one is neither labelled nor absent in that frame."""
    labelled = {name for groups in named.values() if instance in groups for name in groups[instance].points}
    for number, points in renamed.items():
        group = named.get(number, {}).get(instance)
        for _, old, new in (point for point in points if point.instance == instance):
            if group is not None and old in labelled - set(group.points):
                question = (
                    f"'{new}' of '{instance}' in frame {number} was predicted as '{old}', as other frames call it: "
                    "the same point?"
                )
                yield LabelDoubt(number, question, (old, new))


def _renamed_keypoints(
    instance: str, named: Mapping[int, Mapping[str, Group]], asked: set[str]
) -> Iterable[LabelDoubt]:
    labelled = {number: set(_named(groups[instance])) for number, groups in named.items() if instance in groups}
    frames = {
        name: {n for n, names in labelled.items() if name in names} for names in labelled.values() for name in names
    }
    for (first, before), (second, after) in zip(list(labelled.items()), list(labelled.items())[1:]):
        gone = [name for name in before if name not in after and name not in asked]
        new = [name for name in after if name not in before and name not in asked]
        for old, now in _pairs(sorted(gone), sorted(new)):
            if frames[old] & frames[now]:
                continue
            asked |= {old, now}
            question = (
                f"'{now}' of '{instance}' is labelled in frame {second} and not in frame {first}, "
                f"'{old}' there and not here: the same point?"
            )
            yield LabelDoubt(second, question, (old, now))


def _named(group: Group) -> Iterable[str]:
    return (name for name, point in group.points.items() if point.state != PointState.LOST)


def _pairs(gone: Sequence[str], new: Sequence[str]) -> list[tuple[str, str]]:
    """Return the names that differ only by their spelling; of a single name on each side, that pair."""
    left, pairs = list(new), []
    for old in gone:
        alike = sorted(left, key=lambda name: -_likeness(old, name))
        if alike and _likeness(old, alike[0]) >= ALIKE:
            pairs.append((old, alike[0]))
            left.remove(alike[0])
    rest = [old for old in gone if old not in {pair[0] for pair in pairs}]
    return [*pairs, (rest[0], left[0])] if len(rest) == len(left) == 1 else pairs


def _likeness(one: str, other: str) -> float:
    """Return 0…1: how alike two names are, without case and separators; left and right are not alike."""
    a, b = (re.sub(r"[\W_]+", "", name).casefold() for name in (one, other))
    if a == b:
        return 1.0
    sides = [{side for side in ("left", "right") if side in name} for name in (a, b)]
    numbers = [re.findall(r"\d+", name) for name in (a, b)]
    if sides[0] != sides[1] or numbers[0] != numbers[1]:
        return 0.0
    return difflib.SequenceMatcher(None, a, b).ratio()


def _renamed_instances(named: Mapping[int, Mapping[str, Group]]) -> Iterable[LabelDoubt]:
    """Yield instances of different frames that share a group id, or differ only by their spelling."""
    seen: dict[str, tuple[int, int | None]] = {}
    together = {frozenset((a, b)) for groups in named.values() for a in groups for b in groups if a != b}
    for number, groups in named.items():
        for name, group in groups.items():
            if name in seen:
                continue
            for other, (frame, group_id) in seen.items():
                same_number = group.group_id is not None and group.group_id == group_id
                if frozenset((name, other)) in together or other in groups:
                    continue
                if same_number or _likeness(name, other) >= 1.0:
                    what = f"have the group_id {group_id}" if same_number else "differ only by their spelling"
                    question = (
                        f"instances '{other}' (frame {frame}) and '{name}' (frame {number}) {what}: the same animal?"
                    )
                    yield LabelDoubt(number, question, (other, name))
            seen[name] = number, group.group_id
