"""Which classes to keep, told by number or by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mot_dinov3.core.errors import ConfigError, closest
from mot_dinov3.core.structures import BoolArray, IntArray


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
