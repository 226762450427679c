"""The main job on real video with real weights, end to end from the command line, with floors that may only rise."""

from __future__ import annotations

import json

import pytest

from mot_dinov3.apps.evaluation import load_pairs, score
from mot_dinov3.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("elsewhere")]


@pytest.fixture
def pets(shared):
    return shared / "data/tracking/vtest.avi", shared / "data/tracking/PETS09-S2L1"


def scores_of(truth, tracks):
    return score(load_pairs([truth / "gt/gt.txt"], [tracks]))["COMBINED"]


def embedded_share(path):
    rows = [d for f in json.loads(path.read_text())["frames"] for d in f["detections"]]
    return sum(d["embedded"] for d in rows) / len(rows)


def test_recorded_yolo_boxes_and_osnet_on_pets(pets, shared, tmp_path):
    video, truth = pets
    weights = shared / "models/osnet_x0_25_msmt17.pt"
    options = ["--dets", str(truth / "det/yolov8n_960.txt"), "--embedder", "osnet", "--embed-model", str(weights)]
    options += ["--embed-budget-ms", "20", "--embed-cost-ms", "5", "--precision", "fp32", "--device", "cpu"]
    outputs = ["--save-mot", "pets.txt", "--save-json", "pets.json", "--no-video"]
    assert main(["--source", str(video), *options, *outputs, "--no-progress"]) == 0
    found = scores_of(truth, tmp_path / "pets.txt")
    assert found.hota >= 60
    assert found.idf1 >= 80
    assert embedded_share(tmp_path / "pets.json") <= 0.3


def test_motion_and_histogram_on_pets(pets, tmp_path):
    video, truth = pets
    options = ["--det", "motion", "--embedder", "histogram", "--save-mot", "motion.txt", "--no-video"]
    assert main(["--source", str(video), *options, "--no-progress"]) == 0
    found = scores_of(truth, tmp_path / "motion.txt")
    assert found.hota >= 44
    assert found.idf1 >= 58


def test_yolo_finds_its_people_live(pets, shared, tmp_path):
    video, truth = pets
    options = ["--det", str(shared / "models/yolov8n.pt"), "--classes", "0", "--conf", "0.1", "--embedder", "histogram"]
    outputs = ["--end-frame", "20", "--save-mot", "live.txt", "--save-dets", "live.json", "--no-video"]
    assert main(["--source", str(video), *options, *outputs, "--device", "cpu", "--no-progress"]) == 0
    found = json.loads((tmp_path / "live.json").read_text())
    assert found["detector"]["conf_thresh"] == 0.1
    boxes = [[d["bbox"] for d in f["detections"]] for f in found["frames"]]
    expected = {}
    for line in (truth / "det/yolov8n_960.txt").read_text().splitlines():
        frame, _, x, y, w, h, *_ = map(float, line.split(","))
        expected.setdefault(int(frame) - 1, []).append([x, y, x + w, y + h])
    counts = [(len(boxes[i]), len(expected.get(i, []))) for i in range(20)]
    assert sum(abs(a - b) for a, b in counts) <= 4, counts
