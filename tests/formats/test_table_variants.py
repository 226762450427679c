"""Tables and JSON lists as people and programs write them, compressed or not, with texts as ids."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.cli import main
from mot_dinov3.core.errors import FormatError, UsageError
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.format_registry import FORMATS, detect_format, read_any, read_recorded
from mot_dinov3.formats.recorded_detections import ReadOptions, RecordedDetections
from mot_dinov3.formats.rows import whole_number
from mot_dinov3.formats.table_columns import recognise
from mot_dinov3.formats.track_ids import TrackIds

BOX = [[10, 10, 30, 40]]
TABLES = {
    "semicolons": "frame;track_id;x1;y1;x2;y2\n0;1;10;10;30;40\n",
    "decimal commas": "frame;track_id;x1;y1;x2;y2;score\n0;1;10,0;10,00;30;40;0,5\n",
    "tabs": "frame\ttrack_id\tx1\ty1\tx2\ty2\n0\t1\t10\t10\t30\t40\n",
    "bars": "frame|track_id|x1|y1|x2|y2\n0|1|10|10|30|40\n",
    "blanks": " frame  track_id   x1  y1  x2  y2\n   0      1   10  10  30  40 \n",
    "Excel's sep": "sep=;\nframe;track_id;x1;y1;x2;y2\n0;1;10;10;30;40\n",
    "capitals": "Frame,Track_ID,X1,Y1,X2,Y2\n0,1,10,10,30,40\n",
    "spaces": "frame, track id, x1, y1, x2, y2\n0, 1, 10, 10, 30, 40\n",
    "camel case": "FrameId,TrackId,XMin,YMin,XMax,YMax\n0,1,10,10,30,40\n",
    "xmin": "frame_id,track_id,xmin,ymin,xmax,ymax\n0,1,10,10,30,40\n",
    "corner and size": "frame,track_id,x,y,w,h\n0,1,10,10,20,30\n",
    "Annolid": "frame_number,x1,y1,x2,y2,cx,cy,instance_name,class_score,segmentation,tracking_id\n"
    "0,10.0,10.0,30.0,40.0,20.0,25.0,mouse,0.5,,1\n",
    "bbox_xmin": "frame,animal_id,bbox_xmin,bbox_ymin,bbox_xmax,bbox_ymax\n0,1,10,10,30,40\n",
    "min and max": "frame,track_id,min_x,min_y,max_x,max_y\n0,1,10,10,30,40\n",
    "top left": "frame,track_id,top_left_x,top_left_y,width,height\n0,1,10,10,20,30\n",
    "width and height": "frame,id,left,top,width,height\n0,1,10,10,20,30\n",
    "centre and size": "frame,track_id,x_center,y_center,width,height\n0,1,20,25,20,30\n",
    "pandas": ",frame,track_id,x1,y1,x2,y2\n0,0,1.0,10.0,10.0,30.0,40.0\n",
    "byte order mark": "\ufeffframe,track_id,x1,y1,x2,y2\r\n0,1,10,10,30,40\r\n",
    "supervision": "x_min,y_min,x_max,y_max,class_id,confidence,tracker_id,class_name,frame_index\n"
    "10,10,30,40,0,0.9,1,person,0\n",
    "comments": "# made by a program\n#\nframe,track_id,x1,y1,x2,y2\n0,1,10,10,30,40\n",
    "NumPy's header": "# frame,track_id,x1,y1,x2,y2\n0.0,1.0,10.0,10.0,30.0,40.0\n",
    "NumPy's header, blanks": "# frame track_id x1 y1 x2 y2\n0 1 10 10 30 40\n",
    "empty cells behind the last": "frame,track_id,x1,y1,x2,y2\n0,1,10,10,30,40,,\n",
    "a line break in a cell": 'frame,track_id,x1,y1,x2,y2,class_name\n0,1,10,10,30,40,"per\nson"\n',
    "JSON Lines": '{"frame": 0, "track_id": 1, "bbox": [10, 10, 30, 40]}\n{"frame": 1, "track_id": null, "x1": 1}\n',
    "JSON list": '[{"frame": 0, "track_id": "1", "x1": 10, "y1": 10, "x2": 30, "y2": 40, "bbox": null}]',
    "a list a frame": '[[{"box": {"x1": 10, "y1": 10, "x2": 30, "y2": 40}, "track_id": 1, "name": "person"}], []]',
    "Ultralytics' summaries": '[[{"name": "person", "class": 0, "box": {"x1": 10, "y1": 10, "x2": 30, "y2": 40},'
    ' "track_id": 1}]]',
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES.keys())
def test_a_table_is_read_whatever_its_columns_are_called(tmp_path: Path, text: str) -> None:
    path = tmp_path / ("a.json" if text[0] in "[{" else "a.csv")
    path.write_text(text, encoding="utf-8", newline="")
    rows = read_any(path).frames[0]
    np.testing.assert_array_equal(rows.xyxy, BOX)
    assert rows.track_id.tolist() == [1]
    assert rows.score.tolist() in ([1.0], [0.5], [pytest.approx(0.9)])  # never the number of a row
    path.rename(tmp_path / "a.txt")  # the content tells, not the name
    assert detect_format(tmp_path / "a.txt") == "csv"


@pytest.mark.parametrize(
    ("text", "names", "classes"),
    [
        ("frame,x1,y1,x2,y2,class_name\n0,1,1,9,9,car\n0,1,1,8,8,person\n", {0: "car", 1: "person"}, [0, 1]),
        ("frame,x1,y1,x2,y2,class\n0,1,1,9,9,car\n0,1,1,8,8,\n", {0: "car"}, [0, -1]),
        ("frame,x1,y1,x2,y2,class,name\n0,1,1,9,9,5,car\n", {5: "car"}, [5]),
        ("frame,x1,y1,x2,y2,class,label\n0,1,1,9,9,5,car\n0,1,1,8,8,,\n", {5: "car"}, [5, -1]),
    ],
    ids=["names alone", "names as classes", "numbers and plain names", "numbers and names"],
)
def test_classes_by_name_or_number(tmp_path: Path, text: str, names, classes) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    recorded = read_any(path)
    assert (recorded.names, recorded.frames[0].class_id.tolist()) == (names, classes)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_excels_unicode_text_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("frame\ttrack_id\tx1\ty1\tx2\ty2\tlabel\n0\t1\t10\t10\t30\t40\tпешеход\n", encoding=encoding)
    recorded = read_any(path)
    np.testing.assert_array_equal(recorded.frames[0].xyxy, BOX)
    assert recorded.names == {0: "пешеход"}
    path.write_text("1,7,10,10,20,30,1,-1,-1,-1\n", encoding=encoding)
    assert read_any(path).frames[0].track_id.tolist() == [7]
    path.write_text(json.dumps({"schema_version": "det-v1", "frames": [{"frame": 3, "detections": []}]}), encoding)
    assert list(read_any(path).frames) == [3]
    path.write_bytes("0,1".encode("utf-16") + b"\x00")
    with pytest.raises(FormatError, match="is not a text file"):
        read_any(path)


def test_a_class_with_two_names_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frame,x1,y1,x2,y2,class,label\n0,1,1,9,9,0,car\n0,1,1,8,8,0,bus\n1,1,1,8,8,0,bus\n")
    recorded = read_any(path)
    assert recorded.names == {0: "car"}
    assert "2 boxes call their class differently" in recorded.notices[0]
    assert recorded.notices[0].endswith("class 0 is 'car' and 'bus'")


def test_scores_that_are_none_or_rounded(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frame,id,bb_left,bb_top,bb_width,bb_height,conf\n1,1,1,1,9,9,-1\n2,1,1,1,9,9,1.0000001\n")
    recorded = read_any(path)
    assert [rows.score.tolist() for rows in recorded.frames.values()] == [[1.0], [1.0]]
    assert any("1 boxes have no score (-1), which is read as 1" in line for line in recorded.notices)


def test_given_class_names_decide_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frame,x1,y1,x2,y2,class_name\n0,1,1,9,9,car\n")
    assert read_any(path, ReadOptions(names={0: "person", 2: "car"})).frames[0].class_id.tolist() == [2]
    with pytest.raises(FormatError, match="the class 'car' is not among"):
        read_any(path, ReadOptions(names={0: "person"}))


def test_boxes_without_tracks_are_detections(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for name in ("tracker_id", "track_id"):
        path.write_text(f"frame,x1,y1,x2,y2,score,{name}\n0,10,10,30,40,0.9,\n0,50,10,80,40,0.8,-1\n")
        assert read_any(path).frames[0].track_id.tolist() == [-1, -1]
    assert read_recorded(path).frames[0].score.tolist() == pytest.approx([0.9, 0.8])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,track_id,left,top\n0,1,2,3\n", "the columns of the box are missing; recognised: frame, track_id"),
        ("time,track_id,x1,y1,x2,y2\n0,1,1,1,9,9\n", "the column 'frame' is missing; recognised: track_id, x1, y1"),
        ("one,two\n1,2\n", "the column 'frame' is missing; recognised: none"),
        ("frame,x1,y1,x2,y2\n0,0.1,0.1,0.5,0.5\n", "relative to the image size"),
        ("frame,x1,y1,x2,y2\n0,1,1,9\n", "line 2: has 4 columns, its first line 5"),
        ("frame,x1,y1,x2,y2\nx,1,1,9,9\n", "line 2: the frame is not a finite number"),
        ("frame,x1,y1,x2,y2,score,score\n0,1,1,9,9,.9,.1\n", "line 1: has the column 'score' twice"),
        (
            'frame,x1,y1,x2,y2,label\n0,1,1,9,9,car\n1,1,1,9,9,"car\n2,1,1,9,9,car\n',
            "line 3: a quote is opened, and never",
        ),
        ("frame,x1,y1,x2,y2,score\n0,1,1,9,9,90\n", "line 2: the score 90 is not from 0 to 1"),
    ],
)
def test_what_is_missing_and_what_was_recognised_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        read_any(path)
    assert message in caught.value.message
    assert caught.value.remedy


def test_the_index_that_pandas_writes_is_no_score(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",frame,track_id,x1,y1,x2,y2,class\n" + "".join(f"{t},{t},7,1,1,9,9,car\n" for t in range(3)))
    recorded = read_any(path)
    assert [rows.score.tolist() for rows in recorded.frames.values()] == [[1.0]] * 3
    assert [rows.gallery_id.tolist() for rows in recorded.frames.values()] == [[None]] * 3
    assert not any(rows.coasted.any() for rows in recorded.frames.values())
    assert recorded.notices == (f"'{path}': not read: 3 values of a column without a name",)


@pytest.mark.parametrize(
    ("text", "number"),
    [("3", 3), (" 3.0 ", 3), ("-1.", -1), ("+7", 7), ("3.000000000000000000e+00", 3), ("1.5e+01", 15)]
    + [(text, None) for text in ("3.5", "3e5", "1.55e+01", "1_000", "٣", "", "nan", "inf", "a", "9" * 41)],
)
def test_whole_numbers_are_one_thing_in_all_formats(text: str, number: int | None) -> None:
    assert whole_number(text) == number


def test_columns_that_are_not_read_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frame,x1,y1,x2,y2,team\n0,1,1,9,9,home\n1,1,1,9,9,\n")
    assert read_any(path).notices == (f"'{path}': not read: 1 values of 'team'",)
    assert recognise(["Frame ID", "bbox_x", "bbox_y", "bbox_w", "bbox_h"]).layout == "corner and size"


def test_first_frames_of_1_are_told_about(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frame,track_id,x,y,w,h\n1,1,1,1,9,9\n")
    assert list(read_any(path).frames) == [1]
    assert "its first frame is 1" in read_any(path).notices[0]
    for names in ("frame,id,bb_left,bb_top,bb_width,bb_height", "frame,id,x,y,w,h", "frame,id,left,top,width,height"):
        path.write_text(f"{names}\n1,1,1,1,9,9\n")
        assert list(read_any(path).frames) == [0]
        assert "frame 1 is read as frame 0" in read_any(path).notices[0]
        path.write_text(f"{names}\n0,1,1,1,9,9\n")
        assert (list(read_any(path).frames), read_any(path).notices) == ([0], ())
    path.write_text("filepath,label,x1,y1,x2,y2\na/000001.jpg,car,1,1,9,9\n")
    assert list(read_any(path).frames) == [0]
    path.write_text("filename,width,height,class,xmin,ymin,xmax,ymax\n000001.jpg,64,48,car,1,1,9,9\n")
    assert list(read_any(path).frames) == [0]
    assert "number 1 is frame 0" in read_any(path).notices[0]


def test_supervisions_files_are_read(tmp_path: Path) -> None:
    sv = pytest.importorskip("supervision")
    found = sv.Detections(
        np.float32([[10, 10, 30, 40], [50, 10, 80, 40]]),
        confidence=np.float32([0.9, 0.5]),
        class_id=np.array([0, 2]),
        tracker_id=np.array([4, 5]),
        data={"class_name": np.array(["person", "car"])},
    )
    with sv.CSVSink(str(tmp_path / "a.csv")) as table, sv.JSONSink(str(tmp_path / "a.json")) as lists:
        for frame in range(2):
            table.append(found, {"frame_index": frame})
            lists.append(found, {"frame_index": frame})
    for name in ("a.csv", "a.json"):
        recorded = read_any(tmp_path / name)
        assert (list(recorded.frames), recorded.names) == ([0, 1], {0: "person", 2: "car"})
        np.testing.assert_array_equal(recorded.frames[1].xyxy, found.xyxy)
        assert recorded.frames[1].track_id.tolist() == [4, 5]
        assert recorded.frames[1].score.tolist() == pytest.approx([0.9, 0.5])


def result(image: object, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": 1, "bbox": [10, 10, 20, 30], "score": 0.5, **more}


@pytest.mark.parametrize(
    ("records", "frames"),
    [
        ([result(1), result(3)], [0, 2]),
        ([result(0), result(3)], [0, 3]),
        ([result("frame_000001"), result("frame_000002")], [1, 2]),
        ([result(17, file_name="000004.jpg"), result(11, file_name="000001.jpg")], [0, 3]),
    ],
    ids=["from 1", "from 0", "names", "file names"],
)
def test_cocos_results_and_ultralytics_predictions(tmp_path: Path, records, frames: list[int]) -> None:
    for name, text in (("a.json", json.dumps(records)), ("a.jsonl", "".join(json.dumps(r) + "\n" for r in records))):
        (tmp_path / name).write_text(text)
        recorded = read_any(tmp_path / name)
        assert list(recorded.frames) == frames
        np.testing.assert_array_equal(recorded.frames[frames[0]].xyxy, BOX)
        assert recorded.frames[frames[0]].class_id.tolist() == [1]
        assert "is frame 0" in recorded.notices[0]


def test_results_that_are_masks_or_lack_an_image_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for records, message in (
        ([{"image_id": 1, "category_id": 1, "segmentation": {}, "score": 1}], "record 0: has a mask, but no bbox"),
        ([result(1), {"bbox": [1, 1, 2, 2]}], "record 1: has no image_id"),
        ([{"a": []}], "JSON list of an unknown format: its first record has a"),
    ):
        path.write_text(json.dumps(records))
        with pytest.raises(FormatError, match=message):
            read_any(path)
    path.write_text("[]")
    assert read_any(path).frames == {}


def test_frames_as_json_lines_are_det_v1_or_track_v1(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    box = {"bbox": [10, 10, 30, 40], "score": 0.5, "class_id": 0}
    path.write_text(json.dumps({"frame": 0, "detections": []}) + "\n" + json.dumps({"frame": 2, "detections": [box]}))
    assert detect_format(path) == "det-v1"
    assert {frame: len(rows) for frame, rows in read_any(path).frames.items()} == {0: 0, 2: 1}
    path.write_text(json.dumps([{"frame": 2, "detections": [{**box, "track_id": "7"}]}]))
    assert detect_format(path) == "track-v1"
    assert read_any(path).frames[2].track_id.tolist() == [7]
    path.write_text(json.dumps({"frame": 2, "detections": [{**box, "track_id": "7"}]}) + "\n")  # a single line
    assert read_any(path).frames[2].track_id.tolist() == [7]
    path.write_text('{"frame": 0, "detections": []}\n{"frame": 1, "detections"\n')
    with pytest.raises(FormatError, match="line 2 is not valid JSON"):
        read_any(path)


def recorded_of(frames: int = 3) -> RecordedDetections:
    rows = Detections(np.float32([[10, 10, 30, 40]]), np.float32([0.5]), np.array([0]), track_id=np.array([4]))
    info = VideoInfo("in.mp4", 320, 240, 10.0, frames)
    return RecordedDetections("in", dict.fromkeys(range(frames), rows), info, True, {0: "person"})


@pytest.mark.parametrize("name", [name for name, known in FORMATS.items() if known.is_member is None])
def test_every_file_may_be_compressed(tmp_path: Path, name: str) -> None:
    plain = tmp_path / f"a{(FORMATS[name].suffixes or ('.json',))[0]}"
    FORMATS[name].write(plain, recorded_of(), "2026-01-01T00:00:00Z")
    packed = tmp_path / f"{plain.name}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert detect_format(packed) == name
    whole, back = read_any(plain), read_any(packed)
    assert list(back.frames) == list(whole.frames)
    np.testing.assert_array_equal(back.frames[2].xyxy, whole.frames[2].xyxy)
    packed.write_bytes(packed.read_bytes()[:-12])
    with pytest.raises(FormatError, match="cannot be decompressed"):
        read_any(packed, name=name)


def videos(count: int = 2, **more: Any) -> dict[str, Any]:
    """A CocoVID file of several videos, each with a box in its frames 0 and 1; the box tells the video."""
    numbers = range(1, count + 1)
    images = [
        {"id": 10 * v + f, "video_id": v, "frame_id": f, "file_name": f"{f}.jpg"} for v in numbers for f in (0, 1)
    ]
    rows = [
        {"id": i, "image_id": im["id"], "video_id": im["video_id"], "category_id": 1, "bbox": [im["video_id"], 1, 9, 9]}
        for i, im in enumerate(images)
    ]
    listed = [{"id": v, "name": f"video{v}"} for v in numbers]
    return {
        "videos": listed, "images": images, "categories": [{"id": 1, "name": "p"}],
        "annotations": [{**row, "track_id": 3, **more} for row in rows],
    }  # fmt: skip


def test_one_video_of_several_is_chosen(tmp_path: Path, capsys) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(videos()))
    with pytest.raises(FormatError, match="holds 2 videos") as caught:
        read_any(path)
    assert "--video-id of convert: 1 ('video1'), 2 ('video2')" in caught.value.remedy
    for wanted, left in (("1", 1), ("video2", 2)):
        frames = read_any(path, ReadOptions(video_id=wanted)).frames
        assert [float(rows.xyxy[0, 0]) for rows in frames.values()] == [left, left]
    with pytest.raises(UsageError, match="no single video 'x'"):
        read_any(path, ReadOptions(video_id="x"))
    assert main(["convert", str(path), str(tmp_path / "o.txt"), "--video-id", "2"]) == 0
    assert (tmp_path / "o.txt").read_text().splitlines()[0].startswith("1,3,2.00")
    capsys.readouterr()
    document = videos()
    del document["videos"]  # images that only number their videos
    path.write_text(json.dumps(document))
    with pytest.raises(FormatError, match="holds 2 videos"):
        read_any(path)
    assert len(read_any(path, ReadOptions(video_id="2")).frames) == 2


def test_results_of_several_videos(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([result(1, video_id=5, track_id=1), result(2, video_id=6, track_id=1)]))
    with pytest.raises(FormatError, match="holds 2 videos"):
        read_any(path)
    assert sum(map(len, read_any(path, ReadOptions(video_id="6")).frames.values())) == 1


def test_a_table_of_several_videos(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("video,frame,track_id,x1,y1,x2,y2\na.mp4,0,1,1,1,9,9\nb.mp4,0,1,2,1,9,9\n")
    with pytest.raises(FormatError, match="holds 2 videos") as caught:
        read_any(path)
    assert "--video-id of convert: a.mp4, b.mp4" in caught.value.remedy
    assert float(read_any(path, ReadOptions(video_id="b.mp4")).frames[0].xyxy[0, 0]) == 2
    with pytest.raises(UsageError, match="no video 'c'"):
        read_any(path, ReadOptions(video_id="c"))
    path.write_text("frame,track_id,x1,y1,x2,y2\n0,1,1,1,9,9\n")
    with pytest.raises(UsageError, match="no column 'video'"):
        read_any(path, ReadOptions(video_id="c"))


def test_youtube_vis_has_tracks_in_place_of_images(tmp_path: Path) -> None:
    document = {
        "videos": [{"id": 4, "file_names": ["a/00000.jpg", "a/00005.jpg", "a/00010.jpg"], "width": 64, "height": 48}],
        "annotations": [
            {"id": 8, "video_id": 4, "category_id": 2, "bboxes": [[1, 1, 9, 9], None, [3, 1, 9, 9]], "iscrowd": 0}
        ],
        "categories": [{"id": 2, "name": "cat"}],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    recorded = read_any(path)
    assert {f: rows.track_id.tolist() for f, rows in recorded.frames.items()} == {0: [8], 1: [], 2: [8]}
    assert (recorded.video.width, recorded.names) == (64, {2: "cat"})
    document["annotations"][0].pop("bboxes")
    path.write_text(json.dumps(document))
    with pytest.raises(FormatError, match="annotation 0: has no 'bboxes'"):
        read_any(path)


def test_ids_may_be_texts(tmp_path: Path) -> None:
    table, document = tmp_path / "a.csv", tmp_path / "a.json"
    table.write_text("frame,track_id,x1,y1,x2,y2\n0,car_1,1,1,9,9\n0,7,1,1,8,8\n1,car_1,1,1,9,9\n1,person-2,1,1,7,7\n")
    recorded = read_any(table)
    assert [rows.track_id.tolist() for rows in recorded.frames.values()] == [[8, 7], [8, 9]]
    assert "2 tracks have texts as ids: they are numbered from 8 ('car_1')" in recorded.notices[0]
    document.write_text(json.dumps(videos(1, track_id="8f14e45f-ceea")))
    assert [rows.track_id.tolist() for rows in read_any(document).frames.values()] == [[1], [1]]


def test_ids_of_images_and_categories_may_be_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    rows = [
        {"id": "x", "image_id": "b", "category_id": "2", "bbox": [10, 10, 20, 30]},
        {"id": "y", "image_id": "7", "category_id": "cars", "bbox": [10, 10, 20, 30]},
    ]
    path.write_text(
        json.dumps(
            {
                "images": [{"id": "b", "frame_id": 0}, {"id": 7, "frame_id": 1}],
                "categories": [{"id": "2", "name": "person"}, {"id": "cars", "name": "car"}],
                "annotations": rows,
            }
        )
    )
    recorded = read_any(path)
    assert recorded.names == {2: "person", 0: "car"}
    assert [rows.class_id.tolist() for rows in recorded.frames.values()] == [[2], [0]]


def test_numbers_of_texts_follow_the_highest() -> None:
    ids = TrackIds(["b", 3, None, "5", "a", "", "nan", [1]])
    assert [ids.number(value) for value in ("b", 3, "5", "a", None, "", "nan", -1, "4.0")] == [
        6,
        3,
        5,
        7,
        -1,
        -1,
        -1,
        -1,
        4,
    ]
    for bad in ([1], -2, 1.5, True):
        with pytest.raises(ValueError, match="track_id must be a whole number"):
            ids.number(bad)


def test_what_we_write_as_csv_is_read_without_a_notice(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    FORMATS["csv"].write(path, recorded_of(), "now")
    assert read_any(path).notices == ()
    with path.open(newline="") as file:
        assert len(list(csv.reader(file))) == 4


def test_ids_of_64_bits_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"frame,track_id,x1,y1,x2,y2\n0,{2**63},1,1,9,9\n0,{2**63 + 1},1,1,8,8\n1,{2**63},1,1,9,9\n")
    recorded = read_any(path)
    assert [rows.track_id.tolist() for rows in recorded.frames.values()] == [[1, 2], [1]]
    assert "2 tracks have very large numbers as ids" in recorded.notices[0]
    assert TrackIds([2**64, 5, "a"]).texts == {str(2**64): 6, "a": 7}


def test_kittis_labels_are_read_below_the_header_that_the_error_names(tmp_path: Path) -> None:
    path = tmp_path / "0000.txt"
    rows = (
        "0 2 Van 0 0 -1.79 10.0 10.0 30.0 40.0 2.0 1.8 4.4 -4.5 1.8 13.4 -2.1\n"
        "1 -1 DontCare -1 -1 -10 219.3 188.4 245.5 218.5 -1000 -1000 -1000 -10 -1 -1 -1\n"
    )
    path.write_text(rows)
    with pytest.raises(FormatError, match="not made of numbers") as caught:
        read_any(path)
    path.write_text(caught.value.remedy.splitlines()[-1] + "\n" + rows)
    recorded = read_any(path)
    np.testing.assert_array_equal(recorded.frames[0].xyxy, BOX)
    assert (recorded.frames[0].track_id.tolist(), recorded.frames[1].track_id.tolist()) == ([2], [-1])
    assert recorded.names == {0: "Van", 1: "DontCare"}


def test_a_pipe_has_to_be_saved_first(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(FormatError, match="is not a regular file") as caught:
        read_any(path)
    assert "save it to a file first" in caught.value.remedy
