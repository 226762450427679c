"""`convert`: one clear line for every failure, nothing overwritten, real tracks there and back."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.apps.evaluation import COMBINED, Scores, load_pairs, score
from mot_dinov3.cli import main
from mot_dinov3.models.weights import ultralytics_module

ROWS = "1,7,10.00,20.00,30.00,40.00,0.5000,-1,-1,-1\n3,7,11.50,20.00,30.00,40.00,0.2500,-1,-1,-1\n"


@pytest.fixture
def convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command in a folder with the tracks `a.txt`; give the exit code and what was said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(ROWS)

    def run(*words: object):
        code = main(["convert", *map(str, words)])
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


def test_there_and_back_and_what_is_said(convert, tmp_path: Path) -> None:
    code, out, err = convert("a.txt", "b.xml")
    assert (code, out, err) == (0, "written     b.xml (cvat: 2 boxes in 2 frames)\n", "")
    code, _, err = convert("b.xml", "c.json", "--to", "track-v1", "--fps", "12.5")
    assert (code, err) == (0, "")
    assert json.loads((tmp_path / "c.json").read_text())["video"]["fps"] == 12.5
    code, _, err = convert("c.json", "d.txt")
    assert err == "notice: motchallenge cannot store: frame rate and size of the video\n"
    assert (tmp_path / "d.txt").read_text() == ROWS


def test_yolo_and_its_size(convert, tmp_path: Path) -> None:
    code, _, err = convert("a.txt", "labels", "--to", "yolo")
    assert code == 3
    assert "does not give the size of the images" in err
    assert not (tmp_path / "labels").exists()
    assert convert("a.txt", "run", "--to", "yolo", "--size", "320x240")[0] == 0
    assert sorted(p.name for p in (tmp_path / "run" / "labels").iterdir()) == ["a_1.txt", "a_3.txt"]
    assert convert("run", "b.txt")[0] == 0
    assert (tmp_path / "b.txt").read_text() == ROWS
    code, _, err = convert("run", "c.txt", "--size", "640x480")
    assert code == 3
    assert "is for images of 320×240, not 640×480" in err


def test_class_names_fix_the_numbers(convert, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("person\ncar\nobject\n")
    assert convert("a.txt", "b.xml")[0] == 0
    assert convert("b.xml", "c.json", "--to", "det-v1", "--class-names", "names.txt")[0] == 0
    (record, *_) = json.loads((tmp_path / "c.json").read_text())["frames"][0]["detections"]
    assert (record["class_id"], record["class_name"]) == (2, "object")


def test_nothing_is_overwritten_unless_asked_for(convert, tmp_path: Path) -> None:
    (tmp_path / "b.xml").write_text("mine")
    code, _, err = convert("a.txt", "b.xml")
    assert (code, (tmp_path / "b.xml").read_text()) == (2, "mine")
    assert "output 'b.xml' exists already" in err
    assert convert("a.txt", "b.xml", "--overwrite")[0] == 0
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "holiday.jpg").write_text("mine")
    code, _, err = convert("a.txt", "run", "--to", "yolo", "--size", "9x9", "--overwrite")
    assert (code, (tmp_path / "run" / "holiday.jpg").read_text()) == (2, "mine")
    assert "contains other files" in err


def test_a_broken_input_leaves_the_output_as_it_was(convert, tmp_path: Path) -> None:
    (tmp_path / "b.xml").write_text("mine")
    (tmp_path / "a.txt").write_text(ROWS + "4,7,1,2,wide,4,1\n")
    code, _, err = convert("a.txt", "b.xml", "--overwrite")
    assert (code, (tmp_path / "b.xml").read_text()) == (3, "mine")
    assert err.startswith("error: 'a.txt', line 3: is not made of numbers: '4,7,1,2,wide,4,1'\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "b.xml"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["a.txt", "a.txt", "--overwrite"], 2, "is the source itself"),
        (
            ["a.txt", "b.json"],
            2,
            "is not clear from its name\n  specify it with --to: det-v1, track-v1, coco",
        ),
        (["a.txt"], 2, "the following arguments are required: OUT"),
        (["a.txt", "b.xml", "--to", "cvta"], 2, "invalid choice: 'cvta'"),
        (["none.txt", "b.xml"], 3, "'none.txt' does not exist"),
        (["a.txt", "b.xml", "--from", "coco"], 3, "'a.txt' is not valid JSON"),
        (["a.txt", "b.xml", "--size", "320"], 2, "must be like 1920x1080"),
        (["a.txt", "b.xml", "--fps", "0"], 2, "must be a number above 0"),
        (["a.txt", "b.xml", "--class-names", "none"], 3, "'none' does not exist"),
        (["a.txt", "b.xml", "--video", "none.mp4"], 3, "none.mp4"),
        (["a.txt", "run/../..", "--to", "yolo", "--overwrite"], 2, "contains the source itself"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_one_clear_line(convert, words: list[str], code: int, message: str) -> None:
    found, out, err = convert(*words)
    assert (found, out) == (code, "")
    assert message in err
    assert err.startswith("error: ")


def test_the_frame_rate_is_assumed_aloud(convert) -> None:
    assert "30 fps assumed (--fps sets it)" in convert("a.txt", "b.json", "--to", "det-v1")[2]


def test_corrected_tracks_are_a_truth(convert, tmp_path: Path) -> None:
    """What a person corrects in CVAT judges the tracks that were given to them."""
    assert convert("a.txt", "b.xml")[0] == 0
    found = score(load_pairs([tmp_path / "b.xml"], [tmp_path / "a.txt"]))[COMBINED]
    assert (found.hota, found.mota, found.switches) == (100, 100, 0)
    text = (tmp_path / "b.xml").read_text()
    more = '<box frame="3" outside="0" keyframe="1" xtl="12" ytl="20" xbr="42" ybr="60"/></track>'
    (tmp_path / "b.xml").write_text(text.replace("</track>", more))
    assert score(load_pairs([tmp_path / "b.xml"], [tmp_path / "a.txt"]))[COMBINED].mota == pytest.approx(200 / 3)


@pytest.mark.slow
def test_tracks_of_a_real_video_go_to_cvat_and_back(convert, shared: Path, tmp_path: Path) -> None:
    dets = shared / "data/tracking/PETS09-S2L1/det/yolov8n_960.txt"
    saved = ["--save-json", "t.json", "--save-mot", "t.txt", "--save-csv", "t.csv"]
    assert main(["--dets", str(dets), "--embedder", "none", "--no-progress", *saved]) == 0
    for name in ("cvat", "coco", "track-v1", "csv", "yolo"):
        size = ["--size", "768x576"] if name == "yolo" else []
        assert convert("t.txt", f"{name}.out", "--to", name, *size)[0] == 0
        assert convert(f"{name}.out", f"{name}.txt", *(["--from", name] if name != "yolo" else []))[0] == 0
        assert sorted((tmp_path / f"{name}.txt").read_text().splitlines()) == sorted(
            (tmp_path / "t.txt").read_text().splitlines()
        ), name
    assert convert("t.json", "j.xml")[0] == 0
    assert convert("j.xml", "j.txt")[0] == convert("t.json", "direct.txt")[0] == 0
    rows = [sorted((tmp_path / name).read_text().splitlines()) for name in ("j.txt", "direct.txt")]
    assert rows[0] == rows[1]
    numbers = [
        np.array([re.split(",", row)[:6] for row in sorted(Path(name).read_text().splitlines())], float)
        for name in ("direct.txt", "t.txt")
    ]
    np.testing.assert_allclose(*numbers, atol=0.02)  # track-v1 rounds corners, MOTChallenge sizes


@functools.cache
def scored(truth: Path) -> Scores:
    """A ground truth as if it were a result."""
    return score(load_pairs([truth], [truth]))[COMBINED]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coco", "cvat", "track-v1", "csv"])
@pytest.mark.parametrize(("sequence", "perfect"), [("ADL-Rundle-6", True), ("KITTI-13", False)])
def test_a_real_truth_is_worth_the_same_in_any_format(
    convert, shared: Path, tmp_path: Path, name: str, sequence: str, perfect: bool
) -> None:
    truth, there = shared / f"data/tracking/{sequence}/gt/gt.txt", tmp_path / f"gt.{name}"
    assert convert(truth, there, "--to", name)[0] == 0
    itself = scored(truth)
    assert (itself.hota == 100) == perfect  # KITTI-13 has rows to be ignored, which as tracks are false
    for pair in ([truth], [there]), ([there], [truth]), ([there], [there]):
        found = score(load_pairs(*pair))[COMBINED]
        assert (found.mota, found.idf1, found.switches) == (itself.mota, itself.idf1, itself.switches)
        assert found.hota == pytest.approx(itself.hota, abs=1e-6)


@pytest.mark.slow
def test_what_ultralytics_writes_is_read(tmp_path: Path) -> None:
    import torch

    ultralytics_module()
    from ultralytics.engine.results import Results

    from mot_dinov3.formats.recorded_detections import ReadOptions
    from mot_dinov3.formats.yolo_labels import read_yolo

    picture = np.zeros((100, 200, 3), np.uint8)
    tracked = torch.tensor([[10.0, 20, 50, 80, 7, 0.625, 2], [0, 0, 200, 100, 9, 0.25, 0]])
    for boxes, conf, has_id in (
        (tracked, True, True),
        (tracked, False, True),
        (tracked[:, [0, 1, 2, 3, 5, 6]], True, False),
    ):
        folder = tmp_path / f"{conf}{has_id}" / "labels"
        Results(picture, "clip.mp4", {0: "a", 2: "b"}, boxes=boxes).save_txt(folder / "clip_4.txt", save_conf=conf)
        rows = read_yolo(folder, ReadOptions(width=200, height=100)).frames[3]
        np.testing.assert_allclose(rows.xyxy, [[10, 20, 50, 80], [0, 0, 200, 100]], atol=1e-3)
        assert rows.class_id.tolist() == [2, 0]
        assert rows.score.tolist() == ([0.625, 0.25] if conf else [1, 1])
        assert rows.track_id.tolist() == ([7, 9] if has_id else [-1, -1])
