"""Wiring of the `track` command: from options to a run that is ready to go."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np

from mot_dinov3.core.errors import OutputLostError, UsageError, run_checks
from mot_dinov3.core.files import journal_path, part_path
from mot_dinov3.core.output_lock import OutputLocks
from mot_dinov3.core.special_files import is_special
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.detectors import DETECTORS
from mot_dinov3.detectors.base import Detector, DetectorConfig
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import build_embedder
from mot_dinov3.gallery.folder import list_identities, load_gallery
from mot_dinov3.gallery.identifier import Identifier
from mot_dinov3.linking import link
from mot_dinov3.models.devices import resolve_device
from mot_dinov3.models.weights import check_detector_weights
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.detection_interval import DetectionInterval, IntervalDetector, IntervalTracker
from mot_dinov3.pipeline.detection_scheduler import DetectionScheduler, spending
from mot_dinov3.pipeline.inputs import build_detection, open_ahead
from mot_dinov3.pipeline.loop import Stages, TrackingLoop
from mot_dinov3.pipeline.outputs import SinkFactory, check_files
from mot_dinov3.pipeline.regions import Region, check_regions, read_regions
from mot_dinov3.pipeline.resume import ResumeJournal, resume_journal_path
from mot_dinov3.pipeline.run_identity import open_journal
from mot_dinov3.pipeline.second_pass import LinkedPass, TrackletCollector
from mot_dinov3.pipeline.summary import RunSummary
from mot_dinov3.pipeline.untracked import lowered_notice, untracked_notice
from mot_dinov3.scheduler import EmbeddingScheduler
from mot_dinov3.sinks.base import TrackOverview
from mot_dinov3.trackers.base import TrackerRequest, build_tracker, learned_appearance, least_score, tracker_class
from mot_dinov3.trackers.box_following import BoxFollower
from mot_dinov3.video import FrameSource
from mot_dinov3.video.opening import is_live


@dataclasses.dataclass(frozen=True)
class TrackingRun:
    """A run ready to go.

    Attributes:
        loop: The frame loop.
        files: The files it writes.
        notices: Fallbacks taken while building; a source adds its own while it is read.
        all_notices: Returns the notices so far, each once.
        counted: Returns the counts of lines and zones, a line of text for each.
        locks: Of the files, until the run is left as a context.
        overview: What was tracked.
    """

    loop: TrackingLoop
    files: tuple[Path, ...]
    notices: tuple[str, ...]
    all_notices: Callable[[], list[str]]
    counted: Callable[[], list[str]]
    locks: OutputLocks
    overview: TrackOverview

    def __enter__(self) -> TrackingRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.locks.release()

    def unfinished(self) -> list[str]:
        """Return a notice where outputs were left unfinished: the files with the work so far, and how to resume."""
        regular = [path for path in self.files if not is_special(path)]
        parts = [part for path in regular for part in (part_path(path), journal_path(path)) if part.exists()]
        if not parts:
            return []
        can_resume = resume_journal_path(regular[0]).exists()
        hint = "; the same command with --resume continues from there" if can_resume else ""
        return [f"the partial output is in {', '.join(map(str, parts))}{hint}"]

    def summary(self) -> RunSummary:
        """Return the run's costs and results until now."""
        stages = self.loop.stages
        return RunSummary(
            counts=self.loop.counts,
            timer=self.loop.timer,
            embeddings=stages.scheduler_stats,
            models=(stages.detector.info, stages.embedder.info),
            notices=self.all_notices(),
            files=[str(path) for path in self.files],
            counted=self.counted(),
            appearance=stages.appearance,
            overview=self.overview,
            detection=stages.detection,
        )


def build_tracking(config: TrackConfig, *, timer: StageTimer | None = None) -> TrackingRun:
    """Build a run: its stages, sinks and loop; its outputs are locked until it is left as a context.

    Everything that can be refused is refused before a model loads: outputs first, then the source, then precomputed
    detections; weights come last.

    Args:
        config: All options.
        timer: Measures the run; by default an ordinary one.

    Raises:
        MotError: Something cannot be used; see `errors` for the kinds.
    """
    regions = check(config)
    locks = OutputLocks(config.output.files())
    try:
        return _build_locked(config, regions, locks, timer or StageTimer())
    except BaseException:
        locks.release()
        raise


