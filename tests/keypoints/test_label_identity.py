"""Instances and keypoints that are the same in all labelled frames, or are reported where they may not be."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from keypoints import scene
from keypoints.test_labels import box, owners, point, sorted_out
from mot_dinov3.core.errors import FormatError
from mot_dinov3.formats.labelme import LabelledFrame
from mot_dinov3.formats.labelme_edits import RenamedPoint
from mot_dinov3.formats.labelme_shapes import Shape
from mot_dinov3.keypoints.labels import Labels, collapsed, resolve_instances

FRAMES = 24


def moved(shape: Shape, x: float, y: float = 0.0) -> Shape:
    return Shape(shape.label, shape.points + np.array([x, y]), shape.group_id, shape.instance)


def noses(labels: Labels, frame: int) -> dict[str, float]:
    return {one.name: float(one.xy[one.keypoints.index("nose"), 0]) for one in labels.frames[frame]}


TWO = [box("mouse", 0), box("mouse", 60), point("nose", 5), point("nose", 65)]


def test_two_outlines_of_one_label_are_two_instances() -> None:
    labels = sorted_out(TWO)
    assert noses(labels, 0) == {"mouse_1": 5, "mouse_2": 65}
    assert labels.notices == ()


def test_their_order_in_the_file_does_not_matter_and_places_do() -> None:
    later = [moved(TWO[1], 4), moved(TWO[0], 4), moved(TWO[3], 4), moved(TWO[2], 4)]
    labels = sorted_out(TWO, later)
    assert noses(labels, 1) == {"mouse_1": 9, "mouse_2": 69}
    assert labels.notices == ()


def test_three_outlines_of_one_label_keep_their_names_also_where_one_is_missing() -> None:
    three = [*TWO, box("mouse", 120), point("nose", 125)]
    labels = sorted_out(three, [moved(s, 3) for s in three[1:2] + three[3:]], list(reversed(three)))
    assert noses(labels, 2) == {"mouse_1": 5, "mouse_2": 65, "mouse_3": 125}
    assert owners(labels, 1) == {"mouse_1": [], "mouse_2": ["nose"], "mouse_3": ["nose"]}


def test_size_tells_two_instances_at_one_place() -> None:
    small = Shape("fly", np.array([[25, 25], [31, 25], [31, 31], [25, 31]], float))
    large = Shape("fly", np.array([[0, 0], [20, 0], [20, 20], [0, 20]], float))
    labels = sorted_out(
        [small, large, point("nose", 28, 28), point("nose", 10, 10)],
        [moved(large, 14, 14), moved(small, -13, -13), point("nose", 24, 24), point("nose", 15, 15)],
    )
    assert set(noses(labels, 1)) == {"fly_1", "fly_2"}


def test_what_is_uncertain_is_reported() -> None:
    labels = sorted_out(TWO, [moved(s, 50) for s in TWO])
    assert any("which instance is which" in notice and "'mouse_1', 'mouse_2'" in notice for notice in labels.notices)


def test_one_with_a_group_id_and_one_without_are_two() -> None:
    first = [box("mouse", 0, group=1), box("mouse", 60), point("nose", 5), point("nose", 65)]
    labels = sorted_out(first, [first[1], first[0], *first[2:]])
    assert noses(labels, 0) == noses(labels, 1) == {"mouse_1": 5, "mouse_2": 65}


def test_group_ids_given_later_are_those_of_the_frames_before() -> None:
    numbered = [
        box("mouse", 64, group=7),
        box("mouse", 4, group=3),
        point("nose", 69, group=7),
        point("nose", 9, group=3),
    ]
    labels = sorted_out(TWO, [moved(s, 2) for s in TWO], numbered, [moved(s, 6) for s in TWO])
    for frame, x in ((0, 5), (1, 7), (2, 9), (3, 11)):
        assert noses(labels, frame) == {"mouse_3": x, "mouse_7": x + 60}
    assert labels.notices == ()


@pytest.mark.parametrize("group", [None, 2])
def test_an_outline_drawn_anew_with_the_label_of_all_joins_the_points_of_its_own(group: int | None) -> None:
    drawn = box("mouse", 66, group=group)
    points = [point("nose", 71, instance="mouse_2"), point("nose", 11, instance="mouse_1")]
    first = [box("mouse", 0, group=1), box("mouse", 60, group=2), point("nose", 5, group=1), point("nose", 65, group=2)]
    labels = sorted_out(first, [drawn, *points])
    assert noses(labels, 1) == {"mouse_1": 11, "mouse_2": 71}
    assert [len(one.polygons) for one in labels.frames[1]] == [0, 1]


def test_points_twice_in_one_instance_are_an_error() -> None:
    with pytest.raises(FormatError, match="two instances have the name 'mouse_2'"):
        sorted_out(TWO, [*TWO, point("nose", 71, instance="mouse_2")])


@pytest.mark.parametrize("x", [-1.5, 21.0, 28.0])
def test_a_point_near_the_outline_belongs_to_it(x: float) -> None:
    whole = [box("m", 0), point("nose", 5), point("tail", 15)]
    labels = sorted_out(whole, [box("m", 0), point("nose", 5), point("tail", x)])
    assert owners(labels, 1) == {"m": ["nose", "tail"]}
    assert any("'tail' is outside the outline of 'm'" in notice for notice in labels.notices)


def test_a_point_between_two_outlines_belongs_to_the_one_that_lacks_it() -> None:
    shapes = [box("m", 0), box("w", 30), point("nose", 5), point("nose", 35), point("tail", 10), point("tail", 24)]
    assert owners(sorted_out(shapes)) == {"m": ["nose", "tail"], "w": ["nose", "tail"]}


def test_a_point_in_two_outlines_belongs_to_the_one_that_lacks_it() -> None:
    shapes = [box("m", 0), box("w", 10), point("nose", 5), point("nose", 12), point("tail", 25), point("tail", 14)]
    assert owners(sorted_out(shapes)) == {"m": ["nose", "tail"], "w": ["tail", "nose"]}


def test_a_point_far_from_every_outline_stays_alone() -> None:
    labels = sorted_out([box("m", 0), point("nose", 5), point("tail", 60)])
    assert owners(labels) == {"m": ["nose"], "instance": ["tail"]}


@pytest.mark.parametrize(
    ("shapes", "names"),
    [
        ([("m", "mouth"), ("m", "middle")], ["mouth", "middle"]),
        ([("mouse", "mousetrap"), ("mouse", "nose")], ["mousetrap", "nose"]),
        ([("m", "m_nose"), ("m", "m_tail")], ["nose", "tail"]),
        ([("animal", "animalnose"), ("animal", "animal_tail")], ["nose", "tail"]),
        (
            [("a", "a very long name with spaces, and a comma"), ("a", "ß")],
            ["a very long name with spaces, and a comma", "ß"],
        ),
    ],
    ids=str,
)
def test_names_are_not_cut(shapes: list[tuple[str, str]], names: list[str]) -> None:
    labels = sorted_out([point(label, 5.0 + i, instance=instance) for i, (instance, label) in enumerate(shapes)])
    assert list(labels.frames[0][0].keypoints) == names


def test_a_display_label_says_what_the_name_is() -> None:
    labels = sorted_out([point("mnose", 5, instance="m", shown="nose"), point("mouth", 9, instance="m")])
    assert owners(labels) == {"m": ["nose", "mouth"]}


@pytest.mark.parametrize(
    ("old", "new"), [("nose", "Nose"), ("leftear", "left_ear"), ("tail", "snout"), ("tailbase", "tail base")]
)
def test_a_renamed_keypoint_is_reported(old: str, new: str) -> None:
    rest = [point("a", 5, instance="m"), point("b", 9, instance="m")]
    labels = sorted_out([*rest, point(old, 12, instance="m")], [*rest, point(new, 12, instance="m")])
    assert [set(doubt.names) for doubt in labels.doubts] == [{old, new}]
    assert f"'{new}' of 'm' is labelled in frame 1" in labels.notices[0]
    assert not any("not in this frame" in notice for notice in labels.notices)


def test_left_is_not_right_renamed_and_labels_of_one_frame_are_not_one() -> None:
    first = [point(name, 5 + i, instance="m") for i, name in enumerate(("nose", "left_ear", "leg 1"))]
    second = [point(name, 5 + i, instance="m") for i, name in enumerate(("nose", "right_ear", "leg 2"))]
    assert sorted_out(first, second).doubts == ()
    assert sorted_out([*first, point("Nose", 30, instance="m")], first).doubts == ()


@pytest.mark.parametrize(("name", "group"), [("rat", 1), ("Mouse", None)])
def test_a_renamed_instance_is_reported(name: str, group: int | None) -> None:
    first = [point("nose", 5, group=1, instance="mouse"), point("nose", 50, group=2, instance="other")]
    second = [point("nose", 6, group=group, instance=name), point("nose", 51, group=2, instance="other")]
    (doubt,) = sorted_out(first, second).doubts
    assert doubt.names == ("mouse", name)
    assert doubt.frame == 1


def predicted_as(old: str, *new: Shape) -> Labels:
    """Labels of frame 0, and of frame 1 where a person gave the prediction `old` the name of the first shape."""
    rest = [point("a", 5, instance="m"), point("b", 9, instance="m")]
    renamed = RenamedPoint("m", old, new[0].label)
    first = LabelledFrame(Path("v_0.json"), 0, (*rest, point(old, 12, instance="m")))
    second = LabelledFrame(
        Path("v_1.json"), 1, new, deleted=(("m", old),), corrections=True, predicted=tuple(rest), renamed=(renamed,)
    )
    return resolve_instances([first, second])


def test_a_renamed_prediction_is_reported_and_not_taken_for_a_deleted_point() -> None:
    labels = predicted_as("nose", point("snout", 12, instance="m"))
    assert [set(doubt.names) for doubt in labels.doubts] == [{"nose", "snout"}]
    assert labels.notices == (
        "'snout' of 'm' in frame 1 was predicted as 'nose', as other frames call it: the same point?",
    )
    assert not any(one.absent for one in (*labels.frames[0], *labels.frames[1]))


def test_a_prediction_that_gets_the_name_of_another_point_is_deleted() -> None:
    labels = predicted_as("nose", point("a", 12, instance="m"))
    assert labels.doubts == ()
    assert labels.frames[1][0].absent == {"nose"}


def test_a_point_that_was_renamed_in_all_frames_has_one_name() -> None:
    snout = point("snout", 12, instance="m")
    renamed = (RenamedPoint("m", "nose", "snout"),)
    second = LabelledFrame(Path("v_1.json"), 1, (snout,), deleted=(("m", "nose"),), corrections=True, renamed=renamed)
    labels = resolve_instances([LabelledFrame(Path("v_0.json"), 0, (snout,)), second])
    assert labels.frames[0][0].keypoints == ("snout",)
    assert labels.notices == ()


def test_notices_of_one_kind_are_one_with_a_count() -> None:
    labels = sorted_out(*([box("m", 0, group=1), point("nose", 40 + i, group=1)] for i in range(9)))
    assert labels.notices == ("'v_0.json': point 'nose' is outside the mask of 'm' (and 8 more such)",)
    assert collapsed(["a 'x' 1", "b", "a 'y' 2"]) == ["a 'x' 1 (and 1 more such)", "b"]


def test_the_reasons_are_part_of_the_error_where_no_point_is_left() -> None:
    frame = LabelledFrame(Path("v_0.json"), 0, (), ("'v_0.json', shape 0: point 'p' (-5, 4) is outside the frame",))
    with pytest.raises(FormatError, match=r"no labelled point in.*shape 0: point 'p' \(-5, 4\) is outside the frame"):
        resolve_instances([frame])


def review(video: Path) -> list[dict[str, str]]:
    with (video.parent / "v" / "v_review.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def exchange(path: Path, one: str, other: str) -> None:
    document = json.loads(path.read_text())
    names = {one: other, other: one}
    for shape in document["shapes"]:
        shape["label"] = names.get(shape["label"], shape["label"])
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(("one", "other"), [("left_ear", "right_ear"), ("nose", "tail")])
def test_exchanged_labels_are_reported_and_reviewed_first(tmp_path: Path, one: str, other: str) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    for frame in (0, 12, 20):
        scene.label(tmp_path / "v", "v", frame)
    exchange(tmp_path / "v" / "v_000000012.json", one, other)
    for _ in range(2):  # the second run reuses all frames, and says it again
        run = scene.run(video)
        told = [n for n in run.all_notices() if "frames 0 and 12" in n and "look exchanged" in n]
        assert len(told) == 1
        assert f"'{one}'" in told[0]
        assert f"'{other}'" in told[0]
        assert {review(video)[0]["frame"], review(video)[1]["frame"]} == {"12", "20"}
    assert run.backend.calls == 0
    ranged = scene.run(video, start_frame=21)  # the gaps with the doubt are not in it
    assert any("frames 0 and 12" in notice for notice in ranged.all_notices())
    assert {review(video)[0]["frame"], review(video)[1]["frame"]} == {"12", "20"}
    exchange(tmp_path / "v" / "v_000000012.json", one, other)  # mended
    assert not any("look exchanged" in notice for notice in scene.run(video, start_frame=21).all_notices())


def test_labels_that_are_right_are_not_called_exchanged(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    for frame in (0, 12, 20):
        scene.label(tmp_path / "v", "v", frame, moved=float(frame % 5))
    run = scene.run(video)
    assert run.all_notices() == run.notices == ()
    assert review(video) == [], "nothing is uncertain"


def test_exchanged_animals_are_reported(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    for frame, names in ((0, ("a", "b")), (12, ("b", "a"))):
        path = scene.label(tmp_path / "v", "v", frame, outline=False)
        document = json.loads(path.read_text())
        for i, shape in enumerate(document["shapes"]):  # two and two points of the body, as if it were two animals
            shape |= {"instance_label": names[i // 2], "label": ("front", "back")[i % 2]}
        path.write_text(json.dumps(document))
    run = scene.run(video)
    assert any("'a' and 'b' look exchanged" in notice for notice in run.all_notices())
    assert review(video)[0]["frame"] == "12"
