"""Frame files of this program that a person has edited in a program that shows labels and group ids only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from formats.test_labelme import SIZE, ours, point, write
from mot_dinov3.core.structures import Keypoints, PointState
from mot_dinov3.formats import labelme
from mot_dinov3.formats.labelme_shapes import Shape, read_shape


def edited(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> list[labelme.LabelledFrame]:
    document = labelme.frame_document(ours(), frame=3, image="", size=SIZE)
    change(document)
    (tmp_path / "v_000000003.json").write_text(json.dumps(document, indent=2))
    return labelme.read_labels(tmp_path, "v", SIZE)


def named(document: dict[str, Any], instance: str) -> list[dict[str, Any]]:
    return [shape for shape in document["shapes"] if shape["instance_label"] == instance]


def test_a_group_id_gives_a_shape_to_another_instance(tmp_path: Path) -> None:
    (frame,) = edited(tmp_path, lambda document: named(document, "b")[0].update(group_id=1, points=[[33.0, 44.0]]))
    assert [(s.instance, s.label, s.group_id) for s in frame.shapes] == [("a", "nose", 1)]
    assert frame.deleted == (("b", "nose"),)


@pytest.mark.parametrize("is_marked", [True, False], ids=["marks", "records only"])
def test_exchanged_group_ids_exchange_the_instances(tmp_path: Path, is_marked: bool) -> None:
    def exchange(document: dict[str, Any]) -> None:
        for shape in document["shapes"]:
            shape["group_id"] = {1: 2, 2: 1}[shape["group_id"]]
            if not is_marked:
                del shape["mot_dinov3"]

    (frame,) = edited(tmp_path, exchange)
    found = [(s.instance, s.label, s.group_id) for s in frame.shapes]
    assert sorted(found) == [("a", "nose", 1), ("b", "a", 2), ("b", "nose", 2)]
    assert frame.deleted == ()


def test_a_group_id_that_no_instance_has_changes_no_instance(tmp_path: Path) -> None:
    (frame,) = edited(tmp_path, lambda document: named(document, "b")[0].update(group_id=9))
    assert [(s.instance, s.label) for s in frame.shapes] == [("b", "nose")]


def test_an_added_point_belongs_to_the_instance_of_its_group_id(tmp_path: Path) -> None:
    (frame,) = edited(tmp_path, lambda document: document["shapes"].append(point("paw", 7, 7, group_id=2)))
    assert [(s.instance, s.label) for s in frame.shapes] == [("b", "paw")]


@pytest.mark.parametrize(("instances", "owner"), [(("rat", "rat"), "rat"), (("rat", "cat"), "")], ids=str)
def test_an_added_point_without_a_group_id_belongs_to_the_only_instance(
    tmp_path: Path, instances: tuple[str, str], owner: str
) -> None:
    rows = Keypoints(
        instances, np.array([1, 1]), ("nose", "tail"), np.array([[5.0, 5], [9, 9]]), np.array([0.5, 0.9]),
        np.array([0, 0]), np.array([1, 1]),
    )  # fmt: skip
    document = labelme.frame_document(rows, frame=3, image="", size=SIZE)
    document["shapes"].append(point("paw", 7, 7))
    (tmp_path / "v_000000003.json").write_text(json.dumps(document))
    (frame,) = labelme.read_labels(tmp_path, "v", SIZE)
    assert [(s.instance, s.label) for s in frame.shapes] == [(owner, "paw")]


@pytest.mark.parametrize("moved", [0.0, 3.0])
def test_a_renamed_prediction_is_known_by_its_former_name(tmp_path: Path, moved: float) -> None:
    (frame,) = edited(tmp_path, lambda d: named(d, "b")[0].update(label="snout", points=[[30.0 + moved, 40.5]]))
    assert [tuple(one) for one in frame.renamed] == [("b", "nose", "snout")]


def test_a_deleted_and_an_added_point_are_no_renamed_one(tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["shapes"].remove(named(document, "b")[0])
        document["shapes"].append(point("snout", 5, 5, instance_label="b"))

    (frame,) = edited(tmp_path, change)
    assert (frame.renamed, frame.deleted) == ((), (("b", "nose"),))


def test_unset_flags_that_labelme_adds_are_no_edit_and_set_ones_are(tmp_path: Path) -> None:
    def flags(value: bool) -> Callable[[dict[str, Any]], None]:
        def change(document: dict[str, Any]) -> None:
            for shape in document["shapes"]:
                shape["flags"] = {"occluded": False, "absent": value} | shape["flags"]

        return change

    assert edited(tmp_path, flags(False)) == []
    (frame,) = edited(tmp_path, flags(True))
    assert {s.state for s in frame.shapes} == {PointState.LOST}


@pytest.mark.parametrize(
    ("group", "number"),
    [(3, 3), ("3", 3), (" 4 ", 4), (5.0, 5), (-1, -1), (None, None), ("", None)],
    ids=str,
)
def test_group_ids_are_read_as_programs_write_them(tmp_path: Path, group: object, number: int | None) -> None:
    write(tmp_path, 0, [point("nose", 5, 5, group_id=group)])
    (frame,) = labelme.read_labels(tmp_path, "v", SIZE)
    assert (frame.shapes[0].group_id, frame.notices) == (number, ())


@pytest.mark.parametrize("group", ["left mouse", 1.5, 10**30, 2**63, "9" * 400, True, [1]], ids=lambda g: str(g)[:12])
def test_a_group_id_that_is_no_number_is_ignored_with_a_notice(tmp_path: Path, group: object) -> None:
    write(tmp_path, 0, [point("nose", 5, 5, group_id=group)])
    (frame,) = labelme.read_labels(tmp_path, "v", SIZE)
    assert frame.shapes[0].group_id is None
    assert len(frame.notices) == 1
    assert "of 'nose' is not a usable whole number; ignored" in frame.notices[0]


@pytest.mark.parametrize("kind", ["rectangle", "rotation", "quadrilateral"])
def test_outlines_of_x_anylabeling_have_their_corners(kind: str) -> None:
    corners = [[1.0, 2.0], [9.0, 2.0], [9.0, 5.0], [1.0, 5.0]]
    shape = read_shape({"label": "a", "shape_type": kind, "points": corners, "difficult": False, "direction": 0})
    assert isinstance(shape, Shape)
    assert shape.points.tolist() == corners


def test_a_difficult_point_of_x_anylabeling_is_hidden(tmp_path: Path) -> None:
    assert [
        getattr(read_shape(point("a", 1, 1, difficult=is_hidden)), "state", None) for is_hidden in (True, False)
    ] == [
        PointState.OCCLUDED,
        PointState.VISIBLE,
    ]
    (frame,) = edited(tmp_path, lambda document: named(document, "a")[1].update(difficult=True))
    assert [(s.label, s.state) for s in frame.shapes] == [("nose", PointState.OCCLUDED)]


def test_a_name_with_accents_is_one_however_a_system_writes_them() -> None:
    shapes = [read_shape(point(name, 1, 1, instance_label=name)) for name in ("\u00d6hr", "O\u0308hr ")]
    assert [(getattr(s, "label", ""), getattr(s, "instance", "")) for s in shapes] == [("\u00d6hr", "\u00d6hr")] * 2


def test_lines_are_called_what_they_are(tmp_path: Path) -> None:
    line = {"label": "a", "shape_type": "linestrip", "points": [[1, 1], [2, 2], [3, 9]]}
    write(tmp_path, 0, [line, point("nose", 5, 5)])
    (frame,) = labelme.read_labels(tmp_path, "v", SIZE)
    assert frame.notices == (
        "'v_000000000.json', shape 0: 'a' is a linestrip, neither a point nor an outline; skipped",
    )
