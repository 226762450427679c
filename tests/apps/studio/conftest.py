"""A studio in a process of its own, and a browser in front of it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from mot_dinov3.apps.studio.label_store import LabelStore
from mot_dinov3.apps.studio.shapes import LabelShape
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.keypoints.job.files import KeypointPaths
from mot_dinov3.video import VideoWriter

REPO = Path(__file__).resolve().parents[3]
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

    def labelling(self, address: str, frame: int) -> Any:
        """Open the page Keypoints at a frame of a labelled video; return the browser's own page."""
        self.open(f"{address}#tool=keypoints")
        self.go(frame)
        self.page.wait_for_selector(f"#canvas[data-items='{frame}']")
        self.page.wait_for_selector("#names button >> nth=1")
        return self.page

    def says(self, text: str) -> None:
        self.page.locator(".toast", has_text=text).first.wait_for()

    def picture(self, name: str) -> None:
        """Keep a screenshot in the folder that MOT_SCREENSHOTS names, relative to the checkout."""
        folder = os.environ.get("MOT_SCREENSHOTS")
        if folder:
            self.page.locator(".toast").evaluate_all("all => all.forEach(one => one.remove())")
            self.page.locator("img:visible").evaluate_all("all => Promise.all(all.map(one => one.decode()))")
            self.page.screenshot(path=str(REPO / folder / f"{name}.jpg"), type="jpeg", quality=88)

    def pictures(self, name: str, *, top: str) -> None:
        """Keep them in the dark theme, in the light one and on a phone; `top` is to be seen in each."""
        self.page.locator(top).scroll_into_view_if_needed()
        self.picture(name)
        self.page.click("#theme")
        self.picture(f"{name}-light")
        self.page.click("#zoom-fit")
        self.page.set_viewport_size({"width": 390, "height": 844})
        self.picture(f"{name}-phone")
        self.page.set_viewport_size(WINDOW)
        self.page.click("#theme")


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:
    """A fresh tab; the test fails where the page's program did."""
    context = browser.new_context(viewport=WINDOW, color_scheme="dark")
    opened = Page(context.new_page())
    yield opened
    context.close()
    assert opened.errors == []


@dataclasses.dataclass(frozen=True)
class LabelledClip:
    """A short video of two textured animals, both labelled in some of its frames."""

    video: Path
    starts: ClassVar = {"ant": (50, 40), "bee": (120, 80)}
    parts: ClassVar = {"head": (-14, 0), "tail": (14, 0)}
    size = (192, 128)
    frames = 12

    @property
    def store(self) -> LabelStore:
        return LabelStore(KeypointPaths(self.video, self.video.with_suffix(""), self.size))

    def place(self, animal: str, part: str, n: int) -> tuple[int, int]:
        (x, y), (dx, dy) = self.starts[animal], self.parts[part]
        return x + n + dx, y + dy

    def label(self, n: int) -> None:
        """Label all points of a frame that has no labels."""
        points = [
            LabelShape("point", animal, part, [[float(v) for v in self.place(animal, part, n)]], -1)
            for animal in self.starts
            for part in self.parts
        ]
        self.store.save(n, points, revision="", image=np.zeros((self.size[1], self.size[0], 3), np.uint8))

    def file(self, n: int) -> Path:
        return self.store.path(n)

    def shapes(self, n: int) -> dict[tuple[str, str], dict[str, Any]]:
        """The shapes of a frame's file by animal and name."""
        return {(s["instance_label"], s["label"]): s for s in json.loads(self.file(n).read_text())["shapes"]}


@pytest.fixture
def clip(tmp_path: Path) -> LabelledClip:
    """Two animals that move to the right by a pixel a frame; both are labelled in frames 0 and 8."""
    made, rng = LabelledClip(tmp_path / "clip.mp4"), np.random.default_rng(1)
    width, height = made.size
    ground = rng.integers(100, 120, (height, width, 3), np.uint8)
    coats = {name: rng.integers(0, 255, (20, 44, 3), np.uint8) for name in made.starts}
    info = VideoInfo(str(made.video), width, height, 10.0, made.frames)
    with VideoWriter(made.video, info=info) as writer:
        for n in range(made.frames):
            image = ground.copy()
            for name, (x, y) in made.starts.items():
                image[y - 10 : y + 10, x + n - 22 : x + n + 22] = coats[name]
            writer.write(image, n / info.fps)
    for n in (0, 8):
        made.label(n)
    return made
