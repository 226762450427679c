"""`completion`: a shell script that completes commands, options, names and files."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from mot_dinov3.cli import COMMANDS, PROGRAM, command_parser
from mot_dinov3.cli.arguments import Parser
from mot_dinov3.core.errors import EXIT_OK

SHELLS = ("bash", "zsh", "fish")
FILES = re.compile(r"FILE|PATH|MODEL|ID_OR_FOLDER|INPUTS|--det$|--weights$")
FOLDERS = re.compile(r"DIR|--out-dir$")

USAGE = "bash|zsh|fish"
DESCRIPTION = (
    "Print a shell script that completes commands, options, names and files. For this "
    f'session: eval "$({PROGRAM} completion bash)"; permanently: put this line into ~/.bashrc. zsh: the same '
    f"with zsh, after compinit, in ~/.zshrc. fish: {PROGRAM} completion fish > "
    f"~/.config/fish/completions/{PROGRAM}.fish"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("shell", choices=SHELLS, help="shell of the script")


def run(args: argparse.Namespace) -> int:
    """Print the script and return the exit code."""
    import shtab

    print(shtab.complete(whole_parser(), args.shell))
    return EXIT_OK


def whole_parser() -> argparse.ArgumentParser:
    """Return one parser of the whole program, with completions for its arguments; it is not for parsing."""
    import shtab

    parsers = {name: command_parser(name) for name in COMMANDS}
    for parser in parsers.values():
        for action in parser._actions:
            _set_completion(action)
    # No command means `track`: its options complete before a command's name, too.
    root = Parser(PROGRAM, parents=[parsers["track"]], add_help=False)
    root.add_argument("--version", action="store_true", help="print the version and exit")
    subparsers = root.add_subparsers(parser_class=Parser)
    for name, parser in parsers.items():
        about = COMMANDS[name]
        whole = subparsers.add_parser(name, parents=[parser], add_help=False, help=about, description=about)
        if parser.positional:
            whole.add_argument("file", nargs="?").complete = shtab.FILE  # type: ignore[attr-defined]
    return root


def _set_completion(action: argparse.Action) -> None:
    """Set an argument's completion for shtab: names of a registry, files, folders, or both names and files."""
    import shtab

    if action.nargs == 0 or action.choices:
        return
    option = action.option_strings[-1] if action.option_strings else ""
    placeholder = action.metavar if isinstance(action.metavar, str) else ""
    names = _names().get(option, ())
    files = any(map(FILES.match, (option, placeholder)))
    if names and not files:
        action.choices = names
    elif names:
        action.complete = _names_or_files(names)  # type: ignore[attr-defined]
    elif files:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif any(map(FOLDERS.match, (option, placeholder))):
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]


def _names() -> Mapping[str, Sequence[str]]:
    """Return the names that an option takes, by option, where argparse has no choices."""
    from mot_dinov3.apps.export.config import FORMATS
    from mot_dinov3.detectors import DETECTORS
    from mot_dinov3.detectors.base import DEFAULT_MODELS
    from mot_dinov3.features.factory import EMBEDDERS
    from mot_dinov3.features.osnet import WEIGHTS
    from mot_dinov3.trackers import TRACKERS

    return {
        "--det": (*DETECTORS, *DEFAULT_MODELS.values()),
        "--device": ("auto", "cpu", "cuda", "mps"),
        "--embedder": tuple(EMBEDDERS),
        "--embedders": tuple(EMBEDDERS),
        "--include": tuple(FORMATS),
        "--embed-model": tuple(WEIGHTS),
        "--tracker": tuple(TRACKERS),
    }


def _names_or_files(names: Sequence[str]) -> dict[str, Any]:
    """Return a completion of names and files in each shell's syntax."""
    words = shlex.join(names)
    function = "_mot_dinov3_file_or_" + re.sub(r"\W", "_", "_".join(names))[:40]
    bash = f'{function}() {{\n  compgen -W {shlex.quote(words)} -- "$1"\n  compgen -f -- "$1"\n}}'
    return {
        "bash": function,
        "zsh": f"{{compadd -- {words}; _files}}",
        "fish": f"(string split ' ' -- {shlex.quote(words)}; __fish_complete_path (commandline -ct))",
        "preamble": {"bash": bash},
    }
