"""Runs that stop inside a gap, skipped frames, outlines that come from another labelled frame."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keypoints import scene
from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Image, ModelInfo
from mot_dinov3.keypoints.backends.base import DenseBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.descriptor_maps import DenseMap
from mot_dinov3.keypoints.instance import InstanceTracker
from mot_dinov3.keypoints.job import passes
from mot_dinov3.keypoints.job.files import SAVE_EVERY
from mot_dinov3.keypoints.job.loop import Gap
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.partial_labels import complete_outlines
from mot_dinov3.keypoints.point_flow import FlowFrame
from mot_dinov3.keypoints.tracker import PointTracker
from mot_dinov3.video import media

FRAMES = 24


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return scene.write_video(tmp_path / "v.mp4", FRAMES)


def stop_after(many: int) -> Callable[[], bool]:
    looked: list[int] = []

    def tick() -> bool:
        looked.append(1)
        return len(looked) == many

    return tick


@pytest.mark.parametrize(
    ("labelled", "stop", "left"),
    [([0, 20], 8, 20 - 8 + 19 + 3), ([0, 20], 28, 19 - 8 + 3), ([20], 12, 20 - 12 + 3)],
    ids=["forward", "backward", "before the first label"],
)
def test_a_run_that_stopped_inside_a_gap_goes_on_there(video: Path, labelled: list[int], stop: int, left: int) -> None:
    for frame in labelled:
        scene.label(video.parent / "v", "v", frame)
    scene.build(video).run(stop_after(stop))
    assert (video.parent / "v" / "v_keypoints.passes.jsonl").is_file()
    ticks: list[int] = []
    scene.build(video).run(lambda: bool(ticks.append(1)))
    assert len(ticks) == left  # looked at: the rest of the gap, and the frames behind the last label
    assert {int(r["frame"]) for r in scene.rows(video)} == set(range(FRAMES))
    assert scene.errors(video).max() < 1.5
    assert not (video.parent / "v" / "v_keypoints.passes.jsonl").exists()


def test_a_run_that_was_killed_inside_a_gap_goes_on_from_its_last_save(tmp_path: Path) -> None:
    """What is in the files in the middle of a run is all that a killed one leaves."""
    frames, killed_at = 44, 40
    video = scene.write_video(tmp_path / "v.mp4", frames // 2, each=2)
    folder, left = tmp_path / "v", tmp_path / "left"
    scene.label(folder, "v", 0)
    ticks: list[int] = []

    def tick() -> bool:
        ticks.append(1)
        if len(ticks) == killed_at:
            # A file that is being written on the background thread may get its name, or lose its lock, meanwhile.
            shutil.copytree(folder, left, ignore=shutil.ignore_patterns("*.part.*", "*.lock"))
        return False

    scene.build(video).run(tick)
    assert len(ticks) == frames - 1
    shutil.rmtree(folder)
    left.rename(folder)
    ticks.clear()
    scene.build(video).run(lambda: bool(ticks.append(1)))
    assert len(ticks) < frames - SAVE_EVERY
    assert {int(r["frame"]) for r in scene.rows(video)} == set(range(frames))
    assert scene.errors(video, each=2).max() < 1.5


def test_a_damaged_note_of_an_unfinished_gap_is_no_trouble(video: Path) -> None:
    for frame in (0, 20):
        scene.label(video.parent / "v", "v", frame)
    scene.build(video).run(stop_after(8))
    notes = video.parent / "v" / "v_keypoints.passes.jsonl"
    notes.write_bytes(notes.read_bytes()[:-40])
    scene.run(video)
    assert scene.errors(video).max() < 1.5
    assert len(scene.rows(video)) == FRAMES * len(scene.POINTS)


def test_the_pictures_to_look_at_are_known_beforehand(video: Path) -> None:
    for frame in (4, 20):
        scene.label(video.parent / "v", "v", frame)
    ticks: list[int] = []
    run = scene.build(video)
    run.run(lambda: bool(ticks.append(1)))
    assert run.frame_visits - len(ticks) in (0, 1)
    assert Gap(4, None, 4, None).frame_visits() == 0


def test_annolid_s_table_has_the_skipped_frames_too(video: Path) -> None:
    scene.label(video.parent / "v", "v", 0)
    scene.run(video, step=3, annolid_csv=True)
    with (video.parent / "v_tracking.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == FRAMES * (len(scene.POINTS) + 1)
    noses = {int(r["frame_number"]): float(r["cx"]) for r in found if r["instance_name"] == "mouse:nose"}
    assert all(abs(noses[f] - scene.truth(f)["nose"][0]) < 3 for f in range(FRAMES))
    masks = [r for r in found if r["instance_name"] == "mouse"]
    assert all(r["segmentation"] and 0 < float(r["class_score"]) <= 1 for r in masks)


def test_a_labelled_frame_without_an_outline_takes_that_of_another_one_along() -> None:
    square = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    points = np.array([[2.0, 2.0], [8.0, 2.0], [5.0, 8.0]])
    drawn = LabelledInstance("mouse", 1, ("a", "b", "c"), points, (square,))
    turned = np.stack([100 - points[:, 1], 50 + points[:, 0]], 1)  # a quarter turn
    later = LabelledInstance("mouse", 1, ("a", "b", "c"), turned)
    found = complete_outlines({3: (drawn,), 9: (later,)})
    assert found[3] == (drawn,)
    np.testing.assert_allclose(found[9][0].polygons[0], np.stack([100 - square[:, 1], 50 + square[:, 0]], 1), atol=1e-6)
    alone = LabelledInstance("rat", 2, ("a",), points[:1])
    assert complete_outlines({3: (alone,)})[3][0].polygons == ()


class Brightness(DenseBackend):
    """Describes each cell by whether it is bright."""

    patch = unit_patch = 8.0
    unrelated, same, key_every = 0.2, 0.7, 1
    info = ModelInfo("brightness")

    @override
    def describe(self, image: Image) -> DenseMap:
        height, width = image.shape[0] // 8, image.shape[1] // 8
        bright = image[: height * 8, : width * 8].reshape(height, 8, width, 24).mean((1, 3)) > 128
        return DenseMap(np.stack([bright, ~bright], 2).astype(np.float32), 8.0)


@pytest.mark.parametrize("patience", [0, 3])
def test_the_last_mask_is_reused_for_as_many_frames_as_are_set(patience: int) -> None:
    rng = np.random.default_rng(0)

    def picture(index: int, *, there: bool) -> FlowFrame:
        image = rng.integers(40, 60, (160, 160, 3)).astype(np.uint8)
        if there:
            image[48:112, 48:112] = rng.integers(190, 210, (64, 64, 3))
        return FlowFrame.of(index, image)

    square = np.array([[48.0, 48.0], [111.0, 48.0], [111.0, 111.0], [48.0, 111.0]])
    body = LabelledInstance("box", 1, ("a", "b"), np.array([[60.0, 60.0], [100.0, 90.0]]), (square,))
    config = KeypointConfig(masks="dino", max_mask_fallback_frames=patience)
    start = picture(0, there=True)
    tracker = PointTracker([InstanceTracker(config, Brightness(), start, body)], start, key_every=1)
    kept = [bool(tracker.step(picture(1, there=True))[0].polygons)]
    kept += [bool(tracker.step(picture(i, there=False))[0].polygons) for i in range(2, 10)]
    assert kept == [True] * (1 + patience) + [False] * (8 - patience)


@pytest.mark.slow
def test_reading_backward_takes_linear_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each, last = 8, 20 * 8 + 7
    video = scene.write_video(tmp_path / "v.mp4", 21, each=each)  # a key frame every 20 frames
    scene.label(tmp_path / "v", "v", 20).rename(tmp_path / "v" / f"v_{last:09d}.json")
    monkeypatch.setattr(passes, "CHUNK_BYTES", 20 * 3 * scene.SIZE[0] * scene.SIZE[1])
    decoded: list[int] = []
    real = media.decode_video

    def counting(*args: Any) -> Iterator[Any]:
        for frame in real(*args):
            decoded.append(1)
            yield frame

    monkeypatch.setattr(media, "decode_video", counting)
    scene.run(video, step=8)
    assert scene.errors(video, each=each).max() < 4
    assert len(decoded) < 2.5 * (last + 1)  # reading each chunk from the start would take 5 times the frames
