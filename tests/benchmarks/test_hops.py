"""The size of the code: counted on a small package by hand, and limited on this one."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from scenes import Scene

LONGEST = 350  # lines of a module


@pytest.fixture
def hops(repo: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(repo / "benchmarks"))
    return importlib.import_module("hops")


def test_a_package_is_counted(hops: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "cli").mkdir()
    for name, text in {
        "__init__.py": "",
        "one/__init__.py": 'THINGS = {"thing": "mot_dinov3.one.thing:Thing"}\n',
        "one/thing.py": "class Thing:\n    pass\n",
        "one/config.py": "class OneConfig:\n    pass\n",
        "one/part.py": "class Part:\n    pass\n",
        "two/__init__.py": "",
        "two/config.py": "",
        "two/part.py": "x = 1\n" * 59 + "class Part:\n    pass\n",
        "cli/one.py": "",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "gone" / "__pycache__").mkdir(parents=True)
    (tmp_path / "gone" / "__pycache__" / "gone.pyc").write_bytes(b"")
    found = hops.inventory(tmp_path)
    assert (found.entries, found.lines) == (4, 68)
    assert found.small == ["cli/one.py", "one/part.py"]
    assert found.modules == {"part": ["one/part.py", "two/part.py"]}
    assert found.classes == {"Part": ["one/part.py", "two/part.py"]}


def test_a_frame_passes_through_few_modules_and_calls(hops: ModuleType, scene: Scene, tmp_path: Path) -> None:
    files = {"save_json": tmp_path / "t.json", "save_mot": tmp_path / "t.txt"}
    calls = hops.profile({"source": scene.video, "dets": scene.dets, "embedder": "none", **files})
    assert "mot_dinov3.pipeline.loop" in calls, "the hook counts the loop"
    assert len(calls) <= 22, sorted(calls)
    assert sum(calls.values()) / hops.FRAMES <= 200


def test_the_package_keeps_its_size(hops: ModuleType) -> None:
    found = hops.inventory(hops.PACKAGE)
    assert found.entries <= 22
    assert found.modules == {}
    assert found.classes == {}
    assert len(found.small) <= 20, found.small
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in hops.PACKAGE.rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}
