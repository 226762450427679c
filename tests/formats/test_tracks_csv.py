from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import Detections, Frame, TrackState
from mot_dinov3.formats.recorded_detections import ReadOptions
from mot_dinov3.formats.tracks_csv import TRACK_COLUMNS, csv_line, read_tracks_csv, track_rows


def test_a_row_per_tracked_box_with_names_quoted() -> None:
    rows = Detections(
        np.array([[1, 2, 4, 6], [5, 5, 9, 9.126]]),
        np.array([0.5, 0.75]),
        np.array([0, 1]),
        track_id=np.array([-1, 2]),
        state=np.array([TrackState.NONE, TrackState.CONFIRMED]),
        fresh=np.array([False, True]),
    )
    (only,) = track_rows(Frame(7, 0.7), rows, {1: 'a "b", c'})
    text = csv_line(TRACK_COLUMNS) + csv_line(only)
    header, row = csv.reader(io.StringIO(text))
    assert tuple(header) == TRACK_COLUMNS
    assert dict(zip(header, row)) == {
        "frame": "7",
        "time_s": "0.700000",
        "track_id": "2",
        "class_id": "1",
        "class_name": 'a "b", c',
        "score": "0.7500",
        "x1": "5.00",
        "y1": "5.00",
        "x2": "9.00",
        "y2": "9.13",
        "state": "confirmed",
        "embedded": "1",
        "coasted": "0",
        "gallery_id": "",
        "gallery_distance": "",
        "gallery_margin": "",
    }
    assert "\r" not in text


def test_a_frame_without_tracks_adds_nothing() -> None:
    assert not list(track_rows(Frame(0, 0.0), Detections.empty(), {}))


def test_a_recognised_row_says_whom_how_far_and_how_surely() -> None:
    rows = Detections(np.array([[0, 0, 4, 4]], np.float32), track_id=[3], gallery_id=["Anna"], gallery_distance=[0.125])
    written = dict(zip(TRACK_COLUMNS, next(track_rows(Frame(0, 0.0), rows, {}))))
    assert written["gallery_id"] == "Anna"
    assert written["gallery_distance"] == "0.1250"
    assert written["gallery_margin"] == ""  # not a number never reaches a file


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('x2,y2,frame,track_id,x1,y1,class_id,class_name\n9,8,3,2,1,1,4,"a, b"\n\n9,8,3,5,1,1,,\n')
    recorded = read_tracks_csv(path)
    rows = recorded.frames[3]
    np.testing.assert_array_equal(rows.xyxy, [[1, 1, 9, 8]] * 2)
    assert (rows.track_id.tolist(), rows.class_id.tolist(), rows.score.tolist()) == ([2, 5], [4, -1], [1, 1])
    assert recorded.names == {4: "a, b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,x1\n", "line 1: the columns of the box are missing; recognised: frame"),
        ("frame,track_id,x1,y1,x2,y2\n0,1,1,1,9\n", "line 2: has 5 columns, its first line 6"),
        ("frame,track_id,x1,y1,x2,y2\n0,1,1,1,9,9\n\n0,1,1,1,9,9\n", "line 4: track 1 is in frame 0 already"),
        (
            "frame,track_id,x1,y1,x2,y2,state,embedded\n0,-1,1,1,9,9,none,0\n",
            "line 2: track_id is not a whole number from 0",
        ),
        ("frame,track_id,x1,y1,x2,y2\n0,1,nan,1,9,9\n", "line 2: x1 is not a finite number"),
        ("frame,track_id,x1,y1,x2,y2\n0,1,9,1,9,9\n", "line 2: its box has no positive size"),
    ],
)
def test_a_broken_table_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"t\.csv', line") as caught:
        read_tracks_csv(path, ReadOptions(strict=True))
    assert message in caught.value.message
