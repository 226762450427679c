"""An `identify --registry` that is killed anywhere: the next run completes it, with the same identities and images."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mot_dinov3.cli import main
from scenes import write_scene

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("elsewhere")]
KILLS = 15
IN_FORKS = """
import json, os, signal, sqlite3, sys
from mot_dinov3.apps.identities import identity_store
from mot_dinov3.cli import main

WRITE = os.O_WRONLY | os.O_RDWR

def run(number):
    # The process ends before its `number`-th statement of SQL or change of a file; it returns how many there were.
    steps = 0

    def step(*_):
        nonlocal steps
        steps += 1
        if steps == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def changed(event, details):
        place = os.path.abspath(str(details[0])) if details else ""
        if place.startswith(os.getcwd()) and (
            event in ("os.rename", "os.remove", "os.mkdir") or (event == "open" and details[2] & WRITE)
        ):
            step()

    def connect(path, wait_s):
        connection = opened(path, wait_s)
        connection.set_trace_callback(step)
        return connection

    opened, identity_store._connect = identity_store._connect, connect
    sys.addaudithook(changed)
    assert main(json.loads(sys.argv[1])) == 0
    return steps

for name in sys.argv[2:]:
    child = os.fork()
    if not child:
        os.chdir(name)
        print("at the end", run(int(name.removeprefix("at"))), flush=True)
        os._exit(0)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def kill(words: list[str], places: list[str]) -> list[str]:
    """Run `identify` in folders ``atN``, killed before the Nth change of each; return the exit codes."""
    done = subprocess.run(
        [sys.executable, "-c", IN_FORKS, json.dumps(words), *places], stdout=subprocess.PIPE, text=True, check=True
    )
    return [line for line in done.stdout.splitlines() if line.startswith("at")]


def index(folder: Path) -> str:
    """All rows of a registry."""
    with contextlib.closing(sqlite3.connect(folder / "registry/registry.sqlite")) as connection:
        return "\n".join(connection.iterdump())


def images(folder: Path) -> dict[str, bytes]:
    found = sorted((folder / "registry").rglob("*.jpg"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.name[0] != "."}


def test_a_registry_is_completed_wherever_its_run_was_killed(
    monkeypatch: pytest.MonkeyPatch, reliability: Callable[[str, str], None]
) -> None:
    scene = write_scene(Path.cwd())
    words = ["--dets", str(scene.dets), "--embedder", "histogram", "--no-progress"]
    for name in ("one", "two"):
        shutil.copy(scene.video, f"{name}.mp4")
        registry = ["--registry", "before/registry"] if name == "one" else []
        assert main(["identify", f"{name}.mp4", *words, *registry, "--out-dir", name]) == 0
    given = ["identify", str(Path("two/two/embeddings.npz").resolve()), "--registry", "registry", "--out-dir", "out"]
    shutil.copytree("before", "at0")
    end, code = kill(given, ["at0"])
    assert code == "at0 0"
    steps = end.removeprefix("at the end ")
    whole, pictures = index(Path("at0")), images(Path("at0"))
    assert (int(steps) > 40, len(pictures)) == (True, 12)

    points = sorted(random.Random(3).sample(range(1, int(steps) + 1), KILLS))
    for number in points:
        shutil.copytree("before", f"at{number}")
    assert kill(given, [f"at{number}" for number in points]) == [f"at{number} -9" for number in points]
    unfinished = 0
    for number in points:
        place = Path(f"at{number}")
        unfinished += index(place) != whole
        left = images(place)
        assert left.items() <= pictures.items(), "every image is whole"
        with monkeypatch.context() as patch:
            patch.chdir(place)
            assert main(given) == 0
        assert index(place) == whole
        assert images(place) == pictures
        assert (place / "out/identities.csv").read_text() == Path("at0/out/identities.csv").read_text()
        assert not list((place / "registry").glob(".crop*"))
    assert unfinished > KILLS / 2
    reliability(
        "a run of identify --registry that is killed before any change of a file or statement of SQL: the next one "
        "completes the registry, with the same identities and images",
        f"{KILLS} killed at random of {steps} places, {KILLS} equal; {unfinished} of them with the registry unfinished",
    )
