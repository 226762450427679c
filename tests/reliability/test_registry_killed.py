"""Changes of a registry, killed anywhere: the next run completes it, with the same identities and images."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mot_dinov3.apps.identities.identity_store import open_store
from mot_dinov3.cli import main
from scenes import write_scene

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("elsewhere")]
KILLS = 15
IN_FORKS = """
import os, signal, sys
from pathlib import Path
from mot_dinov3.apps.identities import registry_index
from mot_dinov3.apps.identities.registry_edits import merge_identities, rename_identity, split_identity
from mot_dinov3.apps.identities.registry_history import edit_registry, undo_edit
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

    opened, registry_index._connect = registry_index._connect, connect
    sys.addaudithook(changed)
    exec(sys.argv[1])
    return steps

for name in sys.argv[2:]:
    child = os.fork()
    if not child:
        os.chdir(name)
        print("at the end", run(int(name.removeprefix("at"))), flush=True)
        os._exit(0)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def kill(program: str, places: list[str]) -> list[str]:
    """Run Python in folders ``atN``, killed before the Nth change of each; return the exit codes."""
    done = subprocess.run(
        [sys.executable, "-c", IN_FORKS, program, *places], stdout=subprocess.PIPE, text=True, check=True
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
    program = f"assert main({given}) == 0"
    end, code = kill(program, ["at0"])
    assert code == "at0 0"
    steps = end.removeprefix("at the end ")
    whole, pictures = index(Path("at0")), images(Path("at0"))
    assert (int(steps) > 40, len(pictures)) == (True, 12)

    points = sorted(random.Random(3).sample(range(1, int(steps) + 1), KILLS))
    for number in points:
        shutil.copytree("before", f"at{number}")
    assert kill(program, [f"at{number}" for number in points]) == [f"at{number} -9" for number in points]
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


EDITS = {
    "naming": "lambda store: rename_identity(store, 'box-1', 'Ann')",
    "merging": "lambda store: [rename_identity(store, 'box-2', 'Ann'), merge_identities(store, 'box-1', 'Ann')]",
    "splitting": "lambda store: [merge_identities(store, 'box-1', 'box-2'), split_identity(store, [1])]",
}


def test_an_edit_that_is_killed_anywhere_is_made_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, reliability: Callable[[str, str], None]
) -> None:
    scene = write_scene(Path.cwd())
    words = ["--dets", str(scene.dets), "--embedder", "histogram", "--no-progress"]
    assert main(["identify", "scene.mp4", *words, "--registry", "before/registry", "--out-dir", "out"]) == 0
    (Path("before/registry/box-2") / "own.jpg").write_bytes(b"a person added it")
    tried = made = between = 0
    for name, work in EDITS.items():
        for program, start in (
            (f"edit_registry(Path('registry'), '{name}', {work})", "before"),
            ("undo_edit(Path('registry'))", f"{name}/at0"),
        ):
            folder = Path(name if start == "before" else f"undoing {name}")
            shutil.copytree(start, folder / "at0")
            monkeypatch.chdir(folder)
            end, code = kill(program, ["at0"])
            assert code == "at0 0"
            points = range(1, int(end.removeprefix("at the end ")) + 1)
            for number in points:
                shutil.copytree(Path("..") / start, f"at{number}")
            assert kill(program, [f"at{number}" for number in points]) == [f"at{number} -9" for number in points]
            ends = [(index(Path(at)), images(Path(at))) for at in (f"../{start}", "at0")]
            for number in points:
                place = Path(f"at{number}")
                found = index(place), images(place)
                between += found not in ends
                with open_store(place / "registry", reading=True):
                    pass
                left = index(place), images(place)
                assert left in ends, f"{name}, {program}: {number}"
                tried, made = tried + 1, made + (left == ends[1])
            monkeypatch.chdir("..")
    assert made > 0
    assert between > 0, "some were killed between the edit and the moves of its images"
    reliability(
        "an edit of a registry, or its undoing, that is killed before any change of a file or statement of SQL is made "
        "whole or not at all when the registry is opened next, with all images in the folders of their identities",
        f"{tried} killed, at every place of {2 * len(EDITS)} edits and undoings: {made} made, {tried - made} not made; "
        f"{between} of them with images to be moved",
    )
