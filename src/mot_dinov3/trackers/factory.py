"""From a tracker's name to a tracker that is ready to go."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.registry import resolve
from mot_dinov3.trackers import TRACKERS
from mot_dinov3.trackers.base import Tracker
from mot_dinov3.trackers.byte import HybridConfig
from mot_dinov3.trackers.config import TrackerConfig


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a tracker may know of what it is going to see.

    Attributes:
        fps: Frame rate.
        size: Width and height of the picture, 0 where unknown.
        same_floor: Cosine below which two crops are hardly ever the same object (the embedder's).
    """

    fps: float
    size: tuple[int, int]
    same_floor: float


def build_tracker(name: str, config: TrackerConfig, hybrid: HybridConfig, scene: Scene) -> Tracker:
    """Build the tracker `name`: a registered one, or a user's own class, which is built like `AppearanceTracker`.

    Raises:
        UnknownNameError: No such tracker.
        UsageError: A user's own class cannot be imported.
    """
    kind = resolve("tracker", TRACKERS, name)
    if name == "gallery_hybrid":
        tracker: Tracker = kind(dataclasses.replace(hybrid, frame_rate=hybrid.frame_rate or scene.fps))
    elif name == "gallery_only":
        tracker = kind()
    else:
        tracker = kind(config, fps=scene.fps, size=scene.size, same_floor=scene.same_floor)
    return tracker


def least_score(name: str, config: TrackerConfig, hybrid: HybridConfig) -> float:
    """Return the score below which no box starts a track: what is worth embedding lies above."""
    return {"gallery_hybrid": hybrid.track_thresh, "gallery_only": 0.0}.get(name, config.high_score)


def keeps_tracks(name: str) -> bool:
    """Tell whether the tracker's ids mean something beyond a frame."""
    return name != "gallery_only"
