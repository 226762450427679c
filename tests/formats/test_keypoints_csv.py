from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import Keypoints
from mot_dinov3.formats import keypoints_csv as tables


def rows(x: float = 1.5) -> Keypoints:
    return Keypoints(
        ("a", "b"),
        np.array([1, 2]),
        ("nose", "nose"),
        np.array([[x, 2.25], [np.nan, np.nan]]),
        np.array([0.75, 0.0]),
        np.array([0, 2]),
        np.array([1, 1]),
    )


def test_the_long_table_comes_back_as_it_was(tmp_path: Path) -> None:
    table = tables.LongTable(tmp_path / "t.csv")
    for frame in range(3):
        table.write(frame, frame / 10, rows(frame))
    read = list(tables.read_long(tmp_path / "t.csv"))  # not closed yet: it is on disk while it grows
    table.close()
    assert [(frame, time) for frame, time, _ in read] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    np.testing.assert_array_equal(read[2][2].xy, rows(2).xy)
    assert read[0][2].instance == ("a", "b")
    assert (tmp_path / "t.csv").read_text().splitlines()[2] == "0,0.000000,b,2,nose,NaN,NaN,0.0000,lost,tracked"


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FormatError, match=r"t\.csv"):
        list(tables.read_long(tmp_path / "t.csv"))


def test_run_lengths_are_coco_s() -> None:
    # 2×3 mask, by columns: 0 1 | 1 1 | 0 0 → counts 1 3 2, each one character: 48 + count
    mask = np.array([[0, 1, 0], [1, 1, 0]], bool)
    assert tables.run_lengths(mask) == "132"
    # begins with the foreground: a count of 0 first; from the third count on differences to the one two before
    assert tables.run_lengths(np.ones((2, 2), bool)) == "04"
    long = np.zeros((1, 100), bool)
    long[0, 40:] = True  # counts 40, 60: 40 = 8 + 1·32 → chr(8+32+48), chr(1+48)
    assert tables.run_lengths(long) == "X1" + chr((60 & 0x1F) + 32 + 48) + chr(1 + 48)


def test_annolid_rows_name_instance_and_point_and_leave_lost_ones_out() -> None:
    outlined = dataclasses.replace(
        rows(), outlines={"a": (np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]]),)}
    )
    found = list(tables.annolid_rows(7, outlined, (10, 8)))
    assert [r[7] for r in found] == ["a", "a:nose"]
    assert found[0][1:7] == ("0.00", "0.00", "4.00", "4.00", "2.00", "2.00")
    assert found[1][1:7] == ("1.50", "2.25", "1.50", "2.25", "1.50", "2.25")
    assert found[1][8] == "0.7500"


def test_annolid_rows_of_an_outline_have_the_mean_score_and_the_group_of_its_points() -> None:
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    outlined = dataclasses.replace(
        rows(), instance=("a", "a"), group_id=np.array([3, 3]), score=np.array([0.75, 0.25]),
        outlines={"a": (corners,), "nobody": (corners,), "beyond": (corners + 100,)},
    )  # fmt: skip
    with_points, alone, outside = list(tables.annolid_rows(7, outlined, (10, 8)))[:3]
    assert (with_points[7], with_points[8], with_points[10]) == ("a", "0.5000", "3")
    assert (alone[7], alone[8], alone[10]) == ("nobody", "1.0000", "")
    assert outside[1:7] == ("100.00", "100.00", "104.00", "104.00", "102.00", "102.00")


def test_the_wide_table_has_four_header_rows_for_two_animals() -> None:
    file = io.StringIO()
    tables.write_wide(file, [(0, rows()), (1, rows())])
    read = list(csv.reader(io.StringIO(file.getvalue())))
    assert [row[0] for row in read] == ["scorer", "individuals", "bodyparts", "coords", "0", "1"]
    assert read[1][1:] == ["a", "a", "a", "b", "b", "b"]
    assert read[4][1:] == ["1.500", "2.250", "0.7500", "", "", "0.0000"]
