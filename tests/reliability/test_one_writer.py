"""An output has one writer at a time, and is complete only for the run that wrote it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from crowd import Crowd, same_videos

from mot_dinov3.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("elsewhere")]
TEXTS = ("t.json", "t.txt", "t.csv", "d.json")
Reliability = Callable[[str, str], None]


def results(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_two_runs_of_one_output(crowd: Crowd, tmp_path: Path, monkeypatch, capsys, reliability: Reliability) -> None:
    """The first one is stopped in its middle, so that all others meet it."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "first").mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    assert main(crowd.options()) == 0
    monkeypatch.chdir(tmp_path / "first")
    os.mkfifo("pipe")
    words = [sys.executable, "-m", "mot_dinov3", *crowd.options()]
    words[words.index("t.csv")] = "pipe"  # its first line says that the run has begun
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as first, Path("pipe").open("rb") as table:
        assert table.readline()
        first.send_signal(signal.SIGSTOP)
        others = (
            crowd.options(),
            crowd.options("--resume"),
            crowd.options("--start-frame", "40", "--output", "u.mp4"),
            ["--source", str(crowd.video), "--det", "motion", "--no-video", "--save-dets", "./d.json"],
            ["convert", str(crowd.dets), "t.txt", "--overwrite"],
            ["detect", "--source", str(crowd.video), "--det", "motion", "--json", "t.json"],
        )
        before = {path.name: path.lstat().st_mtime_ns for path in Path().iterdir()}
        for other in others:
            assert main(other) == 2
            assert f"process {first.pid}, started 2" in capsys.readouterr().err
        assert {path.name: path.lstat().st_mtime_ns for path in Path().iterdir()} == before
        first.send_signal(signal.SIGCONT)
        table.read()
    assert first.returncode == 0
    assert results(Path()) == ["d.json", "pipe", "t.json", "t.mp4", "t.txt"]
    whole = tmp_path / "whole"
    assert all((whole / name).read_bytes() == Path(name).read_bytes() for name in ("t.txt", "d.json"))
    assert same_videos(Path("t.mp4"), whole / "t.mp4")
    assert Path("pipe").is_fifo()
    reliability(
        "a second run, --resume or another command that writes an output of a running one is refused (exit 2), and the "
        "running one loses nothing",
        f"{len(others)} tried, {len(others)} refused with the other's process, 0 frames lost",
    )


def test_what_a_complete_run_is(crowd: Crowd, tmp_path: Path, monkeypatch, capsys, reliability: Reliability) -> None:
    monkeypatch.chdir(tmp_path)
    video, dets = (Path(shutil.copy(path, tmp_path)) for path in (crowd.video, crowd.dets))
    here = Crowd(Path(video.name), Path(dets.name), crowd.frames)
    assert main(here.options()) == 0
    assert main(here.options("--resume")) == 0
    assert "the run was complete" in capsys.readouterr().err
    refused = 0
    for options in (["--conf", "0.5"], ["--embedder", "none"], ["--start-frame", "3"], ["--source", str(crowd.video)]):
        assert main(here.options(*options, "--resume")) == 2
        assert f"belongs to another run: {options[0]} was" in capsys.readouterr().err
        refused += 1
    for path in (video, dets, *map(Path, TEXTS), Path("t.mp4")):
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        assert main(here.options("--resume")) == 2
        said = capsys.readouterr().err
        assert "the content of --" in said if path in (video, dets) else f"'{path}' was changed after its run" in said
        path.write_bytes(content)
        refused += 1
    assert main(here.options("--resume")) == 0
    reliability(
        "a complete run resumed with another option, or with one bit changed in an input or an output, is refused with "
        "the difference, and is complete again once that is undone",
        f"{refused} tried, {refused} refused",
    )
