from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import write_document
from mot_dinov3.core.structures import Detections, ModelInfo, VideoInfo
from mot_dinov3.formats.det_v1 import read_det_v1
from mot_dinov3.formats.det_v1_writer import det_v1_frame, det_v1_header, detection_records
from mot_dinov3.formats.track_v1 import (
    read_track_v1,
    track_v1_frame,
    track_v1_header,
    tracker_block,
)

VIDEO = {"path": "in.mp4", "fps": 10.0, "frame_count": 2, "width": 768, "height": 576}
BOX = {"bbox": [10.0, 20.0, 30.0, 60.0], "score": 0.5, "class_id": 0, "class_name": "person", "det_ind": 0}


def document(*frames: object, **top: object) -> dict[str, Any]:
    return {"schema_version": "det-v1", "video": VIDEO, "detector": {"name": "x"}, "frames": list(frames), **top}


def frame(number: object, *detections: object) -> dict[str, Any]:
    return {"frame": number, "detections": list(detections)}


@pytest.fixture
def write(tmp_path: Path):
    def save(content: object) -> Path:
        path = tmp_path / "dets.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return save


def test_reads_columns_names_and_header(write) -> None:
    recorded = read_det_v1(write(document(frame(0, BOX), frame(3))))
    rows = recorded.frames[0]
    np.testing.assert_array_equal(rows.xyxy, [[10, 20, 30, 60]])
    assert (rows.score[0], rows.class_id[0], rows.extra[0]) == (0.5, 0, BOX)
    assert len(recorded.frames[3]) == 0
    assert recorded.last_frame == 3
    assert recorded.names == {0: "person"}
    assert recorded.video == VideoInfo("in.mp4", 768, 576, 10.0, 2)
    assert recorded.fps_known
    assert recorded.header == {"video": VIDEO, "detector": {"name": "x"}}


def test_understands_the_aliases(write) -> None:
    record = {"xyxy": [1, 2, 3, 4], "conf": 1, "class": 7}
    rows = read_det_v1(write(document({"frame_index": 5, "detections": [record]}))).frames[5]
    np.testing.assert_array_equal(rows.xyxy, [[1, 2, 3, 4]])
    assert (rows.score[0], rows.class_id[0]) == (1, 7)


def test_silent_header_is_zeros_and_an_assumed_frame_rate(write) -> None:
    recorded = read_det_v1(write({"schema_version": "det-v1", "frames": [frame(4, BOX)]}))
    info, notice = recorded.source_info(None)
    assert (info.width, info.height, info.fps, info.frame_count) == (0, 0, 30.0, 5)
    assert "30 fps" in notice
    assert recorded.source_info(12.5) == (VideoInfo(info.path, 0, 0, 12.5, 5), "")


def bad(**changes: object) -> dict[str, Any]:
    return document(frame(2, BOX, {**BOX, **changes}))


BAD_DETECTIONS = {
    "short box": {"bbox": [1, 2, 3]},
    "box of strings": {"bbox": ["1", "2", "3", "4"]},
    "box of booleans": {"bbox": [False, False, True, True]},
    "no box": {"bbox": None},
    "reversed": {"bbox": [30, 20, 10, 60]},
    "zero width": {"bbox": [10, 20, 10, 60]},
    "zero height after rounding": {"bbox": [10, 5000, 20, 5000.00001]},
    "huge": {"bbox": [0, 0, 1e30, 5]},
    "huge integer": {"bbox": [0, 0, 10**400, 5]},
    "score above 1": {"score": 1.2},
    "negative score": {"score": -0.1},
    "score as text": {"score": "0.5"},
    "score true": {"score": True},
    "no score": {"score": None},
    "class as a list": {"class_id": [0]},
    "class below -1": {"class_id": -2},
    "class too large": {"class_id": 10**30},
    "name as number": {"class_name": 3},
    "nested": {"gt": json.loads("[" * 50 + "]" * 50)},
}


