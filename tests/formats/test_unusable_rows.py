"""One row without a usable box does not refuse a file: every reader leaves it out, counts it and names the first."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mot_dinov3
from mot_dinov3.cli import main
from mot_dinov3.core.errors import FormatError
from mot_dinov3.formats.det_v1_stream import DetectionStream
from mot_dinov3.formats.format_registry import read_any, read_recorded
from mot_dinov3.formats.recorded_detections import ReadOptions

NAN, INF = float("nan"), float("inf")
GOOD = (10.0, 20.0, 30.0, 40.0)  # x, y, width, height
UNUSABLE = {
    "no width": (10.0, 20.0, 0.0, 40.0),
    "negative height": (10.0, 20.0, 30.0, -1.0),
    "NaN": (10.0, NAN, 30.0, 40.0),
    "infinite": (10.0, 20.0, INF, 40.0),
    "beyond any image": (10.0, 20.0, 1e30, 40.0),
}
Boxes = list[tuple[float, float, float, float]]


def mot(folder: Path, boxes: Boxes) -> Path:
    path = folder / "a.txt"
    path.write_text("".join(f"1,{i},{x},{y},{w},{h},0.5,-1,-1,-1\n" for i, (x, y, w, h) in enumerate(boxes)))
    return path


def det_txt(folder: Path, boxes: Boxes) -> Path:
    path = folder / "det.txt"
    path.write_text("".join(f"1,-1,{x},{y},{w},{h},0.5\n" for x, y, w, h in boxes))
    return path


def coco(folder: Path, boxes: Boxes) -> Path:
    rows = [{"id": i, "image_id": 1, "category_id": 1, "bbox": box, "track_id": i} for i, box in enumerate(boxes)]
    images, categories = [{"id": 1, "frame_id": 0}], [{"id": 1, "name": "p"}]
    path = folder / "c.json"
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": rows}))
    return path


def det_v1(folder: Path, boxes: Boxes, schema: str = "det-v1") -> Path:
    rows = [{"bbox": [x, y, x + w, y + h], "score": 0.5, "class_id": 0} for x, y, w, h in boxes]
    if schema == "track-v1":
        rows = [{**row, "track_id": str(i)} for i, row in enumerate(rows)]
    path = folder / "d.json"
    path.write_text(json.dumps({"schema_version": schema, "frames": [{"frame": 0, "detections": rows}]}))
    return path


def track_v1(folder: Path, boxes: Boxes) -> Path:
    return det_v1(folder, boxes, "track-v1")


def table(folder: Path, boxes: Boxes) -> Path:
    path = folder / "t.csv"
    lines = [f"0,{i},{x},{y},{x + w},{y + h}\n" for i, (x, y, w, h) in enumerate(boxes)]
    path.write_text("frame,track_id,x1,y1,x2,y2\n" + "".join(lines))
    return path


def yolo(folder: Path, boxes: Boxes) -> Path:
    labels = folder / "labels"
    labels.mkdir(exist_ok=True)
    size = 1000.0
    lines = [f"0 {(x + w / 2) / size} {(y + h / 2) / size} {w / size} {h / size}\n" for x, y, w, h in boxes]
    (labels / "v_1.txt").write_text("".join(line for line in lines if "e+" not in line))
    return folder


def cvat(folder: Path, boxes: Boxes) -> Path:
    path = folder / "a.xml"
    text = "".join(
        f'<track id="{i}" label="p"><box frame="0" xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}"/></track>\n'
        for i, (x, y, w, h) in enumerate(boxes)
    )
    path.write_text(f"<annotations>{text}</annotations>")
    return path


WRITERS = (mot, det_txt, coco, det_v1, track_v1, table, yolo, cvat)


@pytest.mark.parametrize("box", UNUSABLE.values(), ids=UNUSABLE.keys())
@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_reader_leaves_an_unusable_row_out_and_names_it(
    tmp_path: Path, write: Callable[[Path, Boxes], Path], box: tuple[float, float, float, float]
) -> None:
    if write is yolo and box[2] == 1e30:
        pytest.skip("a label in pixels is an error of the whole folder")
    options = ReadOptions(1000, 1000)
    path = write(tmp_path, [GOOD, box, GOOD])
    recorded = read_any(path, options)
    assert [len(rows) for rows in recorded.frames.values()] == [2]
    (notice,) = (notice for notice in recorded.notices if "cannot be used" in notice)
    assert notice.startswith("1 box that cannot be used is left out, the first: '")
    assert path.name in notice
    with pytest.raises(FormatError) as caught:
        read_any(path, dataclasses.replace(options, strict=True))
    assert caught.value.message == notice.split("the first: ")[1]
    if write is not yolo:
        assert len(read_recorded(path).frames[0]) == 2


def test_the_stream_of_the_gallery_command_does_so_too(tmp_path: Path) -> None:
    path = det_v1(tmp_path, [GOOD, *UNUSABLE.values(), GOOD])
    with DetectionStream(path) as stream:
        assert [len(frame.detections) for frame in stream] == [2]
        assert stream.state.left_out.rows == 5
    with pytest.raises(FormatError, match="frame 0, detection 1: "), DetectionStream(path, strict=True) as stream:
        list(stream)


@pytest.mark.parametrize("missing", [{}, {"bbox": None}, {"bbox": []}, {"bbox": [1, 2, 3]}])
def test_a_missing_box_is_an_unusable_one(tmp_path: Path, missing: dict[str, Any]) -> None:
    rows = [{"score": 0.5, **missing}, {"bbox": [1, 2, 3, 4], "score": 0.5}]
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"schema_version": "det-v1", "frames": [{"frame": 0, "detections": rows}]}))
    assert len(read_any(path).frames[0]) == 1


def test_an_unusable_keyframe_ends_a_segment_and_is_not_interpolated(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    boxes = "".join(f'<box frame="{f}" xtl="1" ytl="1" xbr="{x}" ybr="9"/>' for f, x in ((0, 9), (1, 1), (2, 9)))
    path.write_text(f'<annotations><track id="0" label="p">{boxes}</track></annotations>')
    assert list(read_any(path).frames) == [0, 2]


def rows(*extra: str) -> str:
    tracks = (f"{f},{i},{100 * i + f},50,40,80,1,-1,-1,-1\n" for f in range(1, 11) for i in (1, 2))
    return "".join((*tracks, *extra))


def test_evaluation_counts_a_row_without_area_as_trackeval_does(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text(rows())
    (tmp_path / "trk.txt").write_text(rows("5,3,300,50,0,80,0.9,-1,-1,-1\n"))
    scores = mot_dinov3.evaluate(tmp_path / "gt.txt", tmp_path / "trk.txt")["COMBINED"]
    # TrackEval 1.3.0 on the same files
    assert (scores.hota, scores.mota, scores.idf1) == pytest.approx((97.59, 95.00, 97.56), abs=0.005)
    with pytest.raises(FormatError, match=r"trk\.txt', line 21"):
        mot_dinov3.evaluate(tmp_path / "gt.txt", tmp_path / "trk.txt", strict=True)


def test_the_commands_tell_it_once_and_refuse_it_when_strict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gt.txt").write_text(rows())
    Path("trk.txt").write_text(rows("5,3,300,50,nan,80,0.9,-1,-1,-1\n", "6,3,300,50,40,inf,0.9,-1,-1,-1\n"))
    commands = {
        "evaluate": ["evaluate", "--gt", "gt.txt", "--tracks", "trk.txt"],
        "convert": ["convert", "trk.txt", "a.xml", "--overwrite"],
        "track": ["track", "--dets", "trk.txt", "--save-mot", "o.txt"],
    }
    for words in commands.values():
        caplog.clear()
        assert main(words) == 0
        text = capsys.readouterr().err + caplog.text
        assert text.count("2 boxes that cannot be used are left out, the first: 'trk.txt', line 21") == 1
        assert main([*words, "--strict"]) == 3
        assert "error: 'trk.txt', line 21: " in capsys.readouterr().err
