"""The command line: `main(argv)` returns the exit code.

A command is a module with a `DESCRIPTION` and ``run(args) -> int``, possibly a `USAGE`, `OPTIONS` (a config class whose
fields are options), ``add_arguments(parser)`` for others, `LISTS` (registries whose names ``--list-…`` prints), and
`SERVES` where it runs until it is stopped.
Only the one that is called is imported, so that ``--help`` is fast.
"""

from __future__ import annotations

import errno
import functools
import gc
import importlib
import io
import logging
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from mot_dinov3 import __version__
from mot_dinov3.cli.aliases import as_options
from mot_dinov3.cli.arguments import Parser, add_command_arguments
from mot_dinov3.cli.progress import progress_shown
from mot_dinov3.core.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    ConfigError,
    MotError,
    UsageError,
    unknown_name,
)

COMMANDS = {
    "track": "detect, embed within a budget, track and draw",
    "detect": "detections only, as det-v1 JSON",
    "gallery": "track precomputed detections and identify known objects",
    "keypoints": "track labelled body parts through a video",
    "similarity": "cosine heatmap of a selected patch",
    "export": "embedder weights to TorchScript, ONNX, OpenVINO, TensorRT, TFLite",
    "convert": "boxes and tracks from one format to another: CVAT, COCO, YOLO, MOTChallenge and back",
    "evaluate": "score tracks against ground truth: HOTA, MOTA, IDF1",
    "evaluate-embedder": "compare embedders: rank-1, mAP, d', cosines of same and different objects, ms per crop",
    "studio": "local web page: correct tracks and identities, build galleries, label keypoints, view similarity",
    "benchmark": "stage times, budget overrun, memory, comparison with baselines, accuracy of keypoint backends",
    "batch": "many videos, one result folder each, locally or on a Ray cluster",
    "identify": "one identity for each person over many videos and cameras",
    "find": "the identities that look like an image, and when they were seen",
    "forget": "delete a person from a registry and from results",
    "demo": "generate a short clip with ground truth, track it, print scores",
    "doctor": "check versions, device, codecs and models, and suggest fixes",
    "completion": "shell completion for bash, zsh and fish",
}
PROGRAM = "mot-dinov3"
MAX_ENV = 1 << 20  # bytes
MIN_TOKEN = 8  # characters; a shorter value would mask words


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (default: the process's own) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    _print_any_text()
    _log_to_stderr(debug)
    try:
        return _dispatch(words)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place that catches everything
        return report(error, debug=debug)


def _print_any_text() -> None:
    """Spell out what the console cannot show, such as a name in Cyrillic in a pipe on Windows; do without a console."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by 2>&-: this takes its descriptor before an output does
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _log_to_stderr(debug: bool) -> None:
    """Log to stderr: warnings, with `debug` all of ours. Debug logs of libraries would contain request headers."""
    handler = logging.StreamHandler()
    handler.setFormatter(TokenFilter("%(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("mot_dinov3").setLevel(logging.DEBUG if debug else logging.NOTSET)


class TokenFilter(logging.Formatter):
    """A formatter that masks hub tokens."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return without_tokens(super().format(record))


def without_tokens(text: str) -> str:
    """Return `text` with hub tokens masked: those of the environment, and words that look like one."""
    from mot_dinov3.models.hub import TOKENS

    for name in TOKENS:
        value = os.environ.get(name, "").strip()
        if len(value) >= MIN_TOKEN:
            text = text.replace(value, "***")
    return re.sub(r"\bhf_[A-Za-z0-9]{16,}", "***", text)


def entry() -> NoReturn:
    """Run as a console script."""
    code = main()
    gc.freeze()  # else the interpreter searches all that torch has made, for a second, after the last line is printed
    sys.exit(code)


def _dispatch(words: list[str]) -> int:
    if words and words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words and words[0] in ("--version", "-V", "version"):
        print(f"{PROGRAM} {__version__}")
        return 0
    name, rest = _command(words)
    parser = command_parser(name, short_help=True)
    args = parser.parse_args(as_options(rest, parser, always=name == "track"))
    if lists := getattr(args, "lists", None):
        print("\n".join(line for lines in lists for line in lines))
        return EXIT_OK
    read_env(Path(".env"))
    # torch's idle threads spin by default, and compete with decoding, OpenCV and NumPy: the convnet backend of
    # `keypoints` took 1.6 times as long on two CPUs. Read when torch is imported, so it is set before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args.words = words
    module = command_module(name)
    if args.no_progress or getattr(module, "SERVES", False):
        return int(module.run(args))
    with progress_shown(f"{name} is running"):
        return int(module.run(args))


def command_module(name: str) -> ModuleType:
    """Return the module of a command; its name has an underscore for each hyphen."""
    return importlib.import_module(f"mot_dinov3.cli.{name.replace('-', '_')}")


def command_parser(name: str, *, short_help: bool = False) -> Parser:
    """Return the parser of one command, with the options that all commands have.

    Args:
        name: The command.
        short_help: Its help shows the common options only, where the command has many.
    """
    module = command_module(name)
    usage = f"%(prog)s {getattr(module, 'USAGE', '[options]')}"
    whole = functools.partial(command_parser, name)
    parser = Parser(f"{PROGRAM} {name}", usage, module.DESCRIPTION, whole=whole if short_help else None)
    add_command_arguments(parser, module)
    parser.add_argument("--debug", action="store_true", help="verbose logging; show tracebacks")
    parser.add_argument("--no-progress", action="store_true", help="show no progress")
    parser.shorten_help()
    return parser


def read_env(path: Path) -> None:
    """Add the variables of a ``.env`` file (a hub token, say) to the environment; variables that are set stay."""
    from dotenv import load_dotenv

    try:
        if path.is_file():
            if path.stat().st_size > MAX_ENV:
                raise ValueError(f"it is larger than {MAX_ENV} bytes")
            load_dotenv(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{path}' cannot be read: {error}", remedy="write NAME=value lines in UTF-8") from error


def _command(words: list[str]) -> tuple[str, list[str]]:
    """Return the command's name and its words; no word, an option, ``key=value`` or a source first mean `track`."""
    if not words or words[0].startswith("-") or "=" in words[0]:
        return "track", words
    if words[0] in COMMANDS:
        return words[0], words[1:]
    if "://" in words[0] or os.path.exists(words[0]):  # noqa: PTH110 - False, too, for what is no possible path
        return "track", words
    error = unknown_name("command", words[0], COMMANDS)
    if Path(words[0]).suffix:
        error.message = f"'{words[0]}' is neither a command nor a file"
        error.remedy = f"to track a video: {PROGRAM} FILE\n{error.remedy}"
    raise error


def report(error: BaseException, *, debug: bool) -> int:
    """Report an error and its remedy on stderr; return the exit code."""
    if debug:
        print(without_tokens("".join(traceback.format_exception(error))), file=sys.stderr)
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    if isinstance(error, BrokenPipeError):  # the reader of our output is closed: drop what is buffered
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        error = UsageError(f"the name '{str(error.filename)[:40]}…' is too long for the file system")
    if isinstance(error, MotError) and error.exit_code != EXIT_BUG:
        print_error(error)
        return error.exit_code
    kind = type(error).__name__
    print(without_tokens(f"error: this is a bug: {kind}: {error}"), file=sys.stderr)
    print("  please report it with the output of the same command and --debug", file=sys.stderr)
    return EXIT_BUG


def print_error(error: MotError) -> None:
    """Print an error and its remedy on stderr."""
    print(f"error: {without_tokens(error.message)}", file=sys.stderr)
    for line in error.remedy.splitlines():
        print(f"  {line}", file=sys.stderr)


def overview() -> str:
    """Return the program's help: its commands."""
    rows = "\n".join(f"  {name:<17} {what}" for name, what in COMMANDS.items())
    return (
        f"usage: {PROGRAM} [command] [options]\n\n"
        f"Multi-object tracking in video that preserves object identities.\n\ncommands (default: track):\n{rows}\n\n"
        f"{PROGRAM} COMMAND --help lists a command's options (--help-all all of them). For example:\n"
        f"  {PROGRAM} in.mp4 --classes 0 --output outputs/tracked.mp4\n\n"
        "exit codes: 0 success, 1 internal error, 2 usage, 3 input, 4 model, 130 interrupted, 143 terminated"
    )
