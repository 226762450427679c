"""YOLO folders of CVAT, Ultralytics and Roboflow, lines of all tasks, and what other programs load."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from mot_dinov3.cli import main
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.format_registry import detect_format, read_any
from mot_dinov3.formats.lost_fields import lost_fields
from mot_dinov3.formats.recorded_detections import ReadOptions, RecordedDetections
from mot_dinov3.formats.yolo_labels import read_yolo, write_yolo
from scenes import HEIGHT, WIDTH, Scene, boxes_at

SIZE = ReadOptions(width=200, height=100)
BOX = "1 .5 .5 .25 .5\n"
HULL = [[75, 25, 125, 75]]
HASH = ".rf.0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d"
YAML = "names:\n  0: person\n  1: car\n"


@pytest.fixture
def tree(tmp_path: Path):
    """Write files by their paths; give the folder that contains them."""

    def save(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "set"

    return save


LAYOUTS = {
    "CVAT YOLO 1.1": (
        {
            "obj.data": "classes = 2\n",
            "obj.names": "person\ncar\n",
            "train.txt": "data/obj_train_data/frame_000000.PNG\n",
            "obj_train_data/frame_000000.txt": BOX,
        },
        "obj_train_data",
        0,
    ),
    "CVAT Ultralytics": (
        {"data.yaml": YAML, "train.txt": "x.PNG\n", "labels/train/frame_000000.txt": BOX},
        "labels/train",
        0,
    ),
    "Roboflow": (
        {"data.yaml": "names: [person, car]\nnc: 2\n", f"train/labels/walk_mp4-0003_jpg{HASH}.txt": BOX},
        "train/labels",
        3,
    ),
    "Ultralytics, two parts": (
        {"data.yaml": YAML, "labels/train/000001.txt": BOX, "labels/val/000002.txt": BOX},
        "labels/train",
        0,
    ),
    "Roboflow, two parts": (
        {"data.yaml": YAML, "train/labels/000001.txt": BOX, "valid/labels/000003.txt": BOX, "README.txt": "notes"},
        "train/labels",
        0,
    ),
}


@pytest.mark.parametrize(("files", "inner", "frame"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_dataset_is_read_from_its_root_or_an_inner_folder(tree, files, inner: str, frame: int) -> None:
    root = tree(files)
    for place in (root, root / inner):
        assert detect_format(place) == "yolo"
        recorded = read_any(place, SIZE)
        np.testing.assert_array_equal(recorded.frames[frame].xyxy, HULL)
        assert recorded.names == {0: "person", 1: "car"}
    labels = [path for path in files if path.endswith(".txt") and files[path] == BOX]
    assert len(read_any(root, SIZE).frames) == len(labels)


def test_the_same_name_in_two_parts_is_an_error(tree) -> None:
    root = tree({"labels/train/000001.txt": BOX, "labels/val/000001.txt": BOX})
    with pytest.raises(FormatError, match=r"000001\.txt' is for the same frame as 'labels"):
        read_any(root, SIZE)


def test_a_frame_of_an_empty_file_is_a_frame(tree) -> None:
    root = tree({"labels/frame_000000.txt": BOX, "labels/frame_000001.txt": ""})
    assert {frame: len(rows) for frame, rows in read_any(root, SIZE).frames.items()} == {0: 1, 1: 0}


SHAPES = {
    "outline": ("0 .1 .2 .3 .2 .3 .6 .1 .6\n", "", [20, 20, 60, 60], (1, -1)),
    "triangle": ("0 .1 .2 .3 .2 .3 .6\n", "", [20, 20, 60, 60], (1, -1)),
    "outline and score": ("0 .1 .2 .3 .2 .3 .6 .1 .6 0.5\n", "", [20, 20, 60, 60], (0.5, -1)),
    "outline and track": ("0 .1 .2 .3 .2 .3 .6 .1 .6 12\n", "", [20, 20, 60, 60], (1, 12)),
    "outline, score and track": ("0 .1 .2 .3 .2 .3 .6 .1 .6 0.5 12\n", "", [20, 20, 60, 60], (0.5, 12)),
    "rotated box": ("0 .3 .2 .4 .4 .3 .6 .2 .4\n", "", [40, 20, 80, 60], (1, -1)),
    "pose": ("0 .2 .4 .2 .4 .15 .3 2 .25 .5 1 0 0 0\n", "", [20, 20, 60, 60], (1, -1)),
    "pose by its shape": ("0 .2 .4 .2 .4 .15 .3 .25 .5\n", "kpt_shape: [2, 2]\n", [20, 20, 60, 60], (1, -1)),
    "pose, score": ("0 .2 .4 .2 .4 .15 .3 .9 .25 .5 .8 .7\n", "kpt_shape: [2, 3]\n", [20, 20, 60, 60], (0.7, -1)),
    "pose, score and track": (
        "0 .2 .4 .2 .4 .15 .3 .9 .25 .5 .8 .7 3\n", "kpt_shape: [2, 3]\n", [20, 20, 60, 60], (0.7, 3)
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "data", "box", "ending"), SHAPES.values(), ids=SHAPES.keys())
def test_outlines_and_keypoints_are_read_with_their_boxes(tree, text: str, data: str, box, ending) -> None:
    rows = read_yolo(tree({"labels/a_1.txt": text, "data.yaml": f"names: [p]\n{data}"}), SIZE).frames[0]
    np.testing.assert_allclose(rows.xyxy, [box], atol=1e-4)
    assert (float(rows.score[0]), int(rows.track_id[0])) == (pytest.approx(ending[0]), ending[1])
    key = "keypoints" if "kpt" in data or " 2 " in text else "segments"
    assert set(rows.extra[0]) == {key}


def test_keypoints_have_the_scores_of_their_marks(tree) -> None:
    text = "0 .2 .4 .2 .4 .15 .3 2 .25 .5 1 0 0 0\n"
    (extra,) = read_yolo(tree({"labels/a_1.txt": text}), SIZE).frames[0].extra
    np.testing.assert_allclose(extra["keypoints"], [[30, 30, 1], [50, 50, 0.5], [0, 0, 0]])


@pytest.mark.parametrize(
    "text",
    [
        "1,1,10,10,20,30,1,-1,-1,-1\n",
        "1 1 10 10 20 30 1 -1 -1 -1\n2 1 10 10 20 30 1 -1 -1 -1\n",
        "0 0 .5 .5 .1 .2\n1 0 .5 .5 .1 .2\n",
    ],
    ids=["MOTChallenge", "MOTChallenge with spaces", "frame, class, box"],
)
def test_a_file_of_a_whole_video_is_a_clear_error(tree, text: str) -> None:
    for name in ("MOT17-02.txt", "walking.txt"):
        root = tree({f"labels/{name}": text})
        with pytest.raises(FormatError, match="has the rows of a whole video, not the labels of one frame") as caught:
            read_any(root, SIZE)
        assert "one file per frame" in caught.value.remedy
        (root / "labels" / name).unlink()


def some(classes: list[int], *, first_class: int = 0, **more) -> RecordedDetections:
    rows = Detections(
        np.float32([[10 * i, 10, 10 * i + 30, 60] for i in range(len(classes))]), class_id=np.array(classes)
    ).replace(**more)
    video = VideoInfo("in.mp4", 200, 100, 10.0, 1)
    return RecordedDetections("a", {0: rows}, video, True, {0: "person", 2: "car"}, first_class=first_class)


def names_of(folder: Path) -> dict[int, str]:
    return yaml.safe_load((folder / "data.yaml").read_text())["names"]


def test_all_classes_up_to_the_highest_are_named(tmp_path: Path) -> None:
    write_yolo(tmp_path, some([0, 2]), "now")
    assert names_of(tmp_path) == {0: "person", 1: "1", 2: "car"}
    assert read_yolo(tmp_path, ReadOptions()).names == {0: "person", 2: "car"}


@pytest.mark.parametrize(("classes", "names"), [([-1], {0: "0"}), ([], {})])
def test_boxes_without_a_class_are_of_class_0(tmp_path: Path, classes, names) -> None:
    write_yolo(tmp_path, dataclasses.replace(some(classes), names={}), "now")
    assert names_of(tmp_path) == names


def test_cocos_categories_from_1_are_classes_from_0(tmp_path: Path, capsys) -> None:
    document = {
        "images": [{"id": 1, "frame_id": 0, "width": 200, "height": 100}],
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
        "annotations": [{"id": i, "image_id": 1, "category_id": i, "bbox": [10 * i, 1, 9, 9]} for i in (1, 3)],
    }
    path, folder = tmp_path / "a.json", tmp_path / "out"
    path.write_text(json.dumps(document))
    assert read_any(path).names == {1: "person", 3: "car"}
    assert main(["convert", str(path), str(folder), "--to", "yolo"]) == 0
    assert "the numbers of the classes, which are counted from 0" in capsys.readouterr().err
    assert names_of(folder) == {0: "person", 1: "1", 2: "car"}
    assert read_any(folder).frames[0].class_id.tolist() == [0, 2]
    # class numbers that the file declares stay
    for category in document["categories"]:
        category["class_id"] = category["id"]
    path.write_text(json.dumps(document))
    assert read_any(path).first_class == 0
    assert not any("counted from 0" in line for line in lost_fields(read_any(path), "yolo"))


def test_annotations_have_the_five_columns_of_a_dataset(tmp_path: Path) -> None:
    for place, recorded, count in (
        ("a", some([0, 2]), 5),
        ("b", some([0, 2], track_id=np.array([4, 5])), 6),
        ("c", some([0, 2], score=np.float32([0.5, 1])), 6),
        ("d", some([0, 2], score=np.float32([0.5, 1]), track_id=np.array([4, 5])), 7),
    ):
        (tmp_path / place).mkdir()
        write_yolo(tmp_path / place, recorded, "now")
        (line, _) = (tmp_path / place / "labels" / "in_1.txt").read_text().splitlines()
        assert len(line.split()) == count
        back, rows = read_yolo(tmp_path / place, ReadOptions()).frames[0], recorded.frames[0]
        for name in ("score", "track_id", "class_id"):
            assert getattr(back, name).tolist() == getattr(rows, name).tolist()


def test_ultralytics_and_supervision_load_what_is_written(tmp_path: Path, monkeypatch) -> None:
    sv = pytest.importorskip("supervision")
    folder, images = tmp_path / "set", tmp_path / "set" / "images"
    images.mkdir(parents=True)
    write_yolo(folder, some([0, 2]), "now")
    cv2.imwrite(str(images / "in_1.jpg"), np.zeros((100, 200, 3), np.uint8))
    found = sv.DetectionDataset.from_yolo(str(images), str(folder / "labels"), str(folder / "data.yaml"))
    assert found.classes == ["person", "1", "car"]
    (_, _, rows), *_ = list(found)
    np.testing.assert_allclose(rows.xyxy, some([0, 2]).frames[0].xyxy, atol=0.01)
    assert rows.class_id.tolist() == [0, 2]
    monkeypatch.setenv("YOLO_CONFIG_DIR", os.fspath(tmp_path / "settings"))
    utils = pytest.importorskip("ultralytics.data.utils")
    loaded = utils.check_det_dataset(os.fspath(folder / "data.yaml"), autodownload=False)
    assert (loaded["nc"], loaded["names"]) == (3, {0: "person", 1: "1", 2: "car"})
    assert Path(loaded["val"]) == folder / "labels"


def test_labels_are_detections_of_a_source_that_tells_the_size(scene: Scene, tree, tmp_path: Path) -> None:
    def line(x1: float, y1: float, x2: float, y2: float) -> str:
        return f"0 {(x1 + x2) / 2 / WIDTH} {(y1 + y2) / 2 / HEIGHT} {(x2 - x1) / WIDTH} {(y2 - y1) / HEIGHT} 0.9\n"

    root = tree({f"labels/scene_{i + 1}.txt": "".join(line(*box) for box in boxes_at(i)) for i in range(scene.frames)})
    words = ["--source", scene.video, "--dets", root / "labels", "--embedder", "none", "--no-video", "--no-progress"]
    assert main(["track", *map(str, words), "--save-mot", str(tmp_path / "t.txt")]) == 0
    rows = (tmp_path / "t.txt").read_text().splitlines()
    assert {row.split(",")[1] for row in rows} == {"1", "2"}
    assert rows[0].startswith("1,1,4.00,30.00,20.00,50.00")


FIFTYONE = {
    "YOLOv5": {"dataset.yaml": "train: ./images/train/\nnames: [dog, cat]\n", "labels/train/000002.txt": BOX},
    "YOLOv4": {"obj.names": "dog\ncat\n", "images.txt": "data/000002.jpg\n", "data/000002.txt": BOX},
}


@pytest.mark.parametrize("files", FIFTYONE.values(), ids=FIFTYONE.keys())
def test_fiftyones_folders_are_read(tree, files: dict[str, str]) -> None:
    recorded = read_any(tree(files), SIZE)
    assert (list(recorded.frames), recorded.names) == ([1], {0: "dog", 1: "cat"})
    np.testing.assert_array_equal(recorded.frames[1].xyxy, HULL)


def test_a_yaml_file_of_something_else_names_no_classes(tree) -> None:
    folder = tree({"labels/a_1.txt": BOX, "compose.yaml": "names: [dog, cat]\n", "broken.yaml": "a: [\n"})
    assert read_any(folder, SIZE).names == {}


def test_capital_endings_are_labels_and_hidden_files_are_none(tree) -> None:
    folder = tree({"labels/A_1.TXT": BOX, "labels/._A_1.TXT": "\0\5\26\7", "labels/.a_2.txt": "x"})
    assert {frame: len(rows) for frame, rows in read_any(folder, SIZE).frames.items()} == {0: 1}
    assert detect_format(tree({"flat/A_1.TXT": BOX}) / "flat") == "yolo"
