"""The live window: what the keys do, what happens when it is closed, and where it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import mot_dinov3
from mot_dinov3.cli import main
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.pipeline import outputs
from mot_dinov3.sinks.display import WindowSink
from scenes import Scene


class Screen:
    """Stands in for OpenCV's windows: `keys` are pressed one after the other, one each time one is waited for."""

    def __init__(self, keys: str = "") -> None:
        self.keys = iter(keys)
        self.shown: list[np.ndarray] = []
        self.waits = 0
        self.is_open = False

    def imshow(self, title: str, image: np.ndarray) -> None:
        self.is_open = True
        self.shown.append(image.copy())

    def waitKey(self, delay: int) -> int:  # noqa: N802 - OpenCV's name
        self.waits += 1
        key = next(self.keys, "")
        if key == "X":  # closed with the mouse
            self.is_open = False
        return ord(key) if key not in ("", "-", "X") else -1

    def getWindowProperty(self, title: str, prop: int) -> float:  # noqa: N802 - OpenCV's name
        return float(self.is_open)

    def destroyWindow(self, title: str) -> None:  # noqa: N802 - OpenCV's name
        self.is_open = False


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    made = Screen()
    for name in ("imshow", "waitKey", "getWindowProperty", "destroyWindow"):
        monkeypatch.setattr(cv2, name, getattr(made, name))
    monkeypatch.setattr(outputs, "check_screen", lambda: None)
    yield made
    assert not made.is_open


def watch(screen: Screen, keys: str, *, frames: int = 6, interrupted: bool = False) -> tuple[int, int]:
    """Show frames while keys are pressed; return how many were shown, and how often the run was stopped."""
    screen.keys, stopped = iter(keys), []
    sink = WindowSink(
        "run", lambda frame, rows: frame.pixels(), lambda: stopped.append(1), interrupted=lambda: interrupted
    )
    for index in range(frames):
        sink.write(Frame(index, index / 10, np.full((4, 4, 3), index, np.uint8)), Detections(np.zeros((0, 4))))
    sink.close()
    return len(screen.shown), len(stopped)


def test_every_frame_is_shown(screen: Screen) -> None:
    assert watch(screen, "") == (6, 0)
    assert [int(image[0, 0, 0]) for image in screen.shown] == [0, 1, 2, 3, 4, 5]


def test_q_stops_the_run_and_closes_the_window(screen: Screen) -> None:
    assert watch(screen, "--q") == (3, 1)


def test_space_pauses_until_space_or_q(screen: Screen) -> None:
    assert watch(screen, "- ---- ") == (6, 0)
    assert screen.waits == 11, "five of them paused at the second frame"
    screen.shown.clear()
    assert watch(screen, "- --q") == (2, 1)


def test_an_interruption_ends_a_pause(screen: Screen) -> None:
    assert watch(screen, " ", interrupted=True) == (6, 0)


def test_a_window_that_is_closed_stays_closed_and_the_run_continues(screen: Screen) -> None:
    assert watch(screen, "-X") == (2, 0)
    screen.shown.clear()
    assert watch(screen, "- -X") == (2, 0)


def words(scene: Scene) -> list[str]:
    return ["--source", str(scene.video), "--dets", str(scene.dets), "--embedder", "none", "--no-progress"]


@pytest.mark.usefixtures("elsewhere")
def test_q_finishes_the_files_with_the_frames_so_far_and_resume_continues(scene: Scene, screen: Screen) -> None:
    screen.keys = iter("----q")
    files = ["--output", "t.mp4", "--save-mot", "t.txt"]
    assert main([*words(scene), *files, "--show"]) == 0
    assert len(screen.shown) == 5
    assert {line.split(",")[0] for line in Path("t.txt").read_text().splitlines()} <= {"1", "2", "3", "4", "5"}
    assert main([*words(scene), *files, "--resume"]) == 0
    resumed = Path("t.txt").read_bytes()
    assert main([*words(scene), "--no-video", "--save-mot", "whole.txt"]) == 0
    assert resumed == Path("whole.txt").read_bytes()


@pytest.mark.usefixtures("elsewhere")
def test_the_window_shows_what_the_video_does(scene: Scene, screen: Screen) -> None:
    assert main([*words(scene), "--no-video", "--display", "--end-frame", "4"]) == 0
    alone = [image.copy() for image in screen.shown]
    screen.shown.clear()
    assert main([*words(scene), "--output", "t.mp4", "--show", "--end-frame", "4"]) == 0
    assert len(alone) == 4
    assert all((one == other).all() for one, other in zip(alone, screen.shown, strict=True))


@pytest.mark.usefixtures("elsewhere")
def test_q_in_the_second_pass_of_link_closes_the_window_and_the_files_are_whole(scene: Scene, screen: Screen) -> None:
    screen.keys = iter("-q")
    assert main([*words(scene), "--no-video", "--save-mot", "t.txt", "--link", "--show"]) == 0
    assert len(screen.shown) == 2
    shown = Path("t.txt").read_bytes()
    assert main([*words(scene), "--no-video", "--save-mot", "t.txt", "--link"]) == 0
    assert shown == Path("t.txt").read_bytes()


def test_a_loop_of_ones_own_ends_with_q(scene: Scene, screen: Screen) -> None:
    screen.keys = iter("--q")
    pipeline = mot_dinov3.Pipeline.from_options(source=scene.video, dets=scene.dets, embedder="none", show=True)
    assert len(list(pipeline)) == 3


def test_without_frames_or_a_screen_it_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--dets", str(scene.dets), "--show"]) == 2
    assert "--show needs frames" in capsys.readouterr().err
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if cv2.currentUIFramework():
        assert main([*words(scene), "--show"]) == 2
        assert "--show needs a screen" in capsys.readouterr().err
