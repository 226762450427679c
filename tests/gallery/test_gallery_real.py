"""The gallery on real people: half of each identity's pictures, a real detector's boxes, real weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import write_picture

import mot_dinov3
from mot_dinov3.core import boxes
from mot_dinov3.core.structures import Detections
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.formats.motchallenge import read_detections, read_tracks
from mot_dinov3.gallery.config import AUTO, GalleryConfig
from mot_dinov3.gallery.folder import KnownIdentities, load_gallery
from mot_dinov3.gallery.identifier import Identifier
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.video.image_files import read_image

FRAMES = 320


def test_the_built_in_embedder_tells_colours_apart(tmp_path: Path) -> None:
    for name, colour in (("red", (0, 0, 250)), ("blue", (250, 0, 0))):
        for number in range(3):
            write_picture(tmp_path / name / f"{name}_{number}.png", colour, (80 + number, 32))
    embedder = build_embedder(EmbedderConfig(embedder="histogram"), device=DeviceConfig(device="cpu"))
    known = load_gallery(tmp_path, embedder)
    alike = known.embedding @ known.embedding.T
    same = known.owner[:, None] == known.owner
    assert alike[same].min() > alike[~same].max() + 0.3


def recorded(shared: Path, path: Path) -> Path:
    """The first frames of yolov8n's boxes on vtest.avi as det-v1."""
    found = read_detections(shared / "data/tracking/PETS09-S2L1/det/yolov8n_960.txt").frames
    frames = [
        {
            "frame": index,
            "detections": [
                {"bbox": box.astype(float).tolist(), "score": float(score), "class_id": 0, "det_ind": row}
                for row, (box, score) in enumerate(zip(found[index].xyxy, found[index].score))
            ],
        }
        for index in sorted(found)
        if index < FRAMES
    ]
    path.write_text(json.dumps({"schema_version": "det-v1", "frames": frames}))
    return path


@pytest.mark.slow
def test_half_of_the_pictures_name_most_people_right_and_nobody_twice(shared: Path, tmp_path: Path) -> None:
    for identity in filter(Path.is_dir, (shared / "data/gallery/crops_pets09_s2l1").iterdir()):
        (tmp_path / "gallery" / identity.name).mkdir(parents=True)
        for picture in sorted(identity.iterdir())[1::2]:
            (tmp_path / "gallery" / identity.name / picture.name).write_bytes(picture.read_bytes())
    result = mot_dinov3.track_video(
        dets_json=recorded(shared, tmp_path / "d.json"),
        video=shared / "data/tracking/vtest.avi",
        gallery=tmp_path / "gallery",
        reid_weights="osnet_x0_25_msmt17.pt",
        models_dir=shared / "models",
        device="cpu",
    )
    truth = read_tracks(shared / "data/tracking/PETS09-S2L1/gt/gt.txt")
    corners = boxes.from_xywh(truth.xywh.astype(np.float32))
    right = []
    for frame in result.payload["frames"]:
        named = [row for row in frame["detections"] if "gallery_id" in row]
        assert len({row["gallery_id"] for row in named}) == len(named)
        there = np.flatnonzero(truth.frame == frame["frame"])
        for row in named:
            overlap = boxes.iou(np.array([row["bbox"]], np.float32), corners[there])[0]
            if overlap.max(initial=0) >= 0.5:
                right.append(int(row["gallery_id"]) == truth.track_id[there[overlap.argmax()]])
    assert len(right) > 600
    assert np.mean(right) >= 0.7


@pytest.mark.slow
def test_few_switches_among_200_crowded_objects(shared: Path, tmp_path: Path) -> None:
    tools = shared / "tools"
    dets, tracked = tmp_path / "d.json", tmp_path / "t.json"
    subprocess.run([sys.executable, tools / "synth_dets.py", "synth", dets, "200"], check=True, capture_output=True)
    result = mot_dinov3.track_video(dets_json=dets, video=shared / "data/tracking/vtest.avi")
    tracked.write_text(json.dumps(result.payload))
    done = subprocess.run(
        [sys.executable, tools / "id_switches.py", tracked], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.replace("'", '"'))
    assert found["switches"] <= 25
    assert found["tracked"] > 0.98


NAMED = {"osnet_x0_25_msmt17.onnx": 0.02, "omz/reid_0287_rgb_imagenet.xml": 0.6, "omz/reid_0277_rgb_imagenet.xml": 0.65}


@pytest.mark.slow
@pytest.mark.parametrize("weights", NAMED)
def test_half_of_the_people_of_another_camera_are_named_and_hardly_a_stranger(shared: Path, weights: str) -> None:
    pytest.importorskip("onnxruntime" if weights.endswith(".onnx") else "openvino")
    root, model = shared / "data/reid_two_cameras", shared / "models" / weights
    if not (root.is_dir() and model.is_file()):
        pytest.skip(f"needs {root} and {model}")
    config = EmbedderConfig(embedder="osnet", embed_model=str(model), crop_pad=0.0)
    embedder = build_embedder(config, device=DeviceConfig(device="cpu"))
    everyone = sorted(filter(Path.is_dir, root.iterdir()))
    rows = np.stack([
        embedder.embed_images([read_image(file) for file in sorted(person.glob("*.png"))]).reshape(2, -1, embedder.dim)
        for person in everyone
    ])  # fmt: skip
    named, false = [], []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(rows))
        known, camera = order[: len(rows) // 2], seed % 2
        images = rows[known, camera].reshape(-1, embedder.dim)
        owner = np.repeat(np.arange(len(known)), rows.shape[2])
        gallery = KnownIdentities(tuple(everyone[i].name for i in known), images, owner)
        identifier = Identifier(gallery, GalleryConfig(gallery_match_threshold=AUTO), memory=False)
        for frame, (person, view) in enumerate((p, v) for p in np.roll(order, 3) for v in range(rows.shape[2])):
            crop = rows[person, 1 - camera, view][None]
            box = Detections(np.array([[0, 0, 40, 90]], np.float32), track_id=[0], embedding=crop, fresh=[True])
            name = identifier.identify(box, frame).gallery_id[0]
            (named if person in known else false).append(
                name == everyone[person].name if person in known else bool(name)
            )
    assert np.mean(false) <= 0.03
    assert np.mean(named) >= NAMED[weights]
