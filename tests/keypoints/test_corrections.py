"""A corrected point, and what becomes of those that were not corrected with it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from keypoints import scene
from mot_dinov3.build.keypoints import KeypointRun, build_keypoints
from mot_dinov3.devices import DeviceConfig
from mot_dinov3.keypoints.config import KeypointConfig, KeypointJob, KeypointsCommand

FRAMES = 24


def follow(video: Path) -> KeypointRun:
    job = KeypointJob(video=str(video), backend="gradient")
    run = build_keypoints(KeypointsCommand(job, DeviceConfig(device="cpu"), KeypointConfig()))
    run.run()
    return run


def correct(folder: Path, frame: int, name: str) -> None:
    """Label one point of a frame, as somebody does who corrects it."""
    path = folder / f"v_{frame:09d}.json"
    path.write_text(
        json.dumps(
            scene.document([scene.shape(name, [list(scene.truth(frame)[name])], "point", instance_label="mouse")])
        )
    )


def table(video: Path) -> list[dict[str, str]]:
    with (video.parent / "v" / "v_keypoints.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def outlines(video: Path, frame: int) -> int:
    document = json.loads((video.parent / "v" / f"v_{frame:09d}.json").read_text())
    return sum(s["shape_type"] == "polygon" for s in document["shapes"])


def test_points_that_were_not_corrected_are_not_lost_when_an_earlier_part_is_reused(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    scene.label(tmp_path / "v", "v", 0)
    follow(video)
    correct(tmp_path / "v", 8, "nose")
    follow(video)
    once = table(video)
    correct(tmp_path / "v", 16, "tail")
    run = follow(video)
    assert run.pipeline.results.counts.reused == 8
    rows = table(video)
    assert rows[: 8 * 4] == once[: 8 * 4]
    assert {row["state"] for row in rows} == {"visible"}
    apart = [
        np.hypot(float(r["x"]) - x, float(r["y"]) - y)
        for r in rows
        for x, y in [scene.truth(int(r["frame"]))[r["keypoint"]]]
    ]
    assert max(apart) < 3
    assert [outlines(video, frame) for frame in (4, 7, 12, 15, 20)] == [1] * 5
    assert follow(video).choice.backend.calls == 0  # nothing changed: nothing is done again
    assert table(video) == rows
    (tmp_path / "v" / "v_keypoints.state.json").unlink()
    assert follow(video).pipeline.results.counts.reused == 0
    assert table(video) == rows  # as if all had been labelled at once
