"""Input that real detectors and files deliver on bad days."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

import numpy as np
import pytest
from tracking_scene import boxes, feed, ids, person, tracker

from mot_dinov3.core.structures import Detections, Frame


def test_frames_without_detections() -> None:
    answers, _ = feed(tracker(), [Detections.empty()] * 5)
    assert [len(a) for a in answers] == [0] * 5


def test_one_and_five_hundred_detections() -> None:
    columns, rows = np.meshgrid(np.arange(25) * 60.0, np.arange(20) * 120.0)
    crowd = boxes(*(person(x + 40, y + 110) for x, y in zip(columns.ravel(), rows.ravel())))
    answers, _ = feed(tracker(size=(1600, 2500)), [crowd] * 4)
    assert ids(answers)[-1] == list(range(1, 501))
    assert ids(feed(tracker(), [boxes(person(100))] * 4)[0])[-1] == [1]


@pytest.mark.parametrize(
    "bad",
    [
        [np.nan, 0, 10, 10],
        [0, 0, np.inf, 10],
        [50, 50, 40, 90],  # inverted
        [50, 50, 50, 90],  # no width
        [0, 0, 0, 0],
    ],
)
def test_bad_boxes_stay_as_rows_but_belong_to_nobody(bad: list[float], caplog: pytest.LogCaptureFixture) -> None:
    subject = tracker()
    with caplog.at_level(logging.WARNING):
        answers, _ = feed(subject, [boxes(bad, person(100))] * 5)
    assert ids(answers)[-1] == [-1, 1]
    assert subject.dropped_boxes == 5
    assert len(caplog.records) == 1
    assert answers[-1].track_xyxy is not None
    assert np.isfinite(answers[-1].track_xyxy[1]).all()


def test_scores_out_of_range_are_clipped() -> None:
    scene = [boxes(person(100), person(300), person(500), score=np.array([1.7, -0.3, np.nan]))] * 4
    answers, _ = feed(tracker(), scene)
    assert ids(answers)[-1] == [1, -1, -1]
    assert answers[-1].score.tolist() == [1.0, 0.0, 0.0]


def test_duplicate_boxes_become_one_track() -> None:
    answers, _ = feed(tracker(), [boxes(person(100))] * 5 + [boxes(person(100), person(100))] * 5)
    assert [sorted(row) for row in ids(answers)[5:]] == [[-1, 1]] * 5


@pytest.mark.parametrize("stamps", [[0.0, 0.1, 0.05, 0.15, 0.25, 0.35], [0.0] * 6, [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]])
def test_a_clock_that_does_not_move_forward(stamps: list[float], caplog: pytest.LogCaptureFixture) -> None:
    subject = tracker()
    with caplog.at_level(logging.WARNING):
        for index, stamp in enumerate(stamps):
            subject.predict(Frame(index, stamp))
            answer = subject.update(boxes(person(100 + 2.0 * index)))
    assert answer.track_id.tolist() == [1]
    assert subject.clock_faults == sum(b <= a for a, b in itertools.pairwise(stamps))
    assert len(caplog.records) == 1


def test_a_long_jump_in_time_forgets_everybody() -> None:
    subject = tracker()
    feed(subject, [boxes(person(100))] * 5)
    answers, _ = feed(subject, [boxes(person(100))] * 4, start=30 * 60)
    assert ids(answers)[-1] == [2]


def noisy_crowd(seed: int) -> Iterator[Detections]:
    rng = np.random.default_rng(seed)
    looks = rng.normal(size=(6, 16))
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    place, speed = rng.uniform(50, 590, 6), rng.normal(0, 4, 6)
    for _ in range(60):
        place += speed
        seen = np.flatnonzero(rng.random(6) > 0.2)
        rows = [person(place[i] + rng.normal(0, 1), 200 + 10 * i) for i in seen]
        embedding = looks[seen].astype(np.float32)
        fresh = rng.random(len(seen)) < 0.5
        yield boxes(*rows, score=rng.uniform(0.2, 1, len(seen)), embedding=embedding, fresh=fresh)


@pytest.mark.parametrize("hungarian", [True, False])
def test_same_input_same_output_to_the_byte(hungarian: bool) -> None:
    def run() -> tuple[bytes, object]:
        answers, revisions = feed(tracker(coast=True, hungarian=hungarian), noisy_crowd(4))
        columns = [c for a in answers for c in a.columns().values() if c is not None and c.dtype != object]
        return b"".join(c.tobytes() for c in columns), revisions

    assert run() == run()
