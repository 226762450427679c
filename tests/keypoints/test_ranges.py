"""Ranges of frames, runs that were interrupted, and the memory of a pass backward."""

from __future__ import annotations

import csv
import gc
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from keypoints import scene
from mot_dinov3.core.errors import VideoError
from mot_dinov3.keypoints.job import passes
from mot_dinov3.keypoints.job.journal import PassFrame

pytestmark = pytest.mark.slow
FRAMES = 24


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return scene.write_video(tmp_path / "v.mp4", FRAMES)


def stop_after(many: int) -> Callable[[], bool]:
    ticks = itertools.count(1)
    return lambda: next(ticks) >= many


def contents(video: Path) -> dict[str, bytes]:
    found = {p.name: p.read_bytes() for p in (video.parent / "v").iterdir()}
    return found | {p.name: p.read_bytes() for p in video.parent.glob("*.csv")}


def test_a_range_beyond_the_end_is_refused_and_touches_nothing(video: Path) -> None:
    scene.label(video.parent / "v", "v", 0)
    scene.run(video)
    before = contents(video)
    for start in (FRAMES, FRAMES + 50):
        with pytest.raises(VideoError, match=f"{FRAMES} frames"):
            scene.build(video, start_frame=start)
    assert contents(video) == before


@pytest.mark.parametrize("labelled", [(0,), (8, 16)], ids=str)
def test_a_range_keeps_all_other_rows(video: Path, labelled: tuple[int, ...]) -> None:
    for frame in labelled:
        scene.label(video.parent / "v", "v", frame)
    scene.run(video, annolid_csv=True, dlc_csv=True)
    for first, stop in ((0, 5), (6, 12), (10, 20), (20, None), (9, 10)):
        before = contents(video)
        run = scene.run(video, annolid_csv=True, dlc_csv=True, start_frame=first, end_frame=stop)
        assert run.pipeline.results.reused == (stop or FRAMES) - first
        after = contents(video)
        assert {name for name in before if before[name] != after[name]} <= {"v_keypoints.state.json"}, (first, stop)
        assert scene.run(video).pipeline.results.reused == FRAMES  # the next whole run has nothing to do


@pytest.mark.parametrize(("first", "stop"), [(0, 12), (10, 20), (0, FRAMES + 9)])
def test_a_whole_run_after_a_range_has_all_frames_of_a_video_of_unknown_length(
    tmp_path: Path, first: int, stop: int
) -> None:
    video = scene.write_images(tmp_path / "v.mkv", map(scene.picture, range(FRAMES)))
    scene.label(tmp_path / "v", "v", 4)
    built = scene.build(video, start_frame=first, end_frame=stop)
    assert not built.info.frame_count
    built.run()
    assert scene.run(video).pipeline.results.frames == FRAMES
    assert sorted({int(row["frame"]) for row in scene.rows(video)}) == list(range(FRAMES))
    assert scene.run(video).pipeline.results.reused == FRAMES
    assert scene.run(video, start_frame=20, end_frame=FRAMES + 9).pipeline.results.reused == FRAMES - 20


def test_a_frame_file_that_was_deleted_is_written_again(video: Path) -> None:
    for frame in (0, 8, 16):
        scene.label(video.parent / "v", "v", frame)
    scene.run(video)
    before = contents(video)
    (video.parent / "v" / "v_000000010.json").unlink()
    assert scene.run(video).pipeline.results.reused == FRAMES - 8
    assert contents(video) == before


def test_no_stage_takes_less_than_no_time(video: Path) -> None:
    for frame in (0, 2, 4):  # all work is the beginning of passes
        scene.label(video.parent / "v", "v", frame)
    line = next(line for line in scene.run(video, end_frame=4).summary() if "ms/frame" in line)
    assert "track " in line
    assert "-" not in line


def test_a_range_after_a_new_label_solves_only_that_range(video: Path) -> None:
    scene.label(video.parent / "v", "v", 0)
    scene.run(video)
    scene.label(video.parent / "v", "v", 8, moved=5.0)
    scene.run(video, start_frame=8, end_frame=16)
    sources = {int(r["frame"]): r["source"] for r in scene.rows(video)}
    assert sorted(sources) == list(range(FRAMES))
    assert sources[8] == "human"
    scene.run(video)
    whole = contents(video)
    (video.parent / "v" / "v_keypoints.state.json").unlink()
    scene.run(video)
    assert contents(video) == whole


@pytest.mark.parametrize(
    ("labelled", "stops", "step"),
    [
        ((0,), (7,), 1),
        ((0,), (3, 4, 5), 1),
        ((0,), (10,), 3),
        ((0, 20), (8,), 1),
        ((0, 20), (28,), 1),
        ((0, 20), (25,), 4),
        ((20,), (9, 3), 1),
    ],
    ids=str,
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, labelled: tuple[int, ...], stops: tuple[int, ...], step: int
) -> None:
    first = scene.write_video(tmp_path / "a" / "v.mp4", FRAMES)
    second = tmp_path / "b" / "v.mp4"
    second.parent.mkdir()
    shutil.copy(first, second)
    for video, frame in itertools.product((first, second), labelled):
        scene.label(video.parent / "v", "v", frame, moved=1.0 if frame else 0.0)
    scene.run(first, annolid_csv=True, dlc_csv=True, step=step)
    for many in stops:
        scene.build(second, annolid_csv=True, dlc_csv=True, step=step).run(stop_after(many))
    again = scene.run(second, annolid_csv=True, dlc_csv=True, step=step)
    assert not again.pipeline.interrupted
    assert contents(second) == contents(first)


