"""Frames by the names of images: one rule for COCO and YOLO, with the source's images or without."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from mot_dinov3.cli import main
from mot_dinov3.core.errors import FormatError
from mot_dinov3.formats.coco import read_coco
from mot_dinov3.formats.frame_names import frames_of_names, is_scattered, number_in, plain_stem
from mot_dinov3.formats.recorded_detections import ReadOptions
from mot_dinov3.formats.yolo_labels import read_yolo
from scenes import HEIGHT, WIDTH, Scene, boxes_at

HASH = ".rf.0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d"
SIZE = ReadOptions(width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("img1/000012.jpg", 12),
        ("a\\b\\frame_000031.PNG", 31),
        ("MOT17-02-FRCNN_7.txt", 7),
        ("000000000139.jpg", 139),
        (f"walk_mp4-0003_jpg{HASH}.txt", 3),
        (f"000004_png{HASH}.jpg", 4),
        ("face0001.jpg", 1),
        ("0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c55.jpg", None),
        ("8f14e45f-ceea-467f-a8d0-112233445566.jpg", None),
        ("shot_deadbeef12a4.png", None),
        ("1699999999123.jpg", None),
        ("notes.txt", None),
        (f"holiday_jpg{HASH}.txt", None),
    ],
    ids=lambda value: str(value)[-24:],
)
def test_numbers_at_the_end_of_names_but_not_those_of_hashes(name: str, number: int | None) -> None:
    assert number_in(plain_stem(name)) == number


@pytest.mark.parametrize(
    ("names", "frames", "notice"),
    [
        (["000001.jpg", "000003.jpg"], (0, 2), "number 1 is frame 0 ('000001.jpg' is frame 0)"),
        (["0.jpg", "1.jpg"], (0, 1), "number 0 is frame 0 ('0.jpg' is frame 0)"),
        (["000005.jpg"], (4,), "number 1 is frame 0 ('000005.jpg' is frame 4)"),
        (["frame_000005.PNG", "frame_000001.PNG"], (5, 1), "number 0 is frame 0 ('frame_000001.PNG' is frame 1)"),
        ([f"walk_mp4-0003_jpg{HASH}.jpg"], (3,), "0 is frame 0"),
        (["3.jpg", "9.jpg", "17.jpg"], (2, 8, 16), "no two of them are consecutive"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_numbers_count_from_the_lowest_of_0_or_1(names: Sequence[str], frames: tuple[int, ...], notice: str) -> None:
    found = frames_of_names(Path("a.json"), names, ReadOptions())
    assert found.numbers == frames
    assert found.by_number
    assert notice in found.notice


def test_the_images_of_the_source_decide_in_natural_order() -> None:
    images = ("a_9.jpg", "a_10.jpg", "a_11.jpg", "b.jpg")
    found = frames_of_names(Path("a.json"), ["x/a_11.png", "b.jpg"], ReadOptions(source="a", images=images))
    assert (found.numbers, found.notice, found.by_number) == ((2, 3), "", False)
    exported = frames_of_names(Path("a"), [f"a_10_jpg{HASH}.txt"], ReadOptions(source="a", images=images))
    assert exported.numbers == (1,)
    # other names with the same numbers: matched, and said
    pictures = ReadOptions(source="a", images=("101.jpg", "102.jpg", "103.jpg"))
    found = frames_of_names(Path("a.json"), ["walk_102.txt", "walk_103.txt"], pictures)
    assert found.numbers == (1, 2)
    assert "matched by number, such as 'walk_102.txt' and '102.jpg' (frame 1)" in found.notice
    # CVAT's names count from 0 whatever the images are called
    ours = ReadOptions(source="a", images=("000001.jpg", "000002.jpg", "000003.jpg"))
    assert frames_of_names(Path("a"), ["frame_000001.txt"], ours).numbers == (1,)
    for options, names in ((ours, ["frame_000003.txt"]), (ours, ["000001.jpg", "000004.jpg"]), (pictures, ["b.jpg"])):
        with pytest.raises(FormatError, match=f"has '{names[-1]}', but the source has no image of that name or number"):
            frames_of_names(Path("a.json"), names, options)


def test_images_beside_the_file_are_used_where_no_source_is_given(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("z1.jpg", "z2.JPG", "z10.png", ".z0.jpg", "z3.txt"):
        (tmp_path / "images" / name).touch()
    beside = [tmp_path / "none", tmp_path / "images"]
    found = frames_of_names(tmp_path / "a.json", ["z10.jpg", "z1.jpg"], ReadOptions(), beside)
    assert (found.numbers, found.by_number) == ((2, 0), False)
    assert "frames are numbered by the 3 images in" in found.notice
    video = ReadOptions(source="in.mp4")
    assert frames_of_names(tmp_path / "a.json", ["z10.jpg", "z1.jpg"], video, beside).numbers == (9, 0)
    assert frames_of_names(tmp_path / "a.json", ["z10.jpg", "z4.jpg"], ReadOptions(), beside).numbers == (9, 3)


def test_two_images_of_one_frame_are_an_error() -> None:
    with pytest.raises(FormatError, match=r"'b_1\.jpg' is for the same frame as 'a_1\.jpg'"):
        frames_of_names(Path("a.json"), ["a_1.jpg", "b_1.jpg"], ReadOptions())


def test_scattered_numbers() -> None:
    assert is_scattered([12, 3, 7])
    assert not is_scattered([12, 3, 7, 4])
    assert not is_scattered([3, 7])


def coco(numbers: Sequence[int], name: str = "{:06d}.jpg", boxes: Sequence[int] | None = None) -> str:
    """Return a COCO file of the scene's boxes: image number `numbers[i]` shows frame `boxes[i]`."""
    images = [{"id": i, "file_name": name.format(n), "width": WIDTH, "height": HEIGHT} for i, n in enumerate(numbers)]
    annotations = [
        {"id": 2 * i + k + 1, "image_id": i, "category_id": 1, "track_id": k + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for i, index in enumerate(boxes or range(len(numbers)))
        for k, (x1, y1, x2, y2) in enumerate(boxes_at(index))
    ]
    return json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]})


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of six images 000001.jpg … 000006.jpg."""
    folder = tmp_path / "img1"
    folder.mkdir()
    for number in range(1, 7):
        cv2.imwrite(str(folder / f"{number:06d}.jpg"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return folder


def track(source: Path, dets: Path, *options: object) -> int:
    words = ["--source", source, "--dets", dets, "--embedder", "none", "--no-video", "--no-progress", *options]
    return main(["track", *map(str, words)])


def test_coco_of_mot_images_is_scored_and_tracked_from_frame_0(
    pictures, tmp_path: Path, monkeypatch, capsys, caplog
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text(coco(range(1, 7)))
    rows = [
        f"{i + 1},{k + 1},{x1},{y1},{x2 - x1},{y2 - y1},1,-1,-1,-1\n"
        for i in range(6)
        for k, (x1, y1, x2, y2) in enumerate(boxes_at(i))
    ]
    Path("gt.txt").write_text("".join(rows))
    assert main(["evaluate", "--gt", "a.json", "--tracks", "gt.txt"]) == 0
    out = capsys.readouterr().out
    assert out.split().count("100.00") + out.split().count("100.0") >= 3, out
    assert "number 1 is frame 0" in caplog.text
    assert track(pictures, Path("a.json"), "--save-mot", "t.txt") == 0
    assert {line.split(",")[0] for line in Path("t.txt").read_text().splitlines()} == set("123456")
    assert "is frame 0" not in capsys.readouterr().err, "the source's own images are no guess"


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (range(36, 42), "has a record for frame 40, but the last frame of"),
        (range(1, 40, 6), "has no two consecutive frames"),
    ],
    ids=["beyond the end", "gaps everywhere"],
)
def test_numbers_that_are_not_those_of_the_video_are_an_error_before_tracking(
    scene: Scene, numbers, message: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text(coco(numbers))
    monkeypatch.setattr("mot_dinov3.pipeline.loop.TrackingLoop.step", lambda *_: pytest.fail("a frame was tracked"))
    assert track(scene.video, Path("a.json"), "--save-mot", "t.txt") == 3
    assert message in capsys.readouterr().err
    assert not Path("t.txt").exists()


def test_boxes_behind_a_given_end_are_not_asked_for(scene: Scene, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.txt").write_text("".join(f"{frame + 1},-1,4,30,20,50,0.9\n" for frame in range(scene.frames + 3)))
    assert track(scene.video, Path("d.txt"), "--end-frame", "9") == 0
    assert "frames      9, 9 detections" in capsys.readouterr().out
    assert track(scene.video, Path("d.txt")) == 3


def test_labels_are_numbered_by_the_images_of_their_dataset(tmp_path: Path) -> None:
    labels, images = tmp_path / "data" / "labels" / "train", tmp_path / "data" / "images" / "train"
    labels.mkdir(parents=True)
    images.mkdir(parents=True)
    for name in ("p0100", "p0101", "p0102"):
        (images / f"{name}.jpg").touch()
    (labels / "p0102.txt").write_text("0 .5 .5 .1 .1\n")
    recorded = read_yolo(labels, SIZE)
    assert list(recorded.frames) == [2]
    assert "by the 3 images in" in recorded.notices[0]


def test_coco_names_without_numbers_name_the_first(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(coco([1, 2], "0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5{}.jpg"))
    with pytest.raises(FormatError, match=r"4c51\.jpg' does not end with a frame number"):
        read_coco(tmp_path / "a.json", ReadOptions())
