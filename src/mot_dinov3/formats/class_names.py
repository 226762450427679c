"""Class numbers that belong to labels, and labels of class numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from mot_dinov3.core.json_text import printable
from mot_dinov3.core.name_lists import MAX_CLASS, read_class_names, read_yaml, yaml_names

__all__ = [
    "MAX_CLASS",
    "UNNAMED",
    "label_of",
    "labels_of",
    "names_of",
    "number_labels",
    "read_class_names",
    "read_yaml",
    "yaml_names",
]

UNNAMED = "object"
"""Label of a box without a class in formats where every box has one."""


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