def _build_locked(
    config: TrackConfig, regions: tuple[Region, ...], locks: OutputLocks, timer: StageTimer
) -> TrackingRun:
    journal = open_journal(config)
    try:
        return _build(config, regions, journal, locks, timer)
    except OutputLostError:
        if journal is not None:
            journal.abort(keep=True)
        raise
    except BaseException:
        if journal is not None:
            journal.abort()
        raise


def check(config: TrackConfig) -> tuple[Region, ...]:
    """Check everything that can be checked before anything opens; return the lines and zones to count in.

    Raises:
        MotError: Something cannot be used; where several things cannot, the message names all of them.
    """
    steps = (check_files, _check_live, _check_device, _check_tracker, _check_gallery)
    results = run_checks(*(functools.partial(step, config) for step in steps), lambda: read_regions(config.count))
    regions: tuple[Region, ...] = results[-1]
    return regions


def _check_live(config: TrackConfig) -> None:
    """Refuse to read a live source twice, and to leave out frames of another one."""
    source = config.source.source
    if not is_live(source):
        if config.interval.drop_frames:
            raise UsageError(
                "--drop-frames is for live sources (a camera, a stream or a pipe): of a file, every frame is processed",
                remedy="leave it out; --realtime keeps up by running the detector less often",
            )
        return
    if config.output.resume:
        raise UsageError(
            f"--resume reads the source again, and '{source}' is a live source (a camera, a stream or a pipe)",
            remedy="omit --resume, and give the outputs new names to keep the earlier ones",
        )
    if config.linked.link and config.output.images:
        raise UsageError(
            f"--link reads the source twice, and '{source}' is a live source (a camera, a stream or a pipe)",
            remedy=f"leave out {', '.join(config.output.images)} (--no-video), or save it to a file first",
        )


def _check_device(config: TrackConfig) -> None:
    if config.device.device not in ("auto", "cpu"):
        resolve_device(config.device.device)


def _check_tracker(config: TrackConfig) -> None:
    """Refuse an unknown tracker, and to carry boxes from frame to frame that no tracker follows."""
    name = config.choice.tracker
    kind = tracker_class(name)
    if config.interval.skips and not kind.keeps_tracks:
        raise UsageError(
            f"--detect-every needs a tracker that keeps tracks, and '{name}' does not",
            remedy="leave out --detect-every, or choose another tracker",
        )


def _check_gallery(config: TrackConfig) -> None:
    """Refuse a gallery that nothing can be compared with."""
    gallery = config.gallery.gallery
    if gallery is None:
        return
    if config.embedder.name == "none":
        raise UsageError(
            f"gallery '{gallery}' needs an embedder, and none is selected",
            remedy="choose one with --embedder (precomputed detections also need their video: --source)",
        )
    list_identities(Path(gallery))


def _build(
    config: TrackConfig,
    regions: tuple[Region, ...],
    journal: ResumeJournal | None,
    locks: OutputLocks,
    timer: StageTimer,
) -> TrackingRun:
    load = functools.cache(functools.partial(build_embedder, config.embedder, device=config.device))

    def check_source(info: VideoInfo) -> None:
        check_regions(regions, info)
        if config.detector.dets is None:  # precomputed detections are read first: they cost less than a model
            name, model = config.detector.chosen()
            if name == "yolo":
                check_detector_weights(model, others=DETECTORS)
            load()  # what it lacks is said before the detector is downloaded and converted

    wanted = dataclasses.replace(config, detector=_with_low_scores(config))
    opened = build_detection(wanted, fallback_open=config.embedder.fallback_open, timer=timer, check=check_source)
    try:
        embedder = load()
        _warm_up(embedder)
        if journal is not None:
            # A fallback must not change what an interrupted run began.
            journal.check_same("models", [dataclasses.asdict(info) for info in (opened.detector.info, embedder.info)])
        gallery = _gallery(config, embedder)
        notices = (*opened.notices, *embedder.notices, *(() if gallery is None else gallery.notices))
        stages = _stages(config, opened.source, opened.detector, embedder, timer)
        stages = dataclasses.replace(stages, gallery=gallery, journal=journal, check_end=opened.check_end)
        makes = SinkFactory(
            config, dataclasses.replace(stages, detector=opened.detector), timer, notices=notices, regions=regions
        )
        loop = _loop(config, stages, makes)
        if not config.linked.link:  # in a second pass, q closes the window, and the files are finished
            makes.stop = loop.stop
        counts, fps = loop.counts, opened.source.info.fps
        makes.late_notices = lambda: [
            *untracked_notice(config, fps, counts.detections, counts.untracked),
            *lowered_notice(stages.tracker),
        ]
    except BaseException:
        opened.source.close()
        raise
    files = tuple(config.output.files())
    return TrackingRun(loop, files, notices, makes.all_notices, makes.counted, locks, makes.overview)


