"""A batch that is killed with the video at work, or told to stop: --resume ends with the same files and counts."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from crowd import write_crowd

from mot_dinov3.cli import main

SECONDS = 120
PACED = """
import os, time
from mot_dinov3.features.histogram import HistogramEmbedder

class Paced(HistogramEmbedder):
    # As slow as the environment says, so that a signal comes in the middle of the video, however busy the CPU is.
    def embed(self, image, xyxy):
        time.sleep(float(os.environ.get("PACE_S", "0")))
        return super().embed(image, xyxy)
"""
OPTIONS = [
    "--embedder", "paced:Paced", "--hud", "--trails", "2", "--line", "80,0,80,119", "--line", "40,0,40,119",
    "--save-json", "t.json", "--save-counts", "c.csv", "--no-progress",
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two videos and their detections in ``in/``, and in ``whole/`` the results of the first."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "in").mkdir()
    (folder / "whole").mkdir()
    (folder / "paced.py").write_text(PACED)
    for name, frames in (("a", 250), ("b", 10)):
        crowd = write_crowd(folder, frames=frames)
        crowd.video.rename(folder / "in" / f"{name}.mp4")
        crowd.dets.rename(folder / "in" / f"{name}.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(folder / "whole")
        assert main(["track", "--source", "../in/a.mp4", "--dets", "../in/a.json", *OPTIONS]) == 0
    return folder


def frames_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["frames"]
    return found


def at_work(batch: subprocess.Popen[bytes], growing: Path) -> list[psutil.Process]:
    """Wait until the first video is well under way; return the processes that work for the batch."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert batch.poll() is None, "the batch ended before it could be killed"
        if growing.exists() and growing.read_bytes().count(b"\n") > 40:
            return psutil.Process(batch.pid).children(recursive=True)
        time.sleep(0.01)
    raise AssertionError("the first video was never at work")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_batch_goes_on_to_the_same_end(
    world: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch, reliability: Callable[[str, str], None]
) -> None:
    monkeypatch.chdir(world)
    out, killed = world / number.name, number == signal.SIGKILL
    words = ["batch", "in", "--out-dir", str(out), "--dets", "in/{name}.json", *OPTIONS]
    command = [sys.executable, "-m", "mot_dinov3", *words]
    slowly = {**os.environ, "PACE_S": "0.02"}
    batch = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=slowly)
    try:
        workers = at_work(batch, out / "a/t.json.part.jsonl")
        batch.send_signal(number)
        for process in workers if killed else ():  # as where the computer goes down
            process.kill()
        assert batch.wait(SECONDS) == (-signal.SIGKILL if killed else 143)
    finally:
        batch.kill()
    psutil.wait_procs(workers, SECONDS)
    left = {video["name"]: video["state"] for video in json.loads((out / "batch.json").read_text())["videos"]}
    assert left == {"a": "running" if killed else "interrupted", "b": "waiting"}

    assert main([*words, "--resume"]) == 0
    assert frames_of(out / "a/t.json") == frames_of(world / "whole/t.json")
    counts = (out / "a/c.csv").read_text()
    assert counts == (world / "whole/c.csv").read_text()
    crossings = sum(int(row["in"]) + int(row["out"]) for row in csv.DictReader(counts.splitlines()))
    assert crossings > 4
    assert len(frames_of(out / "b/t.json")) == 10
    names = {"c.csv", "log.txt", "summary.json", "t.json", "thumbnail.jpg", "tracked.mp4"}
    assert {p.name for p in (out / "a").iterdir()} == {p.name for p in (out / "b").iterdir()} == names
    assert "resumed: boxes and embeddings of" in (out / "a/log.txt").read_text()
    reliability(
        f"a batch that gets {number.name} during a video{', as its process does' if killed else ''}: --resume "
        "gives the tracks and counts of an uninterrupted run",
        f"1 ended, 1 equal; {crossings} crossings",
    )
