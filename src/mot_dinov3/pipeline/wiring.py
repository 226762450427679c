"""The main job's live parts, put together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mot_dinov3.core.errors import OutputLostError, UsageError
from mot_dinov3.core.files import journal_path, part_path
from mot_dinov3.core.registry import resolve
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.detectors.motion import MotionDetector
from mot_dinov3.detectors.recorded import RecordedDetector
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import build_embedder
from mot_dinov3.gallery.folder import list_identities
from mot_dinov3.gallery.loading import build_gallery
from mot_dinov3.linking import Tracklets, link
from mot_dinov3.models.devices import resolve_device
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.inputs import open_ahead, open_input
from mot_dinov3.pipeline.interval_detector import Cadence, SparseDetector
from mot_dinov3.pipeline.interval_tracker import BetweenTracker
from mot_dinov3.pipeline.loop import Stages, TrackingPipeline
from mot_dinov3.pipeline.outputs import SinkMaker, check_files
from mot_dinov3.pipeline.regions import check_places, read_places
from mot_dinov3.pipeline.remembering import Remembering
from mot_dinov3.pipeline.resume import NoRecord, Scheduling, record_path
from mot_dinov3.pipeline.run_identity import is_live, loaded, open_record, taken_over
from mot_dinov3.pipeline.second_pass import LinkedPass, NoSecondPass, SecondPass, TrajectorySink
from mot_dinov3.pipeline.summary import RunSummary
from mot_dinov3.scheduler import EmbeddingScheduler, NoScheduler
from mot_dinov3.trackers import TRACKERS
from mot_dinov3.trackers.factory import Scene, build_tracker, keeps_tracks, least_score


@dataclasses.dataclass(frozen=True)
class TrackingRun:
    """A run ready to go.

    Attributes:
        pipeline: The frame loop.
        second_pass: What follows it.
        files: What it writes.
        notices: Fallbacks taken while building; a source adds its own while it is read.
        counted: Returns what lines and zones counted, a line of text for each.
    """

    pipeline: TrackingPipeline
    second_pass: SecondPass
    files: tuple[Path, ...]
    notices: tuple[str, ...]
    counted: Callable[[], list[str]]

    def all_notices(self) -> list[str]:
        """Return the notices so far, each once."""
        stages = self.pipeline.stages
        return list(dict.fromkeys((*self.notices, *stages.source.notices, *taken_over(stages.record))))

    def unfinished(self) -> list[str]:
        """Return a notice where outputs were left unfinished: what holds the work so far, and how to go on."""
        parts = [part for path in self.files for part in (part_path(path), journal_path(path)) if part.exists()]
        if not parts:
            return []
        goes_on = record_path(self.files[0]).exists()
        hint = "; the same command with --resume goes on from there" if goes_on else ""
        return [f"what was done so far is in {', '.join(map(str, parts))}{hint}"]

    def summary(self) -> RunSummary:
        """Return what the run cost and found until now."""
        stages = self.pipeline.stages
        return RunSummary(
            counts=self.pipeline.counts,
            timer=self.pipeline.timer,
            embeddings=stages.scheduler.stats,
            models=(stages.detector.info, stages.embedder.info),
            notices=self.all_notices(),
            files=[str(path) for path in self.files],
            counted=self.counted(),
        )


def build_tracking(config: TrackConfig) -> TrackingRun:
    """Build the main job's live parts.

    Raises:
        MotError: Something cannot be used; see `errors` for the kinds.
    """
    check_files(config)
    _check_second_pass(config)
    if config.device.device not in ("auto", "cpu"):
        resolve_device(config.device.device)
    resolve("tracker", TRACKERS, config.choice.tracker)
    _check_gallery(config)
    _check_sparse(config)
    read_places(config.count)
    record = open_record(config)
    try:
        return _build(config, record)
    except OutputLostError:
        record.abort(keep=True)
        raise
    except BaseException:
        record.abort()
        raise


def _build(config: TrackConfig, record: NoRecord) -> TrackingRun:
    timer = StageTimer()
    places = read_places(config.count)
    check = functools.partial(check_places, places)
    opened = open_input(config, fallback_open=config.embedder.fallback_open, timer=timer, check=check)
    source = opened.source
    try:
        built = build_embedder(config.embedder, device=config.device)
        embedder: Embedder = built.embedder
        _warm_up(embedder)
        chosen = (config.choice.tracker, config.tracker, config.hybrid)
        scene = Scene(source.info.fps, (source.info.width, source.info.height), embedder.same_floor)
        detector, tracker = opened.detector, build_tracker(*chosen, scene)
        looks = Cadence(config.sparse.detect_every, config.source.start_frame)
        if looks.every > 1:
            detector, tracker = SparseDetector(detector, looks), BetweenTracker(tracker, looks)
        scheduler: Scheduling = EmbeddingScheduler(config.scheduler, min_score=least_score(*chosen))
        scheduler = scheduler if embedder.dim else NoScheduler()
        record.agree("models", loaded(detector.info, embedder.info))
        # What is recorded costs nothing to find again, and the background has to be learned from every picture.
        boxes = not isinstance(opened.detector, RecordedDetector | MotionDetector)
        remembering = Remembering(record, detector, scheduler, boxes=boxes)
        gallery = build_gallery(config.gallery, embedder, memory=keeps_tracks(config.choice.tracker))
        said = (*opened.notices, *built.notices, *gallery.notices)
        stages = Stages(
            source=source,
            detector=remembering.detector,
            embedder=embedder,
            scheduler=remembering.scheduler,
            tracker=tracker,
            gallery=gallery,
            at_end=opened.at_end,
            record=record,
        )
        makers = SinkMaker(
            config, dataclasses.replace(stages, detector=opened.detector), timer, notices=said, places=places
        )
        kept = TrajectorySink()
        sinks = makers.first_of_two([kept]) if config.linked.link else makers.all()
        pipeline = TrackingPipeline(dataclasses.replace(stages, sinks=sinks), timer)
        second: SecondPass = NoSecondPass()
        if config.linked.link:
            second = _linked_pass(config, pipeline, kept, makers)
    except BaseException:
        source.close()
        raise
    return TrackingRun(pipeline, second, tuple(config.output.files()), said, makers.counted)


def _check_gallery(config: TrackConfig) -> None:
    """Refuse a gallery that nothing can be compared with, before anything loads."""
    if config.gallery.gallery is not None and config.embedder.embedder == "none":
        raise UsageError(
            f"gallery '{config.gallery.gallery}' needs an embedder to compare with, and there is none",
            remedy="choose one with --embedder (recorded detections need their video too: --source)",
        )
    if config.gallery.gallery is not None:
        list_identities(Path(config.gallery.gallery))


def _check_sparse(config: TrackConfig) -> None:
    """Refuse to carry boxes from frame to frame that nobody follows."""
    if config.sparse.detect_every > 1 and not keeps_tracks(config.choice.tracker):
        raise UsageError(
            f"--detect-every needs a tracker that follows objects, and '{config.choice.tracker}' does not",
            remedy="leave out --detect-every, or choose another tracker",
        )


def _linked_pass(
    config: TrackConfig, pipeline: TrackingPipeline, kept: TrajectorySink, makers: SinkMaker
) -> LinkedPass:
    """Build what `--link` does after the last frame."""
    info, embedder = pipeline.stages.source.info, pipeline.stages.embedder

    def linked(tracklets: Tracklets) -> Tracklets:
        size = (info.width, info.height)
        return link(tracklets, config.linking, same_floor=embedder.same_floor, size=size)

    return LinkedPass(
        kept,
        linked,
        pictures=functools.partial(open_ahead, config.source, pipeline.timer) if _looks_twice(config) else None,
        sinks=makers.second_of_two,
        run=(pipeline.timer, pipeline.counts),
    )


def _looks_twice(config: TrackConfig) -> bool:
    """Tell whether the second pass has use for the source's pictures, and can have them."""
    there = config.source.source is not None and not is_live(config.source.source)
    return config.output.video or (config.output.report is not None and there)


def _check_second_pass(config: TrackConfig) -> None:
    """Refuse to link a video that is to be drawn and cannot be read twice."""
    source = config.source.source
    if is_live(source) and config.linked.link and config.output.video:
        raise UsageError(f"--link reads the source twice, and '{source}' is live", remedy="add --no-video")


def _warm_up(embedder: Embedder) -> None:
    """Run one crop, so that what a first call costs (allocation, kernels) is not taken for the cost of a crop."""
    if embedder.dim:
        embedder.embed(np.zeros((64, 64, 3), np.uint8), np.array([[8, 8, 40, 56]], np.float32))
        embedder.synchronize()
