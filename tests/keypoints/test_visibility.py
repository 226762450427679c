"""Keypoints that a person says are hidden or absent, and points that only a prediction placed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from keypoints import scene
from mot_dinov3.core.errors import InputError
from mot_dinov3.keypoints.descriptor_maps import Templates

FRAMES = 24


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return scene.write_images(tmp_path / "v.mkv", map(scene.picture, range(FRAMES)))


def edit(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the shapes of a frame file, as LabelMe saves it."""
    document = json.loads(path.read_text())
    change(document["shapes"])
    path.write_text(json.dumps(document, indent=2))


def shape_of(shapes: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(s for s in shapes if s["label"] == name)


def states(video: Path, name: str) -> dict[int, tuple[str, str]]:
    return {int(r["frame"]): (r["state"], r["source"]) for r in scene.rows(video) if r["keypoint"] == name}


@pytest.mark.parametrize(
    "mark",
    [
        {"flags": {"occluded": True}},
        {"visible": False},
        {"flags": {"kp_visible": False}},
        {"flags": {"kp_visibility": 1, "kp_visible": False}},
        {"flags": {"visibility": 1}},
    ],
    ids=str,
)
def test_a_point_labelled_as_hidden_is_occluded_until_it_is_labelled_again(video: Path, mark: dict[str, Any]) -> None:
    for frame in (0, 16):
        scene.label(video.parent / "v", "v", frame)
    edit(video.parent / "v" / "v_000000000.json", lambda shapes: shape_of(shapes, "left_ear").update(mark))
    scene.run(video)
    ear = states(video, "left_ear")
    assert ear[0] == ("occluded", "human")
    assert ear[8] == ("visible", "tracked")  # from the later label, backward
    assert {states(video, name)[0] for name in ("nose", "tail", "right_ear")} == {("visible", "human")}


def test_a_hidden_point_follows_its_neighbours_without_being_called_visible(video: Path) -> None:
    path = scene.label(video.parent / "v", "v", 0)
    edit(path, lambda shapes: shape_of(shapes, "left_ear")["flags"].update(occluded=True))
    scene.run(video)
    assert {state for state, _ in states(video, "left_ear").values()} == {"occluded"}
    assert scene.errors(video).max() < 3
    scores = {float(r["score"]) for r in scene.rows(video) if r["keypoint"] == "left_ear" and r["source"] == "tracked"}
    assert max(scores) < 0.5


def delete(shapes: list[dict[str, Any]]) -> None:
    shapes.remove(shape_of(shapes, "left_ear"))


def flag_absent(shapes: list[dict[str, Any]]) -> None:
    shape_of(shapes, "left_ear")["flags"] = {"absent": True}


def annolid_absent(shapes: list[dict[str, Any]]) -> None:
    shape_of(shapes, "left_ear")["flags"] = {"kp_visibility": 0, "kp_visible": False}


@pytest.mark.parametrize("say", [delete, flag_absent, annolid_absent])
def test_a_point_that_a_person_left_out_is_absent_and_not_tracked_through(
    video: Path, say: Callable[[list[dict[str, Any]]], None]
) -> None:
    for frame in (0, 8, 16):
        scene.label(video.parent / "v", "v", frame)
    edit(video.parent / "v" / "v_000000008.json", say)
    run = scene.run(video)
    row = next(r for r in scene.rows(video) if r["frame"] == "8" and r["keypoint"] == "left_ear")
    assert (row["x"], row["y"], row["score"], row["state"], row["source"]) == ("NaN", "NaN", "0.0000", "lost", "human")
    ear = states(video, "left_ear")
    assert ear[7] == ("visible", "tracked")
    assert ear[12] == ear[20] == ("visible", "tracked")  # labelled again in frame 16
    assert {states(video, "nose")[f][0] for f in range(FRAMES)} == {"visible"}
    assert any("'left_ear'" in notice for notice in run.notices) == (say is delete)


def test_a_point_that_is_absent_and_not_labelled_again_stays_lost(video: Path) -> None:
    for frame in (0, 8):
        scene.label(video.parent / "v", "v", frame)
    edit(video.parent / "v" / "v_000000008.json", delete)
    scene.run(video)
    assert {states(video, "left_ear")[f][0] for f in range(8, FRAMES)} == {"lost"}


def test_an_animal_whose_outline_is_absent_is_not_called_tracked(video: Path) -> None:
    for frame in (0, 8):
        scene.label(video.parent / "v", "v", frame)

    def leave(shapes: list[dict[str, Any]]) -> None:
        shapes[:] = [
            shape_of(shapes, "mouse") | {"flags": {"absent": True}},
            *(s | {"instance_label": "rat"} for s in shapes if s["shape_type"] == "point"),
        ]

    edit(video.parent / "v" / "v_000000008.json", leave)
    run = scene.build(video)
    assert not any("'mouse' is labelled; tracked" in notice for notice in run.notices)
    (mouse,) = [one for one in run.pipeline.labels.frames[8] if one.name == "mouse"]
    assert mouse.gone.all()


def test_only_the_points_that_a_person_moved_become_human(video: Path) -> None:
    scene.label(video.parent / "v", "v", 0)
    scene.run(video)
    before = scene.rows(video)

    def move(shapes: list[dict[str, Any]]) -> None:
        shape_of(shapes, "nose")["points"][0][0] += 2.0
        for shape in shapes:
            shape["mask"] = None  # LabelMe adds it

    edit(video.parent / "v" / "v_000000012.json", move)
    scene.run(video)
    found = {r["keypoint"]: r for r in scene.rows(video) if r["frame"] == "12"}
    assert {name: row["source"] for name, row in found.items()} == {
        "nose": "human",
        "left_ear": "tracked",
        "right_ear": "tracked",
        "tail": "tracked",
    }
    was = {r["keypoint"]: r for r in before if r["frame"] == "12"}
    for name in ("left_ear", "right_ear", "tail"):
        assert float(found[name]["x"]) == pytest.approx(float(was[name]["x"]), abs=0.5)
    rest = [r for r in scene.rows(video) if r["keypoint"] != "nose" and int(r["frame"]) > 12]
    assert {r["state"] for r in rest} == {"visible"}


def test_a_predicted_point_that_a_person_deleted_is_absent_and_the_others_stay_predictions(video: Path) -> None:
    scene.label(video.parent / "v", "v", 0)
    scene.run(video)
    edit(video.parent / "v" / "v_000000012.json", delete)
    scene.run(video)
    found = {r["keypoint"]: (r["state"], r["source"]) for r in scene.rows(video) if r["frame"] == "12"}
    assert found["left_ear"] == ("lost", "human")
    assert {found[name] for name in ("nose", "right_ear", "tail")} == {("visible", "tracked")}


def test_carried_points_follow_a_correction_as_if_it_had_not_been_one(video: Path) -> None:
    """The points that nobody touched keep their own labelled templates, and the state they had."""
    scene.label(video.parent / "v", "v", 0)
    scene.run(video)
    whole = {(r["frame"], r["keypoint"]): r for r in scene.rows(video)}
    edit(
        video.parent / "v" / "v_000000012.json",
        lambda shapes: shape_of(shapes, "nose")["points"][0].__setitem__(0, 30.0),
    )
    scene.run(video)
    for row in scene.rows(video):
        if int(row["frame"]) > 12 and row["keypoint"] != "nose":
            was = whole[row["frame"], row["keypoint"]]
            assert row["state"] == was["state"]
            assert float(row["x"]) == pytest.approx(float(was["x"]), abs=1.0)


def annolid(frame: int, drift: float) -> dict[str, Any]:
    """A frame as Annolid predicts it."""
    marks = {"quality": 0.9, "velocity": [2.0, 0.0], "misses": 0, "instance_label": "mouse"}
    points = [
        scene.shape(name, [[x + drift, y]], "point", description="Cutie+DINO") | {"flags": marks}
        for name, (x, y) in scene.truth(frame).items()
    ]
    return scene.document(points)


@pytest.mark.parametrize("stored", [False, True], ids=["files", "store"])
def test_predictions_of_annolid_are_no_labels(video: Path, stored: bool) -> None:
    folder = video.parent / "v"
    scene.label(folder, "v", 0)
    records = {f: annolid(f, 3.0 * f) for f in range(1, FRAMES)}
    if stored:
        lines = (json.dumps({"frame": f, **record}) for f, record in records.items())
        (folder / "v_annotations.ndjson").write_text("\n".join(lines) + "\n")
    else:
        for f, record in records.items():
            (folder / f"v_{f:09d}.json").write_text(json.dumps(record))
    run = scene.run(video)
    assert [notice for notice in run.notices if f"{FRAMES - 1} frames hold Annolid's predictions" in notice]
    assert {r["frame"] for r in scene.rows(video) if r["source"] == "human"} == {"0"}
    assert scene.errors(video).max() < 1.5


def test_a_frame_of_annolid_s_with_an_image_beside_it_is_labelled(video: Path) -> None:
    folder = video.parent / "v"
    scene.label(folder, "v", 0)
    (folder / "v_000000009.json").write_text(json.dumps(annolid(9, 0.0)))
    cv2.imwrite(str(folder / "v_000000009.png"), scene.picture(9))
    scene.run(video)
    assert {r["frame"] for r in scene.rows(video) if r["source"] == "human"} == {"0", "9"}


def test_a_folder_with_predictions_of_annolid_only_is_refused(video: Path) -> None:
    folder = video.parent / "v"
    folder.mkdir()
    path = folder / "v_000000003.json"
    path.write_text(json.dumps(annolid(3, 0.0)))
    content = path.read_bytes()
    with pytest.raises(InputError, match="1 frame holds Annolid's predictions"):
        scene.build(video)
    assert path.read_bytes() == content


def test_points_are_found_again_behind_an_occluder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, bar = 36, (192, 224)
    for name in ("SIZE", "BODY", "START"):
        monkeypatch.setattr(scene, name, tuple(2 * v for v in getattr(scene, name)))
    monkeypatch.setattr(scene, "POINTS", {name: (2 * x, 2 * y) for name, (x, y) in scene.POINTS.items()})
    monkeypatch.setattr(scene, "offset", lambda f: (scene.START[0] + 6 * f, scene.START[1] + round(8 * np.sin(f / 4))))
    images = [scene.picture(number) for number in range(frames)]
    for image in images:
        image[:, bar[0] : bar[1]] = 30
    video = scene.write_images(tmp_path / "v.mkv", images)
    path = scene.label(tmp_path / "v", "v", 0, outline=False)
    shapes = json.loads(path.read_text())["shapes"]
    path.write_text(json.dumps(scene.document(shapes, scene.SIZE)))
    scene.run(video)
    rows = {(int(r["frame"]), r["keypoint"]): r for r in scene.rows(video)}
    after = [(rows[f, name], at) for f in range(frames - 5, frames) for name, at in scene.truth(f).items()]
    off = [np.hypot(float(r["x"]) - x, float(r["y"]) - y) for r, (x, y) in after]
    assert max(off) < 4
    assert {r["state"] for r, _ in after} == {"visible"}


def test_what_was_just_tracked_does_not_confirm_itself() -> None:
    labelled, occluder = np.eye(4, dtype=np.float32)[[0, 1]]
    templates = Templates(labelled[None])
    for _ in range(50):
        templates.update(occluder[None], np.array([True]))
    assert templates.similarity(occluder[None])[0] < 0.1
    assert templates.similarity(labelled[None])[0] == 1


def test_a_person_s_description_is_no_mark_of_annolid(video: Path) -> None:
    path = scene.label(video.parent / "v", "v", 0)
    for text in ("Sam's mouse", "looks like a dinosaur, labelled by Sam", "not sure"):
        edit(path, lambda shapes, text=text: [shape.update(description=text) for shape in shapes])
        run = scene.build(video)
        assert run.notices == ()
        run.locks.release()


def test_a_point_added_to_a_prediction_of_annolid_is_the_only_label_there(video: Path) -> None:
    folder = video.parent / "v"
    scene.label(folder, "v", 0)
    predicted = annolid(9, 30.0)
    predicted["shapes"][0] = scene.shape("nose", [list(scene.truth(9)["nose"])], "point", instance_label="mouse")
    (folder / "v_000000009.json").write_text(json.dumps(predicted))
    scene.run(video)
    human = {(r["frame"], r["keypoint"]) for r in scene.rows(video) if r["source"] == "human"}
    assert human == {("0", name) for name in scene.POINTS} | {("9", "nose")}
    assert scene.errors(video).max() < 3


def test_a_prediction_is_recognised_where_a_program_dropped_what_stands_beside_the_shapes(video: Path) -> None:
    scene.label(video.parent / "v", "v", 0)
    scene.run(video)
    path = video.parent / "v" / "v_000000012.json"
    document = json.loads(path.read_text())
    del document["otherData"]
    shape_of(document["shapes"], "nose")["points"][0][0] += 2
    path.write_text(json.dumps(document))
    scene.run(video)
    found = {r["keypoint"]: r["source"] for r in scene.rows(video) if r["frame"] == "12"}
    assert found == {"nose": "human", "left_ear": "tracked", "right_ear": "tracked", "tail": "tracked"}


def test_predictions_copied_into_another_frame_are_labels(video: Path) -> None:
    """LabelMe can keep the shapes of the frame before: a person who saves them says that they fit."""
    scene.label(video.parent / "v", "v", 0)
    scene.run(video)
    folder = video.parent / "v"
    document = json.loads((folder / "v_000000012.json").read_text())
    (folder / "v_000000014.json").write_text(json.dumps(document | {"otherData": {}}))
    scene.run(video)
    assert {r["source"] for r in scene.rows(video) if r["frame"] == "14"} == {"human"}


def test_an_edited_outline_leaves_the_points_predictions(video: Path) -> None:
    scene.label(video.parent / "v", "v", 0)
    scene.run(video)
    before = scene.rows(video)
    path = video.parent / "v" / "v_000000012.json"
    edit(path, lambda shapes: shape_of(shapes, "mouse")["points"][0].__setitem__(0, 40.0))
    content = path.read_bytes()
    scene.run(video)
    assert scene.rows(video) == before
    assert path.read_bytes() == content
