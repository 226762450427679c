"""track-v1 carries who was recognised, and never a number that is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import dumps
from mot_dinov3.core.structures import Detections
from mot_dinov3.formats.track_v1 import read_track_v1, track_v1_frame

BOX = np.array([[1, 2, 30, 40]], np.float32)


def written(**columns: object) -> dict[str, object]:
    rows = Detections(BOX, **columns)  # type: ignore[arg-type]
    return json.loads(dumps(track_v1_frame(4, rows, {})))["detections"][0]


def document(path: Path, **keys: object) -> Path:
    row = {"bbox": [1, 2, 30, 40], "score": 0.5, "class_id": 0, "track_id": "3", **keys}
    path.write_text(json.dumps({"schema_version": "track-v1", "frames": [{"frame": 0, "detections": [row]}]}))
    return path


def test_a_recognised_row_tells_whom_how_far_and_how_much_farther_the_next() -> None:
    row = written(track_id=[3], gallery_id=["Anna"], gallery_distance=[0.1], gallery_margin=[0.25])
    assert (row["gallery_id"], row["gallery_distance"], row["gallery_margin"]) == ("Anna", 0.1, 0.25)


def test_the_only_identity_has_no_margin_and_strangers_have_nothing() -> None:
    assert "gallery_margin" not in written(track_id=[3], gallery_id=["Anna"], gallery_distance=[0.1])
    assert not {key for key in written(track_id=[3]) if key.startswith("gallery")}


def test_names_of_an_earlier_run_do_not_stay() -> None:
    old = np.array([{"bbox": [1, 2, 30, 40], "score": 0.5, "class_id": 0, "gallery_id": "Bob"}], object)
    assert "gallery_id" not in written(track_id=[3], extra=old)


def test_a_detection_that_stands_for_itself_may_have_number_zero() -> None:
    assert written(track_id=[0])["track_id"] == "0"


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = document(tmp_path / "t.json", gallery_id="Anna", gallery_distance=0.5)
    rows = read_track_v1(path).frames[0]
    assert rows.gallery_id.tolist() == ["Anna"]
    assert rows.gallery_distance[0] == 0.5
    assert np.isnan(rows.gallery_margin[0])


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="frame 0: gallery_id must be a string"):
        read_track_v1(document(tmp_path / "t.json", gallery_id=7))
