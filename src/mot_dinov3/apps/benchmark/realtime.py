"""Speed and accuracy by detection interval: the detector on every frame, on every Nth, planned, and in real time.

Every setting runs over the video several times. The settings take turns, and the one that starts changes from round to
round, so that a disturbance of the machine affects all alike.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mot_dinov3.apps.benchmark.cpu_times import CpuShare, CpuTimer, TimerSettler
from mot_dinov3.apps.benchmark.runs import Tick
from mot_dinov3.apps.evaluation import Scores, SequencePair, read_tracks, read_truth, score
from mot_dinov3.core.structures import Float64Array
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.detection_scheduler import AUTO, DetectionIntervalConfig
from mot_dinov3.pipeline.summary import PARTS, limiting_stage
from mot_dinov3.pipeline.wiring import build_tracking
from mot_dinov3.sinks.base import CompositeSink

EVERY_FRAME = "every frame"
INTERVALS = (2, 3, 4, 6)
PERCENTILES = (50, 99)

CpuMs = Mapping[CpuShare, float]
"""Milliseconds a frame by stage and kind of thread."""


@dataclasses.dataclass(frozen=True)
class RunFigures:
    """One run of a setting.

    Attributes:
        fps: Frames per second, until all outputs were closed.
        target_fps: Frames per second to keep up with: the given ones, or the source's.
        detector_runs: Frames that the detector ran on.
        detector_ms: Time of the stage in which it runs, summed over the frames.
        frame_ms: ``(n,)`` latency of each frame.
        cpu_ms: Processor time.
        limited_by: The part that limits the speed.
        models: Detector and embedder.
        scores: Accuracy; None without ground truth.
    """

    fps: float
    target_fps: float
    detector_runs: int
    detector_ms: float
    frame_ms: Float64Array
    cpu_ms: CpuMs
    limited_by: str
    models: tuple[str, ...]
    scores: Scores | None


@dataclasses.dataclass(frozen=True)
class SettingFigures:
    """All runs of a setting.

    Attributes:
        fps: Lowest, median and highest frames per second of the runs.
        detector_runs: Detector runs per frame.
        overrun: p50 and p99 of the time by which a frame exceeds its share of a second, in detector runs.
        behind: p50 and p99 of the time by which the run is late, in detector runs; time gained is not saved up.
        cpu_ms: Processor time, median of the runs.
        limited_by: The part that limits the speed, in most runs.
        hota: Median of the runs; None without ground truth.
        idf1: The same.
    """

    fps: tuple[float, float, float]
    detector_runs: float
    overrun: tuple[float, ...]
    behind: tuple[float, ...]
    cpu_ms: CpuMs
    limited_by: str
    hota: float | None
    idf1: float | None


@dataclasses.dataclass(frozen=True)
class IntervalComparison:
    """The settings on one video.

    Attributes:
        video: Its name.
        frames: Frames of a run.
        target_fps: Frames per second to keep up with.
        detector_ms: Cost of a detector run, the unit of overruns.
        models: Detector and embedder.
        settings: Name → figures.
    """

    video: str
    frames: int
    target_fps: float
    detector_ms: float
    models: tuple[str, ...]
    settings: Mapping[str, SettingFigures]


def compare_intervals(
    config: TrackConfig, truth: Path | None, folder: Path, *, repeats: int, tick: Tick
) -> IntervalComparison:
    """Run all settings over a video.

    Args:
        config: Options of the runs; ``interval.realtime`` gives the frames per second to keep up with.
        truth: Ground truth of the video, in any format that `evaluate` reads.
        folder: Folder for the tracks of a run.
        repeats: Runs of each setting.
        tick: Called after each frame.
    """
    runs: dict[str, list[RunFigures]] = defaultdict(list)
    tracks = None if truth is None else folder / "tracks.txt"
    output = config.output if tracks is None else dataclasses.replace(config.output, save_mot=str(tracks))
    for name, interval in turns(interval_settings(config.interval), repeats):
        one = dataclasses.replace(config, interval=interval, output=output)
        found = _run(one, config.interval, tick)
        if truth is not None and tracks is not None:
            found = dataclasses.replace(found, scores=_score(truth, tracks, one))
        runs[name].append(found)
    first = runs[EVERY_FRAME]
    given = config.interval.detect_cost_ms
    cost = given or float(np.median([run.detector_ms / max(run.detector_runs, 1) for run in first]))
    return IntervalComparison(
        Path(config.source.source or "").name,
        len(first[0].frame_ms),
        first[0].target_fps,
        cost,
        first[0].models,
        {name: summarized(found, cost) for name, found in runs.items()},
    )


def interval_settings(wanted: DetectionIntervalConfig) -> dict[str, DetectionIntervalConfig]:
    """Return the settings to compare, by name, with all other options as they are wanted."""
    free = dataclasses.replace(wanted, detect_every=1, realtime=0.0, detect_budget_ms=0.0)
    rate = "" if wanted.realtime < 0 else f" {wanted.realtime:g}"
    return {
        EVERY_FRAME: free,
        **{f"every {n}": dataclasses.replace(free, detect_every=n) for n in INTERVALS},
        "auto": dataclasses.replace(free, detect_every=AUTO),
        f"realtime{rate}": dataclasses.replace(free, detect_every=AUTO, realtime=wanted.realtime),
    }


def turns(
    settings: Mapping[str, DetectionIntervalConfig], repeats: int
) -> Iterator[tuple[str, DetectionIntervalConfig]]:
    """Yield every setting once in each of `repeats` rounds, each round beginning with another one."""
    names = list(settings)
    for start in range(repeats):
        shift = start % len(names)
        for name in names[shift:] + names[:shift]:
            yield name, settings[name]


def _run(config: TrackConfig, wanted: DetectionIntervalConfig, tick: Tick) -> RunFigures:
    timer = CpuTimer()
    with build_tracking(config, timer=timer) as job:
        job.loop.sinks = CompositeSink([TimerSettler(timer), job.loop.sinks])
        job.loop.run(stop=tick)
        timer.total_ms()
        stages, numbers = job.loop.stages, job.summary().numbers()
    frames = len(timer.frame_ms)
    every = config.interval.detect_every
    runs = -(-frames // every) if stages.detection is None else stages.detection.detected
    return RunFigures(
        numbers["fps"],
        wanted.target_fps(stages.source.info.fps),
        runs,
        timer.stage_ms.get("detect", 0.0),
        np.array(timer.frame_ms),
        {share: ms / max(frames, 1) for share, ms in timer.cpu_ms.items()},
        PARTS[limiting_stage(timer.stage_ms)],
        tuple(numbers["models"]),
        None,
    )


def _score(truth: Path, tracks: Path, config: TrackConfig) -> Scores:
    """Return the scores of a run in the frames that it took."""
    source = config.source
    part = read_truth(truth).between(source.start_frame, source.end_frame)
    return next(iter(score([SequencePair(tracks.stem, part, read_tracks(tracks))]).values()))


def summarized(runs: Sequence[RunFigures], detector_ms: float) -> SettingFigures:
    """Return the figures of a setting from its runs; the first frame, which warms up, has no overrun.

    Args:
        runs: At least one.
        detector_ms: Cost of a detector run.
    """
    fps = [run.fps for run in runs]
    late = [(run.frame_ms[1:], 1e3 / run.target_fps) for run in runs]
    shares = {share for run in runs for share in run.cpu_ms}
    scores = [run.scores for run in runs if run.scores is not None]
    parts = [run.limited_by for run in runs]
    return SettingFigures(
        (min(fps), float(np.median(fps)), max(fps)),
        sum(run.detector_runs for run in runs) / max(sum(len(run.frame_ms) for run in runs), 1),
        _percentiles([np.maximum(ms - budget, 0) for ms, budget in late], detector_ms),
        _percentiles([lateness(ms, budget) for ms, budget in late], detector_ms),
        {share: float(np.median([run.cpu_ms.get(share, 0.0) for run in runs])) for share in sorted(shares)},
        max(parts, key=parts.count),
        float(np.median([one.hota for one in scores])) if scores else None,
        float(np.median([one.idf1 for one in scores])) if scores else None,
    )


def lateness(frame_ms: Float64Array, budget_ms: float) -> Float64Array:
    """Return after each frame the milliseconds by which a run is late that never gets a frame before its time.

    Args:
        frame_ms: ``(n,)`` latency of each frame.
        budget_ms: Time between two frames of the source.
    """
    late, found = 0.0, np.zeros(len(frame_ms))
    for place, ms in enumerate(frame_ms):
        late = max(late + float(ms) - budget_ms, 0.0)
        found[place] = late
    return found


def _percentiles(ms: Sequence[Float64Array], detector_ms: float) -> tuple[float, ...]:
    values = np.concatenate([np.zeros(0), *ms])
    if not len(values) or detector_ms <= 0:
        return tuple(0.0 for _ in PERCENTILES)
    return tuple(float(value) for value in np.percentile(values / detector_ms, PERCENTILES))
