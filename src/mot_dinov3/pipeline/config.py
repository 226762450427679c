"""The configurations of tracking and of detection: the stages' own, put together."""

from __future__ import annotations

import dataclasses
from typing import Any

from mot_dinov3.core.errors import UsageError, run_checks
from mot_dinov3.core.options import StageConfig, assemble, flag_of, option
from mot_dinov3.detectors.base import DetectorConfig
from mot_dinov3.detectors.motion import MotionConfig
from mot_dinov3.features.factory import EmbedderConfig
from mot_dinov3.gallery.config import GalleryConfig
from mot_dinov3.linking import LinkConfig
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.pipeline.detection_scheduler import DetectionIntervalConfig
from mot_dinov3.pipeline.regions import CountConfig
from mot_dinov3.scheduler import SchedulerConfig
from mot_dinov3.sinks.config import OutputConfig, TrackSelection
from mot_dinov3.trackers.config import HybridConfig, TrackerConfig
from mot_dinov3.video import SourceConfig
from mot_dinov3.viz import DrawConfig


@dataclasses.dataclass(frozen=True)
class TrackerChoice(StageConfig):
    """Which tracker gives the identities."""

    group = "tracker"

    tracker: str = option(
        "appearance",
        "appearance for nearly everything, gallery_hybrid for known individuals (--list-trackers), or a custom "
        "package.module:Class",
        common=True,
    )


@dataclasses.dataclass(frozen=True)
class LinkChoice(StageConfig):
    """Whether the finished video is linked."""

    group = "whole-video linking"

    link: bool = option(
        False, "after the last frame, join track fragments, smooth them and fill short gaps", common=True
    )


@dataclasses.dataclass(frozen=True)
class FrameLoopConfig:
    """Configurations of the stages of the frame loop."""

    source: SourceConfig
    detector: DetectorConfig
    interval: DetectionIntervalConfig
    motion: MotionConfig
    device: DeviceConfig
    embedder: EmbedderConfig
    scheduler: SchedulerConfig
    choice: TrackerChoice
    tracker: TrackerConfig
    hybrid: HybridConfig


@dataclasses.dataclass(frozen=True)
class TrackConfig(FrameLoopConfig):
    """All options of `track`, one part per stage."""

    gallery: GalleryConfig
    linked: LinkChoice
    linking: LinkConfig
    count: CountConfig
    draw: DrawConfig
    selection: TrackSelection
    output: OutputConfig


@dataclasses.dataclass(frozen=True)
class DetectConfig:
    """Options of `detect`: the same stages without those that come after the detector."""

    source: SourceConfig
    detector: DetectorConfig
    motion: MotionConfig
    device: DeviceConfig


def track_config(values: dict[str, Any]) -> TrackConfig:
    """Build the configuration of tracking; precomputed detections without a source imply a run without images.

    Raises:
        UsageError: There is nothing to track, images are asked for where there are none, or a value cannot be used; the
            message names all of it.
    """
    if values.get("source"):
        return assemble(TrackConfig, values)
    without_frames = {**values, "embedder": "none", "video": False}
    config: TrackConfig
    _, config = run_checks(lambda: _check_frameless(values), lambda: assemble(TrackConfig, without_frames))
    return config


def _check_frameless(values: dict[str, Any]) -> None:
    """Refuse options that need the frames of a source."""
    if not values.get("dets"):
        raise UsageError("no input: --source is missing", remedy="for example: --source in.mp4 (or --dets FILE)")
    if values.get("video") or "output" in values:
        raise UsageError("--output needs frames, and --dets alone has none", remedy="give the video with --source")
    for key in ("show", "save_crops"):
        if values.get(key):
            flag = flag_of(key)
            raise UsageError(f"{flag} needs frames, and --dets alone has none", remedy="give the video with --source")
    if values.get("embedder", "none") != "none":
        raise UsageError(
            f"--embedder {values['embedder']} needs frames, and --dets alone has none",
            remedy="give the video with --source",
        )
