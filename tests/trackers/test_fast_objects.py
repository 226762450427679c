"""Objects that move more than their own size from frame to frame."""

from __future__ import annotations

import numpy as np
import pytest
from tracking_scene import boxes, feed, ids, tracker

from mot_dinov3.core.structures import Detections


def car(x: float, y: float = 100.0, size: float = 1.0) -> list[float]:
    return [x, y, x + 40 * size, y + 20 * size]


@pytest.mark.parametrize("step", [30, 40, 50, 80])
@pytest.mark.parametrize("fps", [25.0, 5.0])
def test_a_fast_object_is_one_identity_from_its_first_box(step: int, fps: float) -> None:
    subject = tracker(fps=fps, size=(4000, 480))
    answers, revisions = feed(subject, [boxes(car(step * t)) for t in range(20)], fps=fps)
    assert ids(answers)[3:] == [[1]] * 17
    assert [revision.frame_index for revision in revisions[3]] == [0, 1, 2]


def test_two_that_pass_each_other_far_apart_are_two() -> None:
    scene = [boxes(car(50 * t), car(1000 - 50 * t, y=300)) for t in range(20)]
    answers, _ = feed(tracker(size=(1100, 480)), scene)
    assert ids(answers)[-1] == [1, 2]


def test_it_can_be_switched_off() -> None:
    answers, _ = feed(tracker(size=(4000, 480), fast_objects=False), [boxes(car(60 * t)) for t in range(20)])
    assert ids(answers)[-1] == [-1]


def test_nothing_is_guessed_where_two_compete() -> None:
    """Each box has two in its reach in the frame before."""
    scene = [boxes(car(60 * t), car(60 * t + 100)) for t in range(12)]
    answers, _ = feed(tracker(size=(4000, 480)), scene)
    assert {found for answer in ids(answers) for found in answer} == {-1}


@pytest.mark.parametrize("other", [car(170, size=1.6), car(100, y=300)])
def test_another_size_and_a_box_out_of_reach_are_no_match(other: list[float]) -> None:
    scene = [boxes(car(100)) if t % 2 else boxes(other) for t in range(12)]
    answers, _ = feed(tracker(tentative_frames=0, tentative_seconds=0.01), scene)
    assert {found for answer in ids(answers) for found in answer} == {-1}


def test_appearance_that_differs_is_no_match() -> None:
    """The video first shows two people whose appearance is known to differ."""
    first, second, third, fourth = np.eye(8, dtype=np.float32)[:4]

    def seen(rows: list[list[float]], *vectors: np.ndarray) -> Detections:
        return boxes(*rows, embedding=np.stack(vectors), fresh=np.ones(len(rows), np.bool_))

    calm = [seen([car(100, 400), car(400, 400)], first, second) for _ in range(40)]
    fast = [
        seen([car(100, 400), car(400, 400), car(60 * t, 40)], first, second, third if t % 2 else fourth)
        for t in range(10)
    ]
    answers, _ = feed(tracker(), calm + fast)
    assert {answer[2] for answer in ids(answers)[40:]} == {-1}
