"""Everything that can go wrong, as one tree.

::

    MotError                      exit 1   a bug, or a caller's mistake in the library
    ├─ UsageError                 exit 2   options, configuration
    │  ├─ ConfigError             exit 2   a TOML file or a stage's dataclass
    │  ├─ UnknownNameError        exit 2   a name no registry lists
    │  └─ OutputError             exit 2   an output path that cannot be used
    ├─ InputError                 exit 3   a source, a file or an image that cannot be read
    │  ├─ VideoError              exit 3   a source of frames
    │  ├─ FormatError             exit 3   a text file, with the line or record
    │  ├─ NoLabelsError           exit 3   a video to be tracked from labels that has none
    │  └─ OutputLostError         exit 3   an output that failed while being written (disk full, gone)
    └─ ModelError                 exit 4   weights
       ├─ GatedModelError         exit 4   needs an accepted licence and a token
       ├─ UntrustedModelError     exit 4   the file could run code
       ├─ UnsupportedModelError   exit 4   the installed libraries do not know its architecture
       └─ UnreachableModelError   exit 4   neither local nor to be fetched

The library raises these and nothing else on purpose; it never prints and never exits. `cli.main` turns them into one
line on stderr, the remedy below it, and the exit code.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

EXIT_OK = 0
EXIT_BUG = 1
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

_LONGEST = 1000  # characters of a message
_TYPING_ERROR = 0.8  # similarity from which a name is a misspelt one
_OUTPUT_NAME = re.compile(r"-*(save|out|write|report)")


class MotError(Exception):
    """Base of all errors the project raises.

    Content of a file may be part of a message: it is cut to a readable length, and characters that a terminal would
    obey are spelled out.

    Args:
        message: One line: what is wrong and where (file, frame, row, option).
        remedy: What the user can do about it; may have several lines. Empty where the message says it all.
    """

    exit_code = EXIT_BUG

    def __init__(self, message: str, *, remedy: str = "") -> None:
        self.message = _plain(message)
        super().__init__(self.message)
        self.remedy = remedy


class UsageError(MotError):
    """The command line or the caller asked for something impossible."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration value is out of range, of the wrong type or unknown."""


class UnknownNameError(UsageError):
    """A name that its registry does not list."""


class OutputError(UsageError):
    """An output path that cannot be written, found before any work was done."""


class InputError(MotError):
    """Input that cannot be used."""

    exit_code = 3


class VideoError(InputError):
    """A source of frames that cannot be opened or read."""


class FormatError(InputError):
    """A text file that breaks its format; the message names file and line or record."""


class NoLabelsError(InputError):
    """A video to be tracked from labels that has none made by a person."""


class OutputLostError(InputError):
    """An output that could not be written any further (disk full, folder gone)."""


class ModelError(MotError):
    """Weights that are missing, corrupt, of the wrong kind or do not fit."""

    exit_code = 4


class GatedModelError(ModelError):
    """A model that needs an accepted licence and a token."""


class UntrustedModelError(ModelError):
    """A weights file that is more than data: opening it could run code."""


class UnsupportedModelError(ModelError):
    """A model whose architecture the installed libraries do not know."""


class UnreachableModelError(ModelError):
    """A model that is neither local nor to be fetched."""


def _plain(message: str) -> str:
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 4 :]}"
    if message.isprintable():
        return message
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in message)


def closest(name: str, valid: Iterable[str], *, outputs: Collection[str] = ()) -> str:
    """Return ``"; did you mean 'x'?"`` for the valid name `nearest` to `name`, or an empty string."""
    near = nearest(name, valid, outputs=outputs)
    return f"; did you mean '{near}'?" if near else ""


def nearest(name: str, valid: Iterable[str], *, outputs: Collection[str] = ()) -> str:
    """Return the valid name most similar to `name`, or an empty string.

    One of the `outputs`, the names of what is written, is returned only for a name that reads like one, or for a typing
    error: else an input file would be given to an option that overwrites it.
    """
    reads_like_output = _OUTPUT_NAME.match(name) is not None
    for found in difflib.get_close_matches(name, list(valid), n=5):
        is_typing_error = difflib.SequenceMatcher(None, found, name).ratio() >= _TYPING_ERROR
        if not outputs or is_typing_error or (found in outputs) == reads_like_output:
            return found
    return ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, short enough for a message."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UnknownNameError:
    """Build the error for a `name` that is not among the `valid` ones of its `kind`."""
    names = sorted(valid)
    return UnknownNameError(f"unknown {kind} '{name}'{closest(name, names)}", remedy=f"valid: {', '.join(names)}")


def run_checks(*checks: Callable[[], Any]) -> list[Any]:
    """Run all checks, also after one that fails, and return their results.

    Raises:
        MotError: The one that a check raised; of several, the first one's kind, with all messages and remedies.
    """
    results, problems = [], []
    for check in checks:
        try:
            results.append(check())
        except MotError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        remedies = dict.fromkeys(problem.remedy for problem in problems if problem.remedy)
        message = "; ".join(problem.message for problem in problems)
        raise type(problems[0])(message, remedy="\n".join(remedies)) from problems[0]
    return results
