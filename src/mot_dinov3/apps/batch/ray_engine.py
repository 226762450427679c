"""The videos of a batch as tasks on a Ray cluster that is already running."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Sequence
from typing import Any

from mot_dinov3.apps.batch.config import BatchConfig
from mot_dinov3.apps.batch.worker import VideoJob, VideoResult, run_video
from mot_dinov3.core.errors import EXIT_BUG, EXIT_INTERRUPTED, UsageError

RETRIES = 3  # of a task whose worker or node was lost; it goes on from what the lost one left
KNOCK_SECONDS = 10.0


def _knock(address: str) -> None:
    """Connect to ``HOST:PORT`` and hang up: Ray itself would try for minutes where nobody listens."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.removeprefix("ray://").strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


class RayEngine:
    """`run_video` as tasks.

    The project has to be installed on every node, and inputs and results have to lie under the same paths there.

    Args:
        config: Address, and what is set aside for a video.

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
            _knock(config.ray_address)
            ray.init(address=config.ray_address, log_to_driver=False, logging_level="ERROR")
        except (OSError, OverflowError, RuntimeError, ValueError) as error:  # Ray's ConnectionError is an OSError
            why = next(iter(str(error).splitlines()), type(error).__name__)
            raise UsageError(
                f"Ray cannot be reached at '{config.ray_address}': {why}",
                remedy="start a cluster (ray start --head), give its address with --ray-address, or use --engine local",
            ) from error
        self.workers = config.workers or self._room(config)
        resources = {"num_cpus": config.cpus_per_video, "num_gpus": config.gpus_per_video}
        self._task = ray.remote(run_video).options(max_retries=RETRIES, **resources)

    def _room(self, config: BatchConfig) -> int:
        """Return how many videos the cluster has room for at a time."""
        asked = {"CPU": config.cpus_per_video, "GPU": config.gpus_per_video}
        there = self._ray.cluster_resources()
        room = min(int(there.get(kind, 0) / amount) for kind, amount in asked.items() if amount)
        if room < 1:
            self.close()
            found = ", ".join(f"{there.get(kind, 0):g} {kind}" for kind in asked)
            raise UsageError(
                f"the Ray cluster has {found}, and a video requires {asked['CPU']:g} CPU, {asked['GPU']:g} GPU",
                remedy="lower --cpus-per-video or --gpus-per-video; with --workers N the batch waits for them",
            )
        return room

    def submit(self, job: VideoJob) -> Any:
        """Start a video."""
        return self._task.remote(job)

    def finished(self, tasks: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return those that have ended."""
        done: list[Any] = self._ray.wait(list(tasks), num_returns=1, timeout=seconds)[0]
        return done

    def result(self, task: Any) -> VideoResult:
        """Return how it ended; a task that Ray gave up is a failed video."""
        errors = self._ray.exceptions
        try:
            result: VideoResult = self._ray.get(task)
        except errors.TaskCancelledError:
            return VideoResult(EXIT_INTERRUPTED, "interrupted")
        except errors.RayError as error:
            return VideoResult(
                EXIT_BUG, f"Ray abandoned it: {type(error).__name__}: {str(error).strip().splitlines()[-1]}"
            )
        return result

    def stop(self, tasks: Sequence[Any], number: int) -> None:
        """Cancel the tasks: each hands that on to its process and waits for it."""
        for task in tasks:
            self._ray.cancel(task)

    def close(self) -> None:
        """Leave the cluster, which goes on."""
        self._ray.shutdown()
