"""Values of options by their keys, from a TOML file or from a caller: of the right type, and none that is unknown."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import ConfigError, closest
from mot_dinov3.core.options import Option

MAX_TOML = 1 << 20  # bytes
MAX_NUMBER = 1 << 62  # larger whole numbers overflow in the libraries that they are handed to


def read_toml_table(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: It cannot be read, or is no TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        if not path.is_file():
            why = "it is not a file" if path.exists() else "it does not exist"
            raise ConfigError(f"configuration '{path}' cannot be read: {why}")
        if path.stat().st_size > MAX_TOML:
            raise ConfigError(f"configuration '{path}' is too large (more than {MAX_TOML} bytes)")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"configuration '{path}' cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        remedy = "write option = value, texts in quotes, and Windows paths in single ones: 'C:\\clips\\in.mp4'"
        raise ConfigError(f"configuration '{path}' is not valid TOML: {error}", remedy=remedy) from error


def read_toml(path: Path, options: Iterable[Option]) -> dict[str, Any]:
    """Read option values from a TOML file, strictly.

    Raises:
        ConfigError: The file cannot be read, is no TOML, holds an unknown option or a value of the wrong type; the
            message names all of them.
    """
    table = read_toml_table(path)
    values, problems = _typed(table, options)
    if problems:
        raise ConfigError(f"configuration '{path}': {'; '.join(problems)}", remedy="keys are options without dashes")
    return values


def typed_values(given: Mapping[str, Any], options: Iterable[Option]) -> dict[str, Any]:
    """Return option values that a caller named by key, as `assemble` takes them.

    Raises:
        ConfigError: A value has the wrong type, or there is no such option; all of them are named.
    """
    values, problems = _typed(given, options)
    if problems:
        raise ConfigError("; ".join(problems))
    return values


def _typed(table: Mapping[str, Any], options: Iterable[Option]) -> tuple[dict[str, Any], list[str]]:
    """Return the values of `table` by option key, and what is wrong with the others."""
    by_key = {known.key: known for known in options}
    by_alias = {alias: known for known in by_key.values() for alias in known.spec.aliases if alias not in by_key}
    values: dict[str, Any] = {}
    problems = []
    for key, value in table.items():
        name = key.replace("-", "_")
        known = by_key.get(name) or by_alias.get(name)
        if known is None:
            outputs = [known.key for known in by_key.values() if known.spec.writes]
            problems.append(f"unknown option '{key}'{closest(name, by_key, outputs=outputs)}")
        elif known.key in values:
            problems.append(f"'{known.key}' is given twice ('{key}' is the same option)")
        elif known.spec.auto is not None and value == "auto":
            values[known.key] = known.spec.auto
        elif not _fits(known, value):
            wanted = "list of strings" if known.type is tuple else known.type.__name__
            wanted += "" if known.spec.auto is None else " or 'auto'"
            problems.append(f"'{key}' must be a {wanted}, got {reprlib.repr(value)}")
        else:
            values[known.key] = known.type(value)
    return values, problems


def _fits(known: Option, value: object) -> bool:
    if known.type is float:
        return type(value) is float or (type(value) is int and abs(value) < MAX_NUMBER)
    if known.type is int:
        return type(value) is int and abs(value) < MAX_NUMBER
    if known.type is tuple:
        return isinstance(value, list) and all(isinstance(text, str) for text in value)
    return type(value) is known.type
