"""`--new-score auto`: a detector that is less sure is tracked as well as others, background is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from tracking_scene import boxes, feed, ids, person, tracker

from mot_dinov3.core.structures import Detections
from mot_dinov3.trackers.score_level import ScoreLevel

SIZE = (640, 480)


def walkers(frames: int = 60, seed: int = 0) -> list[Detections]:
    """Four people, as sure boxes as usual."""
    rng = np.random.default_rng(seed)
    scene = []
    for t in range(frames):
        places = [person(100 + 2 * t, 150), person(500 - 2 * t, 300), person(60, 450), person(560 - t, 460)]
        score = np.clip(rng.normal(0.8, 0.1, 4), 0.3, 0.98).astype(np.float32)
        scene.append(boxes(*places, score=score))
    return scene


def background(frames: int, count: int, high: float, seed: int = 1) -> list[Detections]:
    """False boxes: anywhere, gone in the next frame."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 1, (frames, count, 2)) * (np.array(SIZE) - 100)
    score = rng.uniform(0.05, high, (frames, count)).astype(np.float32)
    return [boxes(*np.concatenate([c, c + np.array([40, 100])], axis=1), score=s) for c, s in zip(corner, score)]


def rescored(scene: list[Detections], change: Callable[[np.ndarray], np.ndarray]) -> list[Detections]:
    return [rows.replace(score=change(rows.score).astype(np.float32)) for rows in scene]


@pytest.mark.parametrize("change", [lambda s: 0.5 * s, lambda s: 0.1 + 0.35 * s, lambda s: 0.62 * s])
def test_a_less_sure_detector_is_tracked_as_well(change: Callable[[np.ndarray], np.ndarray]) -> None:
    answers, _ = feed(tracker(size=SIZE), rescored(walkers(), change))
    found = np.array(ids(answers)[10:])
    assert sorted(found[0].tolist()) == [1, 2, 3, 4]
    assert (found == found[0]).all()


def test_a_number_keeps_its_meaning() -> None:
    answers, _ = feed(tracker(size=SIZE, new_score=0.6), rescored(walkers(), lambda s: 0.5 * s))
    assert {found for answer in ids(answers) for found in answer} == {-1}


def test_scores_of_usual_detectors_change_nothing() -> None:
    fixed, _ = feed(tracker(size=SIZE, new_score=0.6), walkers())
    auto, _ = feed(tracker(size=SIZE), walkers())
    for one, other in zip(fixed, auto, strict=True):
        assert one.track_id.tolist() == other.track_id.tolist()
        assert one.score.tobytes() == other.score.tobytes()


def test_the_scores_that_are_given_are_those_of_the_detector() -> None:
    scene = rescored(walkers(), lambda s: 0.5 * s)
    scene[40] = scene[40][np.array([0, 1, 2])]  # the fourth is missed, and its predicted box shown
    answers, _ = feed(tracker(size=SIZE, coast_trust=0.0), scene)
    for rows, answer in zip(scene, answers):
        assert answer.score[: len(rows)].tobytes() == rows.score.tobytes()
    assert answers[40].coasted.any()
    assert answers[40].score.max() < 0.5


def test_false_boxes_alone_begin_no_track() -> None:
    answers, _ = feed(tracker(size=SIZE), background(200, count=6, high=0.45))
    assert {found for answer in ids(answers) for found in answer} <= {-1}


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_false_boxes_among_others_begin_no_track(share: float) -> None:
    """Two of six boxes are false, with the scores of a detector that is sure, or not."""
    scene = rescored(walkers(), lambda s: share * s)
    mixed = [Detections.concat([rows, false]) for rows, false in zip(scene, background(60, 2, high=0.5 * share))]
    answers, _ = feed(tracker(size=SIZE), mixed)
    assert {found for answer in ids(answers) for found in answer} == {-1, 1, 2, 3, 4}
    assert all(found == -1 for answer in ids(answers) for found in answer[4:6])


def test_a_detector_that_was_sure_once_stays_usual() -> None:
    level = ScoreLevel()
    for rows in [*walkers(), *rescored(walkers(500), lambda s: 0.3 * s)]:
        level.observe(rows.xyxy, rows.score.astype(np.float64))
    assert (level.factor, level.settled) == (1.0, True)


def test_objects_that_come_late_raise_the_level_again() -> None:
    level = ScoreLevel()
    factors = []
    for rows in [*rescored(walkers(300), lambda s: 0.4 * s), *walkers()]:
        level.observe(rows.xyxy, rows.score.astype(np.float64))
        factors.append(level.factor)
    assert factors[200] == 0.5
    assert factors[-1] == 1.0


def test_the_state_is_bounded_and_boxes_that_cannot_be_used_are_ignored() -> None:
    level = ScoreLevel()
    for rows in rescored(walkers(400), lambda s: 0.5 * s):
        score = rows.score.astype(np.float64)
        score[0] = -1.0
        level.observe(rows.xyxy, score)
    sizes = {name: np.size(value) for name, value in vars(level).items()}
    assert max(sizes.values()) == 100
    assert level._counts.sum() < 510
    level.observe(np.zeros((0, 4), np.float32), np.zeros(0))
    assert 0.5 < level.factor < 0.6


def test_what_is_worth_embedding_follows() -> None:
    subject = tracker(size=SIZE)
    assert subject.min_score == 0.5
    feed(subject, rescored(walkers(), lambda s: 0.5 * s))
    assert 0.25 <= subject.min_score < 0.28
    assert dataclasses.asdict(subject.config)["high_score"] == 0.5
