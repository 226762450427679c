"""MkDocs hooks: pages of the site that are generated, or are files of the checkout, and their places in `nav`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import command_pages
import python_api
import results_pages
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
RESULTS, CHANGELOG = "benchmarks/RESULTS.md", "CHANGELOG.md"
PLACES = {RESULTS: "results/index.md", CHANGELOG: "changelog.md"}
SOURCE = "(in the checkout)"


def on_config(config: Any) -> Any:
    """Give each page of a command and each page of results its place below the index of its section."""
    for entry in config.nav:
        for title, content in entry.items():
            if content == ["cli/index.md"]:
                entry[title] = [*content, *({name: f"cli/{name}.md"} for name in command_pages.COMMANDS)]
            elif content == ["results/index.md"]:
                pages = results_pages.split(text_of(RESULTS))
                entry[title] = [*content, *(f"results/{name}.md" for name in pages if name != "index")]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    pages = {"changelog.md": below_docs(text_of(CHANGELOG)), "python.md": python_api.page()}
    pages["cli/index.md"] = command_pages.index()
    pages |= {f"cli/{name}.md": command_pages.page(name) for name in command_pages.COMMANDS}
    for name, text in results_pages.split(text_of(RESULTS)).items():
        pages[f"results/{name}.md"] = below_docs(text, depth=1)
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Redirect links to files outside docs/ to their page on the site; links without one become plain text."""
    for place, name in PLACES.items():
        markdown = markdown.replace(f"](../{place}", f"]({name}")
    return re.sub(r"(?<!!)\[([^\]]+)\]\(\.\./(?![a-z-]+\.md)[^)]+\)", rf"\1 {SOURCE}", markdown)


def text_of(place: str) -> str:
    """Return a file of the checkout."""
    return (ROOT / place).read_text(encoding="utf-8")


def below_docs(text: str, depth: int = 0) -> str:
    """Return a file outside docs/ as a page `depth` folders below docs/, with its links made relative to it."""
    return re.sub(r"\]\((?:\.\./)?docs/", "](" + "../" * depth, text)
