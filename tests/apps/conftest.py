"""What many tests begin with, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mot_dinov3.cli import main
from scenes import COLORS, write_scene

IDENTIFY = ("--embedder", "histogram", "--no-progress", "--registry", "registry", "--out-dir", "out")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what `begin_with` keeps."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def begin_with(elsewhere: None, made: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Works where a function has made something, once for all tests; it is put back there as the function left it.

    The place is the same for all of them: registries and results have absolute paths in them.
    """

    def begin(make: Callable[[], None]) -> None:
        place, kept = made / "work" / make.__name__, made / "kept" / make.__name__
        shutil.rmtree(place, ignore_errors=True)
        if kept.exists():
            shutil.copytree(kept, place)
            monkeypatch.chdir(place)
            return
        place.mkdir(parents=True)
        monkeypatch.chdir(place)
        make()
        shutil.copytree(place, kept)

    return begin


@pytest.fixture
def searchable(begin_with: Callable[[Callable[[], None]], None]) -> None:
    """Work with a registry and results of a video with a red and a blue box, and an image of each."""
    begin_with(one_video)


def one_video() -> None:
    write_scene(Path.cwd())
    assert main(["identify", "scene.mp4", "--dets", "scene.json", *IDENTIFY]) == 0
    for name, color in zip(("red", "blue"), COLORS):
        cv2.imwrite(f"{name}.png", np.full((60, 20, 3), color, np.uint8))


@pytest.fixture
def registry(begin_with: Callable[[Callable[[], None]], None]) -> Path:
    """The registry of the working folder: two boxes in two videos, and an image of the red one."""
    begin_with(two_videos)
    return Path("registry").resolve()


def two_videos() -> None:
    scene = write_scene(Path.cwd())
    for name in ("door", "yard"):
        shutil.copy(scene.video, f"{name}.mp4")
        shutil.copy(scene.dets, f"{name}.json")
    assert main(["identify", "door.mp4", "yard.mp4", "--dets", "{name}.json", *IDENTIFY]) == 0
    shutil.copy(next(Path("registry").glob("box-1/*.jpg")), "red.jpg")