@pytest.mark.parametrize("changes", BAD_DETECTIONS.values(), ids=BAD_DETECTIONS.keys())
def test_a_bad_detection_is_named_with_file_frame_and_row(write, changes: dict[str, object]) -> None:
    with pytest.raises(FormatError, match=r"dets\.json', frame 2, detection 1: ") as caught:
        read_det_v1(write(bad(**changes)), strict=True)
    assert caught.value.remedy
    assert len(caught.value.message) < 400


BAD_DOCUMENTS = {
    "other schema": ({"schema_version": "track-v1", "frames": []}, "is 'track-v1'"),
    "no frames": ({"schema_version": "det-v1"}, "has no 'frames'"),
    "frames no list": (document() | {"frames": {}}, "must be a list"),
    "frame no object": (document(3), "record 0: a frame must be an object"),
    "frame number as text": (document(frame("1")), "record 0: 'frame' must be a whole number"),
    "frame number true": (document(frame(True)), "whole number"),
    "frame number negative": (document(frame(-1)), "whole number"),
    "frame number huge": (document(frame(10**12)), "whole number"),
    "no detections": (document({"frame": 0}), "frame 0: has no 'detections'"),
    "detection no object": (document(frame(0, 7)), "frame 0, detection 0: must be an object"),
    "repeated": (document(frame(1), frame(1)), "frame 1: comes twice"),
    "unsorted": (document(frame(5), frame(2)), "frame 2: comes after frame 5"),
    "video no object": (document(video=[]), "video must be an object"),
    "video width text": (document(video={"width": "768"}), "video.width"),
    "video path number": (document(video={"path": 3}), "video.path"),
    "a list": ([1, 2], "contains a JSON list"),
    "not JSON": ('{"frames": [', "line 1, column 13"),
    "long integer": ('{"schema_version": "det-v1", "x": ' + "9" * 5000 + "}", "not valid JSON"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "deep header": (document(video={"x": json.loads("[" * 60 + "]" * 60)}), "nested too deeply"),
}


@pytest.mark.parametrize(("content", "message"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
def test_a_bad_document_is_one_clear_line(write, content: object, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_det_v1(write(content), strict=True)
    assert "dets.json" in caught.value.message
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for content, message in ((b"", "is empty"), ("{}\xe9".encode("latin-1"), "not UTF-8"), (b"\0\xff", "not a text")):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=message):
            read_det_v1(path)
    with pytest.raises(FormatError, match="is a folder"):
        read_det_v1(tmp_path)
    with pytest.raises(FormatError, match="does not exist"):
        read_det_v1(tmp_path / "absent.json")


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document(frame(0, BOX))), encoding="utf-8-sig")
    assert len(read_det_v1(path).frames[0]) == 1


def test_written_files_have_the_keys_in_order_and_read_back_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    low = rng.uniform(-50, 2000, (20, 2))
    rows = Detections(
        np.hstack([low, low + rng.uniform(1, 300, (20, 2))]).astype(np.float32),
        rng.uniform(0, 1, 20).astype(np.float32),
        np.arange(20) % 3 - 1,
    )
    model = ModelInfo("ultralytics", "w.pt", "cpu", "fp16", {"conf_thresh": 0.25, "imgsz": 640, "classes": [0]})
    header = det_v1_header(VideoInfo("in.mp4", 768, 576, 10.0, 2), model)
    path = tmp_path / "out.json"
    with path.open("w") as file:
        write_document(
            file, header, (det_v1_frame(i, r, {0: "person"}) for i, r in [(0, rows), (1, Detections.empty())])
        )
    content = json.loads(path.read_text())
    assert list(content) == ["schema_version", "video", "detector", "frames_dir", "frames"]
    assert content["video"] == VIDEO
    keys = ["name", "backend", "weights", "classes", "conf_thresh", "imgsz", "device", "half", "task"]
    assert list(content["detector"]) == keys
    assert content["detector"]["half"] is True
    assert content["frames"][1] == {"frame": 1, "file": "000001.jpg", "detections": []}
    assert list(content["frames"][0]["detections"][1]) == ["bbox", "score", "class_id", "class_name", "det_ind"]
    assert list(content["frames"][0]["detections"][0]) == ["bbox", "score", "class_id", "det_ind"]
    again = read_det_v1(path).frames[0]
    for column in ("xyxy", "score", "class_id"):
        np.testing.assert_array_equal(getattr(again, column), getattr(rows, column))


def test_writing_holds_one_frame_at_a_time() -> None:
    alive = 0

    def records():
        nonlocal alive
        for number in range(3):
            alive = number
            yield frame(number)

    class Watching(io.StringIO):
        def write(self, text: str) -> int:
            if '"frame": 0' in text:
                assert alive == 0
            return super().write(text)

    file = Watching()
    write_document(file, {"schema_version": "det-v1"}, records())
    assert [f["frame"] for f in json.loads(file.getvalue())["frames"]] == [0, 1, 2]


RICH = {
    **BOX,
    "text_prompt": "person",
    "keypoints": [[1.0, 2.0, 0.5]],
    "segments": [[[1.0, 2.0]], []],
    "obb": [1.0, 2.0, 3.0, 4.0, 0.1],
    "probs": [0.1, 0.9],
    "gt": 12,
    "ünknown": {"a": None},
}


def test_track_v1_keeps_every_input_key_in_place_and_adds_its_own(write) -> None:
    recorded = read_det_v1(write(document(frame(0, RICH, {"xyxy": [0, 0, 9, 9], "conf": 0.2}))))
    rows = recorded.frames[0].replace(
        track_id=np.array([3, -1]), fresh=np.array([True, False]), track_xyxy=np.array([[10, 20.126, 30, 60]] * 2)
    )
    first, second = track_v1_frame(0, rows, recorded.names)["detections"]
    assert list(first)[: len(RICH)] == list(RICH)
    assert first == {**RICH, "track_id": "3", "track_bbox": [10.0, 20.13, 30.0, 60.0], "embedded": True}
    assert second["bbox"] == [0, 0, 9, 9]
    assert (second["score"], second["class_id"], second["embedded"]) == (0.2, -1, False)
    assert "track_id" not in second
    assert "track_bbox" not in second


def test_a_coasted_row_has_its_predicted_box_and_no_detection_number() -> None:
    rows = Detections(
        np.array([[1, 2, 3, 4.5]]),
        track_id=np.array([2]),
        coasted=np.array([True]),
        extra=np.array([dict(BOX)], object),
    )
    (record,) = track_v1_frame(7, rows, {})["detections"]
    assert record["bbox"] == [1, 2, 3, 4.5]
    assert record["coasted"] is True
    assert "det_ind" not in record


def test_track_v1_round_trip(write, tmp_path: Path) -> None:
    recorded = read_det_v1(write(document(frame(0, RICH, BOX), frame(4))))
    rows = recorded.frames[0].replace(
        track_id=np.array([1, -1]),
        fresh=np.array([False, True]),
        track_xyxy=np.array([[10.5, 20, 30, 60]] * 2, np.float32),
    )
    tracker = tracker_block("appearance", {"max_age": 30}, track_classes=[0])
    header = track_v1_header(
        source_header=recorded.header, created_at_utc="2026-01-01T00:00:00Z", tracker=tracker, more={"fallbacks": []}
    )
    path = tmp_path / "tracked.json"
    with path.open("w") as file:
        write_document(file, header, [track_v1_frame(0, rows, {}), track_v1_frame(4, Detections.empty(), {})])
    content = json.loads(path.read_text())
    top = ["schema_version", "parent_schema_version", "video", "detector", "created_at_utc", "tracker", "fallbacks"]
    assert list(content) == [*top, "frames"]
    assert content["tracker"]["class_filter"] == {
        "track_classes": [0],
        "filter_gallery_for_tracked_classes": False,
    }
    again = read_track_v1(path)
    assert list(again.frames) == [0, 4]
    np.testing.assert_array_equal(again.frames[0].track_id, [1, -1])
    np.testing.assert_array_equal(again.frames[0].fresh, [False, True])
    np.testing.assert_array_equal(again.frames[0].track_xyxy[0], [10.5, 20, 30, 60])


@pytest.mark.parametrize("value", ["x", "", "-3", 1.5, [], "9" * 30])
def test_read_track_v1_refuses_a_strange_track_id(write, value: object) -> None:
    content = document(frame(0, {**BOX, "track_id": value})) | {"schema_version": "track-v1"}
    with pytest.raises(FormatError, match="frame 0, detection 0: track_id"):
        read_track_v1(write(content))


def test_reads_the_upstream_example(shared: Path) -> None:
    path = shared / "data/gallery/example.det.json"
    recorded = read_det_v1(path)
    original = json.loads(path.read_text())["frames"]
    assert [track_v1_frame(n, rows, {})["file"] for n, rows in recorded.frames.items()] == [f["file"] for f in original]
    assert list(recorded.frames[0].extra) == original[0]["detections"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["bbox", "xyxy", "score", "conf", "class_id", "class", "class_name", "det_ind", "gt"])
boxes = st.lists(st.floats(-10, 100) | values, min_size=3, max_size=5)
detections = st.dictionaries(keys, values | boxes | st.floats(0, 1), max_size=6)
frames = st.fixed_dictionaries({"frame": st.integers(0, 3) | values, "detections": st.lists(detections, max_size=2)})


@pytest.mark.slow
@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(frames | values, max_size=3), st.dictionaries(st.sampled_from(["video", "detector", "x"]), values))
def test_any_json_is_read_or_refused(write, records: list[object], top: dict[str, object]) -> None:
    path = write({"schema_version": "det-v1", **top, "frames": records})
    try:
        recorded = read_det_v1(path)
    except FormatError:
        return
    for number, rows in recorded.frames.items():
        assert np.isfinite(rows.xyxy).all()
        json.dumps(track_v1_frame(number, rows, recorded.names), allow_nan=False)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(FormatError):
        read_det_v1(path)


