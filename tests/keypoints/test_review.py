"""Frames to review: only those in which a person has something to decide, each with its reason."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from keypoints import scene
from mot_dinov3.keypoints.review import FrameUncertainty, ranked

FRAMES = 24


def review(video: Path) -> list[dict[str, str]]:
    with (video.parent / "v" / "v_review.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_labels_that_disagree_make_the_frames_between_them_uncertain_and_no_labelled_one(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    for frame, moved in ((0, 0.0), (8, 9.0), (16, 0.0)):
        scene.label(tmp_path / "v", "v", frame, moved=moved)
    scene.run(video)
    listed = review(video)
    assert listed
    assert {int(row["frame"]) for row in listed}.isdisjoint((0, 8, 16))
    assert all(row["keypoints"] and row["why"] for row in listed)
    assert "tracking forward and backward disagrees" in listed[0]["why"]


def test_nothing_is_listed_for_a_point_that_a_person_calls_absent(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    for frame in (0, 12):
        path = scene.label(tmp_path / "v", "v", frame)
        document = json.loads(path.read_text())
        next(s for s in document["shapes"] if s["label"] == "left_ear")["flags"] = {"absent": True}
        path.write_text(json.dumps(document))
    scene.run(video)
    assert {row["state"] for row in scene.rows(video) if row["keypoint"] == "left_ear"} == {"lost"}
    assert review(video) == []
    assert scene.run(video).pipeline.results.reused == FRAMES
    assert review(video) == [], "nor after a run that takes over all results"


def test_a_frame_that_a_person_corrected_in_part_is_not_listed_again(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", FRAMES)
    scene.label(tmp_path / "v", "v", 0)
    scene.label(tmp_path / "v", "v", 20, moved=9.0)
    scene.run(video)
    worst = int(review(video)[0]["frame"])
    shape = scene.shape("nose", [list(scene.truth(worst)["nose"])], "point", instance_label="mouse")
    (tmp_path / "v" / f"v_{worst:09d}.json").write_text(json.dumps(scene.document([shape])))
    scene.run(video)
    assert worst not in {int(row["frame"]) for row in review(video)}


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"low_score": 0.4, "disagreement": 0.05}, "low score"),
        ({"low_score": 0.2, "limbs": 0.3}, "unusual distances between neighbouring points; low score"),
        ({"swaps": 0.5}, "left and right were exchanged"),
        ({"label_doubt": 5.0, "low_score": 0.3}, "the labels contradict another labelled frame"),
    ],
)
def test_reasons_are_words_the_largest_first(parts: dict[str, float], why: str) -> None:
    none = dict.fromkeys(("low_score", "disagreement", "limbs", "swaps"), 0.0)
    assert FrameUncertainty(3, **{**none, **parts}, keypoints=("nose",)).why == why


def test_a_frame_without_an_uncertain_point_is_not_listed() -> None:
    calm = FrameUncertainty(3, 0.1, 0.1, 0.0, 0.0, ())
    uncertain = FrameUncertainty(9, 0.1, 0.0, 0.0, 0.0, ("tail",))
    assert ranked({3: calm, 9: uncertain}) == [uncertain]
