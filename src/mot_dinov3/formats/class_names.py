"""Class names in files: lists of them, YOLO's ``data.yaml``, and the class numbers that belong to labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import kind_of, printable, read_text

MAX_NAMES_FILE = 1 << 20  # bytes
MAX_CLASS = 2**31 - 1
UNNAMED = "object"
"""Label of a box without a class in formats where every box has one."""

_REMEDY = "give one name per line, numbered from 0, or YAML with 'names'"


def read_class_names(path: Path) -> dict[int, str]:
    """Return class number → name from a list of names, one per line, or a YOLO ``data.yaml``.

    Raises:
        FormatError: It is neither, or has a name twice.
    """
    text = read_text(path, largest=MAX_NAMES_FILE)
    if path.suffix.lower() in (".yaml", ".yml"):
        names = yaml_names(read_yaml(path, text), path)
    else:
        names = {number: line.strip() for number, line in enumerate(text.splitlines()) if line.strip()}
    if not names:
        raise FormatError(f"'{path}' names no class", remedy=_REMEDY)
    name, times = Counter(names.values()).most_common(1)[0]
    if times > 1:
        raise FormatError(f"'{path}' has the class '{name}' {times} times", remedy="keep one of them")
    return names


def read_yaml(path: Path, text: str) -> dict[str, Any]:
    """Return the mapping in a YAML file: plain values, never objects.

    Raises:
        FormatError: It is not YAML, or not a mapping.
    """
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise FormatError(f"'{path}' is not valid YAML: {line}{getattr(error, 'problem', error)}") from error
    except (ValueError, RecursionError) as error:  # a date or number that Python cannot hold, or unbounded nesting
        raise FormatError(f"'{path}' cannot be read as YAML: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise FormatError(f"'{path}' contains no YAML mapping", remedy=_REMEDY)
    return found


def yaml_names(document: Mapping[str, Any], path: Path) -> dict[int, str]:
    """Return the ``names`` of a ``data.yaml``, which may be a list or a mapping; empty where it has none.

    Raises:
        FormatError: They are neither, or a number or name is invalid.
    """
    names = document.get("names")
    if names is None:
        return {}
    pairs = list(enumerate(names)) if isinstance(names, list) else names.items() if isinstance(names, dict) else None
    if pairs is None:
        raise FormatError(f"'{path}': names must be a list or a mapping, not a {kind_of(names)}", remedy=_REMEDY)
    found = {}
    for number, name in pairs:
        if type(number) is not int or not 0 <= number <= MAX_CLASS or not isinstance(name, (str, int, float)):
            raise FormatError(f"'{path}': names has {number!r:.40}: {name!r:.40}", remedy=_REMEDY)
        found[number] = printable(str(name))
    return found


def number_labels(labels: Mapping[str, int | None], names: Mapping[int, str]) -> dict[str, int]:
    """Return a class number for each label of a file.

    The numbers of the user's `names` win; then those that the file itself declares; the other labels get the lowest
    free numbers, in order.

    Raises:
        ValueError: `names` lacks a label.
    """
    if names:
        numbers = {name: number for number, name in names.items()}
        for label in labels:
            if label not in numbers:
                raise ValueError(f"the class '{label}' is not among the given class names")
        return {label: numbers[label] for label in labels}
    taken = {number for number in labels.values() if number is not None}
    free = (number for number in range(len(labels) + len(taken) + 1) if number not in taken)
    return {label: next(free) if number is None else number for label, number in labels.items()}


def names_of(numbers: Mapping[str, int]) -> dict[int, str]:
    """Return class number → name for the classes that have both; a name that is just the number is none."""
    return {number: printable(label) for label, number in numbers.items() if number >= 0 and label != str(number)}


def label_of(class_id: int, names: Mapping[int, str]) -> str:
    """Return the label of a class for formats without class numbers."""
    return " ".join(names.get(class_id, "").split()) or (str(class_id) if class_id >= 0 else UNNAMED)


def labels_of(class_ids: Iterable[int], names: Mapping[int, str]) -> dict[int, str]:
    """Return class number → label by number, all of `names` included; equal names get their number added."""
    wanted = sorted({*(c for c in names if c >= 0), *class_ids})
    plain = {class_id: label_of(class_id, names) for class_id in wanted}
    times = Counter(plain.values())
    return {number: label if times[label] == 1 else f"{label} ({number})" for number, label in plain.items()}
