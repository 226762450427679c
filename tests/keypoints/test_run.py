"""Whole runs over a small video whose truth is known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from keypoints import scene
from mot_dinov3.core.errors import FormatError, InputError, OutputError
from mot_dinov3.keypoints.job.loop import Gap, plan_gaps

FRAMES = 24


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return scene.write_video(tmp_path / "v.mp4", FRAMES)


def contents(video: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((video.parent / "v").iterdir())}


def test_gaps_lie_between_the_labelled_frames() -> None:
    assert plan_gaps([5, 9], 0, 20) == [Gap(None, 5, 0, 5), Gap(5, 9, 5, 9), Gap(9, None, 9, 20)]
    assert plan_gaps([5], 7, None) == [Gap(5, None, 7, None)]
    assert plan_gaps([5, 9], 0, 5) == [Gap(None, 5, 0, 5)]


@pytest.mark.parametrize("labelled", [[0], [12], [FRAMES - 1], [4, 18]], ids=str)
def test_points_are_followed_forward_backward_and_between(video: Path, labelled: list[int]) -> None:
    for frame in labelled:
        scene.label(video.parent / "v", "v", frame)
    scene.run(video)
    found = scene.rows(video)
    assert [int(r["frame"]) for r in found] == [f for f in range(FRAMES) for _ in scene.POINTS]
    assert scene.errors(video).max() < 1.5
    assert {r["source"] for r in found if int(r["frame"]) in labelled} == {"human"}
    assert {r["source"] for r in found if int(r["frame"]) not in labelled} == {"tracked"}
    assert len(list((video.parent / "v").glob("v_0*.json"))) == FRAMES


def test_a_second_run_on_the_same_video_is_refused(video: Path) -> None:
    scene.label(video.parent / "v", "v", 3)
    first = scene.build(video)
    with pytest.raises(OutputError, match=r"another run is writing '.*v_keypoints\.csv': process"):
        scene.build(video)
    first.run()
    assert not list((video.parent / "v").glob(".*"))
    scene.run(video)


def test_a_video_replaced_under_its_name_is_another_one(video: Path) -> None:
    scene.label(video.parent / "v", "v", 3)
    scene.run(video)
    content = video.read_bytes()
    video.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of the same size, and it plays
    assert scene.run(video).pipeline.results.reused == 0
    video.write_bytes(content)
    assert scene.run(video).pipeline.results.reused == 0
    assert scene.run(video).pipeline.results.reused == FRAMES


def test_a_person_s_file_stays_as_it_is_and_two_runs_are_identical(video: Path) -> None:
    path = scene.label(video.parent / "v", "v", 3)
    before = path.read_bytes()
    scene.run(video)
    first = contents(video)
    assert path.read_bytes() == before
    again = scene.build(video)
    again.run()
    assert contents(video) == first
    assert again.backend.calls == 0  # all of it was there
    for name in first:
        if name != path.name:
            (video.parent / "v" / name).unlink()
    scene.run(video)
    assert contents(video) == first


def test_a_correction_wins_and_reruns_only_the_gaps_it_touches(video: Path) -> None:
    for frame in (0, 8, 16):
        scene.label(video.parent / "v", "v", frame)
    scene.run(video)
    before = contents(video)
    corrected = video.parent / "v" / "v_000000004.json"
    document = json.loads(corrected.read_text())
    nose = next(s for s in document["shapes"] if s["label"] == "nose")
    nose["points"][0][0] += 9.0
    corrected.write_text(json.dumps(document))
    run = scene.build(video)
    run.run()
    after = contents(video)
    changed = {n for n in after if n.startswith("v_0") and after[n] != before.get(n)}
    assert changed <= {f"v_{f:09d}.json" for f in range(1, 8)}
    assert "v_000000003.json" in changed
    found = {(r["frame"], r["keypoint"]): r for r in scene.rows(video)}
    assert float(found["4", "nose"]["x"]) == pytest.approx(nose["points"][0][0], abs=0.01)
    assert found["4", "nose"]["source"] == "human"
    assert run.pipeline.results.reused == FRAMES - 8


def test_an_interrupted_run_leaves_what_is_done_and_goes_on_there(video: Path) -> None:
    scene.label(video.parent / "v", "v", 0)
    looked: list[int] = []

    def stop_after_ten() -> bool:
        looked.append(1)
        return len(looked) == 10

    scene.build(video).run(stop_after_ten)
    assert {int(r["frame"]) for r in scene.rows(video)} == set(range(11))
    ticks: list[int] = []
    again = scene.build(video)
    again.run(lambda: bool(ticks.append(1)))
    assert len(ticks) == FRAMES - 11
    assert {int(r["frame"]) for r in scene.rows(video)} == set(range(FRAMES))
    assert scene.errors(video).max() < 1.5


def test_skipped_frames_are_interpolated(video: Path) -> None:
    scene.label(video.parent / "v", "v", 0)
    scene.run(video, step=4)
    by_frame = {int(r["frame"]): r["source"] for r in scene.rows(video)}
    assert [by_frame[f] for f in range(9)] == [
        "human",
        *["interpolated"] * 3,
        "tracked",
        *["interpolated"] * 3,
        "tracked",
    ]
    assert by_frame.keys() == set(range(FRAMES))
    assert scene.errors(video).max() < 4


def test_no_frame_outside_of_the_range_is_written(video: Path) -> None:
    for frame in (0, 20):
        scene.label(video.parent / "v", "v", frame)
    scene.run(video, step=3, start_frame=5, end_frame=16)
    assert {int(r["frame"]) for r in scene.rows(video)} == set(range(5, 16))
    again = scene.run(video, step=3, start_frame=5, end_frame=16)
    assert (again.backend.calls, again.pipeline.results.reused) == (0, 11)


def test_all_the_other_files(video: Path) -> None:
    scene.label(video.parent / "v", "v", 0)
    run = scene.build(video, dlc_csv=True, annolid_csv=True, output=str(video.parent / "drawn.mp4"))
    run.run()
    folder = video.parent
    assert len((folder / "v" / "v_dlc.csv").read_text().splitlines()) == 3 + FRAMES
    tracking = list(csv.DictReader((folder / "v_tracking.csv").open(newline="")))
    assert {r["instance_name"] for r in tracking} == {"mouse", *(f"mouse:{n}" for n in scene.POINTS)}
    assert len(tracking) == FRAMES * 5
    assert (folder / "v" / "v_review.csv").read_text().startswith("rank,frame,urgency")
    assert (folder / "drawn.mp4").stat().st_size > 1000
    assert any(line.startswith("backend     gradient") for line in run.summary())
    (written,) = (line.removeprefix("files       ").split(", ") for line in run.summary() if line.startswith("files"))
    assert [Path(name).name for name in written] == [
        "drawn.mp4",
        "v_keypoints.csv",
        "v_review.csv",
        "v_dlc.csv",
        "v_tracking.csv",
        "v_*.json",
    ]


def test_bad_input_is_named(video: Path) -> None:
    with pytest.raises(InputError, match="result folder"):
        scene.build(video)
    folder = video.parent / "v"
    folder.mkdir()
    with pytest.raises(InputError, match="no labels"):
        scene.build(video)
    scene.label(folder, "v", FRAMES + 5)
    with pytest.raises(InputError, match=rf"v_0000000{FRAMES + 5}.json.*{FRAMES} frames"):
        scene.build(video)
    (folder / "v_000000000.json").write_text(json.dumps(scene.document([], (64, 64))))
    with pytest.raises(FormatError, match=r"64×64.*192×128"):
        scene.build(video)
