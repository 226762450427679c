"""Reading det-v1 frame by frame gives what reading it whole gives, and names what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mot_dinov3.core.errors import FormatError
from mot_dinov3.formats import det_v1_stream
from mot_dinov3.formats.det_v1 import read_det_v1
from mot_dinov3.formats.det_v1_stream import DetectionStream

ROW = {"bbox": [1.5, 2, 30, 40], "score": 0.5, "class_id": 0, "class_name": 'né"[{', "det_ind": 0}


def write(path: Path, frames: list[Any], **header: Any) -> Path:
    document = {"schema_version": "det-v1", "video": {"fps": 12.5}, "frames_dir": "", **header, "frames": frames}
    path.write_text(json.dumps(document))
    return path


def frame(number: int, *rows: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"frame": number, "file": f"{number:06d}.jpg", "detections": list(rows), **keys}


@pytest.mark.parametrize("window", [1, 7, 64, 1 << 18])
@pytest.mark.parametrize("indent", [None, 2])
def test_any_window_gives_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int, indent: int | None
) -> None:
    monkeypatch.setattr(det_v1_stream, "WINDOW", window)
    monkeypatch.setattr(det_v1_stream._Window._more, "__defaults__", (window,))
    path = write(tmp_path / "d.json", [frame(0, ROW, {**ROW, "det_ind": 1}), frame(3), frame(4, ROW, mood="good")])
    path.write_text(json.dumps(json.loads(path.read_text()), indent=indent))
    whole = read_det_v1(path)
    with DetectionStream(path) as reader:
        read = list(reader)
        assert [r.index for r in read] == list(whole.frames) == [0, 3, 4]
        for record in read:
            assert record.detections.extra.tolist() == whole.frames[record.index].extra.tolist()
        assert read[2].keys == {"file": "000004.jpg", "mood": "good"}
        assert reader.state.names == whole.names
        assert (reader.video.fps, reader.fps_known) == (12.5, True)


def test_keys_may_follow_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('{"frames": [], "detector": {"name": "x"}, "video": {"fps": 5}, "schema_version": "det-v1"}')
    with DetectionStream(path) as reader:
        assert list(reader) == []
        assert reader.header == {"video": {"fps": 5}, "detector": {"name": "x"}}


def test_aliases_are_understood(tmp_path: Path) -> None:
    row = {"xyxy": [1, 2, 3, 4], "conf": 0.25, "class": 2}
    path = write(tmp_path / "d.json", [{"frame_index": 6, "detections": [row]}])
    (record,) = DetectionStream(path)
    assert (record.index, record.detections.score.tolist(), record.detections.class_id.tolist()) == (6, [0.25], [2])


def text(change: Callable[[str], str]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        path.write_text(change(path.read_text()))

    return apply


BROKEN: dict[str, tuple[list[Any] | Callable[[Path], None], str]] = {
    "frame is no object": ([3], "record 0: a frame must be an object"),
    "no detections": ([{"frame": 0}], "frame 0: has no 'detections'"),
    "short box": ([frame(0), frame(2, {**ROW, "bbox": [1, 2, 3]})], "frame 2, detection 0: bbox must be four"),
    "reversed box": ([frame(0, ROW, {**ROW, "bbox": [9, 2, 3, 4]})], "frame 0, detection 1: bbox has no positive"),
    "score is text": ([frame(0, {**ROW, "score": "0.5"})], "frame 0, detection 0: score must be a number"),
    "repeated": ([frame(1), frame(1)], "frame 1: comes twice"),
    "unsorted": ([frame(2), frame(1)], "frame 1: comes after frame 2"),
    "NaN box": (
        text(lambda t: t.replace("1.5", "NaN")),
        "frame 0, detection 0: bbox must be four finite numbers, got .None",
    ),
    "truncated": (text(lambda t: t[: len(t) // 2]), "not valid JSON: line 1"),
    "cut at the end": (text(lambda t: t[:-1]), "it ends where ',' is expected"),
    "unexpected data": (text(lambda t: t + "{}"), "unexpected data"),
    "no frames": (text(lambda t: '{"schema_version": "det-v1"}'), "has no 'frames'"),
    "frames is no list": (text(lambda t: '{"schema_version": "det-v1", "frames": {}}'), "'frames' must be a list"),
    "another schema": (text(lambda t: t.replace("det-v1", "det-v9")), "its schema_version is 'det-v9'"),
    "a list": (text(lambda t: "[1]"), "contains a JSON list"),
    "empty": (text(lambda t: ""), "is empty"),
    "missing comma": (text(lambda t: t.replace('"det_ind"', ' "x" "det_ind"', 1)), "not valid JSON"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named(tmp_path: Path, case: str) -> None:
    what, message = BROKEN[case]
    path = write(tmp_path / "d.json", what if isinstance(what, list) else [frame(0, ROW)])
    if not isinstance(what, list):
        what(path)
    with pytest.raises(FormatError, match=message) as caught, DetectionStream(path, strict=True) as reader:
        list(reader)
    assert "d.json" in caught.value.message


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not exist"):
        DetectionStream(tmp_path / "none.json")
    (tmp_path / "l.json").write_bytes(b'{"schema_version": "det-v1", "x": "\xff\xfe", "frames": []}')
    with pytest.raises(FormatError, match="not UTF-8"):
        DetectionStream(tmp_path / "l.json")
    deep = '{"schema_version": "det-v1", "x": ' + "[" * 100_000 + "]" * 100_000 + ', "frames": []}'
    (tmp_path / "deep.json").write_text(deep)
    with pytest.raises(FormatError, match="nested too deeply"):
        DetectionStream(tmp_path / "deep.json")
