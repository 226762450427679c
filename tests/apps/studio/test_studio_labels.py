"""Labels as the page reads and writes them: LabelMe files that keep what somebody else put in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.apps.studio.label_store import LabelStore
from mot_dinov3.apps.studio.requests import ConflictError
from mot_dinov3.apps.studio.result_tables import ResultTable
from mot_dinov3.apps.studio.shapes import LabelShape
from mot_dinov3.core.errors import InputError
from mot_dinov3.core.structures import Keypoints
from mot_dinov3.formats import labelme
from mot_dinov3.keypoints.job.files import KeypointPaths
from mot_dinov3.video.image_files import write_image

SIZE = (100, 80)
PICTURE = np.zeros((80, 100, 3), np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(KeypointPaths(tmp_path / "v.mp4", tmp_path / "v", SIZE))


def point(name: str, x: float, y: float, instance: str = "mouse", origin: int = -1) -> LabelShape:
    raw = {"kind": "point", "instance": instance, "name": name, "points": [[x, y]], "origin": origin}
    return LabelShape.parse(raw, SIZE)


def parsed(frame: dict[str, Any]) -> list[LabelShape]:
    return [LabelShape.parse(item, SIZE) for item in frame["items"] if item["source"] == "human"]


def test_labels_that_contradict_each_other_are_a_notice_and_no_silence(store: LabelStore) -> None:
    outline = {"shape_type": "polygon", "points": [[1, 1], [50, 1], [50, 50]], "label": "a", "instance_label": "m"}
    nose = {"label": "nose", "points": [[5, 6]], "shape_type": "point", "instance_label": "m"}
    shapes = [{**one, "group_id": group} for one in (outline, nose) for group in (1, 2)]
    shapes += [{**nose, "instance_label": "m_1"}]
    store.paths.folder.mkdir()
    assert store.overview()["notices"] == []
    store.path(0).write_text(json.dumps({"shapes": shapes, "imageWidth": SIZE[0], "imageHeight": SIZE[1]}))
    overview = store.overview()
    assert overview["labelled"] == [0]
    assert overview["notices"] == ["frame 0: two instances have the name 'm_1': give each its own group_id"]


def test_labels_beside_the_images_of_a_folder_are_shown_and_a_saved_frame_wins_over_them(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        write_image(folder / name, PICTURE)
    shape = {"label": "nose", "points": [[5, 6]], "shape_type": "point", "group_id": None, "flags": {}}
    beside = folder / "b.json"
    beside.write_text(json.dumps({"shapes": [shape], "imageWidth": SIZE[0], "imageHeight": SIZE[1]}))
    content = beside.read_bytes()
    store = LabelStore(KeypointPaths(folder, folder, SIZE))
    assert store.overview()["labelled"] == [1]
    (item,) = store.frame(1)["items"]
    assert (item["name"], item["points"], item["source"]) == ("nose", [[5.0, 6.0]], "human")
    store.save(1, [point("nose", 9, 9, item["instance"])], revision=store.frame(1)["revision"], image=folder / "b.png")
    assert [i["points"] for i in store.frame(1)["items"]] == [[[9.0, 9.0]]]
    assert beside.read_bytes() == content


def test_labels_beside_an_image_are_shown_although_there_is_a_prediction_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write_image(folder / "a.png", PICTURE)
    rows = Keypoints(
        ("m",), np.array([1]), ("nose",), np.array([[5.0, 5]]), np.array([0.5]), np.array([0]), np.array([1])
    )
    store = LabelStore(KeypointPaths(folder, folder, SIZE))
    store.path(0).write_text(json.dumps(labelme.frame_document(rows, frame=0, image="a.png", size=SIZE)))
    assert store.overview()["labelled"] == []
    shape = {"label": "nose", "points": [[5, 6]], "shape_type": "point", "group_id": None, "flags": {}}
    (folder / "a.json").write_text(json.dumps({"shapes": [shape], "imageWidth": SIZE[0], "imageHeight": SIZE[1]}))
    assert store.overview()["labelled"] == [0]


def test_what_is_saved_is_read_back_and_names_and_numbers_stay(store: LabelStore) -> None:
    outline = {"kind": "polygon", "instance": "mouse", "name": "", "points": [[1, 1], [50, 1], [50, 50]]}
    items = [
        point("ear_left", 10, 12),
        point("ear_right", 20.126, 12),
        point("nose", 3, 3, "rat"),
        LabelShape.parse(outline, SIZE),
    ]
    store.save(5, items, revision="", image=PICTURE)
    (labelled,) = labelme.read_labels(store.paths.folder, "v", SIZE)
    assert [(s.label, s.instance, s.group_id) for s in labelled.shapes] == [
        ("ear_left", "mouse", 1),
        ("ear_right", "mouse", 1),
        ("nose", "rat", 2),
        ("mouse", "mouse", 1),
    ]
    shown = store.frame(5)
    assert {(i["kind"], i["instance"], i["name"], str(i["points"])) for i in shown["items"]} == {
        ("point", "mouse", "ear_left", "[[10.0, 12.0]]"),
        ("point", "mouse", "ear_right", "[[20.13, 12.0]]"),
        ("point", "rat", "nose", "[[3.0, 3.0]]"),
        ("polygon", "mouse", "", "[[1.0, 1.0], [50.0, 1.0], [50.0, 50.0]]"),
    }
    overview = store.overview()
    assert overview["labelled"] == [5]
    assert overview["instances"] == [{"name": "mouse", "group": 1}, {"name": "rat", "group": 2}]
    assert overview["pairs"] == [["ear_left", "ear_right"]]
    store.save(9, [point("nose", 4, 4, "rat")], revision="", image=PICTURE)
    assert json.loads(store.path(9).read_text())["shapes"][0]["group_id"] == 2
    assert (store.paths.folder / "v_000000009.png").is_file()


def test_what_another_program_wrote_is_kept(store: LabelStore) -> None:
    store.paths.folder.mkdir()
    shapes = [
        {
            "label": "nose",
            "points": [[5, 6]],
            "group_id": 7,
            "shape_type": "point",
            "flags": {"sure": True},
            "note": "mine",
        },
        {"label": "mouse", "points": [[0, 0], [30, 30]], "group_id": 7, "shape_type": "rectangle", "flags": {}},
        {"label": "ruler", "points": [[0, 0], [9, 9]], "group_id": None, "shape_type": "line", "flags": {}},
    ]
    document = {
        "version": "4.0",
        "flags": {"day": True},
        "shapes": shapes,
        "imagePath": "own.jpg",
        "imageData": "abcd",
        "lab": 3,
    }
    store.path(0).write_text(json.dumps(document))
    shown = store.frame(0)
    assert [(i["kind"], i["instance"], i["name"], i["origin"]) for i in shown["items"]] == [
        ("point", "mouse", "nose", 0),
        ("polygon", "mouse", "", -1),
    ]
    items = [item for item in parsed(shown) if item.kind == "point"] + [point("tail", 20, 20)]
    store.save(0, items, revision=shown["revision"], image=PICTURE)
    written = json.loads(store.path(0).read_text())
    assert {k: written[k] for k in ("version", "flags", "imagePath", "imageData", "lab")} == {
        k: document[k] for k in ("version", "flags", "imagePath", "imageData", "lab")
    }
    nose, tail, *kept = written["shapes"]
    assert (nose["note"], nose["flags"], nose["group_id"], nose["instance_label"]) == (
        "mine",
        {"sure": True},
        7,
        "mouse",
    )
    assert tail["group_id"] == 7
    assert kept == shapes[1:]


def test_correcting_a_tracked_frame_makes_it_a_persons(store: LabelStore) -> None:
    store.paths.folder.mkdir()
    rows = Keypoints(
        ("mouse", "mouse"), np.array([1, 1]), ("nose", "tail"), np.array([[5.0, 5], [9, 9]]),
        np.array([0.5, 0.9]), np.array([0, 1]), np.array([1, 1]),
    )  # fmt: skip
    document = labelme.frame_document(rows, frame=3, image="v_000000003.png", size=SIZE)
    store.path(3).write_text(json.dumps(document))
    assert store.labelled() == []
    store.save(3, [point("nose", 6, 5)], revision=store.revision(3), image=PICTURE)
    assert [f.frame for f in store.labelled()] == [3]
    (shape,) = json.loads(store.path(3).read_text())["shapes"]
    assert (shape["points"], "score" in shape, "state" in shape) == ([[6, 5]], False, False)


def test_hidden_and_absent_points_are_written_in_the_documented_form_and_read_back(store: LabelStore) -> None:
    said = {"nose": "visible", "tail": "occluded", "ear": "lost"}
    items = [
        {"kind": "point", "instance": "mouse", "name": name, "points": [[5, i]], "state": state}
        for i, (name, state) in enumerate(said.items())
    ]
    store.save(2, [LabelShape.parse(item, SIZE) for item in items], revision="", image=PICTURE)
    flags = {s["label"]: s["flags"] for s in json.loads(store.path(2).read_text())["shapes"]}
    assert flags == {"nose": {}, "tail": {"occluded": True}, "ear": {"absent": True}}
    shown = store.frame(2)
    assert {i["name"]: (i["state"], i["points"]) for i in shown["items"]} == {
        "nose": ("visible", [[5, 0]]), "tail": ("occluded", [[5, 1]]), "ear": ("lost", []),
    }  # fmt: skip
    (mouse,) = store.labels().frames[2]
    assert (mouse.occluded, mouse.absent) == ({"tail"}, {"ear"})
    seen = [{**item, "state": "visible"} for item in shown["items"] if item["points"]]  # nothing about the ear
    store.save(2, [LabelShape.parse(i, SIZE) for i in seen], revision=shown["revision"], image=PICTURE)
    (mouse,) = store.labels().frames[2]
    assert (mouse.keypoints, mouse.occluded, mouse.absent) == (("nose", "tail"), frozenset(), frozenset())


def test_the_visibility_that_another_program_wrote_follows_the_page(store: LabelStore) -> None:
    store.paths.folder.mkdir()
    said = [{"visible": False}, {"kp_visibility": 0}, {"flags": {"hidden": True, "absent": False, "sure": True}}]
    shapes = [
        {"label": name, "points": [[5, 6]], "shape_type": "point", "instance_label": "mouse", **more}
        for name, more in zip(("nose", "tail", "ear"), said)
    ]
    store.path(0).write_text(json.dumps({"shapes": shapes}))
    shown = store.frame(0)
    assert {i["name"]: i["state"] for i in shown["items"]} == {"nose": "occluded", "tail": "lost", "ear": "occluded"}
    items = [{**i, "state": "visible", "points": [[7, 7]]} for i in shown["items"]]
    store.save(0, [LabelShape.parse(i, SIZE) for i in items], revision=shown["revision"], image=PICTURE)
    assert {i["name"]: i["state"] for i in store.frame(0)["items"]} == dict.fromkeys(("nose", "tail", "ear"), "visible")
    assert len(json.loads(store.path(0).read_text())["shapes"]) == 3


def test_a_point_deleted_in_another_program_can_be_taken_back(store: LabelStore) -> None:
    store.paths.folder.mkdir()
    rows = Keypoints(
        ("mouse", "mouse"), np.array([1, 1]), ("nose", "tail"), np.array([[5.0, 5], [9, 9]]),
        np.array([0.5, 0.9]), np.array([0, 0]), np.array([1, 1]),
    )  # fmt: skip
    document = labelme.frame_document(rows, frame=3, image="v_000000003.png", size=SIZE)
    document["shapes"] = [{**document["shapes"][0], "points": [[6, 6]]}]
    store.path(3).write_text(json.dumps(document))
    shown = store.frame(3)
    assert {i["name"]: i["state"] for i in shown["items"]} == {"nose": "visible", "tail": "lost"}
    store.save(3, [s for s in parsed(shown) if s.name == "nose"], revision=shown["revision"], image=PICTURE)
    assert [i["name"] for i in store.frame(3)["items"]] == ["nose"]


def test_nothing_is_added_to_a_folder_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "walk"
    folder.mkdir()
    for name in ("img1.png", "img2.png"):
        (folder / name).touch()
    store = LabelStore(KeypointPaths(folder, folder, SIZE))
    store.save(1, [point("nose", 1, 1)], revision="", image=folder / "img2.png")
    assert json.loads(store.path(1).read_text())["imagePath"] == "img2.png"
    visible = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    assert visible == ["img1.png", "img2.png", "walk_000000001.json"]


def test_the_second_of_two_tabs_is_told(store: LabelStore) -> None:
    store.save(0, [point("nose", 1, 1)], revision="", image=PICTURE)
    before = store.path(0).read_bytes()
    with pytest.raises(ConflictError, match="changed elsewhere"):
        store.save(0, [point("nose", 2, 2)], revision="", image=PICTURE)
    assert store.path(0).read_bytes() == before


def test_a_frame_without_labels_is_no_labelled_one_and_nothing_is_lost(store: LabelStore) -> None:
    for x in (1, 2):
        store.save(0, [point("nose", x, 1)], revision="", image=PICTURE)
        store.save(0, [], revision=store.revision(0), image=PICTURE)
    assert store.labelled() == []
    trash = sorted((store.paths.folder / ".trash").iterdir())
    assert [json.loads(p.read_text())["shapes"][0]["points"][0][0] for p in trash] == [1, 2]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "circle"}, "point or a polygon"),
        ({"name": ""}, "needs a name"),
        ({"instance": "a/b"}, "slash"),
        ({"points": [[1, 2], [3, 4]]}, "one position"),
        ({"points": [[101, 2]]}, "outside"),
        ({"points": [[float("nan"), 2]]}, "outside"),
        ({"points": [["1", 2]]}, "two numbers"),
        ({"state": "gone"}, "state of 'nose'"),
        ({"kind": "polygon", "points": [[1, 2], [3, 4]]}, "three corners"),
    ],
)
def test_labels_that_make_no_sense_are_refused(change: dict[str, Any], word: str) -> None:
    good = {"kind": "point", "instance": "mouse", "name": "nose", "points": [[1, 2]]}
    with pytest.raises(InputError, match=word):
        LabelShape.parse({**good, **change}, SIZE)


def test_a_point_that_is_there_twice_is_refused(store: LabelStore) -> None:
    with pytest.raises(InputError, match="two points 'nose'"):
        store.save(0, [point("nose", 1, 1), point("nose", 2, 2)], revision="", image=PICTURE)
    assert not store.paths.folder.exists()


def test_a_growing_table_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    head = "frame,time_s,instance,group_id,keypoint,x,y,score,state,source\n"
    lines = ["0,0.0,a,1,nose,1.5,2.5,1.0,visible,human\n", "0,0.0,a,1,tail,NaN,NaN,0.0,lost,tracked\n"]
    lines += [f"{n},0.1,a,1,{name},{n},0,0.{9 - n},visible,tracked\n" for n in (1, 2) for name in ("nose", "tail")]
    path.write_text(head + "".join(lines) + "3,0.3,a,1,no")
    results = ResultTable(path)
    assert results.frames() == 3
    assert [(r["name"], r["points"], r["state"]) for r in results.rows(0)] == [
        ("nose", [[1.5, 2.5]], "visible"),
        ("tail", [], "lost"),
    ]
    series = results.series()
    assert (series["first"], series["step"]) == (0, 1)
    assert series["rows"][1] == {"instance": "a", "name": "tail", "score": [0.0, 0.8, 0.7], "state": [2, 0, 0]}
    path.write_text(head + lines[0])
    assert results.frames() == 1
    assert ResultTable(tmp_path / "none.csv").rows(0) == []
