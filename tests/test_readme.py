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
    known = capsys.readouterr().out + "--help-all"
    known += "".join((repo / name).read_text(encoding="utf-8") for name in ("setup.sh", "clean.sh"))
    ours = re.sub(r"(?m)^(?:pip|pipx|uvx) .*?(?=mot-dinov3 |$)|`pip [^`]*`", "", readme)  # installers have their own
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", ours))
    assert "--embed-model" in options  # the search does find them
    assert sorted(options - set(re.findall(r"--[a-z][a-z0-9-]+", known))) == []


def test_every_command_is_listed(readme: str) -> None:
    rows = re.findall(r"^\| `([a-z-]+)`", readme.partition("## Commands")[2].partition("\n## ")[0], re.M)
    assert rows == list(COMMANDS)


def test_every_score_is_one_of_the_results(readme: str, repo: Path) -> None:
    rows = re.findall(r"^\|.*\|$", (repo / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8"), re.M)
    measured = [{cell.strip() for cell in row.split("|")} for row in rows]
    section = readme.partition("## Results")[2].partition("\n## ")[0]
    ours = re.findall(r"(\d+\.\d) / (\d+\.\d)", section)
    assert len(ours) >= 16
    # HOTA and IDF1 of ours stand in one row; the best baselines' are of different rows
    assert [pair for pair in ours if not any(value in row for row in measured for value in pair)] == []
    assert sum(any({*pair} <= row for row in measured) for pair in ours) >= 12


def test_every_file_it_shows_is_there(readme: str, repo: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", readme) if "://" not in link]
    assert "docs/images/vtest.webp" in links
    headings = {f"#{heading.lower().replace(' ', '-')}" for heading in re.findall(r"^## (.*)", readme, re.M)}
    assert [link for link in links if link not in headings and not (repo / link).exists()] == []


def test_the_moving_image_is_small_and_of_a_real_scene(repo: Path) -> None:
    from PIL import Image

    path = repo / "docs" / "images" / "vtest.webp"
    assert path.stat().st_size <= 3_000_000
    with Image.open(path) as image:
        assert image.n_frames > 100  # type: ignore[attr-defined]
        assert image.width >= 480
