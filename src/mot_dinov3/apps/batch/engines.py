"""Engines that run the videos of a batch, and what follows them: on this computer, or as tasks on a Ray cluster."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import signal
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from mot_dinov3.apps.batch.config import BatchConfig
from mot_dinov3.apps.batch.worker import VideoJob, VideoResult, run_video
from mot_dinov3.core.compat import override
from mot_dinov3.models.devices import usable_cpus

T = TypeVar("T")


class Engine(Protocol):
    """Runs `run_video`, several at a time.

    Attributes:
        workers: Number of videos at a time.
    """

    workers: int

    def submit(self, job: VideoJob) -> Any:
        """Start a video and return its task, a hashable object."""
        ...

    def finished(self, tasks: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return the ended ones of `tasks`, after waiting for one for at most `seconds`."""
        ...

    def result(self, task: Any) -> VideoResult:
        """Return the result of an ended task."""
        ...

    def stop(self, tasks: Sequence[Any], number: int) -> None:
        """Pass a signal to all tasks: they finish their frame and their files."""
        ...

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function that has no effects, and return its result.

        Raises:
            MotError: The cluster abandoned it.
        """
        ...

    def close(self) -> None:
        """Release all resources; tasks that still run are killed."""
        ...


class LocalEngine(Engine):
    """Threads that each wait for one process.

    Args:
        workers: Videos at a time; the processor's threads are divided among them.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._threads = max(1, usable_cpus() // workers) if workers > 1 else 0
        self._pool = concurrent.futures.ThreadPoolExecutor(workers)
        self._signal = 0

    @override
    def submit(self, job: VideoJob) -> concurrent.futures.Future[VideoResult]:
        return self._pool.submit(run_video, dataclasses.replace(job, threads=self._threads), lambda: self._signal)

    @override
    def finished(self, tasks: Sequence[Any], seconds: float) -> Sequence[Any]:
        return list(concurrent.futures.wait(tasks, seconds, concurrent.futures.FIRST_COMPLETED).done)

    @override
    def result(self, task: Any) -> VideoResult:
        result: VideoResult = task.result()
        return result

    @override
    def stop(self, tasks: Sequence[Any], number: int) -> None:
        self._signal = number

    @override
    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)

    @override
    def close(self) -> None:
        self._signal = signal.SIGKILL
        self._pool.shutdown()


def open_engine(config: BatchConfig) -> Engine:
    """Open the engine that `config` names.

    Raises:
        UsageError: Ray is not installed, cannot be reached, or lacks the resources for a video.
    """
    if config.engine == "local":
        return LocalEngine(config.workers or 1)
    from mot_dinov3.apps.batch.ray_engine import RayEngine

    return RayEngine(config)
