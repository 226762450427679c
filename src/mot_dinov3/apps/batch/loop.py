"""The loop of a batch: starts videos and records their results; a failed video does not affect the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mot_dinov3.apps.batch.engines import Engine
from mot_dinov3.apps.batch.manifest import DONE, FAILED, INTERRUPTED, RUNNING, WAITING, Manifest, VideoState
from mot_dinov3.apps.batch.plan import MANIFEST, OVERVIEW
from mot_dinov3.apps.batch.worker import VideoJob
from mot_dinov3.core.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_OK, ModelError, OutputError
from mot_dinov3.core.output_lock import OutputLocks

POLL_SECONDS = 0.2


@contextmanager
def exclusive_lock(out_dir: Path) -> Iterator[None]:
    """Lock a result folder against other batches.

    Raises:
        OutputError: Another batch is running there; the message names its process.
    """
    try:
        locks = OutputLocks([out_dir / MANIFEST, out_dir / OVERVIEW])
    except OutputError as error:
        what = f"another batch is running in '{out_dir}': {error.message}"
        raise OutputError(what, remedy="wait until it has finished") from error
    with locks:
        yield


class BatchRun:
    """A running batch.

    Args:
        manifest: States of the videos; saved at every change.
        jobs: The videos to run.
        engine: Runs them.
    """

    def __init__(self, manifest: Manifest, jobs: list[VideoJob], engine: Engine) -> None:
        self.manifest = manifest
        self._waiting = deque(jobs)
        self._engine = engine
        self._running: dict[Any, VideoJob] = {}
        self._no_model = False

    def run(self, stopped: Callable[[], int], tick: Callable[[VideoState], None]) -> None:
        """Run all videos; an unusable model ends the batch early, since it would fail for all.

        Args:
            stopped: Returns the number of a signal that the process received, 0 for none.
            tick: Called with every video that has ended.
        """
        for job in self._waiting:
            self.manifest.videos[job.name].state = WAITING
        self.manifest.save()
        passed_on = False
        while True:
            number = stopped()
            if number and not passed_on:
                self._engine.stop(list(self._running), number)
                passed_on = True
            elif not number:
                self._start_waiting()
            if not self._running:
                return
            for task in self._engine.finished(list(self._running), POLL_SECONDS):
                tick(self._finish(task))

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._engine.workers and not self._no_model:
            job = self._waiting.popleft()
            self.manifest.videos[job.name].state = RUNNING
            self.manifest.save()
            self._running[self._engine.submit(job)] = job

    def _finish(self, task: Any) -> VideoState:
        video = self.manifest.videos[self._running.pop(task).name]
        video.finish(self._engine.result(task))
        self._no_model |= video.exit_code == ModelError.exit_code
        self.manifest.save()
        return video


def exit_code(videos: list[VideoState]) -> int:
    """Return the exit code of a batch: 0 where all is done, else that of the first video that failed."""
    for video in videos:
        if video.state == FAILED:
            code = video.exit_code or EXIT_BUG
            return code if code in range(1, 5) else EXIT_BUG
    return EXIT_OK if all(video.state == DONE for video in videos) else EXIT_INTERRUPTED


def summary(videos: list[VideoState]) -> list[str]:
    """Return the lines of a batch's summary."""
    counts = {state: sum(video.state == state for video in videos) for state in (DONE, FAILED, INTERRUPTED, WAITING)}
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = [f"videos      {len(videos)}: {states}"]
    lines += [f"{video.state:<11} {video.name}: {video.message}" for video in videos if video.state == FAILED]
    if counts[WAITING] and any(video.exit_code == ModelError.exit_code for video in videos):
        lines.append("notice      an unusable model fails for all videos: the waiting videos were not started")
    return lines
