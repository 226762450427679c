from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import Keypoints, PointState
from mot_dinov3.formats import labelme
from mot_dinov3.formats.labelme_shapes import Shape, read_shape

SIZE = (100, 80)


def point(label: str, x: float, y: float, **more: object) -> dict[str, object]:
    return {"label": label, "points": [[x, y]], "shape_type": "point", "flags": {}, "group_id": None, **more}


def write(folder: Path, frame: int, shapes: list[dict[str, object]], **more: object) -> Path:
    path = folder / f"v_{frame:09d}.json"
    path.write_text(json.dumps({"shapes": shapes, "imageWidth": 100, "imageHeight": 80, **more}))
    return path


def ours() -> Keypoints:
    return Keypoints(
        ("a", "a", "b"),
        np.array([1, 1, 2]),
        ("nose", "tail", "nose"),
        np.array([[1.25, 2.0], [np.nan, np.nan], [30.0, 40.5]]),
        np.array([0.9, 0.0, 0.4]),
        np.array([0, 2, 1]),
        np.array([1, 1, 1]),
        {"a": (np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]]),)},
    )


def test_our_frame_is_recognised_until_somebody_edits_it(tmp_path: Path) -> None:
    document = labelme.frame_document(ours(), frame=3, image="v_000000003.png", size=SIZE)
    path = tmp_path / "v_000000003.json"
    path.write_text(json.dumps(document))
    assert labelme.read_labels(tmp_path, "v", SIZE) == []
    # LabelMe saves with other blanks and adds empty fields: still ours
    for shape in document["shapes"]:
        shape["mask"] = None
    path.write_text(json.dumps(document, indent=4))
    assert labelme.read_labels(tmp_path, "v", SIZE) == []
    document["shapes"][-1]["points"] = [[31.0, 40.5]]
    path.write_text(json.dumps(document))
    (frame,) = labelme.read_labels(tmp_path, "v", SIZE)
    assert frame.frame == 3
    assert frame.shapes[-1].points.tolist() == [[31.0, 40.5]]


def test_our_frame_has_boolean_flags_stable_groups_and_no_lost_point() -> None:
    shapes = labelme.frame_document(ours(), frame=0, image="", size=SIZE)["shapes"]
    assert [(s["shape_type"], s["label"], s["group_id"]) for s in shapes] == [
        ("polygon", "a", 1),
        ("point", "nose", 1),
        ("point", "nose", 2),
    ]
    assert all(isinstance(v, bool) for s in shapes for v in s["flags"].values())
    assert [s.get("state") for s in shapes[1:]] == ["visible", "occluded"]


def test_outlines_of_our_frame_come_back(tmp_path: Path) -> None:
    path = tmp_path / "v_000000000.json"
    path.write_text(json.dumps(labelme.frame_document(ours(), frame=0, image="", size=SIZE)))
    assert labelme.read_outlines(path)["a"][0].tolist() == [[0, 0], [10, 0], [10, 10]]


def test_the_store_is_read_and_a_frame_file_wins_over_it(tmp_path: Path) -> None:
    lines = [{"frame": n, "shapes": [point("nose", 5, n)], "imageWidth": 100, "imageHeight": 80} for n in (1, 2)]
    (tmp_path / "v_annotations.ndjson").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    write(tmp_path, 2, [point("nose", 9, 9)])
    frames = labelme.read_labels(tmp_path, "v", SIZE)
    assert [(f.frame, f.shapes[0].points.tolist()) for f in frames] == [(1, [[5, 1]]), (2, [[9, 9]])]


def test_rectangles_and_circles_become_outlines(tmp_path: Path) -> None:
    rectangle = {"label": "m", "points": [[10, 10], [30, 20]], "shape_type": "rectangle"}
    circle = {"label": "c", "points": [[50, 50], [50, 60]], "shape_type": "circle"}
    write(tmp_path, 0, [rectangle, circle])
    box, ring = labelme.read_labels(tmp_path, "v", SIZE)[0].shapes
    assert box.points.tolist() == [[10, 10], [30, 10], [30, 20], [10, 20]]
    assert np.allclose(np.linalg.norm(ring.points - (50, 50), axis=1), 10)


def test_what_cannot_be_read_is_left_out_and_told(tmp_path: Path) -> None:
    shapes = [
        point("nose", 5, 5),
        point("far", 500, 5),
        {"label": "m", "points": [[1, 1], [2, 2]], "shape_type": "polygon"},
        {"label": "x", "points": "no", "shape_type": "point"},
        point("a/b", 7, 7),
    ]
    write(tmp_path, 0, shapes)
    (frame,) = labelme.read_labels(tmp_path, "v", SIZE)
    assert [s.label for s in frame.shapes] == ["nose", "a/b"]
    told = "\n".join(frame.notices)
    assert all(part in told for part in ("v_000000000.json", "shape 1", "'far'", "unreadable polygon", "separator"))


def test_labels_for_another_picture_size_are_refused(tmp_path: Path) -> None:
    write(tmp_path, 0, [point("nose", 5, 5)])
    with pytest.raises(FormatError, match=r"v_000000000.json.*100×80.*640×480"):
        labelme.read_labels(tmp_path, "v", (640, 480))


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("polygon", [[1, 1], [5, 5]]),
        ("polygon", [[1, 1], [5, 1], [9, 1]]),
        ("rectangle", [[1, 1], [1, 9]]),
        ("rectangle", [[1, 1], [9, 1]]),
        ("rectangle", [[1, 1], [9, 9], [1, 9]]),
        ("circle", [[1, 1]]),
    ],
)
def test_a_shape_without_an_area_is_no_outline(kind: str, points: list[list[float]]) -> None:
    assert read_shape({"label": "a", "shape_type": kind, "points": points}) == f"'a' is an unreadable {kind}"


