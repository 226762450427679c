"""Labelled frames resolved into instances, each with its keypoints and outlines."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import PointState
from mot_dinov3.formats.labelme import LabelledFrame
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.keypoints.label_doubts import LabelDoubt, find_renames
from mot_dinov3.keypoints.label_groups import Group, LabelledPoint, group_frames
from mot_dinov3.keypoints.label_identity import identify, number_instances

MAX_REASONS = 5  # notices in an error


@dataclasses.dataclass(frozen=True)
class LabelledInstance:
    """One instance of one labelled frame.

    Attributes:
        name: Unique among the instances of the video.
        group_id: Stable number of the instance.
        keypoints: ``n`` names, each once.
        xy: ``(n, 2)`` float64 pixels; NaN for a keypoint that is not labelled here.
        polygons: Outlines, each ``(k, 2)``; empty where the instance has none.
        occluded: Keypoints that are labelled, but hidden here: the image does not show them.
        absent: Keypoints that a person says are not in this frame.
    """

    name: str
    group_id: int
    keypoints: tuple[str, ...]
    xy: Points
    polygons: tuple[Points, ...] = ()
    occluded: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """``(n,)`` bool: the keypoint's position is labelled here."""
        return np.asarray(np.isfinite(self.xy).all(1), np.bool_)

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """``(n,)`` bool: the keypoint is labelled here, and the image shows it."""
        return np.asarray(self.known & [name not in self.occluded for name in self.keypoints], np.bool_)

    @property
    def gone(self) -> npt.NDArray[np.bool_]:
        """``(n,)`` bool: a person says that the keypoint is not in this frame."""
        return np.array([name in self.absent for name in self.keypoints], np.bool_)


@dataclasses.dataclass(frozen=True)
class Labels:
    """All labelled frames of a video, with the same instances and keypoints, in the same order, in each.

    Attributes:
        frames: Frame number → its instances; one that is not in a frame has only NaN there.
        notices: Ambiguous or skipped labels.
        doubts: Names that look like one.
    """

    frames: dict[int, tuple[LabelledInstance, ...]]
    notices: tuple[str, ...]
    doubts: tuple[LabelDoubt, ...] = ()


def resolve_instances(labelled: Sequence[LabelledFrame]) -> Labels:
    """Assign points to instances, and give every instance a name and a number that are the same in all frames.

    Raises:
        FormatError: No frame has a labelled point; the message says why shapes were left out.
    """
    notices = [n for frame in labelled for n in frame.notices]
    found = group_frames(labelled, notices)
    found = {number: groups for number, groups in found.items() if any(g.points for g in groups)}
    points = (point for groups in found.values() for g in groups for point in g.points.values())
    if all(point.state == PointState.LOST for point in points):
        where = labelled[0].path.parent if labelled else "the result folder"
        left_out = [f"{len(notices) - MAX_REASONS} more notices"] if len(notices) > MAX_REASONS else []
        raise FormatError(
            "; ".join([f"no labelled point in '{where}'", *notices[:MAX_REASONS], *left_out]),
            remedy="label points on one frame with LabelMe or Annolid",
        )
    named = identify(found, notices)
    doubts = find_renames(named, {f.frame: f.renamed for f in labelled})
    _mark_absent(named, {f.frame: f for f in labelled}, doubts, notices)
    frames = _same_rows(named)
    told = (*(d.notice for d in doubts), *collapsed(notices))
    return Labels(frames, tuple(told), tuple(doubts))


def _same_rows(named: Mapping[int, Mapping[str, Group]]) -> dict[int, tuple[LabelledInstance, ...]]:
    """Return the frames, with all instances and keypoints of the video in each."""
    order: dict[str, dict[str, None]] = {}
    group_ids: dict[str, int | None] = {}
    for groups in named.values():
        for name, group in groups.items():
            order.setdefault(name, {}).update(dict.fromkeys(group.points))
            if group_ids.get(name) is None:
                group_ids[name] = group.group_id
    order = {name: points for name, points in order.items() if points}
    numbers = number_instances({name: group_ids[name] for name in order})
    return {
        number: tuple(
            _instance(name, numbers[name], tuple(order[name]), groups.get(name) or Group(name, None)) for name in order
        )
        for number, groups in named.items()
    }


def _instance(name: str, group_id: int, keypoints: tuple[str, ...], group: Group) -> LabelledInstance:
    """Return the instance of a frame's shapes with all of its keypoints."""
    xy = np.array([group.points[k].xy if k in group.points else (np.nan, np.nan) for k in keypoints], np.float64)
    occluded = frozenset(k for k, p in group.points.items() if p.state == PointState.OCCLUDED)
    absent = frozenset(k for k, p in group.points.items() if p.state == PointState.LOST)
    if group.is_absent:
        absent |= {k for k in keypoints if k not in group.points}
    return LabelledInstance(name, group_id, keypoints, xy, tuple(group.polygons), occluded, absent)


def _mark_absent(
    named: Mapping[int, Mapping[str, Group]],
    labelled: Mapping[int, LabelledFrame],
    doubts: Sequence[LabelDoubt],
    notices: list[str],
) -> None:
    """Mark keypoints as absent that a person left out where she labelled at least half of an instance, two or more.

    A frame with fewer labels, or one whose others are predictions, holds corrections: the rest is tracked.
    """
    renamed = {name for doubt in doubts for name in doubt.names}
    names: dict[str, dict[str, None]] = {}
    for groups in named.values():
        for name, group in groups.items():
            names.setdefault(name, {}).update(dict.fromkeys(group.points))
    for number, groups in named.items():
        frame, whole = labelled[number], []
        for name, group in groups.items():
            missing = [k for k in names[name] if k not in group.points and k not in renamed]
            is_whole = len(group.points) >= max(2, len(names[name]) / 2)
            if frame.corrections or group.is_absent or not is_whole:
                continue
            whole.append(name)
            if not missing:
                continue
            group.points |= {k: LabelledPoint(np.full(2, np.nan), PointState.LOST) for k in missing}
            which = ", ".join(f"'{k}'" for k in missing)
            notices.append(f"'{frame.path.name}': not labelled, so not in this frame: {which} of '{name}'")
        others = [name for name in names if names[name] and name not in renamed and _says_nothing(groups.get(name))]
        if whole and others:
            which = ", ".join(f"'{name}'" for name in others)
            notices.append(
                f"'{frame.path.name}': no point of {which} is labelled; tracked, as nothing says it is absent"
            )


def _says_nothing(group: Group | None) -> bool:
    return group is None or not (group.points or group.is_absent)


def collapsed(notices: Sequence[str]) -> list[str]:
    """Return notices, those of one kind, which differ only in names and numbers, as the first one with a count."""
    kinds: dict[str, list[str]] = {}
    for notice in notices:
        kinds.setdefault(re.sub(r"'[^']*'(?:, )?|[-\d.]+", "", notice), []).append(notice)
    return [f"{some[0]} (and {len(some) - 1} more such)" if len(some) > 1 else some[0] for some in kinds.values()]
