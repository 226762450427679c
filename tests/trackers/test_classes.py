from __future__ import annotations

import numpy as np
import pytest
from tracking_scene import boxes, feed, ids, person, tracker

from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.structures import Detections
from mot_dinov3.trackers.config import TrackerConfig


def flickering(frames: int) -> list[Detections]:
    """One object whose class the detector mistakes every fourth frame."""
    return [boxes(person(100), class_id=np.array([7 if t % 4 == 3 else 2])) for t in range(frames)]


def test_agnostic_keeps_the_identity_and_the_rows_class() -> None:
    answers, _ = feed(tracker(), flickering(12))
    assert ids(answers)[3:] == [[1]] * 9
    assert [int(a.class_id[0]) for a in answers[:4]] == [2, 2, 2, 7]


def test_vote_keeps_the_identity_and_says_the_majority() -> None:
    answers, _ = feed(tracker(class_mode="vote"), flickering(12))
    assert ids(answers)[3:] == [[1]] * 9
    assert {int(a.class_id[0]) for a in answers} == {2}


def test_vote_gives_in_to_a_lasting_change() -> None:
    scene = [boxes(person(100), class_id=np.array([2 if t < 30 else 5])) for t in range(90)]
    answers, _ = feed(tracker(class_mode="vote"), scene)
    assert int(answers[31].class_id[0]) == 2
    assert int(answers[-1].class_id[0]) == 5


def test_per_class_never_matches_across_classes() -> None:
    scene = [boxes(person(100), person(110), class_id=np.array([0, 1])) for _ in range(6)]
    swapped = [frame[[1, 0]] for frame in scene]
    answers, _ = feed(tracker(class_mode="per-class"), [*scene, *swapped])
    assert ids(answers)[5] == [1, 2]
    assert ids(answers)[-1] == [2, 1]
    changed = [boxes(person(100), class_id=np.array([t // 5])) for t in range(10)]
    assert ids(feed(tracker(class_mode="per-class"), changed)[0])[-1] == [2]


@pytest.mark.parametrize(("mode", "found"), [("agnostic", [1, -1]), ("vote", [1, -1]), ("per-class", [1, 2])])
def test_a_second_box_of_another_class_starts_a_track_only_per_class(mode: str, found: list[int]) -> None:
    alone, doubled = boxes(person(100), class_id=[0]), boxes(person(100), person(102), class_id=[0, 1])
    answers, _ = feed(tracker(class_mode=mode), [*[alone] * 5, *[doubled] * 6])
    assert ids(answers)[-1] == found


def test_unknown_classes_are_one_class() -> None:
    answers, _ = feed(tracker(class_mode="vote"), [boxes(person(100))] * 4)
    assert ids(answers)[-1] == [1]
    assert int(answers[-1].class_id[0]) == -1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("class_mode", "sometimes"),
        ("high_score", 1.5),
        ("low_score", 0.7),
        ("confirm_hits", 0),
        ("lost_seconds", -1.0),
        ("box_noise", 0.0),
    ],
)
def test_config_refuses_nonsense_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        TrackerConfig(**{name: value})
