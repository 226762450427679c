"""The same input and options give the same bytes, whatever Python's hash seed and however often a run is cut short."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from crowd import ALL_OUTPUTS, Crowd, run_killed, same_videos

from mot_dinov3.cli import main

Reliability = Callable[[str, str], None]
TEXTS = ("t.json", "t.txt", "t.csv", "d.json")
BUDGETS = {"no limit": ("--embed-budget-ms", "0"), "a fixed cost": ("--embed-budget-ms", "1", "--embed-cost-ms", "0.4")}
WAYS = {
    "appearance": (),
    "per class, lost drawn": ("--class-mode", "per-class", "--draw-lost"),
    "link": ("--link",),
    "gallery_hybrid": ("--tracker", "gallery_hybrid"),
}


def digest(folder: Path) -> str:
    """Return what all text outputs hold, but for the time of the run."""
    total = hashlib.sha256()
    for name in TEXTS:
        data = (folder / name).read_bytes()
        if name == "t.json":
            created = json.loads(data)["created_at_utc"]
            data = data.replace(created.encode(), b"")
        total.update(data)
    return total.hexdigest()


def run_seeded(folder: Path, words: list[str], seed: str) -> None:
    """Run the main job in an interpreter of its own."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-m", "mot_dinov3", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("budget", BUDGETS)
def test_hash_seeds_and_interruptions_change_nothing(
    crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: str, reliability: Reliability
) -> None:
    words = crowd.options(*BUDGETS[budget])
    for seed in ("0", "4711"):
        run_seeded(tmp_path / seed, words, seed)
    killed = tmp_path / "killed"
    killed.mkdir()
    for frames in (20, 60):  # beyond the first kill it goes on and is killed again
        resumed = [*words, "--resume"]
        assert run_killed([(killed, frames)], resumed, number=signal.SIGKILL) == [-signal.SIGKILL]
    monkeypatch.chdir(killed)
    assert main(resumed) == 0
    found = {digest(folder) for folder in tmp_path.iterdir()}
    assert len(found) == 1
    assert same_videos(tmp_path / "4711" / "t.mp4", tmp_path / "0" / "t.mp4")  # x264 does not promise the same bytes
    reliability(
        f"the same bytes of JSON (but created_at), MOT, CSV and det-v1 under two hash seeds and across two kills, "
        f"embedding budget: {budget}",
        "3 runs, 1 result; the two whole videos show the same frames",
    )


@pytest.mark.parametrize("way", WAYS)
def test_twice_the_same(crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    found = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert main(crowd.options("--end-frame", "40", "--no-video", *WAYS[way])) == 0
        found.add(digest(tmp_path / name))
    assert len(found) == 1


@pytest.mark.slow
def test_pictures_alone_give_the_same_bytes(
    crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reliability: Reliability
) -> None:
    """Background model, camera motion and optical flow see only pictures, and the same in the same."""
    words = ["--source", str(crowd.video), "--det", "motion", *ALL_OUTPUTS, "--detect-every", "2"]
    for seed in ("0", "1"):
        run_seeded(tmp_path / seed, words, seed)
    assert len({digest(folder) for folder in tmp_path.iterdir()}) == 1
    reliability("the same bytes with --det motion and --detect-every", "2 runs under two hash seeds, 1 result")