def test_a_resumed_run_equals_an_uninterrupted_one_after_a_correction(tmp_path: Path) -> None:
    first = scene.write_video(tmp_path / "a" / "v.mp4", FRAMES)
    second = tmp_path / "b" / "v.mp4"
    second.parent.mkdir()
    shutil.copy(first, second)
    for video in (first, second):
        folder = video.parent / "v"
        scene.label(folder, "v", 0)
        nose = scene.shape("nose", [list(scene.truth(8)["nose"])], "point", instance_label="mouse")
        (folder / "v_000000008.json").write_text(scene.json.dumps(scene.document([nose])))
    scene.run(first)
    for many in (5, 4, 6):
        scene.build(second).run(stop_after(many))
    scene.run(second)
    assert {k: v for k, v in contents(second).items() if not k.endswith(".tracker")} == {
        k: v for k, v in contents(first).items() if not k.endswith(".tracker")
    }


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
def test_a_snapshot_that_cannot_be_used_costs_time_only(tmp_path: Path, video: Path, damage: str) -> None:
    scene.label(video.parent / "v", "v", 0)
    scene.build(video).run(stop_after(9))
    snapshot = video.parent / "v" / ".v_keypoints.tracker"
    content = snapshot.read_bytes()
    if damage == "gone":
        snapshot.unlink()
    else:
        snapshot.write_bytes(content[:-2000] if damage == "cut" else b"1.0 other\n" + content.partition(b"\n")[2])
    scene.run(video)
    assert scene.errors(video).max() < 1.5
    assert not snapshot.exists()


@pytest.mark.parametrize("labelled", [(FRAMES - 1,), (0, FRAMES - 1)], ids=str)
def test_the_memory_of_a_pass_backward_does_not_grow_with_its_length(
    video: Path, monkeypatch: pytest.MonkeyPatch, labelled: tuple[int, ...]
) -> None:
    for frame in labelled:
        scene.label(video.parent / "v", "v", frame)
    monkeypatch.setattr(passes, "CHUNK_BYTES", 8 * 3 * scene.SIZE[0] * scene.SIZE[1])
    held: list[int] = []
    ticks = itertools.count(1)

    def tick() -> bool:
        if next(ticks) in (FRAMES - 3, 2 * FRAMES - 6):  # near the end of a pass
            held.append(sum(type(found) is PassFrame for found in gc.get_objects()))
        return False

    run = scene.build(video)
    run.run(tick)
    assert held
    assert max(held) <= 3
    assert scene.errors(video).max() < 1.5


@pytest.mark.parametrize("known", [True, False], ids=["after a whole run", "at first"])
def test_points_that_a_correction_left_out_are_carried_into_a_later_range(video: Path, known: bool) -> None:
    folder = video.parent / "v"
    scene.label(folder, "v", 0)
    for frame in (6, 12):
        nose = scene.shape("nose", [list(scene.truth(frame)["nose"])], "point", instance_label="mouse")
        (folder / f"v_{frame:09d}.json").write_text(scene.json.dumps(scene.document([nose])))
    if known:
        scene.run(video)
    scene.run(video, start_frame=15, end_frame=20)
    ranged = [r for r in scene.rows(video) if 15 <= int(r["frame"]) < 20]
    assert {r["state"] for r in ranged} == {"visible"}
    assert scene.errors(video).max() < 3
    scene.run(video)
    assert [r for r in scene.rows(video) if 15 <= int(r["frame"]) < 20] == ranged


def test_a_range_with_another_keypoint_keeps_the_rows_and_columns_of_the_others(video: Path) -> None:
    path = scene.label(video.parent / "v", "v", 0)
    scene.run(video)
    before = scene.rows(video)
    document = scene.json.loads(path.read_text())
    document["shapes"].insert(1, scene.shape("back", [list(scene.truth(0)["tail"])], "point"))
    path.write_text(scene.json.dumps(document))
    scene.run(video, start_frame=10, end_frame=14, dlc_csv=True)
    rows = scene.rows(video)
    assert [r for r in rows if not 10 <= int(r["frame"]) < 14] == [r for r in before if not 10 <= int(r["frame"]) < 14]
    with (video.parent / "v" / "v_dlc.csv").open(newline="") as file:
        table = list(csv.reader(file))
    for row in table[3:]:
        cells = {(part, coord): cell for part, coord, cell in zip(table[1], table[2], row)}
        expected = {r["keypoint"]: r["x"] for r in rows if r["frame"] == row[0]}
        assert {name: cells[name, "x"] for name in expected} == expected


def test_rows_of_a_killed_run_with_other_options_are_not_taken_for_one_s_own(tmp_path: Path, video: Path) -> None:
    folder, left = video.parent / "v", tmp_path / "left"
    scene.label(folder, "v", 0)
    scene.run(video)
    whole = contents(video)
    ticks = itertools.count(1)

    def tick() -> bool:
        if next(ticks) == 9:
            shutil.copytree(folder, left, ignore=shutil.ignore_patterns("*.part.*", "*.lock"))
        return False

    scene.build(video, masks="none", step=4).run(tick)
    shutil.rmtree(folder)
    left.rename(folder)
    scene.run(video)
    assert contents(video) == whole


def test_gaps_behind_an_interrupted_one_are_reused(video: Path) -> None:
    for frame in (0, 8, 16):
        scene.label(video.parent / "v", "v", frame)
    scene.run(video)
    scene.label(video.parent / "v", "v", 4, moved=2.0)
    scene.build(video).run(stop_after(2))
    again = scene.run(video)
    assert again.pipeline.results.reused >= FRAMES - 8
