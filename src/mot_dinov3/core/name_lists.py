"""Names of classes that a user gives: lists, YOLO's ``data.yaml``, JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import kind_of, printable
from mot_dinov3.core.text_files import read_text

MAX_NAMES_FILE = 1 << 20  # bytes
MAX_CLASS = 2**31 - 1

_REMEDY = "give one name per line, numbered from 0, or YAML or JSON with 'names'"


def read_class_names(path: Path) -> dict[int, str]:
    """Return class number → name from a list of names, one per line, a YOLO ``data.yaml``, or JSON of either kind.

    A `path` that is itself JSON, ``["person", "car"]`` or ``{"0": "person"}``, is the names.

    Raises:
        FormatError: It is neither, or has a name twice.
    """
    if is_inline(str(path)):
        names = yaml_names({"names": _parsed(str(path), path)}, path)
        return _unique(names, path)
    text = read_text(path, largest=MAX_NAMES_FILE)
    if path.suffix.lower() == ".json":
        found = _parsed(text, path)
        names = yaml_names(found if isinstance(found, dict) and "names" in found else {"names": found}, path)
    elif path.suffix.lower() in (".yaml", ".yml"):
        names = yaml_names(read_yaml(path, text), path)
    else:
        names = {number: line.strip() for number, line in enumerate(text.splitlines()) if line.strip()}
    return _unique(names, path)


def is_inline(text: str) -> bool:
    """Return whether a text is a JSON list or object, and no path."""
    return text.lstrip()[:1] in ("[", "{")


def _parsed(text: str, path: Path) -> Any:
    """Return the list or object in a JSON text, whose keys that are digits are numbers."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"'{path}' is not valid JSON: {error}", remedy=_REMEDY) from error
    if isinstance(found, dict):
        return {int(key) if key.isascii() and key.isdigit() else key: value for key, value in found.items()}
    return found


def _unique(names: dict[int, str], path: Path) -> dict[int, str]:
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
        problem = f"{line}{getattr(error, 'problem', error)}"
        raise FormatError(f"'{path}' is not valid YAML: {problem}", remedy=_REMEDY) from error
    except (ValueError, RecursionError) as error:  # a date or number that Python cannot hold, or unbounded nesting
        raise FormatError(f"'{path}' cannot be read as YAML: {type(error).__name__}", remedy=_REMEDY) from error
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
