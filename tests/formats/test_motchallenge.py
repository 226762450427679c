from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.format_registry import read_any, read_recorded
from mot_dinov3.formats.motchallenge import (
    mot_row,
    mot_rows,
    read_detections,
    read_motchallenge,
    read_tracks,
)
from mot_dinov3.formats.seqinfo import read_seqinfo


@pytest.fixture
def write(tmp_path: Path):
    def save(text: str, name: str = "det.txt") -> Path:
        path = tmp_path / "det" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return save


def test_frames_count_from_zero_and_boxes_are_corners(write) -> None:
    recorded = read_detections(write("2,-1,10,20,30,40,0.5,-1,-1,-1\n1,-1,1,2,3,4,1\n"))
    assert list(recorded.frames) == [0, 1]
    np.testing.assert_array_equal(recorded.frames[1].xyxy, [[10, 20, 40, 60]])
    assert recorded.frames[1].score[0] == 0.5
    assert recorded.frames[1].class_id[0] == -1
    assert recorded.last_frame == 1


@pytest.mark.parametrize(
    "line", ["1 -1 1 2 3 4 .5", "1.0, -1, 1e0, 2, 3.0, 4, 5e-1", "1,-1,1,2,3,4,0.5,-1,-1,-1\r", "\n1,-1,1,2,3,4,.5\n\n"]
)
def test_spaces_seven_columns_and_scientific_notation(write, line: str) -> None:
    rows = read_detections(write(line + "\n")).frames[0]
    np.testing.assert_array_equal(rows.xyxy, [[1, 2, 4, 6]])
    assert rows.score[0] == 0.5


BAD_ROWS = {
    "negative width": ("2,-1,10,20,-3,40,0.5", "no positive size"),
    "negative height": ("2,-1,10,20,30,-4,0.5", "no positive size"),
    "NaN": ("2,-1,nan,20,30,40,0.5", "not finite"),
    "infinite": ("2,-1,1e999,20,30,40,0.5", "not finite"),
    "huge": ("2,-1,1e30,20,30,40,0.5", "beyond any image"),
    "six columns": ("2,-1,10,20,30,40", "6 columns"),
    "a hole": ("2,-1,,20,30,40,0.5", "missing"),
    "words": ("frame,id,x,y,w,h,conf", "not made of numbers"),
    "underscore": ("2,-1,1_0,20,30,40,0.5", "plain numbers"),
    "other digits": ("2,-1,１,20,30,40,0.5", "plain numbers"),
    "frame 0": ("0,-1,10,20,30,40,0.5", "whole number from 1"),
    "half a frame": ("1.5,-1,10,20,30,40,0.5", "whole number from 1"),
    "frame too large": ("1e15,-1,10,20,30,40,0.5", "whole number from 1"),
    "score above 1": ("2,-1,10,20,30,40,37.5", "37.5 is not from 0 to 1"),
    "score below 0": ("2,-1,10,20,30,40,-0.5", "not from 0 to 1"),
    "long line": ("2,-1,10,20,30,40,0." + "1" * 20_000, "longer than"),
}


