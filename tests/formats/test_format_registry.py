"""All formats side by side: recognised, carried from any to any, and what is lost is counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.cli.convert import NAMES
from mot_dinov3.core.errors import FormatError, UnknownNameError, UsageError
from mot_dinov3.core.structures import Detections, TrackState, VideoInfo
from mot_dinov3.formats.format_registry import (
    FORMATS,
    detect_format,
    format_of_output,
    read_any,
    read_recorded,
    with_track_boxes,
)
from mot_dinov3.formats.lost_fields import lost_fields, written_boxes
from mot_dinov3.formats.recorded_detections import ReadOptions, RecordedDetections, frame_numbers
from mot_dinov3.formats.rows import MAX_ROWS, Row, RowCollector, parse_number

ENDING = {"motchallenge": "txt", "csv": "csv", "cvat": "xml", "yolo": ""}


def tracked() -> RecordedDetections:
    """Two tracks in two of five frames, in coordinates that every format holds."""
    rows = Detections(
        np.float32([[1.25, 2.5, 30.25, 40.5], [50, 60, 70, 80]]),
        np.float32([0.5, 0.75]),
        np.array([0, 2]),
        track_id=np.array([11, 3]),
        state=np.full(2, int(TrackState.CONFIRMED)),
    )
    video = VideoInfo("in.mp4", 320, 240, 12.5, 5)
    return RecordedDetections("a", {1: rows, 3: rows[:1]}, video, True, {0: "person", 2: "car"})


def written(name: str, folder: Path, recorded: RecordedDetections) -> Path:
    path = folder / f"out.{ENDING.get(name, 'json')}".rstrip(".")
    if FORMATS[name].is_member is not None:
        path.mkdir()
    FORMATS[name].write(path, recorded, "2026-01-01T00:00:00Z")
    return path


def test_the_command_offers_all_formats() -> None:
    assert tuple(FORMATS) == NAMES


@pytest.mark.parametrize("name", FORMATS)
def test_fields_that_a_format_keeps_come_back_and_the_others_are_counted(tmp_path: Path, name: str) -> None:
    asked, kept = tracked(), FORMATS[name].fields
    path = written(name, tmp_path, asked)
    assert detect_format(path) == name
    back = read_any(path, ReadOptions())
    assert [frame for frame, rows in back.frames.items() if len(rows)] == [1, 3]
    for frame, rows in asked.frames.items():
        order = np.argsort(back.frames[frame].xyxy[:, 0])
        found = back.frames[frame][order]
        np.testing.assert_allclose(found.xyxy, rows.xyxy, atol=1e-5)
        np.testing.assert_array_equal(found.score, rows.score)
        assert found.track_id.tolist() == (rows.track_id.tolist() if "tracks" in kept else [-1] * len(rows))
        assert found.class_id.tolist() == (rows.class_id.tolist() if "classes" in kept else [-1] * len(rows))
    assert back.names == (asked.names if "names" in kept else {})
    size = (back.video.width, back.video.height, back.fps_known, back.video.fps)
    assert size == ((320, 240, True, 12.5) if "video" in kept else (0, 0, False, 30))
    lost = " / ".join(lost_fields(asked, name))
    assert ("the tracks of 3 boxes" in lost) == ("tracks" not in kept)
    assert ("the classes of 3 boxes" in lost) == ("classes" not in kept)
    assert ("the names of 2 classes" in lost) == ("names" not in kept)
    assert ("frame rate and size" in lost) == ("video" not in kept)


def test_lost_fields_are_counted_box_by_box() -> None:
    extra = np.empty(3, np.object_)
    extra[:] = [{"bbox": [1, 2, 3, 4], "score": 1, "probs": [0.5, 0.5]}, {"score": 1, "track_id": "3"}, None]
    rows = Detections(
        np.float32([[0, 0, 9, 9]] * 3),
        track_id=np.array([1, -1, 2]),
        coasted=np.array([False, False, True]),
        track_xyxy=np.float32([[0, 0, 9, 9], [0, 0, 9, 9], [1, 0, 9, 9]]),
        gallery_id=np.array(["Ann", None, None], np.object_),
        gallery_distance=np.float32([0.25, np.nan, np.nan]),
        extra=extra,
    )
    recorded = RecordedDetections("a", {0: rows, 5: rows[:1]}, VideoInfo("a", 0, 0, 30.0))
    assert lost_fields(recorded, "track-v1") == []
    assert lost_fields(recorded, "coco") == [
        "the confidence of 2 known identities",
        "the detected boxes of 1 tracked ones, whose smoothed ones are written",
        "further keys of 2 detections",
    ]
    assert lost_fields(recorded, "motchallenge")[:3] == [
        "1 boxes without a track, skipped",
        "the known identities of 2 boxes",
        "the mark of 1 predicted boxes",
    ]
    assert lost_fields(recorded, "det-v1") == [
        "the tracks of 3 boxes",
        "the known identities of 2 boxes",
        "1 predicted boxes, skipped",
    ]
    kept = {name: written_boxes(recorded, name) for name in ("track-v1", "motchallenge", "csv", "det-v1")}
    assert kept == {"track-v1": 4, "motchallenge": 3, "csv": 3, "det-v1": 3}
    assert lost_fields(recorded, "yolo")[-1] == "4 boxes without a class, written as class 0"
    np.testing.assert_array_equal(with_track_boxes(recorded).frames[0].xyxy[2], [1, 0, 9, 9])


def test_a_class_that_changes_within_a_track_is_lost_in_cvat() -> None:
    first = tracked().frames[1]
    other = first.replace(class_id=np.array([0, 1]))
    recorded = RecordedDetections("a", {1: first, 2: first, 3: other}, VideoInfo("a", 320, 240, 30.0), True)
    assert lost_fields(recorded, "cvat")[-1] == "the classes of 1 boxes that differ from their track's"
    assert "differ from" not in " ".join(lost_fields(tracked(), "cvat"))


def test_detections_alone_are_a_table(tmp_path: Path) -> None:
    rows = tracked().frames[1].replace(track_id=np.array([-1, -1]))
    recorded = RecordedDetections("a", {1: rows}, VideoInfo("a", 0, 0, 30.0), names={0: "person"})
    path = written("csv", tmp_path, recorded)
    back = read_any(path)
    np.testing.assert_array_equal(back.frames[1].xyxy, np.round(rows.xyxy, 2))
    assert back.frames[1].track_id.tolist() == [-1, -1]
    assert (lost_fields(recorded, "csv"), written_boxes(recorded, "csv")) == ([], 2)


def test_detections_alone_are_a_det_txt(tmp_path: Path) -> None:
    rows = tracked().frames[1].replace(track_id=np.array([-1, -1]))
    recorded = RecordedDetections("a", {1: rows}, VideoInfo("a", 0, 0, 30.0))
    path = written("motchallenge", tmp_path, recorded)
    assert path.read_text().splitlines()[0].startswith("2,-1,1.25,2.50,29.00,38.00,0.5000")
    assert lost_fields(recorded, "motchallenge") == ["the classes of 2 boxes"]
    np.testing.assert_array_equal(read_any(path).frames[1].score, [0.5, 0.75])


def test_a_number_far_off_makes_no_huge_file() -> None:
    assert list(frame_numbers({3: Detections.empty()})) == [0, 1, 2, 3]
    assert frame_numbers({3: Detections.empty(), 90_000_000: Detections.empty()}) == [3, 90_000_000]
    assert list(frame_numbers({})) == []


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "motchallenge"])
def test_boxes_to_track_come_without_tracks_from_any_format(tmp_path: Path, name: str) -> None:
    recorded = read_recorded(written(name, tmp_path, tracked()))
    rows = recorded.frames[1]
    assert (len(rows), rows.track_id.tolist()) == (2, [-1, -1])
    assert all(record is None or "track_id" not in record for record in rows.extra)


def test_predicted_boxes_are_no_detections(tmp_path: Path) -> None:
    rows = tracked().frames[1].replace(coasted=np.array([False, True]))
    path = written("coco", tmp_path, RecordedDetections("a", {0: rows}, VideoInfo("a", 0, 0, 30.0)))
    assert len(read_any(path).frames[0]) == 2
    assert len(read_recorded(path).frames[0]) == 1


def test_json_is_detected_by_its_keys_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    filler = {"info": "x" * 100_000}
    for document, name in (
        ({**filler, "schema_version": "track-v1", "frames": []}, "track-v1"),
        ({**filler, "images": [], "annotations": []}, "coco"),
        ({"images": [], "annotations": [], "info": {"schema_version": "mine-2"}}, "coco"),
        ({"frames": []}, "det-v1"),
    ):
        path.write_text(json.dumps(document))
        assert detect_format(path) == name
    path.write_text(json.dumps(filler))
    with pytest.raises(FormatError, match="an unknown format") as caught:
        detect_format(path)
    assert "cvat, det-v1" not in caught.value.message
    assert "specify it with --from: coco, csv, cvat" in caught.value.remedy
    assert caught.value.remedy.startswith("export it as COCO")


def test_what_is_no_format(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04....")
    for place, message in (
        (path, "is a ZIP archive"),
        (tmp_path, "a folder without labels"),
        (tmp_path / "b", "exist"),
    ):
        with pytest.raises(FormatError, match=message):
            detect_format(place)
    with pytest.raises(UnknownNameError, match="unknown format 'coc'; did you mean 'coco'"):
        read_any(path, name="coc")


def test_the_ending_of_an_output_may_fit_several_formats() -> None:
    assert [format_of_output(Path(f"a.{ending}")) for ending in ("txt", "XML", "csv")] == [
        "motchallenge",
        "cvat",
        "csv",
    ]
    for name, names in (("a.json", "det-v1, track-v1, coco"), ("folder", "yolo")):
        with pytest.raises(UsageError, match=f"the format of '{name}' is not clear") as caught:
            format_of_output(Path(name))
        assert caught.value.remedy == f"specify it with --to: {names}"


def test_a_track_twice_in_a_frame_is_an_error_in_any_format(tmp_path: Path) -> None:
    rows = tracked().frames[1].replace(track_id=np.array([3, 3]))
    path = written("track-v1", tmp_path, RecordedDetections("a", {4: rows}, VideoInfo("a", 0, 0, 30.0)))
    with pytest.raises(FormatError, match=r"out\.json', frame 4: track_id 3 occurs twice"):
        read_any(path)


def test_a_size_that_the_file_contradicts(tmp_path: Path) -> None:
    path = written("det-v1", tmp_path, tracked())
    with pytest.raises(FormatError, match="is for images of 320×240, not 640×480"):
        read_any(path, ReadOptions(width=640, height=480))
    assert read_any(path, ReadOptions(names={5: "bus"})).names == {0: "person", 2: "car", 5: "bus"}


def test_there_is_an_end_to_the_boxes_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_ROWS >= 1_000_000
    monkeypatch.setattr("mot_dinov3.formats.rows.MAX_ROWS", 2)
    rows = RowCollector()
    rows.add(0, Row((0, 0, 1, 1)))
    rows.add(0, Row((0, 0, 1, 1)))
    with pytest.raises(ValueError, match="more than 2 boxes"):
        rows.add(1, Row((0, 0, 1, 1)))


@pytest.mark.parametrize("text", ["nan", "inf", "1_0", "１", "", "0x10", "1e999"])
def test_numbers_are_plain(text: str) -> None:
    with pytest.raises(ValueError, match="x is not a finite number"):
        parse_number(text, "x")
