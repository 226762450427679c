"""README.md names only what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mot_dinov3.cli import COMMANDS, main


@pytest.fixture(scope="module")
def readme(repo: Path) -> str:
    return (repo / "README.md").read_text(encoding="utf-8")


def test_every_option_exists(readme: str, repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help-all"])
    known = capsys.readouterr().out
    known += "".join((repo / name).read_text(encoding="utf-8") for name in ("setup.sh", "clean.sh"))
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", readme))
    assert "--embed-budget-ms" in options  # the search does find them
    assert sorted(options - set(re.findall(r"--[a-z][a-z0-9-]+", known))) == []


def test_every_command_is_listed(readme: str) -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)`", readme.partition("## Commands")[2].partition("The most used options")[0], re.M
    )
    assert rows == list(COMMANDS)


def test_every_file_it_shows_is_there(readme: str, repo: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", readme) if "://" not in link]
    assert "docs/demo.jpg" in links
    assert [link for link in links if not (repo / link).exists()] == []
