"""What a reader does not keep is counted in one notice, in every format that can have more than is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mot_dinov3.formats.format_registry import read_any
from mot_dinov3.formats.rows import SHOWN_FIELDS, LeftOut


def coco(**more: Any) -> str:
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "track_id": 1, **more}
    images, categories = [{"id": 1, "frame_id": 0}], [{"id": 1, "name": "p"}]
    return json.dumps({"images": images, "categories": categories, "annotations": [row]})


def det_v1(frame: dict[str, Any], **more: Any) -> str:
    row = {"bbox": [1, 2, 3, 4], "score": 0.5, "class_id": 0}
    return json.dumps({"schema_version": "det-v1", "frames": [{"frame": 0, "detections": [row], **frame}], **more})


DROPPED = {
    "visibility of MOT17": ("a.txt", "1,1,10,10,20,30,1,4,0.3\n1,2,10,10,20,30,1,4,1\n", "1 visibilities"),
    "VisDrone": ("a.txt", "1,1,10,10,20,30,1,4,0,0\n", "1 rows with values in columns 8 to 10"),
    "world coordinates": ("a.txt", "1,-1,10,10,20,30,1,5.5,6.5,0\n", "1 rows with values in columns 8 to 10"),
    "COCO: other keys": ("a.json", coco(occluded=1, truncated=0.5), "1 values of 'occluded', 1 values of 'tru"),
    "COCO: attributes": ("a.json", coco(attributes={"track_id": 1, "team": "home"}), "1 attributes 'team'"),
    "COCO: a mask": ("a.json", coco(segmentation={"counts": "abc", "size": [9, 9]}), "1 run-length masks"),
    "COCO: no outline": ("a.json", coco(segmentation=[[1, 2]]), "1 segmentation that are not valid"),
    "COCO: a crowd": ("a.json", coco(iscrowd=1), "1 annotations marked as crowd or to be ignored"),
    "det-v1: a frame's key": ("a.json", det_v1({"weather": "rain"}), "1 frames' values of 'weather'"),
    "det-v1: the header's": ("a.json", det_v1({}, licence="x"), "1 header's values of 'licence'"),
}


@pytest.mark.parametrize(("name", "text", "said"), DROPPED.values(), ids=DROPPED.keys())
def test_what_is_not_read_is_counted(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert any(notice.startswith(f"'{path}': not read: {said}") for notice in read_any(path).notices)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "1,1,10,10,20,30,1,-1,-1,-1\n"),
        ("a.txt", "1,1,10,10,20,30,1,1,1\n"),
        ("a.json", coco(attributes={"track_id": 1}, area=25, iscrowd=0, segmentation=[], num_keypoints=0, score=0.5)),
        ("a.json", det_v1({"file": "000000.jpg", "time": 0.5}, detector={}, frames_dir="")),
    ],
)
def test_nothing_is_said_where_nothing_is_left_out(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert not [notice for notice in read_any(path).notices if "not read" in notice]


def test_a_file_with_many_kinds_gives_one_short_line() -> None:
    left_out = LeftOut("a.json")
    left_out.keys({f"key {i}" * 100: 1 for i in range(1000)}, frozenset())
    (notice,) = left_out.notices()
    assert notice.endswith(f"and {1000 - SHOWN_FIELDS} other kinds")
    assert len(notice) < 1000
