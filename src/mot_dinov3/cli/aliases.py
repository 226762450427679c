"""Aliases on the command line: Ultralytics' ``key=value`` syntax, and option names of other trackers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mot_dinov3.core.errors import closest

ALIASES = {
    "--input": "--source",
    "--model": "--det",
    "--name": "--output",
    "--project": "--output",
    "--save-txt": "--save-mot",
    "--vid-stride": "--detect-every",
}
"""Option of other trackers → ours."""


def as_options(words: Sequence[str], parser: argparse.ArgumentParser, *, always: bool) -> list[str]:
    """Return the words with ``key=value`` as ``--key=value``; a flag's True or False as ``--key`` or ``--no-key``.

    A word that is the value of the option before it is kept.

    Args:
        words: The command line after the command.
        parser: The command's parser.
        always: Convert unknown keys, too, so that the error names them; False where a command takes files, whose
            names may contain ``=``.
    """
    options, converted = parser._option_string_actions, list[str]()
    for word in words:
        before = options.get(converted[-1]) if converted else None
        key, equals, value = word.partition("=")
        option = "--" + key.replace("_", "-")
        if before is not None and before.nargs != 0:
            converted.append(word)
        elif equals and key.isidentifier() and (always or option in options):
            converted.append(_convert(option, value, options.get(option)))
        else:
            converted.append(word)
    return converted


def _convert(option: str, value: str, action: argparse.Action | None) -> str:
    """Return ``--key=value``; for a flag ``--key`` or ``--no-key``."""
    if action is not None and action.nargs == 0:
        if value.lower() in ("true", "1"):
            return option
        if value.lower() in ("false", "0"):
            return option.replace("--", "--no-", 1)
    return f"{option}={value}"


def suggestion(option: str, known: Sequence[str]) -> str:
    """Return ``"; did you mean '--x'?"`` for an option that is not `known`, or nothing."""
    meant = ALIASES.get(option, "")
    return f"; did you mean '{meant}'?" if meant in known else closest(option, known)
