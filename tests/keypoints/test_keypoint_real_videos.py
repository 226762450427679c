"""Real animals: accuracy on the seeds of the first frame alone, and two flies that look alike."""

from __future__ import annotations

import csv
import json
import math
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.job.config import BackendConfig, KeypointJobConfig, KeypointsOptions
from mot_dinov3.keypoints.job.wiring import build_keypoints
from mot_dinov3.models.devices import DeviceConfig

pytestmark = pytest.mark.slow
Places = dict[tuple[int, str, str], tuple[float, float]]


def places(path: Path) -> Places:
    with path.open(newline="") as file:
        rows = [(r, float(r["x"]), float(r["y"])) for r in csv.DictReader(file)]
    return {(int(r["frame"]), r["instance"], r["keypoint"]): (x, y) for r, x, y in rows if math.isfinite(x)}


def follow(shared: Path, tmp_path: Path, name: str, backend: BackendConfig, **frames: int) -> tuple[Places, Places]:
    """Return truth and result."""
    data = shared / "data" / "keypoints" / name
    (tmp_path / name).mkdir()
    for path in (data / name).iterdir():
        shutil.copyfile(path, tmp_path / name / path.name)
    job = KeypointJobConfig(source=str(data / f"{name}.mp4"), result_folder=str(tmp_path / name), **frames)
    run = build_keypoints(KeypointsOptions(job, backend, DeviceConfig(device="cpu"), KeypointConfig()))
    run.run()
    return places(data / "truth.csv"), places(run.paths.table)


def errors(truth: Places, result: Places) -> list[float]:
    return [math.dist(xy, result[key]) if key in result else math.inf for key, xy in truth.items()]


def within(distances: list[float], radius: float) -> float:
    return sum(d <= radius for d in distances) / len(distances)


def test_a_jumping_horse(shared: Path, tmp_path: Path) -> None:
    weights = str(shared / "models" / "yolov8n.pt")
    found = errors(*follow(shared, tmp_path, "horsejump", BackendConfig("convnet", weights=weights)))
    assert within(found, 16) >= 0.55
    assert within(found, 32) >= 0.75


def test_the_outline_of_a_jumping_horse_keeps_its_size(shared: Path, tmp_path: Path) -> None:
    import cv2

    truth, result = follow(shared, tmp_path, "horsejump", BackendConfig("gradient"))
    assert within(errors(truth, result), 16) >= 0.3
    with (shared / "data" / "keypoints" / "horsejump" / "mask_area.csv").open(newline="") as file:
        areas = {int(row["frame"]): float(row["area_px"]) for row in csv.DictReader(file)}
    off = []
    for frame in range(1, 50):
        shapes = json.loads((tmp_path / "horsejump" / f"horsejump_{frame:09d}.json").read_text())["shapes"]
        polygons = [np.array(s["points"], np.float32) for s in shapes if s["shape_type"] == "polygon"]
        off.append(abs(math.log(max(sum(map(cv2.contourArea, polygons)), 1.0) / areas[frame])))
    assert statistics.mean(off) < math.log(1.3)


def test_two_flies_with_the_same_labels_stay_apart(shared: Path, tmp_path: Path) -> None:
    truth, result = follow(shared, tmp_path, "two_flies", BackendConfig("gradient"), start_frame=1000, end_frame=1150)
    truth = {key: xy for key, xy in truth.items() if key[0] < 1150}
    found = errors(truth, result)
    assert within(found, 8) >= 0.95
    assert statistics.median(found) < 1.2
    other = {"female": "male", "male": "female"}
    nearer_to_the_other = [
        key
        for (frame, fly, point), xy in result.items()
        if (key := (frame, fly, point)) in truth
        and math.dist(xy, truth[frame, other[fly], point]) < math.dist(xy, truth[key])
    ]
    assert nearer_to_the_other == []