def test_a_rectangle_and_a_circle_are_outlines() -> None:
    box = read_shape({"label": "a", "shape_type": "rectangle", "points": [[1, 2], [9, 5]]})
    assert isinstance(box, Shape)
    assert box.points.tolist() == [[1, 2], [9, 2], [9, 5], [1, 5]]
    circle = read_shape({"label": "a", "shape_type": "circle", "points": [[10, 10], [13, 14]]})
    assert isinstance(circle, Shape)
    np.testing.assert_allclose(np.linalg.norm(circle.points - 10, axis=1), 5)


def edited(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> labelme.LabelledFrame:
    """Read our frame after a person changed the shape of the occluded point 'nose' of 'b'."""
    document = labelme.frame_document(ours(), frame=3, image="", size=SIZE)
    change(document["shapes"][-1])
    (tmp_path / "v_000000003.json").write_text(json.dumps(document))
    (frame,) = labelme.read_labels(tmp_path, "v", SIZE)
    return frame


def test_only_the_touched_shape_is_a_label(tmp_path: Path) -> None:
    frame = edited(tmp_path, lambda shape: shape.update(points=[[33.0, 44.0]]))
    assert [(s.instance, s.label) for s in frame.shapes] == [("b", "nose")]
    assert len(frame.predicted) == 2
    assert frame.corrections
    assert frame.deleted == ()


def test_a_moved_point_that_was_predicted_as_hidden_is_seen_unless_a_person_says_hidden(tmp_path: Path) -> None:
    def move(shape: dict[str, Any]) -> None:
        shape["points"] = [[33.0, 44.0]]

    def move_hidden(shape: dict[str, Any]) -> None:
        move(shape)
        shape["flags"]["hidden"] = True

    def untick(shape: dict[str, Any]) -> None:
        shape["flags"]["occluded"] = False

    assert edited(tmp_path, move).shapes[0].state == PointState.VISIBLE
    assert edited(tmp_path, move_hidden).shapes[0].state == PointState.OCCLUDED
    assert edited(tmp_path, untick).shapes[0].state == PointState.VISIBLE


@pytest.mark.parametrize(
    "change",
    [{"label": "snout"}, {"group_id": 7}, {"instance_label": "c"}, {"flags": {"occluded": True, "absent": True}}],
    ids=str,
)
def test_a_shape_is_touched_by_every_change_of_its_meaning(tmp_path: Path, change: dict[str, Any]) -> None:
    assert len(edited(tmp_path, lambda shape: shape.update(change)).shapes) == 1


def test_a_deleted_prediction_is_named(tmp_path: Path) -> None:
    document = labelme.frame_document(ours(), frame=3, image="", size=SIZE)
    del document["shapes"][-1]
    (tmp_path / "v_000000003.json").write_text(json.dumps(document))
    (frame,) = labelme.read_labels(tmp_path, "v", SIZE)
    assert (frame.shapes, frame.deleted) == ((), (("b", "nose"),))


@pytest.mark.parametrize(
    ("mark", "state"),
    [
        ({}, PointState.VISIBLE),
        ({"flags": {"occluded": True}}, PointState.OCCLUDED),
        ({"flags": {"occluded": False}}, PointState.VISIBLE),
        ({"flags": {"occluded": "true"}}, PointState.OCCLUDED),
        ({"flags": {"hidden": True}}, PointState.OCCLUDED),
        ({"flags": None, "visible": False}, PointState.OCCLUDED),
        ({"visible": True}, PointState.VISIBLE),
        ({"visible": 0}, PointState.OCCLUDED),
        ({"flags": {"visible": False}}, PointState.OCCLUDED),
        ({"flags": {"kp_visibility": 0}}, PointState.LOST),
        ({"flags": {"kp_visibility": 2, "kp_visible": True}, "visible": True}, PointState.VISIBLE),
        ({"flags": {"visibility": 1}}, PointState.OCCLUDED),
        ({"flags": {"absent": True, "occluded": True}}, PointState.LOST),
        ({"absent": True}, PointState.LOST),
    ],
    ids=str,
)
def test_visibility_is_read_as_programs_and_persons_write_it(mark: dict[str, Any], state: PointState) -> None:
    shape = read_shape(point("nose", 5, 5) | mark)
    assert isinstance(shape, Shape)
    assert shape.state == state


def test_an_absent_point_may_lie_anywhere(tmp_path: Path) -> None:
    write(tmp_path, 0, [point("nose", -50, 900, flags={"absent": True})])
    (frame,) = labelme.read_labels(tmp_path, "v", SIZE)
    assert frame.notices == ()
    assert frame.shapes[0].state == PointState.LOST


def test_a_file_that_only_points_to_annolid_s_store_does_not_win_over_it(tmp_path: Path) -> None:
    line = {"frame": 1, "shapes": [point("nose", 5, 1)], "imageWidth": 100, "imageHeight": 80}
    (tmp_path / "v_annotations.ndjson").write_text(json.dumps(line) + "\n")
    (tmp_path / "v_000000001.json").write_text(json.dumps({"annotation_store": "v_annotations.ndjson", "frame": 1}))
    (frame,) = labelme.read_labels(tmp_path, "v", SIZE)
    assert frame.shapes[0].points.tolist() == [[5, 1]]