def test_a_header_without_a_path_is_silent(write) -> None:
    assert read_det_v1(write(document(video={"path": None, "fps": None}))).video.path == ""


def test_other_names_of_frame_and_score(write) -> None:
    box = {"bbox": [1, 2, 3, 4], "confidence": 0.25, "class_id": None, "class_name": None}
    for key in ("frame_idx", "frame_id", "frame_number"):
        for number in (4, 4.0):
            recorded = read_det_v1(write(document({key: number, "detections": [box]})))
            assert list(recorded.frames) == [4]
            assert recorded.frames[4].score.tolist() == [0.25]
            assert recorded.frames[4].class_id.tolist() == [-1]
            assert recorded.notices == ()


def test_a_score_rounded_beyond_1_is_written_as_1(write) -> None:
    rows = read_det_v1(write(document(frame(0, {**BOX, "score": 1.0000001})))).frames[0]
    assert rows.score.tolist() == [1.0]
    assert detection_records(rows, {})[0]["score"] == 1.0


def test_a_class_with_two_names_is_told(write) -> None:
    boxes = [{**BOX, "class_id": 0, "class_name": name} for name in ("car", "car", "bus")]
    recorded = read_det_v1(write(document(frame(0, *boxes))))
    assert recorded.names == {0: "car"}
    assert recorded.notices[0].endswith("the first: class 0 is 'car' and 'bus'")


def test_boxes_relative_to_the_image_are_refused(write) -> None:
    with pytest.raises(FormatError, match="from 0 to 1, relative to the image size"):
        read_det_v1(write(document(frame(0, {**BOX, "bbox": [0.1, 0.1, 0.4, 0.8]}))))
