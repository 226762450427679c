"""What runs the videos of a batch: processes of this computer, or tasks on a Ray cluster."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mot_dinov3.apps.batch.config import BatchConfig
from mot_dinov3.apps.batch.worker import VideoJob, VideoResult, run_video
from mot_dinov3.models.openvino import usable_cpus


class Engine(Protocol):
    """Runs `run_video`, several at a time.

    Attributes:
        workers: How many.
    """

    workers: int

    def submit(self, job: VideoJob) -> Any:
        """Start a video and return its task, something hashable."""
        ...

    def finished(self, tasks: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return those of `tasks` that have ended, after waiting for one at most so long."""
        ...

    def result(self, task: Any) -> VideoResult:
        """Return how an ended task ended."""
        ...

    def stop(self, tasks: Sequence[Any], number: int) -> None:
        """Hand on a signal to all tasks: they finish their frame and their files."""
        ...

    def close(self) -> None:
        """Let go of everything; what still runs is killed."""
        ...


class LocalEngine:
    """Threads that each watch one process.

    Args:
        workers: Videos at a time; the processor's threads are divided among them.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._threads = max(1, usable_cpus() // workers) if workers > 1 else 0
        self._pool = concurrent.futures.ThreadPoolExecutor(workers)
        self._signal = 0

    def submit(self, job: VideoJob) -> concurrent.futures.Future[VideoResult]:
        """Start a video."""
        return self._pool.submit(run_video, dataclasses.replace(job, threads=self._threads), self._stopped)

    def _stopped(self) -> int:
        return self._signal

    def finished(self, tasks: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return those that have ended."""
        return list(concurrent.futures.wait(tasks, seconds, concurrent.futures.FIRST_COMPLETED).done)

    def result(self, task: concurrent.futures.Future[VideoResult]) -> VideoResult:
        """Return how it ended."""
        return task.result()

    def stop(self, tasks: Sequence[Any], number: int) -> None:
        """Have the threads hand on the signal."""
        self._signal = number

    def close(self) -> None:
        """Kill what still runs."""
        import signal

        self._signal = signal.SIGKILL
        self._pool.shutdown()


def open_engine(config: BatchConfig) -> Engine:
    """Open what `config` asks for.

    Raises:
        UsageError: Ray is not installed, cannot be reached, or has not what a video asks for.
    """
    makers: dict[str, Callable[[], Engine]] = {
        "local": lambda: LocalEngine(config.workers or 1),
        "ray": lambda: _ray(config),
    }
    return makers[config.engine]()


def _ray(config: BatchConfig) -> Engine:
    from mot_dinov3.apps.batch.ray_engine import RayEngine

    return RayEngine(config)
