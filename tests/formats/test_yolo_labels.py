"""YOLO labels: as Ultralytics' `save_txt` writes them, read and written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.format_registry import read_recorded
from mot_dinov3.formats.recorded_detections import ReadOptions, RecordedDetections
from mot_dinov3.formats.yolo_folders import is_label_folder
from mot_dinov3.formats.yolo_labels import is_member, read_yolo, safe_stem, write_yolo

SIZE = ReadOptions(width=200, height=100)


@pytest.fixture
def folder(tmp_path: Path):
    """Write label files by name; the others of the tree as they are named."""

    def save(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / "run" / "labels" / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "run"

    return save


def test_frames_from_1_and_parts_of_the_picture(folder) -> None:
    place = folder(clip_1="0 0.5 0.5 0.25 0.5\n", clip_12="2 0.125 0.25 0.25 0.5 0.75 4\n")
    recorded = read_yolo(place, SIZE)
    assert list(recorded.frames) == [0, 11]
    np.testing.assert_array_equal(recorded.frames[0].xyxy, [[75, 25, 125, 75]])
    rows = recorded.frames[11]
    np.testing.assert_array_equal(rows.xyxy, [[0, 0, 50, 50]])
    assert (rows.class_id[0], rows.score[0], rows.track_id[0]) == (2, 0.75, 4)
    assert (recorded.frames[0].score[0], recorded.frames[0].track_id[0]) == (1, -1)
    assert is_label_folder(place)
    assert list(read_yolo(place / "labels", SIZE).frames) == [0, 11]


@pytest.mark.parametrize(
    ("texts", "sixth"),
    [
        (["0 .5 .5 .1 .1 3\n0 .4 .4 .1 .1 4\n"], ("track", [3, 4])),
        (["0 .5 .5 .1 .1 0.5\n0 .4 .4 .1 .1 1\n"], ("score", [0.5, 1])),
        (["0 .5 .5 .1 .1 1\n0 .4 .4 .1 .1 1\n"], ("score", [1, 1])),  # no two of a frame are the same track
        (["0 .5 .5 .1 .1 1\n", "0 .4 .4 .1 .1 0.25 7\n"], ("score", [1])),  # seven somewhere: six end in a score
    ],
    ids=["tracks", "scores", "scores of 1", "both somewhere"],
)
def test_six_numbers_end_in_a_track_or_a_score(folder, texts, sixth) -> None:
    rows = read_yolo(folder(**{f"a_{i + 1}": text for i, text in enumerate(texts)}), SIZE).frames[0]
    kind, values = sixth
    assert (rows.track_id if kind == "track" else rows.score).tolist() == values
    assert (rows.score if kind == "track" else rows.track_id).tolist() == [1 if kind == "track" else -1] * len(values)


@pytest.mark.parametrize(
    ("names", "frames"),
    [(["a_0", "a_1"], [0, 1]), (["frame_000001", "frame_000002"], [1, 2]), (["MOT17-02_7"], [6]), (["000005"], [4])],
    ids=lambda value: value[0],
)
def test_where_frames_begin(folder, names, frames) -> None:
    assert list(read_yolo(folder(**dict.fromkeys(names, "0 .5 .5 .1 .1\n")), SIZE).frames) == frames


def test_names_and_size_come_from_beside_the_labels(folder) -> None:
    place = folder(a_1="1 .5 .5 .5 .5\n")
    (place / "data.yaml").write_text("train: ../../elsewhere\nnames: [person, car]\nwidth: 20\nheight: 10\nfps: 12\n")
    recorded = read_yolo(place, ReadOptions())
    assert (recorded.names, recorded.video.fps, recorded.fps_known) == ({0: "person", 1: "car"}, 12, True)
    np.testing.assert_array_equal(recorded.frames[0].xyxy, [[5, 2.5, 15, 7.5]])
    with pytest.raises(FormatError, match="is for images of 20×10, not 200×100"):
        read_yolo(place, SIZE)
    (place / "data.yaml").unlink()
    (place / "classes.txt").write_text("cat\ndog\n")
    assert read_yolo(place, SIZE).names == {0: "cat", 1: "dog"}


BAD = {
    "four numbers": ("0 .5 .5 .1\n", "line 1: has 4 numbers, not 5 to 7"),
    "an outline in pixels": ("0 5 5 11 11 20 20 30 3\n", "in pixels, not relative"),
    "words": ("person .5 .5 .1 .1\n", "line 1: the class is not a finite number: 'person'"),
    "half a class": ("0.5 .5 .5 .1 .1\n", "the class is not a whole number"),
    "NaN": ("0 .5 .5 .1 .1\n0 nan .5 .1 .1\n", "line 2: cx is not a finite number: 'nan'"),
    "pixels": ("0 100 50 30 40\n", "in pixels, not relative"),
    "no width": ("0 .5 .5 0 .1\n", "no positive size"),
    "a score of 2": ("0 .5 .5 .1 .1 2 5\n", "the score 2 is not from 0 to 1"),
    "a track twice": ("0 .5 .5 .1 .1 .5 3\n0 .5 .5 .2 .2 .5 3\n", "line 2: track 3 is in frame 0 already"),
    "half a track": ("0 .5 .5 .1 .1 .5 1.5\n", "the track is not a whole number from 0"),
    "a huge class": ("9999999999 .5 .5 .1 .1\n", "is too large"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_a_broken_line_is_named(folder, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=r"labels/a_1\.txt', line") as caught:
        read_yolo(folder(a_1=text), dataclasses.replace(SIZE, strict=True))
    assert message in caught.value.message


def test_broken_folders(folder, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not give the size"):
        read_yolo(folder(a_1="0 .5 .5 .1 .1\n"), ReadOptions())
    with pytest.raises(FormatError, match=r"b_1\.txt' is for the same frame as 'a_1.txt'"):
        read_yolo(folder(b_1="0 .5 .5 .1 .1\n"), SIZE)
    (tmp_path / "run" / "labels" / "b_1.txt").rename(tmp_path / "run" / "labels" / "notes.txt")
    with pytest.raises(FormatError, match=r"notes\.txt' does not end with a frame number"):
        read_yolo(tmp_path / "run", SIZE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="contains no labels"):
        read_yolo(tmp_path / "empty", SIZE)


def test_folders_of_runs_that_found_nothing(tmp_path: Path) -> None:
    (tmp_path / "predict" / "labels").mkdir(parents=True)  # Ultralytics' save_txt
    (tmp_path / "ours").mkdir()
    nothing = RecordedDetections("in.mp4", {}, VideoInfo("in.mp4", 96, 64, 10.0))
    write_yolo(tmp_path / "ours", nothing, "2026-01-01T00:00:00Z")
    for place in (tmp_path / "predict", tmp_path / "predict" / "labels", tmp_path / "ours"):
        assert read_recorded(place).frames == {}
    (tmp_path / "predict" / "labels" / "notes.md").touch()
    (tmp_path / "predict" / "labels").rename(tmp_path / "predict" / "texts")
    with pytest.raises(FormatError, match="folder without labels"):
        read_recorded(tmp_path / "predict")


def test_a_link_out_of_the_folder_is_not_followed(folder, tmp_path: Path) -> None:
    place = folder(a_1="0 .5 .5 .1 .1\n")
    (tmp_path / "secret.txt").write_text("0 .5 .5 .1 .1\n")
    (place / "labels" / "a_2.txt").symlink_to("../../secret.txt")
    with pytest.raises(FormatError, match=r"a_2\.txt' is a link that leads out"):
        read_yolo(place, SIZE)


def recorded(path: str = "dir/in.mp4") -> RecordedDetections:
    rows = Detections(
        np.float32([[1.1, 2.2, 30.3, 40.4], [5, 5, 9, 9.126]]),
        np.float32([0.5, 1]),
        np.array([2, -1]),
        track_id=np.array([11, -1]),
    )
    return RecordedDetections(
        "a", {1: rows, 2: rows[:0], 9: rows[1:]}, VideoInfo(path, 320, 240, 12.5), True, {2: "car"}
    )


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    write_yolo(tmp_path, recorded(), "now")
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["in_10.txt", "in_2.txt"]
    assert all(is_member(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    back = read_yolo(tmp_path, ReadOptions())
    assert (back.video, back.names) == (VideoInfo("dir/in.mp4", 320, 240, 12.5), {2: "car"})
    rows, asked = back.frames[1], recorded().frames[1]
    np.testing.assert_allclose(rows.xyxy, asked.xyxy, atol=1e-5)
    assert (rows.score.tolist(), rows.track_id.tolist(), rows.class_id.tolist()) == ([0.5, 1], [11, -1], [2, 0])


def test_odd_names_survive_yaml(tmp_path: Path) -> None:
    odd = RecordedDetections(
        "a", {}, VideoInfo("a", 9, 9, 1.0), names={0: "true", 1: 'a: "b" # \U0001f600\x07', 2: "7"}
    )
    write_yolo(tmp_path, odd, "now")
    assert yaml.safe_load((tmp_path / "data.yaml").read_text(encoding="utf-8"))["names"] == odd.names


@pytest.mark.parametrize("path", ["../../etc/passwd", "..", "/abs/../x/..mp4", "a\\..\\..\\b", "", "a\0b\n.mp4", "  "])
def test_the_name_of_a_video_leads_out_of_no_folder(tmp_path: Path, path: str) -> None:
    stem = safe_stem(path)
    assert stem
    assert not set(stem) & set("/\\\0\n ")
    assert (tmp_path / f"{stem}_1.txt").resolve().parent == tmp_path.resolve()
    place = tmp_path / "out"
    place.mkdir()
    write_yolo(place, recorded(path), "now")
    assert {inner.parent for inner in tmp_path.rglob("*.txt")} == {place / "labels"}
