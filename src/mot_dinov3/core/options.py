"""How a stage's frozen config describes its own options.

A stage writes each option once, beside the class that uses it: name, default, type, help and range. `config.py` reads
the same description to fill the dataclass from TOML and the command line, `cli/options.py` to build `--help`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from mot_dinov3.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the command line needs to know of a config field.

    Attributes:
        help: One line for `--help`; the default is appended to it.
        flag: Long option, ``--like-this``; None derives it from the field's name.
        choices: Valid values, or None.
        metavar: Placeholder in the help, or None.
        hidden: True for a field that only code sets.
        auto: The number that the word ``auto`` stands for, or None where it means nothing.
    """

    help: str
    flag: str | None = None
    choices: tuple[str, ...] | None = None
    metavar: str | None = None
    hidden: bool = False
    auto: float | None = None


def setting(
    default: Any,
    help: str,
    *,
    flag: str | None = None,
    choices: Sequence[str] | None = None,
    metavar: str | None = None,
    auto: float | None = None,
) -> Any:
    """Declare a config field with the `default` and the `help` that the command line shows."""
    described = Setting(help, flag, tuple(choices) if choices else None, metavar, auto=auto)
    return dataclasses.field(default=default, metadata={"setting": described})


def hidden(default: Any) -> Any:
    """Declare a config field that no option sets: only code does."""
    return dataclasses.field(default=default, metadata={"setting": Setting("", hidden=True)})


def flag_of(field: dataclasses.Field[Any]) -> str:
    """Return the long option of a config field, ``--like-this``."""
    described: Setting = field.metadata["setting"]
    return described.flag or "--" + field.name.replace("_", "-")


def require(condition: bool, name: str, value: object, wanted: str) -> None:
    """Raise `ConfigError` unless `condition` holds: ``conf must be between 0 and 1, got 7``."""
    if not condition:
        raise ConfigError(f"{name} must be {wanted}, got {value}")


def require_between(config: object, low: float, high: float, *names: str) -> None:
    """Raise `ConfigError` unless ``low <= value <= high`` for each named field of `config`."""
    for name in names:
        value = getattr(config, name)
        require(low <= value <= high, name, value, f"between {low:g} and {high:g}")


def require_choice(config: object, *names: str) -> None:
    """Raise `ConfigError` unless each named field of `config` holds one of the choices it declares."""
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        if field.name in names:
            choices = field.metadata["setting"].choices
            value = getattr(config, field.name)
            require(value in choices, field.name, value, "one of " + ", ".join(choices))
