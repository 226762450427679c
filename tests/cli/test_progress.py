"""Nothing is silent: on a terminal for two seconds, elsewhere for ten; and progress stays out of the way of output."""

from __future__ import annotations

import io
import itertools
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clips import write_clip
from mot_dinov3.cli import main
from mot_dinov3.cli.progress import CLEAR, DRAW_SECONDS, LINE_SECONDS, ProgressDisplay, print_lines, print_notices
from mot_dinov3.core.timing import activities_shown_by, activity


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Noted(io.StringIO):
    """A text that notes when it was written to."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.times = clock, [clock.now]

    def write(self, text: str) -> int:
        self.times.append(self.clock.now)
        return super().write(text)


class Screen:
    """A display whose own thread is replaced by steps of its clock."""

    def __init__(self, *, terminal: bool) -> None:
        self.clock = Clock()
        self.text = Noted(self.clock)
        self.display = ProgressDisplay(self.text, terminal=terminal, clock=self.clock)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / DRAW_SECONDS)):
            self.clock.now += DRAW_SECONDS
            self.display.beat()

    @property
    def silence(self) -> float:
        times = [*self.text.times, self.clock.now]
        return max(after - before for before, after in itertools.pairwise(times))


@pytest.mark.parametrize(("terminal", "longest"), [(True, 2.0), (False, LINE_SECONDS)])
def test_neither_a_conversion_nor_a_bar_that_stands_is_silent(terminal: bool, longest: float) -> None:
    screen = Screen(terminal=terminal)
    with screen.display.task("track is running"):
        screen.wait(7)
        with screen.display.task("converting a.pt", 20.0):
            screen.wait(44)
        screen.wait(3)
        with screen.display.task("", unit="frame", total=100) as bar:
            for _ in range(10):
                bar.update()
                screen.wait(4)
            screen.wait(31)
    assert screen.silence <= longest


def test_a_terminal_shows_one_line_that_is_gone_in_the_end() -> None:
    screen = Screen(terminal=True)
    with screen.display.task("converting a.pt", 20.0):
        screen.wait(5)
    text = screen.text.getvalue()
    assert "converting a.pt: 5 s of about 20 s" in text
    assert "\n" not in text
    assert text.endswith(CLEAR)


def test_what_takes_no_time_is_not_shown() -> None:
    screen = Screen(terminal=True)
    for _ in range(9):
        with screen.display.task("loading"):
            screen.clock.now += 0.4
            screen.display.beat()
    assert screen.text.getvalue() == ""


def test_elsewhere_a_long_task_is_told_at_once_and_each_line_stands_alone() -> None:
    screen = Screen(terminal=False)
    with screen.display.task("track is running"), screen.display.task("converting a.pt", 20.0):
        screen.wait(25)
    assert screen.text.getvalue().splitlines() == [
        "converting a.pt: about 20 s",
        "converting a.pt: 10 s of about 20 s",
        "converting a.pt: 19 s of about 20 s",
    ]


@pytest.mark.parametrize(("seconds", "lines"), [(4, 0), (25, 3)])
def test_elsewhere_a_bar_ends_with_a_line_if_it_took_long(seconds: int, lines: int) -> None:
    screen = Screen(terminal=False)
    with screen.display.task("", unit="frame", total=50) as bar:
        for _ in range(seconds):
            bar.update()
            screen.wait(1)
    shown = screen.text.getvalue().splitlines()
    assert len(shown) == lines
    assert [line for line in shown if "/50 [" not in line] == []


def test_a_stream_that_nobody_reads_ends_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = io.TextIOWrapper(io.FileIO(writer, "w"), write_through=True)
    display = ProgressDisplay(stream, terminal=False)
    with display.task("converting a.pt", 20.0) as task:
        display.beat()
    assert task.text == "converting a.pt"
    stream.close()


def test_the_library_says_what_takes_long_only_to_whom_asks() -> None:
    told: list[tuple[str, float | None]] = []

    @contextmanager
    def show(text: str, seconds: float | None) -> Iterator[None]:
        told.append((text, seconds))
        yield

    with activity("unheard"):
        pass
    with activities_shown_by(show), activity("loading", 3.0):
        pass
    with activity("unheard"):
        pass
    assert told == [("loading", 3.0)]


def test_detect_says_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "in.mp4", 12)
    assert main(["detect", "--source", "in.mp4", "--det", "motion", "--save-dets", "d.json"]) == 0
    assert "written     d.json (" in capsys.readouterr().out
    assert main(["detect", "--source", "in.mp4", "--det", "motion"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("{")
    assert "boxes in 12 frames)" in printed.err


def gaps_on_a_terminal(words: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, float, str]:
    """Return a command's exit code, the longest seconds without a byte on its terminal, and all that it showed."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mot_dinov3", *words], stdout=its, stderr=its, cwd=folder, env=os.environ | environment
    )
    os.close(its)
    last, longest, shown = time.monotonic(), 0.0, b""
    while True:
        select.select([ours], [], [], 120)
        try:
            data = os.read(ours, 1 << 16)
        except OSError:  # its end of the terminal is closed
            data = b""
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        if not data:
            os.close(ours)
            return process.wait(), longest, shown.decode(errors="replace")
        shown += data


@pytest.mark.slow
def test_a_first_run_with_conversions_is_not_silent(shared: Path, tmp_path: Path) -> None:
    """The bound is generous for a busy machine: 16 to 44 s passed without a word before."""
    pytest.importorskip("openvino", reason="needs the extra [fast]")
    models, video = shared / "models", shared / "data/tracking/TUD-Campus/TUD-Campus.mp4"
    words = ["--source", str(video), "--end-frame", "5", "--device", "cpu", "--det", str(models / "yolov8n.pt")]
    words += ["--embedder", "osnet", "--embed-model", str(models / "osnet_x0_25_msmt17.pt")]
    code, longest, shown = gaps_on_a_terminal(words, tmp_path, {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert code == 0, shown
    assert re.search(
        r"(converting|comparing) (yolov8n|osnet_x0_25_msmt17)\.pt", shown
    )  # a step of a moment is not shown
    assert longest < 8.0


def test_what_a_terminal_would_obey_is_spelled_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines(["tracks 2: 1 a\x1b[2Jb\nc, 1 \u202eабв, 1 王\u3000芳"])
    print_notices(["in\r.mp4"])
    out, err = capsys.readouterr()
    assert out == "tracks 2: 1 a\\x1b[2Jb\\nc, 1 \\u202eабв, 1 王\u3000芳\n"
    assert err == "notice: in\\r.mp4\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_without_the_letters_gets_them_spelled_out(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    assert main(["--help"]) == 0
    print("человек")
    sys.stdout.flush()
    assert written.getvalue().split()[-1] == b"\\u0447\\u0435\\u043b\\u043e\\u0432\\u0435\\u043a"


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-"])
def test_without_a_console_a_run_goes_on(tmp_path: Path, closed: str) -> None:
    source = write_clip(tmp_path / "in.mp4", 4)
    command = f"{sys.executable} -m mot_dinov3 detect {source} --det motion --save-dets {tmp_path / 'd.json'} {closed}"
    assert subprocess.run(command, shell=True, check=False).returncode == 0
    assert len(json.loads((tmp_path / "d.json").read_text())["frames"]) == 4