def _stages(
    config: TrackConfig, source: FrameSource, detector: Detector, embedder: Embedder, timer: StageTimer
) -> Stages:
    """Return detector, scheduler and tracker as the options want them."""
    size = (source.info.width, source.info.height)
    request = TrackerRequest(
        source.info.fps, size, getattr(embedder, "same_floor", None), config.tracker, config.hybrid
    )
    tracker = build_tracker(config.choice.tracker, request)
    # Precomputed boxes cost nothing to find again, and a background model has to learn from every frame.
    keep_boxes = not (detector.is_recorded or detector.is_stateful)
    follower, detection = BoxFollower(), None
    if config.interval.is_auto:
        start = config.source.start_frame
        spent = spending(config.interval, timer, is_live=is_live(config.source.source))
        detection = DetectionScheduler(config.interval, follower, spent, fps=source.info.fps, start=start)
    if (is_detected := detection or DetectionInterval.of(config)) is not None:
        detector = IntervalDetector(detector, is_detected)
        tracker = IntervalTracker(tracker, is_detected, follower)
    scheduler = None
    if embedder.dim:
        learned = learned_appearance(tracker)
        scheduler = EmbeddingScheduler(
            config.scheduler,
            min_score=tracker.min_score,
            worthwhile=lambda: learned is None or not learned.useless,
            calibrated=lambda: learned is None or learned.calibrated,
        )
    shown_from = config.detector.threshold if _with_low_scores(config) is not config.detector else 0.0
    return Stages(
        source,
        detector,
        tracker,
        embedder,
        scheduler,
        detection,
        shown_from=shown_from,
        keep_boxes=keep_boxes,
    )


def _with_low_scores(config: TrackConfig) -> DetectorConfig:
    """Return the detector's options; where none gives a threshold, with the boxes that may only continue tracks."""
    wanted, name = config.detector, config.choice.tracker
    if wanted.conf is not None or wanted.dets is not None:
        return wanted
    request = TrackerRequest(config=config.tracker, hybrid=config.hybrid)
    least = least_score(name, request, wanted.threshold)
    return wanted if least == wanted.threshold else dataclasses.replace(wanted, conf=least)


def _gallery(config: TrackConfig, embedder: Embedder) -> Identifier | None:
    if config.gallery.gallery is None:
        return None
    known = load_gallery(Path(config.gallery.gallery), embedder)
    return Identifier(known, config.gallery, memory=tracker_class(config.choice.tracker).keeps_tracks)


def _loop(config: TrackConfig, stages: Stages, makes: SinkFactory) -> TrackingLoop:
    """Return the frame loop with its sinks, in two passes where the tracks are linked afterwards."""
    if not config.linked.link:
        return TrackingLoop(stages, makes.single_pass(), makes.timer)
    kept = TrackletCollector()
    loop = TrackingLoop(stages, makes.first_pass(kept), makes.timer)
    info = stages.source.info
    cuts = getattr(stages.tracker, "cuts", ())  # a list that grows
    linked = functools.partial(link, config=config.linking, size=(info.width, info.height), cuts=cuts)
    # The frames are read a second time only where an output needs images.
    images = config.source.source is not None and not is_live(config.source.source)
    reads_again = config.output.images or (config.output.report is not None and images)
    reopen = functools.partial(open_ahead, config.source, makes.timer) if reads_again else None
    loop.second_pass = LinkedPass(kept, linked, reopen, makes.second_pass, loop.timer, loop.counts)
    return loop


def _warm_up(embedder: Embedder) -> None:
    """Embed one crop, so that what a first call costs (allocation, kernels) is not taken for the cost of a crop."""
    if embedder.dim:
        embedder.embed(np.zeros((64, 64, 3), np.uint8), np.array([[8, 8, 40, 56]], np.float32))
        embedder.synchronize()
