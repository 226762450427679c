"""Other spellings of the command line: Ultralytics' ``key=value``, and what options are called elsewhere."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mot_dinov3.core.errors import closest

ELSEWHERE = {
    "--input": "--source",
    "--model": "--det",
    "--name": "--output",
    "--project": "--output",
    "--save-txt": "--save-mot",
    "--vid-stride": "--detect-every",
}
"""What other trackers call an option → ours."""


def as_options(words: Sequence[str], parser: argparse.ArgumentParser, *, always: bool) -> list[str]:
    """Return the words with ``key=value`` as ``--key=value``; a flag's True or False as ``--key`` or ``--no-key``.

    A word that is the value of the option before it stays as it is.

    Args:
        words: The command line behind the command.
        parser: The command's.
        always: Take keys for options that are none, too, so that the error names them; False where a command takes
            files, which may be called so.
    """
    options, spelled = parser._option_string_actions, list[str]()
    for word in words:
        before = options.get(spelled[-1]) if spelled else None
        key, equals, value = word.partition("=")
        option = "--" + key.replace("_", "-")
        if before is not None and before.nargs != 0:
            spelled.append(word)
        elif equals and key.isidentifier() and (always or option in options):
            spelled.append(_option(option, value, options.get(option)))
        else:
            spelled.append(word)
    return spelled


def _option(option: str, value: str, action: argparse.Action | None) -> str:
    """Return ``--key=value``; for a flag its name alone, or that which switches it off."""
    if action is not None and action.nargs == 0:
        if value.lower() in ("true", "1"):
            return option
        if value.lower() in ("false", "0"):
            return option.replace("--", "--no-", 1)
    return f"{option}={value}"


def suggestion(option: str, known: Sequence[str]) -> str:
    """Return ``"; did you mean '--x'?"`` for an option that is not `known`, or nothing."""
    meant = ELSEWHERE.get(option, "")
    return f"; did you mean '{meant}'?" if meant in known else closest(option, known)
