"""A corrected point, and what becomes of those that were not corrected with it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from keypoints import scene

FRAMES = 24


def correct(folder: Path, frame: int, name: str) -> None:
    """Label one point of a frame, as somebody does who corrects it."""
    path = folder / f"v_{frame:09d}.json"
    path.write_text(
        json.dumps(
            scene.document([scene.shape(name, [list(scene.truth(frame)[name])], "point", instance_label="mouse")])
        )
    )


def outlines(video: Path, frame: int) -> int:
    document = json.loads((video.parent / "v" / f"v_{frame:09d}.json").read_text())
    return sum(s["shape_type"] == "polygon" for s in document["shapes"])


@pytest.mark.slow
def test_points_that_were_not_corrected_are_not_lost_when_an_earlier_part_is_reused(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    scene.label(tmp_path / "v", "v", 0)
    scene.run(video)
    correct(tmp_path / "v", 8, "nose")
    scene.run(video)
    once = scene.rows(video)
    correct(tmp_path / "v", 16, "tail")
    run = scene.run(video)
    assert run.pipeline.results.reused == 8
    rows = scene.rows(video)
    assert rows[: 8 * 4] == once[: 8 * 4]
    assert {row["state"] for row in rows} == {"visible"}
    assert scene.errors(video).max() < 3
    assert [outlines(video, frame) for frame in (4, 7, 12, 15, 20)] == [1] * 5
    assert scene.run(video).backend.calls == 0  # nothing changed: nothing is done again
    assert scene.rows(video) == rows
    (tmp_path / "v" / "v_keypoints.state.json").unlink()
    assert scene.run(video).pipeline.results.reused == 0
    assert scene.rows(video) == rows  # as if all had been labelled at once


@pytest.mark.slow
def test_the_review_after_a_correction_is_that_of_a_run_from_scratch(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    for frame, moved in ((0, 0.0), (8, 6.0), (16, 0.0)):  # both sides of a moved label disagree
        scene.label(tmp_path / "v", "v", frame, moved=moved)
    scene.run(video)
    review, log = (tmp_path / "v" / f"v_{name}" for name in ("review.csv", "keypoints.doubts.jsonl"))
    correct(tmp_path / "v", 12, "nose")
    assert scene.run(video).pipeline.results.reused == 16
    corrected = review.read_text()
    with review.open(newline="") as file:
        in_reused_gap = [r for r in csv.DictReader(file) if 0 < int(r["frame"]) < 8]
    assert max(float(r["disagreement"]) for r in in_reused_gap) > 0.1
    scene.run(video)
    assert review.read_text() == corrected  # all of it reused
    (tmp_path / "v" / "v_keypoints.state.json").unlink()
    assert scene.run(video).pipeline.results.reused == 0
    assert review.read_text() == corrected
    log.write_text(log.read_text()[:-30])  # as a killed run leaves it: the last frame's scores say it
    scene.run(video)
    assert len(review.read_text().splitlines()) == len(corrected.splitlines())
