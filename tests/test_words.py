"""User-facing text uses the terms of the field: help, messages, pages, documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mot_dinov3.cli import COMMANDS, command_parser, overview

# Pattern of a private term → the field's term. Patterns are case-insensitive and match at word boundaries.
TERMS = {
    r"pictures?": "frame or image",
    r"like(?:ness|st)": "similarity, most similar",
    r"(?:an?|the|its|their|whose|known|old|same|by|of) looks?(?! like)": "appearance",
    r"look(?:s|ed|ing)? (?:at|for)": "process, inspect, view, search for",
    r"lives": "timeline",
    r"live (?:tracks?|ones?)": "active tracks",
    r"f(?:ou|i)nds? (?:\w+ )?again": "re-identified, recovered",
    r"to be had": "available",
    r"at hand": "available",
    r"who is who": "identities",
    r"passed by": "objects tracked",
    r"overshoots?": "overrun",
    r"hiding places?": "occlusion",
    r"portraits?": "best crops",
    r"lets? in": "accepted, input validation",
    r"mend(?:s|ed|ing)?": "repair",
    r"go(?:es|ing)? on|went on": "resume, continue",
    r"anew": "again, recomputed, recreated",
    r"main job": "tracking",
    r"(?<!ground\s)(?<!ground-)truth": "ground truth",
    r"(?<!-)peers?": "baseline",
    r"knobs?": "parameters",
    r"lowest score": "confidence threshold",
    r"recorded detections": "precomputed detections",
    r"t(?:old|ell|ells|elling)": "report, detect, distinguish",
    r"said": "reported",
    r"(?<!you\s)want(?:s|ed)?": "require, target",
    r"of your own": "custom",
    r"on the spot": "generated",
    r"earn(?:s|ed)?": "contribute, ablation",
    r"promis(?:es?|ed)": "guarantee, requirement",
    r"endings?": "extension",
    r"sought": "seek, search for",
    r"losers?": "runner-up",
    r"(?:clicked|best) places?": "point, patch, match",
    r"carried on": "propagated, continued",
    r"change of place": "speed",
    r"for a moment": "briefly",
    r"first frame done": "time to first frame",
    r"dies?": "removed",
    r"bears?": "have",
    r"(?<!\.)doubt(?:s|ful)?": "uncertainty",
    r"nobody|somebody": "no object, another identity",
    r"what no stage accounts for": "overhead",
    r"where they (?:went|were)": "trajectories, heatmap",
}
PATTERN = re.compile(
    "|".join(rf"(?P<t{n}>\b(?:{term})\b)".replace(" ", r"\s+") for n, term in enumerate(TERMS)), re.IGNORECASE
)
CODE = re.compile(r"```.*?```|``.*?``|`[^`\n]*`", re.DOTALL)
READ_ATTRIBUTES = ("title", "placeholder", "aria-label", "alt", "data-hint")
DOCUMENTS = ("README.md", "benchmarks/RESULTS.md", ".env.example", "mkdocs.yml")


def offences(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line, from 0, and a sentence on each private term in `text`."""
    for match in PATTERN.finditer(text):
        number = int((match.lastgroup or "t0").removeprefix("t"))
        yield (
            text.count("\n", 0, match.start()),
            f"{' '.join(match.group().split())!r}: write {list(TERMS.values())[number]}",
        )


def without_code(markdown: str) -> str:
    """Return Markdown with code blanked out, line breaks kept."""
    return CODE.sub(lambda match: "\n" * match.group().count("\n"), markdown)


def unreleased(changelog: str) -> str:
    """Return the part of the changelog that is not released yet, and the lines before it."""
    head, mark, rest = changelog.partition("## [Unreleased]")
    return head + mark + re.split(r"^## \[", rest, maxsplit=1, flags=re.M)[0]


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each string in a module that can be prose: no docstrings, no single words."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))  # docstrings
        elif isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values)
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        else:
            continue
        if re.search(r"\w[,;:]? \w|^[A-Z…]", text):
            yield node.lineno, text


class PageText(HTMLParser):
    """Collects what a reader of a page sees: text and the attributes that browsers show."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("script", "style")
        self.found += [(self.getpos()[0], value) for name, value in attrs if name in READ_ATTRIBUTES and value]

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append((self.getpos()[0], data))


def script_strings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each string in a script that can be prose."""
    token = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`", re.DOTALL)
    for match in token.finditer(source):
        text = re.sub(r"\$\{[^}]*\}", "…", match.group())
        if not text.startswith("/") and re.search(r"\w[,;:]? \w|^.[A-Z]", text):
            yield source.count("\n", 0, match.start()) + 1, text


def test_the_patterns_spare_plain_english() -> None:
    spared = "It looks like a live stream; ground truth, a live view, the ground-truth file, --peers, if you want"
    assert list(offences(spared)) == []
    assert [words for _, words in offences("a track's look\nand what is to be had, as the truth")] == [
        "'to be had': write available",
        "'truth': write ground truth",
    ]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(repo: Path, name: str) -> None:
    text = without_code((repo / name).read_text(encoding="utf-8"))
    assert [f"{name}:{line + 1}: {words}" for line, words in offences(text)] == []


@pytest.mark.parametrize("name", ["setup.sh", "clean.sh"])
def test_help_of_the_scripts(repo: Path, name: str) -> None:
    usage = (repo / name).read_text(encoding="utf-8").partition("<<'TEXT'\n")[2].partition("\nTEXT\n")[0]
    assert usage.startswith("usage: ")
    assert [words for _, words in offences(usage)] == []


def test_pages_of_the_site(repo: Path) -> None:
    found = [
        f"docs/{page.name}:{line + 1}: {words}"
        for page in sorted((repo / "docs").glob("*.md"))
        for line, words in offences(without_code(page.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_examples(repo: Path) -> None:
    found = [
        f"examples/{path.name}:{line + 1}: {words}"
        for path in sorted((repo / "examples").glob("*.py"))
        for line, words in offences(without_code(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_help_of_the_benchmarks(repo: Path) -> None:
    found = []
    for path in sorted((repo / "benchmarks").glob("*.py")):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        for line, text in [(1, without_code(doc)), *literals(path)]:
            found += [f"benchmarks/{path.name}:{line + extra}: {words}" for extra, words in offences(text)]
    assert found == []


def test_the_changelog_of_the_next_release(repo: Path) -> None:
    text = without_code(unreleased((repo / "CHANGELOG.md").read_text(encoding="utf-8")))
    assert [f"CHANGELOG.md:{line + 1}: {words}" for line, words in offences(text)] == []


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str) -> None:
    text = " ".join((command_parser(command).format_help() if command else overview()).split())
    assert [words for _, words in offences(text)] == []


def test_strings_of_the_package(repo: Path) -> None:
    found = []
    for path in sorted((repo / "src").rglob("*.py")):
        for line, text in literals(path):
            found += [f"{path.relative_to(repo)}:{line}: {words} in {text!r}" for _, words in offences(text)]
    assert found == []


def test_pages_and_scripts_of_the_package(repo: Path) -> None:
    found = []
    for path in sorted((repo / "src").rglob("*.*")):
        texts: list[tuple[int, str]] = []
        if path.suffix == ".html":
            page = PageText()
            page.feed(path.read_text(encoding="utf-8"))
            texts = page.found
        elif path.suffix == ".js":
            texts = list(script_strings(path.read_text(encoding="utf-8")))
        for line, text in texts:
            found += [
                f"{path.relative_to(repo)}:{line + extra}: {words} in {text!r}" for extra, words in offences(text)
            ]
    assert found == []