@pytest.mark.parametrize(("row", "message"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_is_named_by_its_line(write, row: str, message: str) -> None:
    with pytest.raises(FormatError, match=r"det\.txt', line 3: ") as caught:
        read_detections(write(f"1,-1,1,2,3,4,0.5\n\n{row}\n"), strict=True)
    assert message in caught.value.message


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("1,2,é".encode("latin-1"))
    with pytest.raises(FormatError, match="not UTF-8"):
        read_detections(path)
    with pytest.raises(FormatError, match="is a folder"):
        read_detections(tmp_path)


@pytest.mark.parametrize("name", ["det.txt", "det", "det.mot"])
def test_an_empty_file_is_that_of_a_run_that_found_nothing(write, name: str) -> None:
    path = write("", name)
    for read in (read_detections, read_motchallenge, read_recorded):
        recorded = read(path)
        assert (recorded.frames, recorded.notices) == ({}, (f"'{path}' is empty: it has no detections",))
    with pytest.raises(FormatError, match="is empty"):
        read_tracks(path)


@pytest.mark.parametrize("name", ["det.json", "det.xml", "det.csv"])
def test_an_empty_file_of_another_format_was_not_completed(write, name: str) -> None:
    with pytest.raises(FormatError, match="is empty"):
        read_recorded(write("", name))


def test_minus_one_is_no_score(write) -> None:
    recorded = read_recorded(path := write("1,-1,1,2,3,4,-1\n1,-1,5,2,3,4,0.25\n2,-1,1,2,3,4,-1.0\n"))
    assert [rows.score.tolist() for rows in recorded.frames.values()] == [[1, 0.25], [1]]
    assert recorded.notices == (f"'{path}': no score (-1) is read as 1 (2 boxes)",)
    assert read_recorded(write("1,-1,1,2,3,4,0.5\n")).notices == ()


def test_a_box_clipped_to_nothing_is_left_out_and_counted(write) -> None:
    path = write("1,-1,1,2,3,4,0.5\n2,-1,0,2,0,4,0.5\n3,-1,1,2,3,0,0.5\n3,-1,1,2,3,4,0.5\n")
    recorded = read_recorded(path)
    assert {index: len(rows) for index, rows in recorded.frames.items()} == {0: 1, 2: 1}
    assert recorded.notices == (
        f"2 boxes that cannot be used are left out, the first: '{path}', line 2: its box has no positive size (0 × 4)",
    )


def test_seqinfo_one_folder_above_tells_the_video(write, tmp_path: Path) -> None:
    path = write("1,-1,1,2,3,4,0.5\n")
    assert not read_detections(path).fps_known
    ini = "[Sequence]\nname=S1\nframeRate=7\nseqLength=9\nimWidth=768\nimHeight=576\n"
    (tmp_path / "seqinfo.ini").write_text(ini)
    recorded = read_detections(path)
    assert recorded.video == VideoInfo("S1", 768, 576, 7.0, 9)
    assert recorded.source_info(None) == (recorded.video, "")


@pytest.mark.parametrize("text", ["frameRate=7", "[Sequence]\nframeRate=fast", "[Other]\n"])
def test_a_bad_seqinfo_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "seqinfo.ini"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"seqinfo\.ini"):
        read_seqinfo(path)


def test_tracks_in_any_order_with_id_zero(write) -> None:
    table = read_tracks(write("12,0,823,617,158,236,1,1,0.25\n1,3,1,2,3,4,0,7,1\n"))
    np.testing.assert_array_equal(table.frame, [11, 0])
    np.testing.assert_array_equal(table.track_id, [0, 3])
    np.testing.assert_array_equal(table.xywh[0], [823, 617, 158, 236])
    np.testing.assert_array_equal(table.value, [1, 0])
    np.testing.assert_array_equal(table.class_id, [1, 7])
    np.testing.assert_array_equal(table.visibility, [0.25, 1])


def test_ten_columns_end_in_world_coordinates_not_in_a_class(write) -> None:
    table = read_tracks(write("1,1,88,99,61.08,218.56,1,4.4852,5.5016,0\n"))
    assert (table.class_id[0], table.visibility[0]) == (-1, 1)


@pytest.mark.parametrize("column", ["1e300", "-1e300", "0.5"])
@pytest.mark.filterwarnings("error")
def test_what_is_no_class_is_none_and_counted(write, column: str) -> None:
    path = write(f"1,1,88,99,61,218,1,{column},0.5\n1,2,8,9,6,21,1,3,1\n")
    table = read_tracks(path)
    assert (table.class_id.tolist(), table.visibility.tolist()) == ([-1, 3], [0.5, 1])
    assert "1 values of column 8 that are no class" in table.notices[0]
    assert read_motchallenge(path).frames[0].class_id.tolist() == [-1, 3]


def test_an_identity_twice_in_a_frame_is_an_error(write) -> None:
    with pytest.raises(FormatError, match="line 3: id 4 is in frame 1 already, on line 1"):
        read_tracks(write("1,4,1,2,3,4,1\n1,5,1,2,3,4,1\n1,4,9,9,3,4,1\n"))


def test_detections_given_as_tracks(write) -> None:
    with pytest.raises(FormatError, match="line 1: the id -1"):
        read_tracks(write("1,-1,1,2,3,4,1\n"))


def test_the_first_id_tells_detections_from_tracks(write) -> None:
    assert read_motchallenge(write("1,-1,1,2,3,4,0.5\n")).frames[0].track_id.tolist() == [-1]
    rows = read_motchallenge(write("2,7,1,2,3,4,-1,3,0.5\n2,0,5,5,3,4,0\n")).frames[1]
    assert (rows.track_id.tolist(), rows.score.tolist(), rows.class_id.tolist()) == ([7, 0], [1, 0], [3, -1])
    np.testing.assert_array_equal(rows.xyxy[0], [1, 2, 4, 6])
    with pytest.raises(FormatError, match="frame 2, id 9: the score 37 is not 0…1"):
        read_motchallenge(write("1,9,1,2,3,4,1\n2,9,1,2,3,4,37\n"))


def test_rows_are_one_based_with_fixed_decimals() -> None:
    assert mot_row(0, 7, np.array([1.005, -0.001, 4, 6.5], np.float32), 0.25) == (
        "1,7,1.00,0.00,3.00,6.50,0.2500,-1,-1,-1"
    )


def test_only_rows_with_a_track_are_written_and_read_back(write) -> None:
    rows = Detections(np.array([[1, 2, 4, 6], [5, 5, 9, 9]]), np.array([0.5, 0.75]), track_id=np.array([-1, 2]))
    table = read_tracks(write("\n".join(mot_rows(4, rows))))
    assert (table.frame[0], table.track_id[0], table.value[0], len(table)) == (4, 2, 0.75, 1)
    np.testing.assert_array_equal(table.xywh, [[5, 5, 4, 4]])


def test_the_format_is_told_by_ending_then_by_content(write) -> None:
    text, dets = "1,-1,1,2,3,4,0.5\n", '\n {"schema_version": "det-v1", "frames": []}'
    assert read_recorded(write(text, "a.csv")).last_frame == 0
    assert read_recorded(write(text, "a")).last_frame == 0
    assert read_recorded(write(dets, "b")).last_frame == -1
    with pytest.raises(FormatError, match="not valid JSON"):
        read_recorded(write(text, "a.json"))


def test_reads_all_the_public_files(shared: Path) -> None:
    for name, rows in (("PETS09-S2L1/det/yolov8n_960.txt", 6926), ("KITTI-13/det/det.txt", 945)):
        assert sum(map(len, read_detections(shared / "data/tracking" / name).frames.values())) == rows
    assert len(read_tracks(shared / "data/association/mot17/MOT17-02-FRCNN/gt/gt.txt")) == 15430


numbers = st.integers(-3, 5).map(str) | st.floats().map(str) | st.text("0123456789.-e_ x", max_size=6)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(numbers, min_size=6, max_size=10).map(",".join), min_size=1, max_size=3))
def test_any_text_is_read_or_refused(write, lines: list[str]) -> None:
    path = write("\n".join(lines) + "\n")
    for read in (read_detections, read_tracks):
        try:
            found = read(path)
        except FormatError:
            continue
        boxes = found.xywh[:, 2:] if read is read_tracks else found.frames[0].xyxy if 0 in found.frames else np.ones(1)
        assert np.isfinite(boxes).all()


