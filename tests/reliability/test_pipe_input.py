"""The program at the end of a pipe: every frame is processed, and a signal ends the waiting for the next one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import av
import pytest

from clips import write_clip

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
Reliability = Callable[[str, str], None]
COUNT = 30
DETS = "1,-1,10,10,20,30,0.9,-1,-1,-1\n"


def start(folder: Path, stdin: int | IO[bytes], *words: str) -> subprocess.Popen[str]:
    (folder / "d.txt").write_text(DETS)
    command = [sys.executable, "-m", "mot_dinov3", "track", "--dets", "d.txt", "--embedder", "none", "--no-progress"]
    return subprocess.Popen(
        [*command, *words], cwd=folder, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("source", ["-", "/dev/stdin", "/dev/fd/0"])
def test_standard_input(tmp_path: Path, source: str, reliability: Reliability) -> None:
    path = write_clip(tmp_path / "a.ts", COUNT, sound="aac")
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as cat:
        assert cat.stdout is not None
        run = start(tmp_path, cat.stdout, "--source", source, "--output", "o.mp4", "--save-json", "o.json")
        out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert f"frames      {COUNT}," in out
    assert f"the sound of '{source}' is left out" in err
    written = json.loads((tmp_path / "o.json").read_text())
    assert (written["video"]["path"], len(written["frames"])) == (source, COUNT)
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert not container.streams.audio
        assert sum(1 for _ in container.decode(video=0)) == COUNT
    reliability(
        f"a video with sound through a pipe (--source {source}): every frame, and a notice that the sound is left out",
        f"{COUNT} of {COUNT} frames",
    )


def test_a_file_as_standard_input_is_a_file(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", COUNT, sound="aac")
    with path.open("rb") as file:
        run = start(tmp_path, file, "--source", "-", "--output", "o.mp4")
        out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert f"frames      {COUNT}," in out
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert container.streams.audio


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_waiting_for_a_pipe(tmp_path: Path, number: int, code: int, reliability: Reliability) -> None:
    data = write_clip(tmp_path / "a.ts", 120).read_bytes()
    run = start(tmp_path, subprocess.PIPE, "--source", "-", "--output", "o.mp4", "--save-json", "o.json")
    assert run.stdin is not None
    run.stdin.buffer.write(data)  # type: ignore[attr-defined]
    run.stdin.buffer.flush()  # and no end  # type: ignore[attr-defined]
    part = tmp_path / "o.json.part.jsonl"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (part.exists() and part.stat().st_size > 1000):
        time.sleep(0.05)
    began = time.monotonic()
    run.send_signal(number)
    out, err = run.stdout.read(), run.stderr.read()  # type: ignore[union-attr]
    assert run.wait(10) == code, err
    seconds = time.monotonic() - began
    assert seconds < 5
    run.stdin.close()
    frames = len(json.loads((tmp_path / "o.json").read_text())["frames"])
    assert f"frames      {frames}," in out
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == frames
    assert 0 < frames <= 120
    reliability(
        f"{signal.Signals(number).name} while the next frame of a pipe is awaited ends the run with all files whole",
        f"exit {code} within 5 s, {frames} frames in each file",
    )


def holds(process: int, path: Path) -> bool:
    """Return whether a process has a file open."""
    with contextlib.suppress(OSError):
        return any(fd.readlink() == path for fd in Path(f"/proc/{process}/fd").iterdir())
    return False


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are seen in Linux's /proc")
def test_a_signal_ends_the_waiting_for_a_first_sender(tmp_path: Path, reliability: Reliability) -> None:
    os.mkfifo(tmp_path / "pipe")
    run = start(tmp_path, subprocess.DEVNULL, "--source", "pipe", "--output", "o.mp4")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not holds(run.pid, tmp_path / "pipe"):
        assert run.poll() is None
        time.sleep(0.05)
    run.terminate()
    assert run.wait(5) in (143, -signal.SIGTERM)
    run.communicate()
    assert not (tmp_path / "o.mp4").exists()
    reliability("SIGTERM while a FIFO has no sender yet ends the program", "1 tried, ended within 5 s, no output file")
