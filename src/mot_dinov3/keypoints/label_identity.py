"""Names of instances over all labelled frames: those that share a label are distinguished by number, else by place."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from mot_dinov3.core.errors import FormatError
from mot_dinov3.keypoints.geometry import Array, Points
from mot_dinov3.keypoints.label_groups import Group

CLEAR = 0.6  # of the next best assignment's distance, below which the best one is clear


def identify(found: Mapping[int, Sequence[Group]], notices: list[str]) -> dict[int, dict[str, Group]]:
    """Return frame → name → instance, frames in order.

    Instances that share a label in some frame are named after their group ids. Those without one are named by
    continuity of place and size, from the first labelled frame with group ids on in both directions; where that is not
    clear, a notice says so.

    Raises:
        FormatError: Two instances of a frame have the same label and group id.
    """
    counts = (collections.Counter(g.base for g in groups) for groups in found.values())
    shared = {base for count in counts for base, many in count.items() if many > 1}
    numbered = {f"{g.base}_{g.group_id}" for groups in found.values() for g in groups if g.group_id is not None}
    names = {id(g): g.base for groups in found.values() for g in groups if g.base not in shared}
    for base in sorted(shared):
        frames = {number: [g for g in groups if g.base == base] for number, groups in sorted(found.items())}
        names |= _names_over_time({n: groups for n, groups in frames.items() if groups}, numbered, notices)
    return {number: _by_name(number, groups, names) for number, groups in sorted(found.items())}


def _by_name(number: int, groups: Sequence[Group], names: Mapping[int, str]) -> dict[str, Group]:
    """Return a frame's instances by name; an outline with the label of all animals joins the points of its own."""
    named: dict[str, Group] = {}
    for group in groups:
        name = names[id(group)]
        other = named.setdefault(name, group)
        if other is group:
            continue
        if other.base == group.base or set(other.points) & set(group.points):
            raise FormatError(
                f"frame {number}: two instances have the name '{name}'", remedy="give each its own group_id"
            )
        other.join(group)
    return named


def _names_over_time(frames: Mapping[int, Sequence[Group]], numbered: set[str], notices: list[str]) -> dict[int, str]:
    """Return the names of the instances of all frames that share a label, by `id`."""
    numbers = list(frames)
    anchor = next((i for i, n in enumerate(numbers) if any(g.group_id is not None for g in frames[n])), 0)
    names: dict[int, str] = {}
    for order in (numbers[anchor::-1], numbers[anchor:]):
        places: dict[str, Points] = {}
        for number in order:
            told = notices if id(frames[number][0]) not in names else []
            names |= _names_of(number, frames[number], places, numbered, told)
    return names


def _names_of(
    number: int, groups: Sequence[Group], places: dict[str, Points], numbered: set[str], notices: list[str]
) -> dict[int, str]:
    """Return the names of a frame's instances that share a label, by `id`; `places` are those of the frame before."""
    base = groups[0].base
    names = {id(g): f"{base}_{g.group_id}" for g in groups if g.group_id is not None}
    free = [g for g in groups if g.group_id is None]
    known = [name for name in places if name not in names.values()]
    cost = np.array([[_apart(_place(g), places[name]) for name in known] for g in free]).reshape(len(free), len(known))
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost)
    names |= {id(free[i]): known[j] for i, j in zip(rows.tolist(), columns.tolist())}
    if known and not _is_clear(cost, rows, columns):
        which = ", ".join(f"'{name}'" for name in known)
        notices.append(
            f"frame {number}: which instance is which of {which} is uncertain: they share the label '{base}' "
            "and are distinguished by place; give each its own group_id"
        )
    fresh = (f"{base}_{n}" for n in range(1, len(places) + len(numbered) + len(free) + 2))
    unused = (name for name in fresh if name not in places and name not in numbered)
    names |= {id(g): next(unused) for g in free if id(g) not in names}
    places |= {names[id(g)]: _place(g) for g in groups if len(g.corners)}
    return names


def _place(group: Group) -> Points:
    """Return ``(3,)`` centre and extent of an instance; zeros where it has no position."""
    corners = group.corners
    if not len(corners):
        return np.zeros(3)
    low, high = corners.min(0), corners.max(0)
    return np.append((low + high) / 2, (high - low).max())


def _apart(one: Points, other: Points) -> float:
    return float(np.linalg.norm(one - other))


def _is_clear(cost: Array, rows: Array, columns: Array) -> bool:
    """Return whether every exchange of two names, or use of a free one, is clearly worse than an assignment."""
    given = dict(zip(rows.tolist(), columns.tolist()))
    for i, j in given.items():
        for k in range(cost.shape[1]):
            other = next((row for row, column in given.items() if column == k), None)
            if k == j:
                continue
            now = cost[i, j] + (cost[other, k] if other is not None else 0.0)
            exchanged = cost[i, k] + (cost[other, j] if other is not None else 0.0)
            if now > CLEAR * exchanged:
                return False
    return True


def number_instances(wanted: Mapping[str, int | None]) -> dict[str, int]:
    """Return a number for each instance: its own where no one before has it, else the lowest free one."""
    taken: dict[str, int] = {}
    for name, number in wanted.items():
        if number is not None and number not in taken.values():
            taken[name] = number
    free = (n for n in range(1, len(wanted) + len(taken) + 2) if n not in set(taken.values()))
    return {name: taken[name] if name in taken else next(free) for name in wanted}
