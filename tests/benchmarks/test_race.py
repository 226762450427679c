"""The race runs on a small recorded scene."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mot_dinov3.apps.benchmark.association_cost import synthetic_walkers


@pytest.fixture(scope="module")
def race(repo: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo / "benchmarks"))
        yield importlib.import_module("race")


def record(folder: Path) -> None:
    """Two people walk apart for 30 frames; the truth is their boxes, frame 15 of the second is not detected."""
    truth, boxes = [], []
    for frame in range(1, 31):
        for person, x in ((1, 100 + 4 * frame), (2, 600 - 4 * frame)):
            truth.append(f"{frame},{person},{x},100,40,90,1,-1,-1,-1")
            if (frame, person) != (15, 2):
                boxes.append(f"{frame},-1,{x},100,40,90,0.9,-1,-1,-1")
    for name, lines in (("gt/gt.txt", truth), ("det/det.txt", boxes)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("\n".join(lines))
    (folder / "seqinfo.ini").write_text("[Sequence]\nframeRate=10\nseqLength=30\nimWidth=800\nimHeight=400\n")


def test_the_table_has_our_rows_online_and_linked(
    race: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    record(tmp_path / "scene")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # it would start itself anew otherwise
    monkeypatch.setattr(sys, "argv", ["race.py", str(tmp_path), "--only", "ours", "--runs", "2"])
    race.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ours")]
    rows = {cells[1]: cells[2:] for cells in ([c.strip() for c in line.split("|")] for line in lines)}
    assert set(rows) == {"ours", "ours, with coasted boxes", "ours, linked"}
    assert rows["ours, linked"][3:6] == ["100.0", "100.0", "0"]  # MOTA, IDF1, switches: linking fills the gap
    assert float(rows["ours"][3]) == pytest.approx(100 * 59 / 60, abs=0.05)


def test_boxes_are_dropped_by_seed(race: ModuleType, tmp_path: Path):
    frames = list(synthetic_walkers(20, 10))
    recording = race.Recording("scene", 30.0, (1920, 1080), frames, None)
    recordings = sys.modules["recordings"]
    first, again, other = (recordings.dropped(recording, 0.3, seed).frames for seed in (1, 1, 2))
    assert [len(rows) for rows in first] == [len(rows) for rows in again] != [len(rows) for rows in other]
    assert 0.6 < sum(map(len, first)) / sum(map(len, frames)) < 0.8
