"""COCO-style video JSON, read and written, with pycocotools and TrackEval's TAO reader as judges."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.coco import read_coco
from mot_dinov3.formats.coco_writer import write_coco
from mot_dinov3.formats.recorded_detections import ReadOptions, RecordedDetections

SMALL: dict[str, Any] = {
    "videos": [{"id": 7, "name": "in.mp4", "width": 320, "height": 240, "fps": 12.5}],
    "images": [
        {"id": 100, "video_id": 7, "frame_id": 2, "file_name": "in/000002.jpg", "width": 320, "height": 240},
        {"id": 101, "video_id": 7, "frame_id": 0, "file_name": "in/000000.jpg", "width": 320, "height": 240},
        {"id": 102, "video_id": 7, "frame_id": 3, "file_name": "in/000003.jpg", "width": 320, "height": 240},
    ],
    "annotations": [
        {"id": 1, "image_id": 100, "category_id": 3, "instance_id": 5, "bbox": [10, 20, 30, 40], "score": 0.5},
        {"id": 2, "image_id": 101, "category_id": 1, "track_id": 5, "bbox": [1.5, 2, 3, 4]},
        {"id": 3, "image_id": 101, "category_id": 1, "bbox": [5, 5, 5, 5]},
        {"id": 4, "image_id": 101, "category_id": 1, "attributes": {"track_id": 6}, "bbox": [5, 5, 5, 5]},
        {"id": 5, "image_id": 101, "category_id": 1, "iscrowd": 1, "bbox": [0, 0, 300, 200]},
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
}


@pytest.fixture
def write(tmp_path: Path):
    def save(document: object) -> Path:
        path = tmp_path / "a.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return save


def changed(*keys: Any, **values: Any) -> dict[str, Any]:
    """`SMALL` with the record at `keys` updated; a value of None takes the key away."""
    document = copy.deepcopy(SMALL)
    place = document
    for key in keys:
        place = place[key]
    place.update(values)
    for key in [key for key, value in values.items() if value is None]:
        del place[key]
    return document


def test_frames_tracks_and_classes_of_a_small_file(write) -> None:
    recorded = read_coco(write(SMALL), ReadOptions())
    assert recorded.video == VideoInfo("in.mp4", 320, 240, 12.5, 0)
    assert (recorded.fps_known, recorded.names, list(recorded.frames)) == (True, {1: "person", 3: "car"}, [0, 2, 3])
    first, second = recorded.frames[0], recorded.frames[2]
    np.testing.assert_array_equal(first.xyxy, [[1.5, 2, 4.5, 6], [5, 5, 10, 10], [5, 5, 10, 10]])
    assert first.track_id.tolist() == [5, -1, 6]
    assert (second.class_id.tolist(), second.score.tolist()) == ([3], [0.5])
    assert len(recorded.frames[3]) == 0
    assert recorded.notices == (f"'{recorded.path}': not read: 1 annotations marked as crowd or to be ignored",)


def test_classes_by_the_users_names(write) -> None:
    assert read_coco(write(SMALL), ReadOptions(names={0: "person", 2: "car"})).frames[2].class_id.tolist() == [2]
    with pytest.raises(FormatError, match="the class 'car' is not among"):
        read_coco(write(SMALL), ReadOptions(names={0: "person"}))


@pytest.mark.parametrize(
    ("image", "frame"),
    [({"frame_index": 9}, 9), ({"file_name": "x/frame_000031.PNG"}, 31), ({"frame_id": 4, "frame_index": 9}, 4)],
    ids=str,
)
def test_the_frame_is_told_by_number_or_by_name(write, image, frame: int) -> None:
    document = {"images": [{"id": 1, **image}], "annotations": [], "categories": []}
    assert list(read_coco(write(document), ReadOptions()).frames) == [frame]


def test_frames_from_1_are_told_about(write) -> None:
    document = {"images": [{"id": 1, "frame_id": 1}], "annotations": [], "categories": []}
    recorded = read_coco(write(document), ReadOptions())
    assert list(recorded.frames) == [1]
    assert "its first frame is 1" in recorded.notices[0]


def test_frame_ids_from_1_that_are_the_numbers_in_the_names_count_from_1(write) -> None:
    images = [{"id": i, "frame_id": i, "file_name": f"MOT17-02/img1/{i:06d}.jpg"} for i in (1, 2, 3)]
    recorded = read_coco(write({"images": images, "annotations": [], "categories": []}), ReadOptions())
    assert list(recorded.frames) == [0, 1, 2]
    assert "number 1 is frame 0" in recorded.notices[0]
    images[0]["frame_index"] = 1  # TAO's key counts from 0
    assert list(read_coco(write({"images": images, "annotations": [], "categories": []}), ReadOptions()).frames) == [
        1, 2, 3,
    ]  # fmt: skip


def test_images_without_numbers_of_their_own_follow_their_names(write) -> None:
    images = [{"id": i, "file_name": f"img1/{i:06d}.jpg"} for i in range(1, 13)]
    document = {"images": images, "annotations": [], "categories": []}
    recorded = read_coco(write(document), ReadOptions())
    assert list(recorded.frames) == list(range(12))
    assert recorded.notices == (
        f"'{recorded.path}' does not number its frames: the numbers in the names of its images are used, number 1 is "
        "frame 0 ('img1/000001.jpg' is frame 0)",
    )


BAD = {
    "no images": (changed(images=None), "has no 'images'"),
    "images no list": (changed(images={}), "'images' must be a list, not a object"),
    "a record that is none": (changed(annotations=[3]), "annotations, record 0: must be an object"),
    "unknown video": (changed("images", 1, video_id=8), "images, record 1: belongs to video 8, which is not listed"),
    "two videos": (changed(videos=[{"id": 7}, {"id": 8}]), "holds 2 videos"),
    "an image twice": (changed("images", 1, id=100), "images, record 1: the id 100 is taken"),
    "a frame twice": (changed("images", 1, frame_id=2), "images, record 1: frame 2 is record 0 already"),
    "no frame": (changed("images", 1, frame_id=None, file_name="a.jpg"), "record 1: has no frame number"),
    "frame before the first": (changed("images", 1, frame_id=-1), "record 1: frame_id must be a whole number from 0"),
    "frame of half": (changed("images", 1, frame_id=0.5), "record 1: frame_id must be a whole number from 0"),
    "unknown image": (changed("annotations", 0, image_id=9), "annotation 0: image_id 9 is not listed"),
    "image id of lists": (changed("annotations", 0, image_id=[]), "annotation 0: image_id [] is not listed"),
    "unknown category": (changed("annotations", 1, category_id=2), "annotation 1: category_id 2 is not listed"),
    "a category twice": (changed("categories", 1, id=1), "categories, record 1: its id or name is taken"),
    "a category without a name": (changed("categories", 1, name=None), "categories, record 1: needs an id"),
    "a track twice": (changed("annotations", 2, track_id=5), "annotation 2: track 5 is in frame 0 already"),
    "a track that is a list": (changed("annotations", 0, instance_id=[]), "track_id must be a whole number"),
    "no box": (changed("annotations", 0, bbox=None), "annotation 0: bbox must be four finite numbers"),
    "three numbers": (changed("annotations", 0, bbox=[1, 2, 3]), "annotation 0: bbox must be four"),
    "no width": (changed("annotations", 0, bbox=[1, 2, 0, 4]), "annotation 0: its box has no positive size"),
    "a huge box": (changed("annotations", 0, bbox=[1, 2, 1e300, 4]), "annotation 0: its box lies beyond"),
    "a score of 2": (changed("annotations", 0, score=2), "annotation 0: the score 2 is not from 0 to 1"),
    "a score in words": (changed("annotations", 0, score="0.5"), "annotation 0: score must be a number"),
    "a list": ([], "contains a JSON list"),
}


@pytest.mark.parametrize(("document", "message"), BAD.values(), ids=BAD.keys())
def test_a_broken_file_is_one_clear_line(write, document: object, message: str) -> None:
    with pytest.raises(FormatError, match=r"a\.json'") as caught:
        read_coco(write(document), ReadOptions(strict=True))
    assert message in caught.value.message


anything = st.none() | st.booleans() | st.integers(-2, 10**20) | st.floats() | st.text(max_size=3)
anything |= st.lists(anything, max_size=4) | st.dictionaries(st.sampled_from(["id", "x"]), anything, max_size=2)
keys = st.sampled_from(
    [(key, place, name) for key in SMALL for place, r in enumerate(SMALL[key]) for name in (*r, "score")]
)


@pytest.mark.slow
@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(keys, anything)
def test_any_value_is_read_or_refused(write, key: tuple[str, int, str], value: object) -> None:
    try:
        recorded = read_coco(write(changed(*key[:2], **{key[2]: value})), ReadOptions())
    except FormatError:
        return
    assert all(np.isfinite(rows.xyxy).all() for rows in recorded.frames.values())


def test_a_row_with_nan_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(changed("annotations", 0, score=float("nan"))))
    with pytest.raises(FormatError, match="annotation 0: score must be a number"):
        read_coco(path, ReadOptions(strict=True))
    recorded = read_coco(path, ReadOptions())
    assert "1 box that cannot be used is left out, the first: " in recorded.notices[0]
    assert "1 numbers that are not finite (read as null)" in recorded.notices[1]


def recorded() -> RecordedDetections:
    rows = Detections(
        np.float32([[1.1, 2.2, 30.3, 40.4], [5, 5, 9, 9.126]]),
        np.float32([0.5, 0.123456]),
        np.array([0, -1]),
        track_id=np.array([11, -1]),
        coasted=np.array([True, False]),
        gallery_id=np.array(["Ann", None], np.object_),
    )
    video = VideoInfo("in.mp4", 320, 240, 12.5, 20)
    return RecordedDetections("a", {1: rows, 3: rows[:1]}, video, True, {0: "person"})


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_coco(path, recorded(), "now")
    back, asked = read_coco(path, ReadOptions()), recorded()
    assert (back.video, back.fps_known, back.names) == (asked.video, True, asked.names)
    assert {frame: len(rows) for frame, rows in back.frames.items()} == {0: 0, 1: 2, 2: 0, 3: 1}
    for name in ("xyxy", "score", "class_id", "track_id", "coasted", "gallery_id"):
        np.testing.assert_array_equal(getattr(back.frames[1], name), getattr(asked.frames[1], name))


def test_pycocotools_and_trackeval_read_what_is_written(tmp_path: Path, capsys) -> None:
    from pycocotools.coco import COCO  # both bring plotting along, and every worker of the tests reads this file
    from trackeval.datasets import TAO

    truth = tmp_path / "gt"
    truth.mkdir()
    write_coco(truth / "out.json", recorded(), "now")
    coco = COCO(str(truth / "out.json"))
    assert [len(coco.getAnnIds(imgIds=[image])) for image in (1, 2, 3, 4)] == [0, 2, 0, 1]
    assert {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())} == {1: "person", 2: "object"}
    document = json.loads((truth / "out.json").read_text())
    document["annotations"] = [a for a in document["annotations"] if "track_id" in a]  # TAO has tracks only
    (truth / "out.json").write_text(json.dumps(document))
    (tmp_path / "found" / "us" / "data").mkdir(parents=True)
    (tmp_path / "found" / "us" / "data" / "r.json").write_text(json.dumps(document["annotations"]))
    judge = TAO({"GT_FOLDER": str(truth), "TRACKERS_FOLDER": str(tmp_path / "found"), "PRINT_CONFIG": False})
    raw = judge.get_raw_seq_data("us", "in.mp4")
    assert [ids.tolist() for ids in raw["gt_ids"]] == [[11], [11], [], []]
    assert [ids.tolist() for ids in raw["tracker_ids"]] == [[11], [11], [], []]
    np.testing.assert_allclose(raw["gt_dets"][0], [[1.1, 2.2, 29.2, 38.2]], rtol=1e-6)
    capsys.readouterr()


def test_ids_of_data_frames_are_numbers(write) -> None:
    document = copy.deepcopy(SMALL)
    for record in (*document["images"], *document["annotations"], *document["categories"]):
        record |= {key: float(record[key]) for key in ("id", "image_id", "video_id", "category_id") if key in record}
    recorded = read_coco(write(document), ReadOptions())
    assert (recorded.names, list(recorded.frames)) == ({1: "person", 3: "car"}, [0, 2, 3])
    assert recorded.frames[2].class_id.tolist() == [3]


@pytest.mark.parametrize(
    "document",
    [
        changed("images", 0, id=1.5),
        changed("images", 0, id=101),
        changed("images", 0, frame_id=-1),
        changed("images", 0, frame_id=0),
        changed("categories", 0, name=None),
        changed("categories", 0, name="car"),
    ],
)
def test_every_error_has_a_remedy(write, document: dict[str, Any]) -> None:
    with pytest.raises(FormatError) as caught:
        read_coco(write(document), ReadOptions())
    assert caught.value.remedy


def test_images_in_the_files_own_folder_number_the_frames(tmp_path: Path) -> None:
    """As Roboflow's COCO export has them, of photographs: their numbers are no frames."""
    names = [f"IMG_{number}_JPG.rf.0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5{d}.jpg" for number, d in ((4021, "d"), (4023, "e"))]
    images = [{"id": i, "file_name": name, "width": 640, "height": 480} for i, name in enumerate(names)]
    path = tmp_path / "_annotations.coco.json"
    path.write_text(json.dumps({**SMALL, "videos": [], "images": images, "annotations": []}))
    assert list(read_coco(path, ReadOptions()).frames) == [4020, 4022]
    for name in names:
        (tmp_path / name).touch()
    recorded = read_coco(path, ReadOptions())
    assert list(recorded.frames) == [0, 1]
    assert "frames are numbered by the 2 images in" in recorded.notices[0]
