"""Generates the pages of the CLI reference from the commands' parsers: one for each command, and their index."""

from __future__ import annotations

import argparse
import re

from mot_dinov3.cli import COMMANDS, command_parser

INDEX = """# CLI reference

These pages are generated from the program. `mot-dinov3` without a command means `mot-dinov3 track`.

{commands}

All commands accept `--debug` (verbose logging; show tracebacks) and `--no-progress` (hide the progress bar). In a
`--config` file a key is the long name of an option without the leading dashes: `embed-budget-ms = 20`.

## Exit codes

| code | meaning |
| --- | --- |
| 0 | success |
| 1 | internal error; `--debug` shows the traceback |
| 2 | usage or configuration error, or an output that cannot be written |
| 3 | unusable input, full disk, or an output lost during the run |
| 4 | a model that is gated, missing, unreachable, corrupt or of the wrong kind |
| 130, 143 | interrupted, terminated; the output so far is complete and playable |
"""
COMMON = {"--debug", "--no-progress"}


def index() -> str:
    """Return the page that lists the commands."""
    rows = [f"| [{name}]({name}.md) | {cell(capital(summary))} |" for name, summary in COMMANDS.items()]
    return INDEX.format(commands="\n".join(["| command | description |", "| --- | --- |", *rows]))


def page(name: str) -> str:
    """Return a command's page: every option, in the groups of its help."""
    parser = command_parser(name)
    parts = [f"# {name}\n\n{cell(capital(COMMANDS[name]))}.\n\n{plain(parser.description or '')}\n", usage(parser)]
    return "\n".join([*parts, *(table(group) for group in parser._action_groups if shown(group))])


def usage(parser: argparse.ArgumentParser) -> str:
    """Return the line of usage as a block of code."""
    line = " ".join(parser.format_usage().removeprefix("usage: ").split())
    return f"```text\n{line}\n```\n"


def shown(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    """Return the options of a group that a page shows: those of all commands are on the index."""
    actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
    return [action for action in actions if not COMMON & set(action.option_strings)]


def table(group: argparse._ArgumentGroup) -> str:
    """Return one group of options as a table."""
    rows = "".join(row(action) for action in shown(group))
    return f"## {cell(capital(group.title or 'options'))}\n\n| option | description |\n| --- | --- |\n{rows}"


def row(action: argparse.Action) -> str:
    """Return one option as a row."""
    value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    value = value if action.nargs != 0 and isinstance(value, str) else ""
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.dest}`"
    given = f" `{value}`" if value and action.option_strings else ""
    return f"| {cell(names + given)} | {cell(plain(action.help or ''))} |\n"


def capital(text: str) -> str:
    """Return text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def plain(text: str) -> str:
    """Return a help text with argparse's ``%%`` replaced and Markdown's special characters escaped."""
    text = text.replace("%(prog)s", "mot-dinov3").replace("%%", "%")
    return re.sub(r"([<>*_\[\]])", r"\\\1", text)


def cell(text: str) -> str:
    """Return text escaped for a table cell."""
    return " ".join(text.replace("|", "\\|").split())
