"""Options: fields of a stage's frozen config, filled from TOML, the command line or keyword arguments.

A stage declares each option once, next to the class that uses it: name, type, default, help, range. The field
``embed_budget_ms`` is ``--embed-budget-ms`` on the command line, ``embed_budget_ms`` in a TOML file and in Python. The
command line wins over the file, and the dataclass holds the default. Whatever is unknown or out of range is an error
that names all mistakes at once.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, TypeVar

from mot_dinov3.core.errors import ConfigError, run_checks

if TYPE_CHECKING:
    from typing_extensions import Unpack

C = TypeVar("C")


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that an option accepts: from `low` to `high`, or greater than `above`; None stands for no limit."""

    low: float | None = None
    high: float | None = None
    above: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
        )

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"between {self.low:g} and {self.high:g}"
        limits = (("at least", self.low), ("above", self.above), ("at most", self.high))
        return " and ".join(f"{words} {limit:g}" for words, limit in limits if limit is not None)


@dataclasses.dataclass(frozen=True)
class OptionSpec:
    """The declaration of an option, as its config field carries it.

    Attributes:
        help: One line for `--help`; default and range are appended to it.
        choices: Valid values, or None.
        metavar: Placeholder in the help, or None.
        auto: The number that the word ``auto`` stands for, or None where it means nothing.
        bare: On the command line its name alone means ``auto``.
        range: The numbers it accepts, or None.
        common: It is one of the options that most users need; `--help` of a command with many options shows only these.
        positional: A word without an option's name is its value: ``track in.mp4``.
        writes: It names an output; no unknown input is taken for it.
        aliases: Earlier keys of the same option, accepted everywhere and shown nowhere.
    """

    help: str
    choices: tuple[str, ...] | None = None
    metavar: str | None = None
    auto: float | None = None
    bare: bool = False
    range: Range | None = None
    common: bool = False
    positional: bool = False
    writes: bool = False
    aliases: tuple[str, ...] = ()

    def shown(self, value: Any) -> Any:
        """Return `value` as a user gives it: the word ``auto`` for the number that stands for it."""
        return "auto" if self.is_auto(value) else value

    def is_auto(self, value: Any) -> bool:
        """Whether `value` is the number that ``auto`` stands for: itself, not one that equals it."""
        return self.auto is not None and value is self.auto

    def refused(self, value: Any) -> str | None:
        """Return what `value` would have to be, or None where it is accepted."""
        if value is None or self.is_auto(value):
            return None
        if isinstance(value, float) and not math.isfinite(value):
            return "a finite number"
        if isinstance(value, str) and "\0" in value:
            return "a text without a zero byte"
        if self.range is not None and value not in self.range:
            return str(self.range)
        if self.choices is not None and value not in self.choices:
            return "one of " + ", ".join(self.choices)
        return None


class OptionDetails(TypedDict, total=False):
    """What a config field may state of its option besides default and help: see `OptionSpec` and `Range`."""

    choices: Sequence[str]
    metavar: str
    auto: float
    bare: bool
    common: bool
    positional: bool
    writes: bool
    aliases: Sequence[str]
    low: float
    high: float
    above: float


def option(default: Any, help: str, **details: Unpack[OptionDetails]) -> Any:
    """Declare a config field with its default, the help that the command line shows, and the details of its option."""
    given: dict[str, Any] = dict(details)
    limits = {name: given.pop(name) for name in ("low", "high", "above") if name in given}
    given |= {name: tuple(given[name]) for name in ("choices", "aliases") if name in given}
    spec = OptionSpec(help, range=Range(**limits) if limits else None, **given)
    return dataclasses.field(default=default, metadata={"option": spec})


