"""Rotated boxes, keypoints and outlines in det-v1's keys: valid or not there; and as COCO and CVAT have them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.coco import read_coco
from mot_dinov3.formats.coco_writer import write_coco
from mot_dinov3.formats.cvat import read_cvat
from mot_dinov3.formats.cvat_writer import write_cvat
from mot_dinov3.formats.recorded_detections import ReadOptions, RecordedDetections
from mot_dinov3.formats.shape_keys import keypoints_of, obb_of, polygon_area, rotated, segments_of, unkept, upright

SQUARE = [[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]]


@pytest.mark.parametrize(
    "value",
    [None, 3, "x", [], [1, 2, 3, 4], [1, 2, 3, 4, None], [1, 2, 0, 4, 0], [1, 2, 3, 4, 1e300], [1, 2, 3, 4, True]],
)
def test_a_rotated_box_that_is_none(value: object) -> None:
    assert obb_of({"obb": value}) is None
    assert obb_of(None) is None


@pytest.mark.parametrize("value", [None, {}, [], [[1]], [[1, 2, 3, 4]], [[1, 2], [1, "2"]], [[math.nan, 1, 1]]])
def test_keypoints_that_are_none(value: object) -> None:
    assert keypoints_of({"keypoints": value}) is None


def test_a_keypoint_without_a_score_has_1() -> None:
    assert keypoints_of({"keypoints": [[1, 2], [3, 4, 0.5]]}) == [[1.0, 2.0, 1.0], [3.0, 4.0, 0.5]]


def test_polygons_that_are_none_are_left_out() -> None:
    assert segments_of({"segments": [[], SQUARE[:2], [*SQUARE, ["x", 1]], 7, SQUARE]}) == [list(map(tuple, SQUARE))]
    assert segments_of({"segments": "x"}) == []


def test_what_a_format_does_not_keep() -> None:
    record = {"obb": [1, 2, 3, 4, 5], "keypoints": "nonsense", "segments": [], "probs": [1]}
    assert unkept(record, ()) == set(record)
    assert unkept(record, ("keypoints", "segments", "obb")) == {"keypoints", "probs"}


def test_a_quarter_turn_swaps_the_sides() -> None:
    hull, obb = rotated((10, 20, 50, 40), 90)
    np.testing.assert_allclose(hull, (20, 10, 40, 50), atol=1e-9)
    np.testing.assert_allclose(obb, [30, 30, 40, 20, math.pi / 2])
    np.testing.assert_allclose(upright(obb), (10, 20, 50, 40))


def test_area_of_a_polygon() -> None:
    assert polygon_area([(x, y) for x, y in SQUARE]) == 100


def recorded(extra: dict[str, Any], **columns: Any) -> RecordedDetections:
    rows = Detections(
        np.float32([[0, 0, 20, 20]]), np.float32([0.5]), np.array([0]), extra=np.array([extra], np.object_), **columns
    )
    return RecordedDetections("a", {0: rows}, VideoInfo("a", 100, 100, 10.0, 1), True, {0: "cat"})


def test_coco_counts_area_and_keypoints(tmp_path: Path) -> None:
    write_coco(tmp_path / "a.json", recorded({"segments": [SQUARE], "keypoints": [[1, 2, 0.4], [0, 0, 0]]}), "")
    document = json.loads((tmp_path / "a.json").read_text())
    (annotation,), (category,) = document["annotations"], document["categories"]
    assert (annotation["area"], annotation["segmentation"]) == (100, [[0, 0, 10, 0, 10, 10, 0, 10]])
    assert (annotation["keypoints"], annotation["num_keypoints"]) == ([1, 2, 2, 0, 0, 0], 1)
    assert category["keypoints"] == ["0", "1"]
    (extra,) = read_coco(tmp_path / "a.json", ReadOptions()).frames[0].extra
    assert extra == {"segments": [SQUARE], "keypoints": [[1, 2, 0.4], [0, 0, 0]]}


def test_coco_of_another_program(tmp_path: Path) -> None:
    """Marks of visibility give scores; a run-length mask, and a polygon of two points, are left out."""
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20]}
    points = [1, 2, 2, 3, 4, 1, 0, 0, 0]
    other = {**annotation, "id": 2, "keypoints": [1, 2], "segmentation": {"counts": "abc", "size": [9, 9]}}
    third = {**annotation, "id": 3, "segmentation": [[1, 2, 3, 4], [0, 0, 10, 0, 10, 10, 0, 10]]}
    document = {
        "images": [{"id": 1, "frame_id": 0}],
        "annotations": [{**annotation, "keypoints": points}, other, third],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    first, second, last = read_coco(tmp_path / "a.json", ReadOptions()).frames[0].extra
    assert first == {"keypoints": [[1, 2, 1.0], [3, 4, 0.5], [0, 0, 0.0]]}
    assert second is None
    assert last == {"segments": [SQUARE]}


def test_cvat_turns_between_keyframes_the_shorter_way(tmp_path: Path) -> None:
    boxes = "".join(
        f'<box frame="{frame}" outside="0" keyframe="1" xtl="10" ytl="20" xbr="50" ybr="40" rotation="{angle}"/>'
        for frame, angle in ((0, 350), (2, 10))
    )
    (tmp_path / "a.xml").write_text(f'<annotations><track id="1" label="cat">{boxes}</track></annotations>')
    frames = read_cvat(tmp_path / "a.xml", ReadOptions()).frames
    angles = [math.degrees(rows.extra[0]["obb"][4]) if rows.extra[0] else 0.0 for rows in frames.values()]
    np.testing.assert_allclose(angles, [350, 0, 10], atol=1e-9)
    assert frames[0].xyxy[0, 0] < 10.1
    assert frames[0].xyxy[0, 1] < 20


def test_cvat_gets_the_box_before_its_rotation(tmp_path: Path) -> None:
    obb = [30.0, 30.0, 40.0, 20.0, -math.pi / 4]
    write_cvat(tmp_path / "a.xml", recorded({"obb": obb}), "")
    text = (tmp_path / "a.xml").read_text()
    assert 'xtl="10.0" ytl="20.0" xbr="50.0" ybr="40.0" rotation="315.0000"' in text
    (row,) = read_cvat(tmp_path / "a.xml", ReadOptions()).frames[0].extra
    np.testing.assert_allclose(row["obb"], [*obb[:4], obb[4] + 2 * math.pi], atol=1e-4)


def test_a_predicted_box_has_no_shapes(tmp_path: Path) -> None:
    """What was detected frames ago is not where the track is predicted now."""
    for write, name in ((write_coco, "a.json"), (write_cvat, "a.xml")):
        write(
            tmp_path / name,
            recorded({"obb": [1, 2, 3, 4, 5], "segments": [SQUARE]}, track_id=np.array([1]), coasted=np.array([True])),
            "",
        )
        assert "rotation" not in (tmp_path / name).read_text()
        assert "segmentation" not in (tmp_path / name).read_text()
