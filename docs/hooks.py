"""MkDocs hooks: the generated CLI reference, and pages of the site that are files of the checkout."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import python_api
from mkdocs.structure.files import File, Files

from mot_dinov3.cli import COMMANDS, Parser, command_module
from mot_dinov3.cli.arguments import add_command_arguments

ROOT = Path(__file__).resolve().parents[1]
BROUGHT = {"results.md": "benchmarks/RESULTS.md", "changelog.md": "CHANGELOG.md"}
SOURCE = "(in the checkout)"
HEAD = """# CLI reference

Generated from the program: the text of `mot-dinov3 COMMAND --help`. All commands accept `--debug` and `--no-progress`.
In a `--config` file a key is the long name of an option without the leading dashes: `embed-budget-ms = 20`.
"""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    for name, place in BROUGHT.items():
        files.append(File.generated(config, name, content=inside((ROOT / place).read_text(encoding="utf-8"))))
    files.append(File.generated(config, "cli.md", content=cli_page()))
    files.append(File.generated(config, "python.md", content=python_api.page()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Redirect links to files outside docs/ to their page on the site; links without one become plain text."""
    for name, place in BROUGHT.items():
        markdown = markdown.replace(f"](../{place}", f"]({name}")
    return re.sub(r"(?<!!)\[([^\]]+)\]\(\.\./[^)]+\)", rf"\1 {SOURCE}", markdown)


def inside(text: str) -> str:
    """Return a file outside docs/ as a page of the site, with its links made relative to docs/."""
    return re.sub(r"\]\((?:\.\./)?docs/", "](", text)


def cli_page() -> str:
    """Return every command with every option, as in ``--help``."""
    parts = [HEAD]
    for name, summary in COMMANDS.items():
        parser = parser_of(name)
        parts.append(f"## {name}\n\n{cell(summary[0].upper() + summary[1:])}.\n\n{plain(parser.description or '')}\n")
        parts += [table(group) for group in parser._action_groups if group._group_actions]
    return "\n".join(parts)


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return a command's parser."""
    command = command_module(name)
    parser = Parser(prog=f"mot-dinov3 {name}", description=command.DESCRIPTION)
    add_command_arguments(parser, command)
    return parser


def table(group: argparse._ArgumentGroup) -> str:
    """Return one group of options as a table."""
    rows = "".join(row(action) for action in group._group_actions if action.help != argparse.SUPPRESS)
    title = group.title or "options"
    return f"### {cell(title[0].upper() + title[1:])}\n\n| option | description |\n| --- | --- |\n{rows}"


def row(action: argparse.Action) -> str:
    """Return one option as a row."""
    value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    value = value if action.nargs != 0 and isinstance(value, str) else ""
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.dest}`"
    given = f" `{value}`" if value and action.option_strings else ""
    return f"| {cell(names + given)} | {cell(plain(action.help or ''))} |\n"


def plain(text: str) -> str:
    """Return a help text with argparse's ``%%`` replaced and Markdown's special characters escaped."""
    text = text.replace("%(prog)s", "mot-dinov3").replace("%%", "%")
    return re.sub(r"([<>*_\[\]])", r"\\\1", text)


def cell(text: str) -> str:
    """Return text escaped for a table cell."""
    return " ".join(text.replace("|", "\\|").split())
