"""What is done to recordings to make them harder is what it says."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mot_dinov3.apps.evaluation import BoxTable
from mot_dinov3.core import boxes
from mot_dinov3.core.structures import Detections


@pytest.fixture(scope="module")
def recordings(repo: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo / "benchmarks"))
        yield importlib.import_module("recordings")


def walker(recordings: ModuleType, frames: int):
    """Somebody who walks to the right by 2 px a frame through a 768 × 576 picture."""
    left = 300.0 + 2 * np.arange(frames)
    xywh = np.stack([left, np.full(frames, 250.0), np.full(frames, 30.0), np.full(frames, 80.0)], axis=1)
    truth = BoxTable(np.arange(frames), np.ones(frames, np.int64), xywh, np.ones(frames, np.bool_))
    rows = [Detections(boxes.from_xywh(box[None].astype(np.float32)), score=[0.8]) for box in xywh]
    return recordings.Recording("walk", 10.0, (768, 576), rows, truth)


def test_a_doubled_box_is_near_the_first_and_less_sure(recordings: ModuleType):
    rows = recordings.doubled(walker(recordings, 200), 0.25, seed=3).frames
    twice = [r for r in rows if len(r) == 2]
    assert 30 < len(twice) < 70
    assert all(len(r) in (1, 2) for r in rows)
    assert min(float(boxes.iou(r.xyxy[:1], r.xyxy[1:])[0, 0]) for r in twice) > 0.5
    np.testing.assert_allclose([r.score[1] for r in twice], 0.76, atol=1e-6)


def test_every_other_frame_keeps_truth_and_boxes_together(recordings: ModuleType):
    half = recordings.thinned(walker(recordings, 9), 2)
    assert half.fps == 5.0
    assert half.truth.frame.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(half.truth.xywh[:, 0], [r.xyxy[0, 0] for r in half.frames])
    assert half.truth.xywh[1, 0] == 304.0


def test_a_panning_camera_sees_truth_and_boxes_move_alike(recordings: ModuleType):
    still = walker(recordings, 60)
    moving = recordings.panned(still, Path("video.avi"))
    assert moving.size == (512, 384)
    assert np.ptp(moving.pictures.corner, axis=0).min() > 50
    for index, rows in enumerate(moving.frames):
        truth = moving.truth.xywh[moving.truth.frame == index]
        assert len(rows) == len(truth)
        np.testing.assert_allclose(boxes.to_xywh(rows.xyxy), truth)
        assert rows.xyxy.min(initial=0) >= 0
    first = moving.frames[0].xyxy[0, :2] + moving.pictures.corner[0]
    np.testing.assert_allclose(first, [300, 250])


def test_a_panning_camera_loses_what_leaves_the_window(recordings: ModuleType):
    walk = walker(recordings, 230)  # ends at x = 758, which no window but the rightmost sees
    moving = recordings.panned(walk, Path("video.avi"))
    assert 0 < len(moving.truth) < len(walk.truth)
    assert sum(map(len, moving.frames)) == len(moving.truth)
