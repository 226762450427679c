"""Our tracker and the installed baselines behind one interface: detections of a frame in, identified rows out."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Detections, Frame, TrackView
from mot_dinov3.models.weights import ultralytics_module
from mot_dinov3.scheduler import EmbeddingScheduler, SchedulerConfig
from mot_dinov3.sinks.base import revised
from mot_dinov3.trackers.appearance import AppearanceTracker
from mot_dinov3.trackers.base import TrackerRequest
from mot_dinov3.trackers.config import TrackerConfig

ULTRALYTICS = ("bytetrack", "botsort", "ocsort", "deepocsort", "fasttrack", "tracktrack")
ROBOFLOW = ("SORTTracker", "ByteTrackTracker", "OCSORTTracker", "BoTSORTTracker", "CBIoUTracker", "McByteTracker")
OURS = "ours"
INSTALL = {"ultralytics": "ultralytics lapx", "trackers": "trackers"}  # package of baselines → what pip installs

TrackerStep = Callable[[int, Detections], Detections]
"""Takes a frame's index and its detections, returns the identified rows."""

TrackerFactories = Mapping[str, Callable[[TrackerRequest], TrackerStep]]
"""Name → factory of a fresh tracker for a scene."""


def tracker_factories(only: Sequence[str] | None, *, embedded: bool) -> tuple[TrackerFactories, list[str]]:
    """Return a factory per tracker, ours and those whose package is installed, and a notice per missing package.

    Args:
        only: Names to keep (of a baseline, or ``ours``); None keeps all.
        embedded: The detections have embeddings: ours is listed without them, with all, and with the scheduled ones.
    """
    factories: dict[str, Callable[[TrackerRequest], TrackerStep]] = {OURS: OwnTracker}
    if embedded:
        factories = {f"{OURS}, motion only": functools.partial(OwnTracker, embed="nothing")}
        factories |= {f"{OURS}, all embedded": OwnTracker, OURS: functools.partial(OwnTracker, embed="scheduled")}
    packages = {"ultralytics": (ULTRALYTICS, ultralytics_tracker), "trackers": (ROBOFLOW, roboflow_tracker)}
    notices = []
    for package, (names, make) in packages.items():
        if absent := missing(package):
            notices.append(f"baselines are left out: '{absent}' is not installed (pip install {INSTALL[package]})")
            continue
        factories |= {f"{package} {name}": functools.partial(make, name) for name in names}
    kept = {
        name: make
        for name, make in factories.items()
        if not only or name.split()[-1] in only or (name.startswith(OURS) and OURS in only)
    }
    return kept, notices


def missing(package: str) -> str:
    """Return the first package that the trackers of `package` lack, or an empty string."""
    needed = {"ultralytics": ("ultralytics", "lap"), "trackers": ("trackers", "supervision")}[package]
    return next((name for name in needed if importlib.util.find_spec(name) is None), "")


class OwnTracker:
    """Our tracker with its defaults; `history` holds the rows of all frames, with later revisions applied.

    Args:
        scene: Rate and size of the video.
        embed: ``all`` boxes from the high score on, the ``scheduled`` ones, or ``nothing``.
        config: Its settings, by default its defaults.
    """

    def __init__(self, scene: TrackerRequest, *, embed: str = "all", config: TrackerConfig | None = None) -> None:
        # Coasting changes no identity: the rows without coasted boxes are as without it.
        config = dataclasses.replace(config or TrackerConfig(), coast=True)
        self.tracker = AppearanceTracker(dataclasses.replace(scene, config=config))
        self.scheduler = EmbeddingScheduler(SchedulerConfig(), min_score=config.high_score)
        self.high_score = config.high_score
        self.embed = embed
        self.fps = scene.fps
        self.history: list[Detections] = []
        self.boxes = self.embedded = 0

    def __call__(self, index: int, detections: Detections) -> Detections:
        """Return the identified rows of one more frame."""
        view = self.tracker.predict(Frame(index, index / self.fps))
        rows = self.tracker.update(self._with_embeddings(detections, view, index))
        self.history.append(rows)
        for revision in self.tracker.revisions:
            earlier = self.history[revision.frame_index]
            self.history[revision.frame_index] = revised(earlier, revision.row, revision.track_id)
        self.boxes += len(detections)
        self.embedded += int(rows.fresh.sum())
        return rows

    def _with_embeddings(self, detections: Detections, view: TrackView, index: int) -> Detections:
        vectors = detections.embedding
        if vectors is None or self.embed == "nothing":
            return detections.replace(embedding=None)
        if self.embed == "all":
            high = detections.score >= self.high_score
            return detections.replace(embedding=vectors * high[:, None], fresh=high)
        plan = self.scheduler.plan(detections.replace(embedding=None), view, index)
        return self.scheduler.run(plan, detections.replace(embedding=None), view, lambda rows: vectors[rows])


def ultralytics_tracker(name: str, scene: TrackerRequest) -> TrackerStep:
    """Return a tracker of Ultralytics with its own settings, without camera motion."""
    import torch

    ultralytics_module()  # prevents its import from installing packages and from network access
    from ultralytics.engine.results import Boxes
    from ultralytics.trackers.track import TRACKER_MAP
    from ultralytics.utils import IterableSimpleNamespace

    torch.set_num_threads(1)
    settings = {**ultralytics_settings(name), "gmc_method": "none", "device": "cpu"}
    tracker: Any = TRACKER_MAP[settings["tracker_type"]](args=IterableSimpleNamespace(**settings))
    width, height = scene.size
    image = np.zeros((height, width, 3), np.uint8)

    def step(_: int, detections: Detections) -> Detections:
        classes = np.zeros((len(detections), 1), np.float32)
        boxes = np.concatenate([detections.xyxy, detections.score[:, None], classes], axis=1)
        rows = np.asarray(tracker.update(Boxes(boxes, image.shape[:2]), image), np.float32).reshape(-1, 8)
        return identified(rows[:, :4], rows[:, 4])

    return step


def ultralytics_settings(name: str) -> dict[str, Any]:
    """Return the settings that Ultralytics ships for one of its trackers."""
    utils = ultralytics_module().utils
    from ultralytics.utils import checks

    read: Any = utils.YAML.load
    find: Any = checks.check_yaml
    return dict(read(find(f"{name}.yaml")))


def roboflow_tracker(name: str, _: TrackerRequest) -> TrackerStep:
    """Return a tracker of roboflow's `trackers` with its own settings."""
    import supervision
    import trackers

    tracker = getattr(trackers, name)()

    def step(_: int, detections: Detections) -> Detections:
        classes = np.zeros(len(detections), np.int64)
        rows = tracker.update(supervision.Detections(detections.xyxy, confidence=detections.score, class_id=classes))
        ids = np.zeros(0) if rows.tracker_id is None else rows.tracker_id
        return identified(rows.xyxy[: len(ids)], np.asarray(ids, np.int64) + 1)  # theirs count from 0, −1 is none

    return step


def identified(xyxy: npt.NDArray[Any], ids: npt.NDArray[Any]) -> Detections:
    """Return a baseline's rows as `Detections`."""
    corners = np.asarray(xyxy, np.float32).reshape(-1, 4)
    return Detections(corners, track_id=ids, track_xyxy=corners)
