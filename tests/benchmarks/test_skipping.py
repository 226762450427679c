"""The table of `--detect-every` on a small recorded scene."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from scenes import write_scene


def test_a_row_per_cadence(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(repo / "benchmarks"))
    skipping = importlib.import_module("skipping")
    scene = write_scene(tmp_path)
    words = ["--video", str(scene.video), "--dets", str(scene.dets), "--gt", str(scene.gt), "--every", "1", "auto"]
    monkeypatch.setattr(sys, "argv", ["skipping.py", *words])
    monkeypatch.chdir(tmp_path)
    skipping.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| 1 ", "| auto "))]
    assert len(rows) == 2
    for line in rows:
        filed, switches, linked, switches_linked = (cell.strip() for cell in line.split("|")[3:7])
        assert filed.endswith("/ 100.0")
        assert linked.endswith("/ 100.0")
        assert switches == switches_linked == "0"
