"""The examples run on real files, as they are started by hand."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run(repo: Path, name: str, *words: object) -> str:
    command = [sys.executable, str(repo / "examples" / name), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=repo)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_people_are_counted(repo: Path, shared: Path) -> None:
    printed = run(repo, "people_counting.py", shared / "data/tracking/vtest.avi", "380,0,380,575", 60)
    assert int(re.match(r"(\d+) identities", printed)[1]) >= 3  # type: ignore[index]
    assert "in" in printed.splitlines()[1]


@pytest.mark.slow
def test_an_embedder_of_your_own_tracks(repo: Path, shared: Path) -> None:
    printed = run(repo, "own_embedder.py", shared / "data/tracking/vtest.avi", 40)
    assert len(printed.splitlines()) == 40
    assert re.search(r"^39 \[\d", printed, re.M)


@pytest.mark.slow
def test_people_get_names(repo: Path, shared: Path) -> None:
    gallery = shared / "data/gallery/crops_pets09_s2l1"
    printed = run(repo, "people_identification.py", shared / "data/tracking/vtest.avi", gallery, 60)
    given = re.findall(r"track \d+: (\S+)", printed)
    assert set(given) - {"unknown"} <= {folder.name for folder in gallery.iterdir()}
    assert len(given) >= 3


@pytest.mark.slow
def test_body_parts_are_followed(repo: Path, shared: Path, tmp_path: Path) -> None:
    horse = shared / "data/keypoints/horsejump"
    shutil.copytree(horse / "horsejump", tmp_path / "labels")
    printed = run(repo, "animal_keypoints.py", horse / "horsejump.mp4", tmp_path / "labels")
    assert "results are in" in printed
    assert len(list((tmp_path / "labels").glob("*.json"))) > 10


@pytest.mark.parametrize(
    "name", ["people_counting.py", "people_identification.py", "animal_keypoints.py", "own_embedder.py"]
)
def test_without_words_an_example_says_what_it_takes(repo: Path, name: str) -> None:
    command = [sys.executable, str(repo / "examples" / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=repo)
    assert done.returncode == 1
    assert f"python examples/{name} VIDEO" in done.stderr
    assert "Traceback" not in done.stderr
