from __future__ import annotations

import csv
import io

import numpy as np

from mot_dinov3.formats.tables import TRACK_COLUMNS, csv_line, track_rows
from mot_dinov3.structures import Detections, Frame, TrackState


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
