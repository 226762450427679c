"""Aliases on the command line: Ultralytics' ``key=value`` syntax, and option names of other trackers."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from mot_dinov3.core.errors import nearest

if TYPE_CHECKING:
    from mot_dinov3.cli.arguments import Parser

ALIASES = {
    "--input": "--source",
    "--model": "--det",
    "--name": "--output",
    "--project": "--output",
    "--save-txt": "--save-mot",
    "--vid-stride": "--detect-every",
}
"""Option of other trackers → ours."""


def as_options(words: Sequence[str], parser: Parser, *, always: bool) -> list[str]:
    """Return the words as options of their one name.

    ``key=value`` becomes ``--key=value``, a flag's True or False ``--key`` or ``--no-key``, and an earlier name of an
    option its name. The first word without an option is the value of the positional one: ``track in.mp4``. A word that
    is the value of the option before it is kept; an option that may do without a value keeps only one that it can read.

    Args:
        words: The command line after the command.
        parser: The command's parser.
        always: Convert unknown keys, too, so that the error names them; False where a command takes files, whose
            names may contain ``=``.
    """
    options, aliases, converted = parser._option_string_actions, parser.aliases, list[str]()
    free = "" if parser.positional in (_option(word, aliases) for word in words) else parser.positional
    for word in words:
        before = options.get(converted[-1]) if converted else None
        if before is not None and before.nargs == "?" and not _reads(before, word):
            converted[-1], before = f"{converted[-1]}=auto", None
        key, equals, value = word.partition("=")
        option = _option(word, aliases)
        if before is not None and before.nargs != 0:
            converted.append(word)
        elif key in aliases:
            converted.append(option + equals + value)
        elif equals and key.isidentifier() and (always or option in options):
            converted.append(_convert(option, value, options.get(option)))
        elif free and (word == "-" or not word.startswith("-")) and not _takes_more(converted, options):
            converted.append(f"{free}={word}")
            free = ""
        else:
            converted.append(word)
    return converted


def _option(word: str, aliases: Mapping[str, str]) -> str:
    """Return the option that a word names, by its one name: of ``--key``, ``--key=value`` and ``key=value``."""
    key, equals, _ = word.partition("=")
    option = "--" + key.replace("_", "-") if equals and not key.startswith("-") else key
    return aliases.get(option, option)


def _reads(action: argparse.Action, word: str) -> bool:
    """Return whether a word can be the value of an option."""
    if word.startswith("-"):
        return False
    try:
        if callable(action.type):
            action.type(word)
    except (ValueError, argparse.ArgumentTypeError):
        return False
    return True


def _takes_more(words: Sequence[str], options: Mapping[str, argparse.Action]) -> bool:
    """Return whether the last option of the words takes any number of values."""
    last = next((word for word in reversed(words) if word.startswith("-")), "")
    return last in options and options[last].nargs in ("+", "*")


def _convert(option: str, value: str, action: argparse.Action | None) -> str:
    """Return ``--key=value``; for a flag ``--key`` or ``--no-key``."""
    if action is not None and action.nargs == 0:
        if value.lower() in ("true", "1"):
            return option
        if value.lower() in ("false", "0"):
            return option.replace("--", "--no-", 1)
    return f"{option}={value}"


def suggestion(option: str, known: Sequence[str], aliases: Mapping[str, str], outputs: Collection[str]) -> str:
    """Return ``"; did you mean '--x'?"`` for an option that is not `known`, or nothing.

    Args:
        option: What was given.
        known: The options that there are.
        aliases: Earlier name → name.
        outputs: Those that name a file to write.
    """
    meant = ALIASES.get(option, "")
    if meant not in known:
        near = nearest(option, (*known, *aliases), outputs=outputs)
        meant = aliases.get(near, near)
    return f"; did you mean '{meant}'?" if meant else ""