class StageConfig:
    """Base of every stage's config, a frozen dataclass whose fields are made by `option`; checked when it is built.

    Attributes:
        group: Title of the stage's options in `--help`.

    Raises:
        ConfigError: Values that their options refuse, all of them listed; else what `check` finds.
    """

    group: ClassVar[str] = ""

    def __post_init__(self) -> None:
        refused = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = self._settled(field.name)
            wanted = field.metadata["option"].refused(value)
            if wanted is not None:
                refused.append(f"{field.name} must be {wanted}, got {value}")
        if refused:
            raise ConfigError("; ".join(refused))
        self.check()

    def _settled(self, name: str) -> Any:
        """Return an option's value with ``~`` replaced by the home folder, in texts that begin with it."""
        value = getattr(self, name)
        if isinstance(value, str) and value.startswith("~"):
            value = home_path(value)
        elif isinstance(value, tuple):
            value = tuple(home_path(text) if isinstance(text, str) else text for text in value)
        else:
            return value
        object.__setattr__(self, name, value)
        return value

    def check(self) -> None:
        """Refuse options that contradict each other, each of them being in its range.

        Raises:
            UsageError: The contradiction, or what is missing.
        """


def home_path(text: str) -> str:
    """Return the text with a leading ``~`` or ``~user`` replaced by the home folder, as a shell does.

    A shell itself replaces it in a word of its own, not in ``--option=~/file``, and in TOML there is none.

    Raises:
        ConfigError: There is no such user, and no such file either.
    """
    if not text.startswith("~"):
        return text
    home, separator, rest = text.partition(os.sep)
    try:
        return f"{Path(home).expanduser()}{separator}{rest}"
    except (RuntimeError, OSError) as error:
        if separator and not Path(home).exists():
            remedy = f"for a folder of this name: ./{text}"
            raise ConfigError(f"'{text}': there is no user '{home[1:]}'", remedy=remedy) from error
        return text


def require(condition: bool, name: str, value: object, wanted: str) -> None:
    """Raise `ConfigError` unless `condition` holds: ``end_frame must be beyond 5, got 3``."""
    if not condition:
        raise ConfigError(f"{name} must be {wanted}, got {value}")


@dataclasses.dataclass(frozen=True)
class Option:
    """One config field as the command line, TOML and keyword arguments see it.

    Attributes:
        stage: Name of the part it belongs to.
        key: Name of the config field, of the TOML key and of the keyword argument.
        type: bool, int, float, str, or tuple for texts.
        default: The dataclass's own.
        group: Title that it stands under.
        spec: Help, choices, range, metavar.
    """

    stage: str
    key: str
    type: type
    default: Any
    group: str
    spec: OptionSpec

    @property
    def flag(self) -> str:
        """``--long-option``."""
        return flag_of(self.key)

    @property
    def alias_flags(self) -> tuple[str, ...]:
        """Its earlier names on the command line."""
        return tuple(map(flag_of, self.spec.aliases))


def flag_of(key: str) -> str:
    """Return the name that an option has on the command line."""
    return "--" + key.replace("_", "-")


def options_of(config: type) -> tuple[Option, ...]:
    """Return the options of all stages of a command's config class, in order."""
    found = []
    for part, stage in typing.get_type_hints(config).items():
        hints = typing.get_type_hints(stage)
        for field in dataclasses.fields(stage):
            spec = field.metadata["option"]
            found.append(Option(part, field.name, _plain_type(hints[field.name]), field.default, stage.group, spec))
    return tuple(found)


def help_of(known: Option) -> str:
    """Return an option's help with its default and its range: ``least score (default 0.3, between 0 and 1)``."""
    added = []
    if known.default not in (None, "", ()):
        shown = {True: "on", False: "off"}[known.default] if known.type is bool else known.spec.shown(known.default)
        added.append(f"default {shown}")
    if known.spec.range is not None:
        added.append(str(known.spec.range))
    return f"{known.spec.help} ({', '.join(added)})" if added else known.spec.help


def _plain_type(hint: Any) -> type:
    """Return ``int`` for ``int | None``, ``tuple`` for a list of texts: an option that may be given more than once."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return tuple if typing.get_origin(hint) is tuple else typing.cast(type, hint)


def assemble(config: type[C], values: Mapping[str, Any]) -> C:
    """Build a command's config from option values by key; what is not given keeps its stage's default.

    Raises:
        UsageError: A value is out of range, or contradicts others; all stages' complaints are listed.
    """
    by_stage: dict[str, dict[str, Any]] = {}
    for known in options_of(config):
        if known.key in values:
            by_stage.setdefault(known.stage, {})[known.key] = values[known.key]
    stages = typing.get_type_hints(config)
    built = run_checks(*(functools.partial(stage, **by_stage.get(part, {})) for part, stage in stages.items()))
    return config(**dict(zip(stages, built)))
