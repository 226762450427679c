"""The commands and the Python on README.md and on the pages of docs/ run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mot_dinov3.cli import COMMANDS, command_parser, main
from mot_dinov3.cli.aliases import as_options

REPO = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (REPO / "docs").glob("*.md"))]
OURS = re.compile(r"^(?:python cli\.py|(?:\S*/)?mot-dinov3)(?: |$)")

NOT_RUN = {
    "clip": "needs CLIP from the hub",
    "--engine ray": "needs a Ray cluster",
    "--show": "needs a screen",
}
"""Words in a command of ours that the tests only parse → reason."""

NOT_OURS = {
    "bash setup.sh": "run by test_setup_takes_the_lines, dry",
    ".venv/bin/": "the checks themselves",
    "python docs/": "docs/*.py write into the checkout",
    "bash clean.sh": "would remove what the tests run with",
    "pip ": "changes the installation",
    "uv": "installs packages",
    "pipx ": "installs packages",
    "sudo ": "needs root",
    "curl ": "needs a network",
    "hf download": "needs a network",
    "git clone": "needs a network",
    "cd ": "follows git clone",
    "ray start": "needs a Ray cluster",
    "ssh ": "needs another machine",
    ". .venv/bin/activate": "the shell's own",
}
"""Beginnings of lines that are commands of other programs → why they are not run."""


def lines_of(page: str) -> list[str]:
    """The command lines of a page's blocks, without comments; continued lines are one."""
    text = (REPO / page).read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", text, re.S | re.M)
    lines = [re.sub(r"(?:^|\s+)# .*", "", line).strip() for block in blocks for line in block.splitlines()]
    lines = [re.sub(r'^eval "\$\((.*)\)"$', r"\1", line) for line in lines]
    return [line for line in lines if line]


def commands_of(page: str) -> list[list[str]]:
    """The words after the program's name of each command of ours on a page."""
    return [shlex.split(OURS.sub("", line).partition(" > ")[0]) for line in lines_of(page) if OURS.match(line)]


def command_of(words: list[str]) -> str:
    return words[0] if words and words[0] in COMMANDS else "track"


def reason(words: list[str]) -> str:
    """Why a command is parsed only; empty where it is run."""
    return next((why for word, why in NOT_RUN.items() if word in " ".join(words)), "")


def test_every_line_is_a_command_of_ours_or_has_its_reason() -> None:
    unknown = {
        page: [
            line
            for line in lines_of(page)
            if not OURS.match(line) and not re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line).startswith(tuple(NOT_OURS))
        ]
        for page in PAGES
    }
    assert {page: lines for page, lines in unknown.items() if lines} == {}


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)])
def test_every_command_is_accepted_by_its_parser(page: str) -> None:
    for words in commands_of(page):
        name = command_of(words)
        if "--version" in words:
            continue
        parser = command_parser(name)
        parser.parse_args(as_options(words[words[:1] == [name] :], parser, always=name == "track"))


@pytest.fixture
def folder(named_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with all files that the pages name, no network, and the model that it would be fetched for."""
    work = tmp_path / "work"
    shutil.copytree(named_files, work)
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("DINOV3_LOCATION", str(work / "dinov2-base"))
    return work


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)])
def test_the_commands_of_a_page_run(page: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in scripts_of(page).items():
        (folder / name).write_text(text, encoding="utf-8")
    for words in commands_of(page):
        if reason(words):
            continue
        before = set(folder.rglob("*"))
        if command_of(words) == "studio":
            assert serves(words), words
            continue
        assert main([*words, *quickly(words)]) == 0, (words, capsys.readouterr().err)
        told = capsys.readouterr().out
        assert told or set(folder.rglob("*")) - before, f"{words} says and writes nothing"


def quickly(words: list[str]) -> list[str]:
    """Words that spare the conversion of networks, which takes longer than these runs."""
    options = command_parser(command_of(words))._option_string_actions
    return ["--accel", "torch"] if "--accel" in options else []


def serves(words: list[str]) -> bool:
    """Whether a studio starts and prints its address."""
    command = [sys.executable, "-m", "mot_dinov3", *words, "--port", "0", "--cpu"]
    command += [] if "--no-browser" in words else ["--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            return "http://127.0.0.1" in process.stdout.readline()
        finally:
            process.terminate()


def scripts_of(page: str) -> dict[str, str]:
    """The blocks of Python that begin with the name of their file, by that name."""
    text = (REPO / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    return {m[1]: block for block in blocks if (m := re.match(r"# (\w+\.py)\n", block))}


@pytest.mark.slow
def test_the_python_of_the_readme_runs(folder: Path) -> None:
    text = (REPO / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
    assert "track_id" in (folder / "tracks.csv").read_text()


@pytest.mark.slow
def test_setup_takes_the_lines(tmp_path: Path) -> None:
    parts = {part for page in PAGES for line in lines_of(page) for part in line.split(" && ")}
    lines = {part for part in parts if "bash setup.sh" in part}
    assert len(lines) > 3
    shutil.copy(REPO / "setup.sh", tmp_path)
    shutil.copy(REPO / "pyproject.toml", tmp_path)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "curl").write_text("#!/bin/sh\nexit 1\n")  # no index is reached, and none waited for
    (tmp_path / "tools" / "curl").chmod(0o755)
    path = f"{tmp_path / 'tools'}{os.pathsep}{os.environ['PATH']}"
    for line in sorted(lines):
        ran = subprocess.run(
            ["bash", "-c", f"{line} --dry-run"],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=False,
        )
        told = ran.stdout + ran.stderr
        assert ran.returncode == 0 or "cannot be reached" in told, (line, told)
    assert not (tmp_path / ".venv").exists()
