"""An identity is in one place at a time, in whatever the file outputs get: online, revised, and predicted boxes."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.sinks.base import IdBackfill
from mot_dinov3.trackers.appearance import AppearanceTracker
from mot_dinov3.trackers.base import TrackerRequest
from mot_dinov3.trackers.config import TrackerConfig

FPS = 10.0


def crowd(seed, frames=150, people=8):
    """People of three looks milling about, with dropped boxes, false ones and embeddings that often mistake them."""
    rng = np.random.default_rng(seed)
    place, speed = rng.uniform(0, 300, (people, 2)), rng.normal(0, 8, (people, 2))
    looks = rng.normal(size=(3, 8))
    for _ in range(frames):
        place = place + speed
        speed[(place < 0) | (place > 300)] *= -1
        seen = np.flatnonzero(rng.random(people) > 0.3)
        false = rng.uniform(0, 300, (rng.integers(0, 3), 2))
        at = np.concatenate([place[seen] + rng.normal(0, 2, (len(seen), 2)), false])
        look = looks[np.concatenate([seen % 3, rng.integers(0, 3, len(false))])] + rng.normal(0, 0.2, (len(at), 8))
        embedding = (look / np.linalg.norm(look, axis=1, keepdims=True)).astype(np.float32)
        boxes = np.concatenate([at, at + np.array([30, 70])], axis=1).astype(np.float32)
        yield Detections(boxes, rng.uniform(0.2, 1, len(at)), embedding=embedding, fresh=np.ones(len(at), bool))


class Collecting:
    def __init__(self):
        self.ids = {}

    def write(self, frame, detections):
        self.ids[frame.index] = detections.track_id[detections.track_id >= 1]

    def close(self):
        pass


@pytest.mark.parametrize("coast", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_no_identity_twice_in_a_frame(seed, coast):
    tracker = AppearanceTracker(TrackerRequest(FPS, (340, 380), 0.3, TrackerConfig(coast=coast, coast_trust=0.0)))
    collected = Collecting()
    sink = IdBackfill(collected, tracker)
    for index, detections in enumerate(crowd(seed)):
        frame = Frame(index, index / FPS)
        tracker.predict(frame)
        sink.write(frame, tracker.update(detections))
    sink.close()
    assert len(collected.ids) == 150
    assert sum(map(len, collected.ids.values())) > 400
    for index, ids in collected.ids.items():
        assert len(set(ids.tolist())) == len(ids), f"frame {index}: {sorted(ids.tolist())}"
