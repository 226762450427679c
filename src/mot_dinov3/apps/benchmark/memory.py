"""Memory of a run of many hours: tracking over a source that starts again whenever it ends."""

from __future__ import annotations

import dataclasses
import functools
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

from mot_dinov3.apps.benchmark.runs import Tick, peak_mb
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.detectors.base import Detector
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.inputs import open_ahead
from mot_dinov3.pipeline.wiring import TrackingRun, build_tracking
from mot_dinov3.video import FrameSource

WARM_UP = 1000  # frames after which everything that is allocated once has been


def measure_memory(config: TrackConfig, frames: int, tick: Tick) -> dict[int, float]:
    """Run over the source repeatedly for `frames` frames; return frame → resident memory after it, MiB.

    Raises:
        UsageError: There are too few frames, or there is no source.
    """
    if frames < 2:
        raise UsageError(f"--memory needs at least 2 frames, got {frames}", remedy="for example: --memory 20000")
    if config.source.source is None:
        raise UsageError("--memory reads the source repeatedly, and no source is given", remedy="give --source")
    with build_tracking(config) as job:
        return _measure(job, config, frames, tick)


def _measure(job: TrackingRun, config: TrackConfig, frames: int, tick: Callable[[], bool]) -> dict[int, float]:
    stages, timer = job.loop.stages, job.loop.timer
    stages.source.close()
    looped = LoopedSource(functools.partial(open_ahead, config.source, timer), stages.source, frames)
    again = dataclasses.replace(stages, source=looped, detector=LoopedDetector(stages.detector, looped), check_end=None)
    step = min(WARM_UP, frames // 2)
    samples: dict[int, float] = {}
    job.loop.stages = again

    def sample() -> bool:
        if looped.passed % step == 0 or looped.passed == frames:
            samples[looped.passed] = resident_mb()
        return tick()

    job.loop.run(stop=sample)
    return samples


class LoopedSource(FrameSource):
    """A source that starts again whenever it ends, as one long video.

    Args:
        open_again: Opens the source.
        like: The source, for its information.
        frames: Total number of frames.

    Attributes:
        passed: Frames so far.
        original: Index of the last frame in the source itself.
    """

    def __init__(self, open_again: Callable[[], FrameSource], like: FrameSource, frames: int) -> None:
        self.info, self.notices = like.info, like.notices
        self.audio_from: str | None = None
        self.frame_total = frames
        self.passed = 0
        self.original = 0
        self._open = open_again

    @override
    def __iter__(self) -> Iterator[Frame]:
        offset = 0.0
        while True:
            with self._open() as source:
                time = 0.0
                for frame in source:
                    index, self.original, time = self.passed, frame.index, offset + frame.time
                    self.passed += 1
                    yield Frame(index, time, frame.image)
                    if self.passed == self.frame_total:
                        return
            offset = time + 1 / self.info.fps

    @override
    def close(self) -> None:
        """Nothing is open between frames."""


class LoopedDetector(Detector):
    """A detector that receives every frame with its index in the source, which recorded detections require."""

    def __init__(self, detector: Detector, looped: LoopedSource) -> None:
        self._detector = detector
        self._looped = looped
        self.info, self.names = detector.info, detector.names

    @override
    def detect(self, frame: Frame) -> Detections:
        return self._detector.detect(dataclasses.replace(frame, index=self._looped.original))


def resident_mb() -> float:
    """Return the resident memory of the process, MiB; its peak where the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_mb()
    return pages * resource.getpagesize() / 2**20
