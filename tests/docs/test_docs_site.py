"""The documentation builds strictly, and names only commands and options that exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mot_dinov3
from mot_dinov3.cli import COMMANDS, main


@pytest.fixture(scope="module")
def site(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="MkDocs Material is not installed: pip install 'mot-dinov3[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=repo,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_builds_strictly_and_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(site).parts[0] for path in site.rglob("index.html")}
    assert {
        "how-it-works",
        "recipes",
        "cli",
        "formats",
        "troubleshooting",
        "results",
        "contributing",
        "python",
    } <= pages
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img)[^>]+src="https?://', text) == [], path
        assert re.findall(r'<link[^>]+rel="(?:stylesheet|preconnect)"[^>]+href="https?://', text) == [], path


def test_every_option_of_every_command_has_its_row(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = (site / "cli" / "index.html").read_text(encoding="utf-8")
    for command in COMMANDS:
        page = (site / "cli" / command / "index.html").read_text(encoding="utf-8")
        with pytest.raises(SystemExit):
            main([command, "--help-all"])
        told = set(re.findall(r"^  (?:-\w, )?(--[a-z][a-z0-9-]+)", capsys.readouterr().out, re.M)) - {
            "--debug",
            "--no-progress",
        }
        assert told, command
        assert [option for option in sorted(told) if f"<code>{option}</code>" not in page] == [], command
        assert f'href="{command}/"' in index


def test_every_public_name_is_on_the_page_of_the_python_api(site: Path) -> None:
    page = re.sub(r"<[^>]+>", "", (site / "python" / "index.html").read_text(encoding="utf-8"))
    assert [name for name in mot_dinov3.__all__ if name not in page and name != "__version__"] == []
    for text in ("Pipeline.from_options", "Detections.to_supervision", "An unknown option", "GatedModelError"):
        assert text in page


def test_the_pages_name_only_what_exists(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = "".join((repo / name).read_text(encoding="utf-8") for name in ("setup.sh", "clean.sh"))
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help-all"])
    known += capsys.readouterr().out
    options = set(re.findall(r"--[a-z][a-z0-9-]+", known))
    wrong: dict[str, list[str]] = {}
    for page in ("batch", "formats", "how-it-works", "index", "limitations", "recipes", "troubleshooting"):
        text = (repo / "docs" / f"{page}.md").read_text(encoding="utf-8")
        ours = [line for line in text.splitlines() if line.startswith(("mot-dinov3 ", "|", "bash "))]
        found = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", "\n".join(ours))) - options
        commands = set(re.findall(r"^mot-dinov3 ([a-z][a-z-]*)(?=\s)", text, re.M)) - set(COMMANDS)
        if found | commands:
            wrong[page] = sorted(found | commands)
    assert wrong == {}
