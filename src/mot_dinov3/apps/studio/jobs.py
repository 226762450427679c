"""Background jobs: they report progress, can be cancelled, and survive a reload of the page."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mot_dinov3.core.errors import MotError, UsageError

MAX_FINISHED = 50  # finished jobs that are kept for the page
THREADS = 2

log = logging.getLogger(__name__)


class CancelledError(MotError):
    """The job was cancelled."""


@dataclasses.dataclass(eq=False)
class Job:
    """One piece of work. Its thread calls `tick` or `check`; any thread may read, or set `cancelled`.

    The page knows it by `number` and `kind`, the user by `title`. While it runs, no second job of the same kind is
    started on the same `subject`.
    """

    number: str
    kind: str
    title: str
    subject: str
    state: str = "waiting"
    done: int = 0
    total: int = 0
    message: str = ""
    result: Any = None
    error: MotError | None = None
    cancelled: threading.Event = dataclasses.field(default_factory=threading.Event)
    finished: threading.Event = dataclasses.field(default_factory=threading.Event)

    def tick(self) -> bool:
        """Count one step; return whether to stop."""
        self.done += 1
        return self.cancelled.is_set()

    def check(self, done: int, total: int) -> None:
        """Record the progress.

        Raises:
            CancelledError: The job was cancelled.
        """
        self.done, self.total = done, total
        if self.cancelled.is_set():
            raise CancelledError("cancelled")

    def to_json(self) -> dict[str, Any]:
        """Return the job as the page reads it."""
        error = self.error
        return {
            "id": self.number,
            **{key: getattr(self, key) for key in ("kind", "title", "subject", "state", "done", "total", "message")},
            "result": self.result if self.state in ("done", "cancelled") else None,
            "error": None if error is None else {"message": error.message, "remedy": error.remedy},
        }


class Jobs:
    """All jobs of a studio."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="job")

    def start(self, kind: str, title: str, work: Callable[[Job], Any], *, subject: str, wait_s: float = 0.0) -> Job:
        """Start `work`, or return the running job of this kind on this subject.

        `work` is called in a thread and returns the result, plain JSON. After waiting `wait_s` for its end, so that
        quick work is answered at once, the job is returned as it is then.
        """
        with self._lock:
            for job in self._jobs.values():
                if job.kind == kind and job.subject == subject and not job.finished.is_set():
                    return job
            job = Job(str(next(self._numbers)), kind, title, subject)
            self._jobs[job.number] = job
            finished = [j.number for j in self._jobs.values() if j.finished.is_set()]
            for number in finished[:-MAX_FINISHED]:
                del self._jobs[number]
        self._threads.submit(self._run, job, work)
        job.finished.wait(wait_s)
        return job

    def _run(self, job: Job, work: Callable[[Job], Any]) -> None:
        job.state = "running"
        outcome = "failed"
        try:
            job.check(0, 0)
            job.result = work(job)
            outcome = "cancelled" if job.cancelled.is_set() else "done"
        except CancelledError:
            outcome = "cancelled"
        except MotError as error:
            job.error = error
        finally:
            if outcome == "failed" and job.error is None:
                job.error = MotError("this is a bug; the terminal shows more", remedy="please report it")
                log.error("job '%s' failed", job.title, exc_info=True)
            job.state = outcome
            job.finished.set()

    def get(self, number: str) -> Job:
        """Return a job.

        Raises:
            UsageError: There is no such job.
        """
        if number not in self._jobs:
            raise UsageError(f"there is no job {number}", remedy="reload the page")
        return self._jobs[number]

    def running(self) -> list[Job]:
        """Return the jobs that are not finished."""
        return [job for job in list(self._jobs.values()) if not job.finished.is_set()]

    def busy(self, kind: str, subject: str) -> bool:
        """Return whether a job of this kind runs on this subject."""
        return any(job.kind == kind and job.subject == subject for job in self.running())

    def close(self) -> None:
        """Cancel all jobs, and wait until they have stopped."""
        for job in self.running():
            job.cancelled.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