def test_comments_and_a_comma_at_the_end_are_no_columns(write) -> None:
    path = write("# frame,id,x\n1,5,1,2,3,4,1,2,0.5,\n#2,5,1,2,3,4,1,2,1,\n3,5,1,2,3,4,1,2,1,\n", "gt.txt")
    recorded = read_motchallenge(path)
    assert {frame: rows.class_id.tolist() for frame, rows in recorded.frames.items()} == {0: [2], 2: [2]}
    assert read_tracks(path).frame.tolist() == [0, 2]
    assert list(read_detections(path).frames) == [0, 2]
    assert read_any(path).notices == (f"'{path}': not read: 1 visibilities",)


def test_scores_rounded_beyond_1_are_1_and_others_an_error(write) -> None:
    for track_id in (-1, 7):
        path = write(f"1,{track_id},1,2,3,4,1.0000001,-1,-1,-1\n")
        assert read_motchallenge(path).frames[0].score.tolist() == [1.0]
        with pytest.raises(FormatError, match=r"score 1\.01 is not"):
            read_motchallenge(write(f"1,{track_id},1,2,3,4,1.01,-1,-1,-1\n"))


def test_blank_files_large_ids_and_frame_0_are_told(write) -> None:
    assert "is empty" in read_motchallenge(write("\n\r\n")).notices[0]
    with pytest.raises(FormatError, match=r"the id 1.84467e\+19 is above") as caught:
        read_motchallenge(write(f"1,{2**64},1,2,3,4,1\n"))
    assert caught.value.remedy == "number the tracks from 1"
    with pytest.raises(FormatError, match="has 6 columns") as caught:
        read_motchallenge(write("0 .5 .5 .1 .2 .9\n"))
    assert "YOLO's labels are given as their folder" in caught.value.remedy
    with pytest.raises(FormatError, match="the frame 0 is not") as caught:
        read_motchallenge(write("0,1,1,2,3,4,1\n"))
    assert "add 1 to the frames" in caught.value.remedy


@pytest.mark.parametrize("track_id", [-1, 7])
def test_boxes_relative_to_the_image_are_refused(write, track_id: int) -> None:
    path = write(f"1,{track_id},.1,.2,.3,.4,.9,-1,-1,-1\n2,{track_id},.2,.2,.3,.4,.9,-1,-1,-1\n")
    for read in (read_any, read_recorded):
        with pytest.raises(FormatError, match="from 0 to 1, relative to the image size") as caught:
            read(path)
        assert caught.value.remedy
