"""Engine that runs the videos of a batch, and what follows them, as tasks on a running Ray cluster."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mot_dinov3.apps.batch.config import BatchConfig
from mot_dinov3.apps.batch.engines import Engine
from mot_dinov3.apps.batch.worker import VideoJob, VideoResult, run_video
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import EXIT_BUG, EXIT_INTERRUPTED, MotError, UsageError

RETRIES = 3  # of a task whose worker or node was lost; it resumes the lost run
CONNECT_SECONDS = 10.0

T = TypeVar("T")


def _check_reachable(address: str) -> None:
    """Connect to ``HOST:PORT`` and disconnect: Ray itself would retry for minutes where nothing listens."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.removeprefix("ray://").strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"


class RayEngine(Engine):
    """`run_video` as Ray tasks.

    The project has to be installed on every node, and inputs and results have to lie under the same paths there.

    Args:
        config: Address, and the resources that are reserved per video.

    Raises:
        UsageError: Ray is not installed, cannot be reached, or has no room for a video.
    """

    def __init__(self, config: BatchConfig) -> None:
        try:
            ray: Any = importlib.import_module("ray")
        except ModuleNotFoundError as error:
            raise UsageError(
                f"--engine ray needs the package '{error.name}'",
                remedy="bash setup.sh cpu --extras ray, or: pip install 'mot-dinov3[ray]'; or --engine local",
            ) from error
        self._ray = ray
        try:
            _check_reachable(config.ray_address)
            ray.init(address=config.ray_address, log_to_driver=False, logging_level="ERROR")
        except (OSError, OverflowError, RuntimeError, ValueError) as error:  # Ray's ConnectionError is an OSError
            why = next(iter(str(error).splitlines()), type(error).__name__)
            raise UsageError(
                f"Ray cannot be reached at '{config.ray_address}': {why}",
                remedy="start a cluster (ray start --head), give its address with --ray-address, or use --engine local",
            ) from error
        self.workers = config.workers or self._capacity(config)
        self._cpus = config.cpus_per_video
        resources = {"num_cpus": config.cpus_per_video, "num_gpus": config.gpus_per_video}
        self._task = ray.remote(run_video).options(max_retries=RETRIES, **resources)

    def _capacity(self, config: BatchConfig) -> int:
        """Return the number of videos that the cluster can run at a time."""
        wanted = {"CPU": config.cpus_per_video, "GPU": config.gpus_per_video}
        available = self._ray.cluster_resources()
        capacity = min(int(available.get(kind, 0) / amount) for kind, amount in wanted.items() if amount)
        if capacity < 1:
            self.close()
            found = ", ".join(f"{available.get(kind, 0):g} {kind}" for kind in wanted)
            raise UsageError(
                f"the Ray cluster has {found}, and a video requires {wanted['CPU']:g} CPU, {wanted['GPU']:g} GPU",
                remedy="lower --cpus-per-video or --gpus-per-video; with --workers N the batch waits for them",
            )
        return capacity

    @override
    def submit(self, job: VideoJob) -> Any:
        return self._task.remote(job)

    @override
    def finished(self, tasks: Sequence[Any], seconds: float) -> Sequence[Any]:
        done: list[Any] = self._ray.wait(list(tasks), num_returns=1, timeout=seconds)[0]
        return done

    @override
    def result(self, task: Any) -> VideoResult:
        errors = self._ray.exceptions
        try:
            result: VideoResult = self._ray.get(task)
        except errors.TaskCancelledError:
            return VideoResult(EXIT_INTERRUPTED, "interrupted")
        except errors.RayError as error:
            return VideoResult(EXIT_BUG, f"Ray abandoned it: {_reason(error)}")
        return result

    @override
    def stop(self, tasks: Sequence[Any], number: int) -> None:
        for task in tasks:  # each passes that on to its process and waits for it
            self._ray.cancel(task)

    @override
    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        task = self._ray.remote(function).options(max_retries=RETRIES, num_cpus=self._cpus)
        try:
            result: T = self._ray.get(task.remote(*arguments))
        except self._ray.exceptions.RayTaskError:  # its own error
            raise
        except self._ray.exceptions.RayError as error:
            raise MotError(f"Ray abandoned '{function.__name__}': {_reason(error)}") from error
        return result

    @override
    def close(self) -> None:
        self._ray.shutdown()  # of this client; the cluster keeps running
