"""A studio in a process of its own, and a browser in front of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WINDOW = {"width": 1280, "height": 800}
PATIENCE_MS = 20_000


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts a studio with the given options and returns its address."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str | Path) -> str:
        command = [sys.executable, "-m", "mot_dinov3", "studio", "--no-browser", "--cpu", *map(str, words)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DINOV3_LOCATION": ""},
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("studio"), process.communicate()[1]
        return line.split()[1]

    yield start
    for process in started:
        process.terminate()
        _, errors = process.communicate(timeout=30)
        assert "Traceback" not in errors, errors
        assert process.returncode in (-15, 143)


class Page:
    """The studio's page as a person uses it; places are source pixels."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_selector("body[data-ready]")

    def shows_frame(self, number: int) -> None:
        self.page.wait_for_selector(f"#canvas[data-frame='{number}']")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a source pixel's corner is on the screen."""
        box = self.page.locator("#canvas").bounding_box()
        view = self.page.eval_on_selector("#canvas", "c => ({...c.dataset})")
        scale = float(view["scale"])
        return box["x"] + float(view["left"]) + x * scale, box["y"] + float(view["top"]) + y * scale

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        mouse = self.page.mouse
        mouse.move(*self.at(*start))
        mouse.down()
        mouse.move(*self.at((start[0] + stop[0]) / 2, (start[1] + stop[1]) / 2))
        mouse.move(*self.at(*stop))
        mouse.up()

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.at(x, y))

    def zoom(self, x: float, y: float, wheel: float) -> None:
        """Turn the wheel over a source pixel; the page's policy lets no test wait on a script of its own."""
        before = self.page.get_attribute("#canvas", "data-scale")
        self.page.mouse.move(*self.at(x, y))
        self.page.mouse.wheel(0, -wheel)
        self.page.wait_for_selector(f"#canvas:not([data-scale='{before}'])")

    def go(self, frame: int) -> None:
        self.page.fill("#frame", str(frame))
        self.page.press("#frame", "Enter")
        self.shows_frame(frame)
        self.page.locator("#frame").blur()

    def says(self, text: str) -> None:
        self.page.locator(".toast", has_text=text).first.wait_for()

    def picture(self, name: str) -> None:
        """Keep a screenshot in the folder that MOT_SCREENSHOTS names."""
        folder = os.environ.get("MOT_SCREENSHOTS")
        if folder:
            self.page.locator(".toast").evaluate_all("all => all.forEach(one => one.remove())")
            self.page.screenshot(path=str(Path(folder) / f"{name}.jpg"), type="jpeg", quality=88)


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:
    """A fresh tab; the test fails where the page's program did."""
    context = browser.new_context(viewport=WINDOW, color_scheme="dark")
    opened = Page(context.new_page())
    yield opened
    context.close()
    assert opened.errors == []
