"""The scores of small synthetic sequences. They may only rise: lift the floors when a change earns it.

The floors lie half a point (one switch) below what was measured, because sums may differ in the last bit elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tracking_scene import boxes, tracker

from mot_dinov3.core.boxes import iou
from mot_dinov3.core.structures import Detections, Frame

FRAMES, FPS, PEOPLE = 200, 20.0, 14
WIDTH, HEIGHT = 960, 540


def truth(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """``(frames, people, 4)`` boxes of people who wander, turn, cross, and are larger the nearer they are."""
    place = rng.uniform([60, 160], [WIDTH - 60, HEIGHT - 20], (PEOPLE, 2))
    speed = rng.normal(0, 3.0, (PEOPLE, 2)) * [1.0, 0.3]
    height = np.empty((FRAMES, PEOPLE))
    feet = np.empty((FRAMES, PEOPLE, 2))
    for t in range(FRAMES):
        speed = 0.98 * speed + rng.normal(0, 0.35, speed.shape) * [1.0, 0.3]
        place = place + speed
        outside = (place < [60, 160]) | (place > [WIDTH - 60, HEIGHT - 20])
        speed[outside] *= -1
        place = np.clip(place, [60, 160], [WIDTH - 60, HEIGHT - 20])
        feet[t], height[t] = place, 0.4 * place[:, 1]
    half = 0.2 * height
    return np.stack([feet[..., 0] - half, feet[..., 1] - height, feet[..., 0] + half, feet[..., 1]], axis=2)


def detected(people: npt.NDArray[np.float64], rng: np.random.Generator) -> Iterator[Detections]:
    """Boxes of a middling detector: a tenth missed, those behind others more often, jitter, some false ones."""
    looks = rng.normal(size=(PEOPLE, 16))
    for now in people:
        cover = iou(now, now)
        hidden = ((cover > 0.45) & (now[:, None, 3] < now[None, :, 3])).any(axis=1)
        seen = np.flatnonzero(rng.random(PEOPLE) > np.where(hidden, 0.8, 0.1))
        size = np.tile(now[seen, 2:] - now[seen, :2], 2)
        xyxy = now[seen] + rng.normal(0, 0.03, (len(seen), 4)) * size
        false = rng.uniform([0, 100], [WIDTH, HEIGHT - 100], (rng.poisson(0.3), 2))
        xyxy = np.concatenate([xyxy, np.concatenate([false, false + np.array([40, 100])], axis=1)])
        score = np.concatenate([rng.normal(0.8, 0.1, len(seen)).clip(0.2, 1), rng.uniform(0.1, 0.6, len(false))])
        look = np.concatenate([looks[seen], rng.normal(size=(len(false), 16))])
        look = look + rng.normal(0, 0.5, look.shape)
        look = (look / np.linalg.norm(look, axis=1, keepdims=True)).astype(np.float32)
        yield boxes(*xyxy, score=score, embedding=look, fresh=score >= 0.5)


def scores(people: npt.NDArray[np.float64], scene: list[Detections], **settings: Any) -> dict[str, float]:
    """HOTA, IDF1 (percent) and switches by TrackEval, of the output as files get it."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    subject = tracker(fps=FPS, size=(WIDTH, HEIGHT), **settings)
    answers, found = [], []
    for index, detections in enumerate(scene):
        subject.predict(Frame(index, index / FPS))
        answers.append(subject.update(detections))
        found.append(answers[-1].track_id.copy())
        for revision in subject.revisions:
            found[revision.frame_index][revision.row] = revision.track_id
    names = np.unique(np.concatenate([f[f > 0] for f in found]))
    data: dict[str, Any] = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for now, answer, row_ids in zip(people, answers, found):
        assert answer.track_xyxy is not None
        public = row_ids > 0
        data["gt_ids"].append(np.arange(PEOPLE))
        data["tracker_ids"].append(np.searchsorted(names, row_ids[public]))
        data["similarity_scores"].append(iou(now, answer.track_xyxy[public].astype(np.float64)))
    data |= {"num_timesteps": FRAMES, "num_gt_ids": PEOPLE, "num_tracker_ids": len(names)}
    data |= {"num_gt_dets": FRAMES * PEOPLE, "num_tracker_dets": sum(map(len, data["tracker_ids"]))}
    quiet = {"PRINT_CONFIG": False}
    return {
        "HOTA": 100 * float(HOTA().eval_sequence(data)["HOTA"].mean()),
        "IDF1": 100 * float(Identity(quiet).eval_sequence(data)["IDF1"]),
        "switches": float(CLEAR(quiet).eval_sequence(data)["IDSW"]),
    }


@pytest.mark.parametrize(
    ("settings", "hota", "idf1", "switches"),
    [
        ({"coast": False}, 80.0, 91.4, 1),
        ({"coast": False, "appearance": 0.0, "recovery": False}, 75.4, 85.7, 5),
        ({}, 89.2, 97.1, 1),
    ],
    ids=["without coasting", "motion only", "default"],
)
def test_scores_only_rise(settings: dict[str, Any], hota: float, idf1: float, switches: float) -> None:
    """Means over three scenes, so that one lucky crossing does not decide."""
    results = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        people = truth(rng)
        results.append(scores(people, list(detected(people, rng)), **settings))
    mean = {name: float(np.mean([r[name] for r in results])) for name in results[0]}
    assert mean["HOTA"] >= hota
    assert mean["IDF1"] >= idf1
    assert mean["switches"] <= switches
