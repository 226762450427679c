"""The same batch, and the same identities, on a Ray cluster of this computer, one worker of which is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from apps.test_identities import write_tracks
from mot_dinov3.cli import main
from scenes import write_scene

START_SECONDS, RUN_SECONDS = 90, 300
NAMES = [f"v{k}" for k in range(6)]


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a cluster with two processors; the test is skipped where none can be started."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mot-dinov3[ray]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = tempfile.mkdtemp(prefix="ray")  # short: Ray's sockets lie in it
    words = ["start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false",
             "--disable-usage-stats", f"--temp-dir={place}", "--object-store-memory=100000000"]  # fmt: skip
    program = "import sys; from ray.scripts.scripts import main; sys.exit(main())"
    head = subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if not listening(port, head):
            pytest.skip("Ray cannot be started here")
        yield f"127.0.0.1:{port}"
    finally:
        kill_tree(head.pid)
        head.wait()
        shutil.rmtree(place, ignore_errors=True)


def listening(port: int, head: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and head.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.5)
    return False


def kill_tree(pid: int) -> None:
    """Kill a process and all it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def a_worker(folder: Path) -> psutil.Process | None:
    """The Ray worker that runs a video of `folder`: the parent of a process that writes there."""
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "track" in line and any(str(folder) in word for word in line):
            with contextlib.suppress(psutil.NoSuchProcess):
                return process.parent()
    return None


def the_decision(_: Path) -> psutil.Process | None:
    """The Ray worker that assigns identities: its process has the name of the function."""
    for process in psutil.process_iter(["cmdline"]):
        if "ray::assign_identities" in " ".join(process.info["cmdline"] or []):
            return process
    return None


def run_on_ray(
    words: list[str], cluster: str, folder: Path, worker: Callable[[Path], psutil.Process | None] = a_worker
) -> str:
    """Run a command with results in `folder` on the cluster, kill one of its workers, and return what it printed."""
    command = [sys.executable, "-m", "mot_dinov3", *words, "--engine", "ray", "--ray-address", cluster]
    batch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    killed, deadline = None, time.monotonic() + RUN_SECONDS
    try:
        while batch.poll() is None and killed is None:
            assert time.monotonic() < deadline, "no worker was seen at work"
            killed = worker(folder)
            time.sleep(0.05)
        assert killed is not None, "the batch ended before a worker was seen"
        os.kill(killed.pid, signal.SIGKILL)  # what it had started lives on, and is waited for
        said, _ = batch.communicate(timeout=RUN_SECONDS)
    finally:
        batch.kill()
    assert batch.returncode == 0
    return said


def write_videos(folder: Path) -> None:
    """Write videos and their boxes into ``folder/in``."""
    (folder / "in").mkdir(parents=True)
    for count, name in enumerate(NAMES):
        scene = write_scene(folder, frames=20 + 2 * count)
        scene.video.rename(folder / f"in/{name}.mp4")
        scene.dets.rename(folder / f"in/{name}.json")


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    write_videos(tmp_path)
    options = ["--dets", "in/{name}.json", "--embedder", "histogram", "--save-mot", "t.txt", "--save-json", "t.json"]
    words = ["batch", "in", *options, "--no-progress"]

    said = run_on_ray([*words, "--out-dir", "ray"], cluster, tmp_path / "ray")
    assert "6: 6 done" in said

    assert main([*words, "--out-dir", "local", "--workers", "2"]) == 0
    capsys.readouterr()
    for name in NAMES:
        here, there = (Path(place) / name for place in ("local", "ray"))
        assert sorted(p.name for p in here.iterdir()) == sorted(p.name for p in there.iterdir())
        assert (here / "t.txt").read_bytes() == (there / "t.txt").read_bytes() != b""
        ours, theirs = (json.loads((folder / "t.json").read_text()) for folder in (here, there))
        assert ours["frames"] == theirs["frames"]
        numbers = [json.loads((folder / "summary.json").read_text()) for folder in (here, there)]
        assert numbers[0]["frames"] == numbers[1]["frames"] == len(ours["frames"])


@pytest.mark.slow
def test_identities_are_the_same_to_the_byte(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    words = ["identify", "in", "--dets", "in/{name}.json", "--embedder", "histogram", "--out-dir", "out"]
    write_videos(tmp_path)
    monkeypatch.chdir(tmp_path)
    said = run_on_ray([*words, "--no-progress"], cluster, tmp_path / "out")
    Path("out").rename("from_ray")  # paths stand in the results
    assert main([*words, "--no-progress", "--workers", "2"]) == 0
    assert said.endswith(capsys.readouterr().out)  # Ray itself reports the lost worker before
    for name in ("identities.json", "identities.csv"):
        assert (Path("out") / name).read_bytes() == (Path("from_ray") / name).read_bytes()
    assert len(Path("out/identities.csv").read_text().splitlines()) > len(NAMES)


@pytest.mark.slow
def test_the_worker_that_assigns_the_identities_is_killed(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    monkeypatch.chdir(tmp_path)
    people = list(range(50)) * 30  # tracklets enough for a moment of work
    files = [str(write_tracks(Path(f"{k}.npz"), people, camera=k)) for k in range(4)]
    words = ["identify", *files, "--no-progress"]
    said = run_on_ray([*words, "--out-dir", "out", "--registry", "registry"], cluster, tmp_path / "out", the_decision)
    Path("out").rename("from_ray")
    Path("registry").rename("registry_from_ray")
    assert main([*words, "--out-dir", "out", "--registry", "registry"]) == 0
    assert said.endswith(capsys.readouterr().out)
    for name in ("identities.json", "identities.csv"):
        assert (Path("out") / name).read_bytes() == (Path("from_ray") / name).read_bytes()
    dumps = []
    for place in ("registry", "registry_from_ray"):
        with contextlib.closing(sqlite3.connect(f"{place}/registry.sqlite")) as connection:
            dumps.append(list(connection.iterdump()))
    assert dumps[0] == dumps[1]
    assert len(Path("out/identities.csv").read_text().splitlines()) == 4 * len(people) + 1
