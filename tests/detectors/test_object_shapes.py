"""Rotated boxes, keypoints and outlines of a network reach det-v1, stay through tracking, and what `convert` writes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")

from graphs import BOXES, CORNERS, SCORES, SIDE, columns, save

from mot_dinov3.cli import main
from mot_dinov3.detectors.object_shapes import outlines

NOTES = {"names": {0: "ship", 1: "plane"}, "imgsz": [SIDE, SIDE], "stride": 32, "batch": 1}
FRAMES = 8
ANGLE = math.radians(30)

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A folder of pictures of the networks' own size."""
    import cv2

    folder = tmp_path / "video"
    folder.mkdir()
    for index in range(FRAMES):
        cv2.imwrite(str(folder / f"{index:03d}.png"), np.full((SIDE, SIDE, 3), 90, np.uint8))
    return folder


def rotated(path: Path) -> Path:
    output = columns(extra=1)
    output[0, -1] = ANGLE
    return save(path, output, task="obb", **NOTES)


def posed(path: Path) -> Path:
    output = columns(extra=6)  # two keypoints: the centre, and a hidden one
    output[0, 6:8] = output[0, :2]
    output[0, 8] = 0.75
    return save(path, output, task="pose", kpt_shape=[2, 3], **NOTES)


def masked(path: Path) -> Path:
    output = columns(extra=32)
    output[0, 6] = 1  # the first of the masks, which covers everything: each object's is cut off at its box
    masks = np.full((1, 32, SIDE // 4, SIDE // 4), -9, np.float32)
    masks[0, 0] = 9
    return save(path, output, masks, task="segment", **NOTES)


def run(*words: object) -> None:
    assert main(list(map(str, words))) == 0


def detections(path: str) -> list[list[dict[str, Any]]]:
    return [frame["detections"] for frame in json.loads(Path(path).read_text())["frames"]]


def assert_rotated(found: dict[str, Any], number: int) -> None:
    np.testing.assert_allclose(found["obb"], [*BOXES[number], ANGLE], atol=1e-3)


def assert_posed(found: dict[str, Any], number: int) -> None:
    np.testing.assert_allclose(found["keypoints"][0], [*BOXES[number, :2], 0.75], atol=1e-3)
    assert found["keypoints"][1][2] == 0


def assert_masked(found: dict[str, Any], number: int) -> None:
    (polygon,) = found["segments"]
    corners = [*np.min(polygon, axis=0), *np.max(polygon, axis=0)]
    np.testing.assert_allclose(corners, np.clip(CORNERS[number], 0, SIDE), atol=2)  # a mask's pixels are four wide


KINDS = {"obb": (rotated, assert_rotated), "keypoints": (posed, assert_posed), "segments": (masked, assert_masked)}


@pytest.mark.parametrize("key", KINDS)
def test_they_stay_from_the_network_to_the_tracks(tmp_path: Path, video: Path, key: str) -> None:
    make, check = KINDS[key]
    make(tmp_path / "net.onnx")
    run("detect", "--source", video, "--det", tmp_path / "net.onnx", "--json", "d.json", "--no-progress")
    for frame in detections("d.json"):
        assert [row["score"] for row in frame] == pytest.approx(SCORES, abs=1e-3)
        for number, row in enumerate(frame):
            check(row, number)
            assert list(row) == ["bbox", "score", "class_id", "class_name", key, "det_ind"]
    common = ("--embedder", "none", "--no-progress", "--no-video")
    run("track", "--source", video, "--det", tmp_path / "net.onnx", *common, "--save-json", "t.json", "--link")
    run("track", "--dets", "d.json", *common, "--save-json", "again.json")
    for path in ("t.json", "again.json"):
        frames = detections(path)
        assert len(frames) == FRAMES
        for number, row in enumerate(frames[-1]):
            check(row, number)
            assert row["track_id"] == str(number + 1)
    assert [list(row) for row in detections("t.json")[-1]] == [list(row) for row in detections("again.json")[-1]]


@pytest.mark.parametrize(
    ("key", "through"), [("obb", "cvat"), ("keypoints", "coco"), ("segments", "coco"), ("obb", "track-v1")]
)
def test_they_come_back_from_other_formats(
    tmp_path: Path, video: Path, key: str, through: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, check = KINDS[key]
    make(tmp_path / "net.onnx")
    run("detect", "--source", video, "--det", tmp_path / "net.onnx", "--json", "d.json", "--no-progress")
    run("convert", "d.json", "between", "--to", through)
    run("convert", "between", "back.json", "--from", through, "--to", "det-v1", "--fps", 10)
    assert "further keys" not in capsys.readouterr().err
    first, last = detections("d.json")[0], detections("back.json")[0]
    assert len(last) == 2
    for number, row in enumerate(last):
        check(row, number)
        np.testing.assert_allclose(row["bbox"], first[number]["bbox"], atol=0.01)


@pytest.mark.parametrize(("key", "to"), [("obb", "coco"), ("segments", "cvat"), ("keypoints", "motchallenge")])
def test_where_there_is_no_room_that_is_said(
    tmp_path: Path, video: Path, key: str, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    KINDS[key][0](tmp_path / "net.onnx")
    run("detect", "--source", video, "--det", tmp_path / "net.onnx", "--json", "d.json", "--no-progress")
    run("convert", "d.json", "there", "--to", to)
    assert f"further keys of {2 * FRAMES} detections" in capsys.readouterr().err


def test_an_outline_is_in_the_images_own_pixels() -> None:
    """The mask lies in a square input with margins above and below; its two parts are two polygons."""
    mask = np.zeros((64, 64), np.float32)
    mask[24:30, 10:20] = mask[34:40, 40:50] = 1
    found = sorted(outlines(mask, (90, 160)))
    assert len(found) == 2
    low, high = np.min(found[0], axis=0), np.max(found[0], axis=0)
    np.testing.assert_allclose([*low, *high], [25, (24 - 14) * 2.5, 47.5, (29 - 14) * 2.5], atol=0.01)


def test_an_empty_mask_has_no_outline() -> None:
    assert outlines(np.zeros((64, 64), np.float32), (90, 160)) == []
