"""Small scenes for tracker tests: boxes by hand in, labelled detections out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.structures import Detections, Frame, Revision
from mot_dinov3.trackers.appearance import AppearanceTracker
from mot_dinov3.trackers.base import TrackerRequest
from mot_dinov3.trackers.config import TrackerConfig


def boxes(*rows: Sequence[float], **columns: Any) -> Detections:
    """Detections of certain (score 0.9) boxes; further columns by name."""
    xyxy = np.array(rows, np.float32).reshape(-1, 4)
    columns.setdefault("score", np.full(len(xyxy), 0.9, np.float32))
    return Detections(xyxy, **columns)


def person(x: float, y: float = 200.0, width: float = 40.0, height: float = 100.0) -> list[float]:
    """The box of a person whose feet's middle is at x, y."""
    return [x - width / 2, y - height, x + width / 2, y]


def tracker(*, fps: float = 30.0, size: tuple[int, int] | None = (640, 480), **settings: Any) -> AppearanceTracker:
    return AppearanceTracker(TrackerRequest(fps, size or (0, 0), config=TrackerConfig(**settings)))


def feed(
    subject: AppearanceTracker, scene: Iterable[Detections], *, fps: float = 30.0, start: int = 0
) -> tuple[list[Detections], list[list[Revision]]]:
    """Run a tracker over frames without pictures; return its answers and its revisions, frame by frame."""
    answers, revisions = [], []
    for index, detections in enumerate(scene, start):
        subject.predict(Frame(index, index / fps))
        answers.append(subject.update(detections))
        revisions.append(list(subject.revisions))
    return answers, revisions


def ids(answers: Iterable[Detections]) -> list[list[int]]:
    return [a.track_id.tolist() for a in answers]
