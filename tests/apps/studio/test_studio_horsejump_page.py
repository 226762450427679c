"""Five points of a real horse corrected on the page, in a real browser: only frames that they touch are computed."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mot_dinov3.video import SourceConfig, VideoWriter, open_source

pytestmark = pytest.mark.slow
FRAMES = 32
LABELLED = (0, 8, 26)  # as the data give the first one; the others from their ground truth
CORRECTED = 18
TOUCHED = range(8, 26)  # between the labelled neighbours of the corrected frame
Places = dict[int, dict[str, tuple[float, float]]]


def places(path: Path) -> Places:
    found: Places = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(int(row["frame"]), {})[row["keypoint"]] = float(row["x"]), float(row["y"])
    return found


@pytest.fixture
def horse(shared: Path, tmp_path: Path) -> Path:
    """The beginning of the video, with three frames labelled as LabelMe does it."""
    data, folder = shared / "data/keypoints/horsejump", tmp_path / "horsejump"
    folder.mkdir()
    seed = shutil.copyfile(data / "horsejump/horsejump_000000000.json", folder / "horsejump_000000000.json")
    document, truth = json.loads(seed.read_text()), places(data / "truth.csv")
    for number in LABELLED[1:]:
        shapes = [
            {"label": name, "points": [list(xy)], "group_id": 1, "instance_label": "horse", "shape_type": "point"}
            for name, xy in truth[number].items()
        ]
        path = folder / f"horsejump_{number:09d}.json"
        path.write_text(json.dumps({**document, "shapes": shapes, "imagePath": f"{path.stem}.png"}))
    with (
        open_source(SourceConfig(str(data / "horsejump.mp4"), end_frame=FRAMES)) as source,
        VideoWriter(tmp_path / "horsejump.mp4", info=source.info) as writer,
    ):
        for frame in source:
            writer.write(frame.pixels(), frame.time)
    return tmp_path / "horsejump.mp4"


def track(page: Any) -> str:
    page.page.evaluate("document.querySelector('#follow-result').textContent = ''")
    page.page.click("#follow")
    page.page.wait_for_selector("#follow-result:has-text('frames')", timeout=120_000)
    return str(page.page.inner_text("#follow-result"))


def finished_gaps(folder: Path) -> dict[tuple[int, int], str]:
    """The run's own record: first and last frame of every gap, and the digest of what its result depends on."""
    done = json.loads((folder / "horsejump_keypoints.state.json").read_text())["done"]
    return {(record["first"], record["last"]): digest for digest, record in done.items()}


def files_of(folder: Path, frames: range) -> dict[str, tuple[int, bytes]]:
    """Time and content of the frame files."""
    found = (folder / f"horsejump_{n:09d}.json" for n in frames)
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def lines_of(folder: Path, *, touched: bool) -> list[str]:
    """The lines of the table, of the touched or the other frames."""
    lines = (folder / "horsejump_keypoints.csv").read_text().splitlines()[1:]
    return [line for line in lines if (int(line.split(",")[0]) in TOUCHED) == touched]


def worst_five(result: Places, truth: Places) -> list[str]:
    """The points of the corrected frame that are farthest off, each far enough from the others to take hold of it."""

    def is_alone(name: str) -> bool:
        others = (xy for other, xy in result[CORRECTED].items() if other != name and math.isfinite(xy[0]))
        return min(math.dist(result[CORRECTED][name], xy) for xy in others) > 2

    off = {name: math.dist(result[CORRECTED][name], xy) for name, xy in truth[CORRECTED].items()}
    known = [name for name, distance in off.items() if math.isfinite(distance) and is_alone(name)]
    return sorted(known, key=lambda name: -off[name])[:5]


def test_a_correction_of_five_points_touches_only_its_gap(
    serve: Callable[..., str], page: Any, shared: Path, horse: Path
) -> None:
    folder, truth = horse.with_suffix(""), places(shared / "data/keypoints/horsejump/truth.csv")
    tab = page.labelling(serve("--video", horse), 0)
    tab.select_option("#follow-backend", "gradient")
    assert re.match(rf"frames +{FRAMES}, of which 0 reused", track(page))
    gaps, before = finished_gaps(folder), places(folder / "horsejump_keypoints.csv")
    files, rows = files_of(folder, range(FRAMES)), lines_of(folder, touched=False)
    assert set(gaps) == {(0, 7), (8, 25), (26, 31)}

    # five points are moved to where a person sees them, and saved
    page.go(CORRECTED)
    tab.wait_for_selector(f"#canvas[data-items='{CORRECTED}']")
    tab.keyboard.press("v")
    moved = worst_five(before, truth)
    for name in moved:
        page.drag(before[CORRECTED][name], truth[CORRECTED][name])
    tab.keyboard.press("Control+s")
    page.says(f"Saved the labels of frame {CORRECTED}")
    path = folder / f"horsejump_{CORRECTED:09d}.json"
    saved = {shape["label"]: shape["points"][0] for shape in json.loads(path.read_text())["shapes"]}
    assert saved == {name: pytest.approx(truth[CORRECTED][name], abs=1.5) for name in moved}

    # the next run takes over all that the correction does not touch
    assert re.match(rf"frames +{FRAMES}, of which {FRAMES - len(TOUCHED)} reused", track(page))
    again = finished_gaps(folder)
    assert set(again) == {(0, 7), (8, 17), (18, 25), (26, 31)}
    assert {span: again[span] for span in ((0, 7), (26, 31))} == {span: gaps[span] for span in ((0, 7), (26, 31))}
    untouched = {**files_of(folder, range(TOUCHED.start)), **files_of(folder, range(TOUCHED.stop, FRAMES))}
    assert untouched == {name: files[name] for name in untouched}, "not even written again"
    assert lines_of(folder, touched=False) == rows
    after = places(folder / "horsejump_keypoints.csv")
    for name in moved:
        assert after[CORRECTED][name] == pytest.approx(saved[name], abs=0.01)
        assert after[CORRECTED - 1][name] != before[CORRECTED - 1][name]
