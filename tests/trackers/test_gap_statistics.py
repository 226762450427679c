from __future__ import annotations

import numpy as np
import pytest
from tracking_scene import boxes, feed, ids, person, tracker

from mot_dinov3.core.structures import Detections, TrackState
from mot_dinov3.trackers.lifecycle import GapStatistics


def flicker(frames: int, every: int, people: int = 4) -> list[Detections]:
    """People standing; each is missed once in `every` frames, at different times."""
    return [
        boxes(*(person(100.0 + 120 * i) for i in range(people) if (t + i * 3) % every or t < 5)) for t in range(frames)
    ]


def coasted(answers: list[Detections]) -> list[int]:
    return [int(a.coasted.sum()) for a in answers]


def test_on_by_default_and_can_be_switched_off() -> None:
    assert sum(coasted(feed(tracker(), flicker(100, 10))[0])) > 0
    assert sum(coasted(feed(tracker(coast=False), flicker(100, 10))[0])) == 0


def test_starts_once_the_record_shows_that_gaps_close() -> None:
    answers, _ = feed(tracker(coast=True), flicker(200, 10))
    counts = coasted(answers)
    assert sum(counts[:25]) == 0
    assert sum(counts[150:]) == 4 * 5  # every miss of the last fifty frames is bridged


def test_coasted_rows_follow_the_input_and_are_marked() -> None:
    answers, _ = feed(tracker(coast=True, coast_trust=0.0), [boxes(person(100 + 3.0 * t)) for t in range(10)])
    subject = tracker(coast=True, coast_trust=0.0)
    feed(subject, [boxes(person(100 + 3.0 * t), person(400)) for t in range(10)])
    answers, _ = feed(subject, [boxes(person(400), [0, 0, 5, 5], score=np.array([0.9, 0.2]))], start=10)
    answer = answers[0]
    assert answer.track_id.tolist() == [2, -1, 1]
    assert answer.coasted.tolist() == [False, False, True]
    assert answer.state[2] == TrackState.LOST
    assert answer.track_xyxy is not None
    assert answer.track_xyxy[2, [0, 2]].mean() == pytest.approx(130, abs=2)


def test_only_for_a_moment() -> None:
    subject = tracker(coast=True, coast_trust=0.0, coast_seconds=0.1)
    feed(subject, [boxes(person(100))] * 10)
    answers, _ = feed(subject, [Detections.empty()] * 10, start=10)
    assert ids(answers) == [[1]] * 3 + [[]] * 7


def test_not_beyond_the_edge() -> None:
    subject = tracker(coast=True, coast_trust=0.0)
    feed(subject, [boxes(person(560 + 8.0 * t)) for t in range(11)])
    answers, _ = feed(subject, [Detections.empty()] * 2, start=11)
    assert ids(answers) == [[], []]


def test_not_where_people_who_vanish_stay_away() -> None:
    scene = []
    for start in range(12):
        scene += [boxes(person(60.0 + 45 * start))] * 8 + [Detections.empty()] * 8
    answers, _ = feed(tracker(coast=True, lost_seconds=0.2), scene)
    assert sum(coasted(answers)) == 0


def test_record_counts_gaps_by_hand() -> None:
    record = GapStatistics(0.1)
    dt = 0.05
    assert record.trust == 0.0
    # Seen without a break (waited one step): no gap.
    record.observe(np.array([0.05]), dt, np.array([True]))
    assert record.trust == 0.0
    # Back after one missed frame: closed. Missing for the third frame, 0.15 s after the last box: too late.
    record.observe(np.array([0.10]), dt, np.array([True]))
    one = record.trust
    record.observe(np.array([0.20]), dt, np.array([False]))
    assert 0 < record.trust < one
