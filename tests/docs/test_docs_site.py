"""The documentation builds strictly, and names only commands and options that exist."""

from __future__ import annotations

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mot_dinov3
from mot_dinov3.cli import COMMANDS, main

REPOSITORY = "https://github.com/example/mot-dinov3"


@pytest.fixture(scope="module")
def site(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="MkDocs Material is not installed: pip install 'mot-dinov3[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=repo,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "REPOSITORY_URL": REPOSITORY},
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
        "results",
        "formats",
        "troubleshooting",
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


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The site behind a web server of this computer: a browser runs no search from files."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_in_a_browser_theme_and_search_work_and_no_request_leaves(address: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.wait_for_load_state("networkidle")
    assert page.locator(f'.md-header a[href="{REPOSITORY}"]').count() == 1
    body = page.locator("body")
    assert body.get_attribute("data-md-color-scheme") == "default"
    for _ in range(2):  # system → light → dark
        page.locator("form[data-md-component=palette] label:not([hidden])").click()
    assert body.get_attribute("data-md-color-scheme") == "slate"
    page.locator("input[data-md-component=search-query]").click()
    page.locator("input[data-md-component=search-query]").press_sequentially("embed-budget-ms")
    page.wait_for_selector(".md-search-result__item")
    assert "cli/track/" in " ".join(
        page.locator("a.md-search-result__link").evaluate_all("links => links.map(link => link.href)")
    )
    assert [url for url in requests if not url.startswith(address)] == []
    page.close()


@pytest.mark.slow
def test_on_a_phone_no_page_is_wider_than_the_screen(address: str, site: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    wide = {}
    for path in sorted(site.rglob("index.html")):
        place = path.parent.relative_to(site).as_posix()
        page.goto(f"{address}{place}/")
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
            wide[place] = width
    page.close()
    assert wide == {}
