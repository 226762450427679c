"""Our tracking and ``yolo track`` on the same frames in the same run, in alternate blocks."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mot_dinov3.apps.benchmark.baselines import INSTALL, OURS, missing, ultralytics_settings
from mot_dinov3.core.class_filter import parse_classes
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.detectors.base import DEFAULT_CONF
from mot_dinov3.detectors.checkpoint import opened_as_data
from mot_dinov3.models.devices import resolve_device
from mot_dinov3.models.weights import find_detector_weights, ultralytics_module
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.wiring import build_tracking

BLOCK = 20  # frames: long compared with a queue of frames, short compared with disturbances of the machine
T = TypeVar("T")
Clocks = tuple[Callable[[], float], Callable[[], float]]


@dataclasses.dataclass(frozen=True)
class Speed:
    """Speed of one tracker.

    Attributes:
        wall_ms: Milliseconds a frame, median over the blocks.
        cpu_ms: The process's CPU milliseconds a frame in its blocks, likewise.
        slower: Wall time relative to ours, median over pairs of blocks: a disturbance affects both of a pair.
    """

    wall_ms: float
    cpu_ms: float
    slower: float

    @property
    def fps(self) -> float:
        """Frames per second."""
        return 1e3 / self.wall_ms if self.wall_ms else 0.0


def compare(config: TrackConfig, folder: Path, tick: Callable[[], object]) -> dict[str, Speed]:
    """Compare our speed with that of `yolo track`.

    Args:
        config: Our options; the baselines get its source, weights, thresholds, image size and device.
        folder: Folder for a baseline's settings.
        tick: Called after each frame of each tracker.

    Raises:
        UsageError: There is no YOLO model or no video that `yolo track` could take, or it is not installed.
    """
    source = config.source.source
    if config.detector.chosen()[0] != "yolo" or source is None:
        raise UsageError(
            "--peers compares with 'yolo track', which needs a video and YOLO weights",
            remedy="give --source and --det with weights",
        )
    if config.source.start_frame:
        raise UsageError("--peers starts at the first frame: 'yolo track' cannot skip frames", remedy="use --end-frame")
    if absent := missing("ultralytics"):
        raise UsageError(
            f"'yolo track' needs {absent}, which is not installed", remedy=f"pip install {INSTALL['ultralytics']}"
        )
    with _ours(config, tick) as ours:
        runs = {OURS: ours}
        for name, settings in yolo_settings(folder).items():
            runs[name] = _until(_yolo_track(config, settings), config.source.end_frame, tick)
        blocks = alternate(runs, block=BLOCK)
    return speeds(blocks)


def yolo_settings(folder: Path) -> dict[str, str]:
    """Return the settings to compare with, by name: the default one, TrackTrack, BoT-SORT with re-identification."""
    ultralytics_module()
    from ultralytics.cfg import get_cfg

    default = str(get_cfg().tracker)
    found = {f"yolo track ({Path(default).stem}, its default)": default}
    if Path(default).stem != "tracktrack":
        found["yolo track (tracktrack)"] = "tracktrack.yaml"
    reid = folder / "botsort_reid.yaml"  # JSON is YAML
    reid.write_text(json.dumps({**ultralytics_settings("botsort"), "with_reid": True, "model": "auto"}))
    return {**found, "yolo track (botsort, ReID on its own features)": str(reid)}


class TurnClock:
    """A clock that stands still between the frames of a run, while others have their turn.

    Args:
        clock: Seconds from any fixed point.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._others = 0.0
        self._stopped: float | None = None

    def __call__(self) -> float:
        """Return the seconds from some fixed point, less those of the others."""
        return (self._clock() if self._stopped is None else self._stopped) - self._others

    def during(self, frames: Iterator[T]) -> Iterator[T]:
        """Yield the frames; the clock runs while one is made."""
        for frame in frames:
            self._stopped = self._clock()
            yield frame
            self._others += self._clock() - self._stopped
            self._stopped = None


@contextmanager
def _ours(config: TrackConfig, tick: Callable[[], object]) -> Iterator[Iterator[object]]:
    clock = TurnClock()  # with --realtime the others' time would be taken for being behind
    with (
        build_tracking(config, timer=StageTimer(clock)) as job,
        contextlib.closing(job.loop.results()) as results,
    ):
        yield _until(clock.during(results), None, tick)


def _yolo_track(config: TrackConfig, settings: str) -> Iterator[object]:
    """Yield the results of `yolo track`, a frame at a time, with the number of threads that it gives itself."""
    with opened_as_data(trust=config.device.trust_weights):
        model: Any = ultralytics_module().YOLO(str(find_detector_weights(config.detector.chosen()[1])))
    classes = parse_classes(config.detector.classes, {int(c): str(n) for c, n in model.names.items()})
    utils = ultralytics_module().utils
    utils.torch_utils.NUM_THREADS = utils.NUM_THREADS
    yield from model.track(
        source=config.source.source,
        stream=True,
        tracker=settings,
        imgsz=config.detector.side,
        conf=DEFAULT_CONF if config.detector.conf is None else config.detector.conf,
        classes=None if classes is None else list(classes),
        device=resolve_device(config.device.device),
        verbose=False,
        save=False,
    )


def _until(frames: Iterator[object], end: int | None, tick: Callable[[], object]) -> Iterator[object]:
    for frame in itertools.islice(frames, end):
        tick()
        yield frame


def alternate(
    runs: Mapping[str, Iterator[object]], *, block: int, clocks: Clocks = (time.perf_counter, time.process_time)
) -> dict[str, list[tuple[float, ...]]]:
    """Let the runs take `block` frames in turns and return the cost of each whole block, in ms/frame.

    The run that starts changes from round to round. The first round, which loads and warms up, does not count. The
    last round is the one in which a run has no more frames.

    Args:
        runs: Name → its frames; taking one does a frame's work.
        block: Frames.
        clocks: Read before and after each block, in seconds.
    """
    names = list(runs)
    spent: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    rounds = 0
    while True:
        costs = {}
        for name in names[rounds % len(names) :] + names[: rounds % len(names)]:
            start = [clock() for clock in clocks]
            taken = sum(1 for _ in zip(range(block), runs[name]))
            costs[name] = tuple(1e3 * (clock() - began) / block for clock, began in zip(clocks, start))
            if taken < block:
                return spent
        if rounds:
            for name, cost in costs.items():
                spent[name].append(cost)
        rounds += 1


def speeds(blocks: Mapping[str, list[tuple[float, ...]]]) -> dict[str, Speed]:
    """Return each run's speed from the costs of its blocks.

    Raises:
        UsageError: The video ended before a block was counted.
    """
    wall = {name: np.array([cost[0] for cost in costs]) for name, costs in blocks.items()}
    if not len(wall[OURS]):
        raise UsageError(
            f"the video is too short to compare: {2 * BLOCK} frames are the minimum", remedy="give a longer video"
        )
    cpu = {name: float(np.median([cost[1] for cost in costs])) for name, costs in blocks.items()}
    return {
        name: Speed(float(np.median(ms)), cpu[name], float(np.median(ms / wall[OURS]))) for name, ms in wall.items()
    }
