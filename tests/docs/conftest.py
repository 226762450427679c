"""The files that the commands on the pages name, small: videos, boxes, tracks, a gallery, labels, networks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from keypoints import scene as points
from mot_dinov3.cli import main
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.video import SourceConfig, VideoWriter, open_source
from scenes import boxes_at, write_scene

FRAMES = 14  # longer than the second that lies between boxes that are compared
WIDTH, HEIGHT, SCALE = 768, 576, 4.8  # of the pages' examples, whose lines and zones are in pixels


@pytest.fixture(scope="session")
def named_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that a page's commands read and do not write themselves; leave it as it is."""
    folder = tmp_path_factory.mktemp("named")
    _write_videos(folder)
    _write_tracks(folder)
    _write_gallery(folder / "people", folder / "in.mp4")
    cv2.imwrite(str(folder / "crop.jpg"), np.full((120, 50, 3), 90, np.uint8))
    points.write_video(folder / "mouse.mp4", FRAMES)
    points.label(folder / "mouse", "mouse", 0)
    labelled = points.write_video(folder / "labelled_videos" / "mouse.mp4", 6)
    for frame in (0, 5):
        points.label(labelled.with_suffix(""), "mouse", frame)
    (folder / "people.toml").write_text('source = "in.mp4"\ndet = "motion"\nembedder = "histogram"\n')
    (folder / "zones.json").write_text('{"plaza": [[330, 200], [600, 200], [700, 480], [250, 480]]}')
    _write_networks(folder)
    return folder


def _write_videos(folder: Path) -> None:
    """Write the scene of two boxes that cross, enlarged, under the names of the pages' videos."""
    small = write_scene(folder, FRAMES)
    video = folder / "in.mp4"
    with (
        open_source(SourceConfig(source=str(small.video))) as source,
        VideoWriter(video, info=VideoInfo(str(video), WIDTH, HEIGHT, 10.0, FRAMES)) as writer,
    ):
        for frame in source:
            writer.write(cv2.resize(frame.pixels(), (WIDTH, HEIGHT)), frame.index / 10)
    for copy in ("videos/one.mp4", "videos/two.mp4", "more/in.mp4", "vtest.mp4"):
        (folder / copy).parent.mkdir(exist_ok=True)
        shutil.copy(video, folder / copy)


def _boxes(index: int) -> list[list[float]]:
    return [[value * SCALE for value in box] for box in boxes_at(index)]


def _write_tracks(folder: Path) -> None:
    """Write boxes and tracks of the scene in the formats that the pages name."""
    rows = [(index, number, box) for index in range(FRAMES) for number, box in enumerate(_boxes(index), 1)]
    lines = [f"{i + 1},-1,{b[0]},{b[1]},{b[2] - b[0]},{b[3] - b[1]},0.9,-1,-1,-1\n" for i, _, b in rows]
    (folder / "det.txt").write_text("".join(lines))
    frames = [
        {
            "frame": index,
            "detections": [
                {"bbox": box, "score": 0.9, "class_id": 0, "class_name": "person", "track_id": number}
                for number, box in enumerate(_boxes(index), 1)
            ],
        }
        for index in range(FRAMES)
    ]
    video = {"path": "in.mp4", "fps": 10.0, "frame_count": FRAMES, "width": WIDTH, "height": HEIGHT}
    text = json.dumps({"schema_version": "track-v1", "video": video, "frames": frames})
    for name in ("tracked.json", "tracks.json"):
        (folder / name).write_text(text)
    assert main(["convert", str(folder / "tracked.json"), str(folder / "annotations.xml")]) == 0


def _write_gallery(folder: Path, video: Path) -> None:
    """Write crops of the scene's two objects, cut out of its video."""
    with open_source(SourceConfig(source=str(video))) as source:
        for frame in source:
            for name, box in zip(("anna", "ben"), np.array(_boxes(frame.index), int)):
                (folder / name).mkdir(parents=True, exist_ok=True)
                crop = frame.pixels()[box[1] : box[3], box[0] : box[2]]
                cv2.imwrite(str(folder / name / f"{frame.index}.png"), crop)


def _write_networks(folder: Path) -> None:
    """Write random networks under the names of the published ones, in the form that each is published in."""
    import onnx
    import torch
    import transformers

    from mot_dinov3.features.osnet_network import OSNet

    torch.manual_seed(0)
    torch.set_num_threads(1)
    vit = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    transformers.Dinov2Model(transformers.Dinov2Config(**vit)).save_pretrained(folder / "dinov2-base")
    torch.save(OSNet((16, 64, 96, 128), 512).state_dict(), folder / "osnet_x0_25_msmt17.pt")
    images = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 3, 64, 32])
    vectors = onnx.helper.make_tensor_value_info("vectors", onnx.TensorProto.FLOAT, ["n", 192])
    nodes = [
        onnx.helper.make_node("AveragePool", ["images"], ["tiles"], kernel_shape=[8, 4], strides=[8, 4]),
        onnx.helper.make_node("Flatten", ["tiles"], ["vectors"]),
    ]
    graph = onnx.helper.make_graph(nodes, "tiles", [images], [vectors])
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9),
        folder / "reid.onnx",
    )
    _write_detector(folder / "yolov8n.pt")


def _write_detector(weights: Path) -> None:
    """Write a YOLO of COCO's classes that finds a few people at the same places of every image."""
    import torch

    from mot_dinov3.models.weights import ultralytics_module

    layers = "  - [-1, 1, Conv, [8, 4, 4]]\n" * 3
    plan = weights.with_name("tiny.yaml")
    plan.write_text(f"nc: 80\nscales: {{n: [0.33, 1.0, 64]}}\nbackbone:\n{layers}head:\n  - [[-1], 1, Detect, [nc]]\n")
    yolo = ultralytics_module().YOLO(str(plan), task="detect")
    head = yolo.model.model[-1]
    with torch.no_grad():
        for branch in (*head.cv2, *head.cv3):
            branch[-1].weight.zero_()
            branch[-1].bias.fill_(-6.0)
        for branch in head.cv2:
            branch[-1].bias.view(4, -1)[:, 11] = 6.0  # eleven cells to each side
        for branch in head.cv3:
            branch[-1].bias[0] = 2.0
    yolo.model.names = yolo.model.names | {0: "person", 2: "car"}
    yolo.save(str(weights))
    plan.unlink()
