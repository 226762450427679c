"""Correcting keypoints on the page, as a person does it, in a real browser on a short clip made here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.apps.studio.label_store import LabelStore
from mot_dinov3.apps.studio.shapes import LabelShape
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.keypoints.job.files import KeypointPaths
from mot_dinov3.video import VideoWriter

pytestmark = pytest.mark.slow
SIZE = (192, 128)
FRAMES = 12
STARTS = {"ant": (50, 40), "bee": (120, 80)}
PARTS = {"head": (-14, 0), "tail": (14, 0)}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two textured animals that move to the right by a pixel a frame; both are labelled in frames 0 and 8."""
    path, rng = tmp_path / "clip.mp4", np.random.default_rng(1)
    ground = rng.integers(100, 120, (SIZE[1], SIZE[0], 3), np.uint8)
    coats = {name: rng.integers(0, 255, (20, 44, 3), np.uint8) for name in STARTS}
    info = VideoInfo(str(path), *SIZE, 10.0, FRAMES)
    with VideoWriter(path, info=info) as writer:
        for n in range(FRAMES):
            image = ground.copy()
            for name, (x, y) in STARTS.items():
                image[y - 10 : y + 10, x + n - 22 : x + n + 22] = coats[name]
            writer.write(image, n / info.fps)
    labels = LabelStore(KeypointPaths(path, tmp_path / "clip", SIZE))
    for n in (0, 8):
        labels.save(n, labelled(n), revision="", image=np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    return path


def labelled(n: int) -> list[LabelShape]:
    return [
        LabelShape("point", animal, part, [[float(x + n + dx), float(y + dy)]], -1)
        for animal, (x, y) in STARTS.items()
        for part, (dx, dy) in PARTS.items()
    ]


def place(animal: str, part: str, n: int) -> tuple[int, int]:
    (x, y), (dx, dy) = STARTS[animal], PARTS[part]
    return x + n + dx, y + dy


def shapes(clip: Path, n: int) -> dict[tuple[str, str], dict[str, Any]]:
    """The shapes of a frame's file by animal and name."""
    document = json.loads((clip.parent / "clip" / f"clip_{n:09d}.json").read_text())
    return {(shape["instance_label"], shape["label"]): shape for shape in document["shapes"]}


def show(page: Any, address: str, n: int) -> Any:
    """Open the page of keypoints at a frame."""
    page.open(f"{address}#tool=keypoints")
    page.go(n)
    page.page.wait_for_selector(f"#canvas[data-items='{n}']")
    page.page.wait_for_selector("#names button >> nth=1")
    return page.page


def test_points_are_hidden_absent_and_taken_back(serve: Callable[..., str], page: Any, clip: Path) -> None:
    tab = show(page, serve("--video", clip), 8)
    tab.keyboard.press("v")
    page.click(*place("ant", "head", 8))
    tab.keyboard.press("h")
    tab.wait_for_selector("#names .hid[data-name=head]")
    page.click(*place("bee", "tail", 8))
    tab.keyboard.press("Delete")
    tab.wait_for_selector("#names .gone[data-name=tail]")
    page.click(*place("bee", "head", 8))
    tab.keyboard.press("u")
    tab.wait_for_selector("#names button[data-name=head]:not(.set)")
    tab.keyboard.press("Control+s")
    page.says("Saved the labels of frame 8")
    saved = {key: shape["flags"] for key, shape in shapes(clip, 8).items()}
    assert saved == {("ant", "head"): {"occluded": True}, ("ant", "tail"): {}, ("bee", "tail"): {"absent": True}}
    tab.click("#instances button:has-text('bee')")
    tab.click("#names button[data-name=tail]")  # it has no place to click on
    tab.click("#clear-label")
    tab.keyboard.press("Control+s")
    tab.wait_for_selector("#save-labels[disabled]")
    assert set(shapes(clip, 8)) == {("ant", "head"), ("ant", "tail")}
