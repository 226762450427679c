"""Class filter: the classes to keep, given as ids or as names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from mot_dinov3.core.errors import ConfigError, UsageError, closest
from mot_dinov3.core.name_lists import read_class_names
from mot_dinov3.core.structures import BoolArray, Detections, IntArray

MAX_SHOWN = 20  # classes in a message
_ID = re.compile(r"-1|[0-9]{1,9}")  # -1: class unknown


def parse_classes(wanted: str, names: Mapping[int, str]) -> tuple[int, ...] | None:
    """Return the class ids that a comma-separated list of ids and names stands for, sorted; None for all.

    Args:
        wanted: For example ``"0"`` or ``"person, car"``; names are compared without regard to case.
        names: Class id → name of the model or file; empty where unknown, and then any id is accepted.

    Raises:
        ConfigError: An id or name that `names` does not list.
    """
    ids = {name.casefold(): class_id for class_id, name in names.items()}
    chosen = {_class_id(entry.strip(), names, ids) for entry in wanted.split(",") if entry.strip()}
    if not chosen and wanted.strip():
        raise ConfigError(f"classes '{wanted}' names no class", remedy='give ids or names, e.g. "0" or "person,car"')
    return tuple(sorted(chosen)) if chosen else None


def _class_id(entry: str, names: Mapping[int, str], ids: Mapping[str, int]) -> int:
    if entry.casefold() in ids:
        return ids[entry.casefold()]
    if entry.isascii() and entry.isdigit() and len(entry) < 10 and (not names or int(entry) in names):
        return int(entry)
    known = ", ".join(f"{class_id} {names[class_id]}" for class_id in sorted(names))
    raise ConfigError(
        f"classes: unknown class '{entry}'{closest(entry.casefold(), ids)}",
        remedy=f"valid: {known}" if names else "the class names are unknown: give ids, numbers from 0",
    )


def keep_classes(class_id: IntArray, classes: tuple[int, ...] | None) -> BoolArray:
    """Return ``(n,)`` bool: the class is one of `classes`; all are where that is None."""
    if classes is None:
        return np.ones(len(class_id), np.bool_)
    return np.isin(class_id, classes)


def class_counts(boxes: Mapping[int, int], names: Mapping[int, str]) -> str:
    """Return the classes of boxes for a message, ``0 person (36 boxes), 2 (1 box)``; −1 is no class."""
    counts = []
    for class_id, count in sorted(boxes.items())[:MAX_SHOWN]:
        name = f"{class_id} {names[class_id]}" if class_id in names else str(class_id)
        what = "box" if count == 1 else "boxes"
        counts.append(f"{count} {what} without a class" if class_id < 0 else f"{name} ({count} {what})")
    more = len(boxes) - len(counts)
    return ", ".join(counts) + (f" and {more} more classes" if more > 0 else "")


@dataclasses.dataclass(frozen=True)
class ClassFilter:
    """Classes to keep of detections that carry the names of their classes; all where none was chosen.

    The chosen classes are `ids` and casefolded `words`; `names` are those of the user's file, by id.
    """

    ids: frozenset[int]
    words: frozenset[str]
    names: Mapping[int, str]

    @classmethod
    def of(cls, classes: str, class_names: str | None) -> ClassFilter:
        """Return the filter of a list of ids and names, separated by ``,`` or ``;``, and the user's names.

        `class_names` is what `read_class_names` takes.

        Raises:
            UsageError: `classes` names none.
            FormatError: The file cannot be read.
        """
        names = {} if class_names is None else read_class_names(Path(class_names))
        entries = [entry.strip() for entry in classes.replace(";", ",").split(",") if entry.strip()]
        if classes.strip() and not entries:
            raise UsageError(f"classes '{classes}' names no class", remedy='give ids or names, e.g. "0" or "person"')
        ids = {int(entry) for entry in entries if _ID.fullmatch(entry)}
        words = {entry.casefold() for entry in entries if not _ID.fullmatch(entry)}
        return cls(frozenset(ids), frozenset(words), names)

    def keeps(self, detections: Detections) -> BoolArray:
        """Return ``(n,)`` bool: the row's class is one of those chosen."""
        if not self.ids and not self.words:
            return np.ones(len(detections), np.bool_)
        chosen = []
        for class_id, record in zip(detections.class_id.tolist(), detections.extra):
            name = self.names.get(class_id) or (record or {}).get("class_name") or ""
            chosen.append(class_id in self.ids or name.casefold() in self.words)
        return np.array(chosen, np.bool_)

    def check_names(self, found: Iterable[Mapping[int, str]], path: Path) -> list[str]:
        """Make sure that the chosen names exist; return notices for the user.

        Args:
            found: Names that the detections have shown so far, after each frame; read only until all are found.
            path: The detections, for messages.

        Raises:
            ConfigError: A name is misspelt, or no detection at all is of a chosen class, or there are no names.
        """
        names = {name.casefold(): name for name in self.names.values()}
        missing = self.words - names.keys()
        if not missing:
            return []
        for shown in found:
            names |= {name.casefold(): name for name in shown.values()}
            if not missing - names.keys():
                return []
        notices = []
        for word in sorted(missing - names.keys()):
            if not names:
                raise ConfigError(
                    f"classes: '{path}' contains no class names, so '{word}' is unknown",
                    remedy="give ids, numbers from 0, or the names in a file: --class-names FILE",
                )
            near, known = closest(word, names), ", ".join(sorted(names.values()))
            if near or not (self.ids or self.words & names.keys()):
                raise ConfigError(f"classes: unknown class '{word}'{near}", remedy=f"'{path}' has: {known}")
            notices.append(f"no detection is of class '{word}': '{path}' has {known}")
        return notices
