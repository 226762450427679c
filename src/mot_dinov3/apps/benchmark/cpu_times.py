"""Processor time of a run by stage and by kind of thread.

The threads that Python knows measure themselves. Libraries have threads of their own: FFmpeg's and x264's belong to
decoding and encoding, all others (OpenVINO, torch, OpenCV) work for whatever stage the main thread is in. Linux gives
the time of each; elsewhere they are one number, what is left of the process's processor time.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mot_dinov3.core.compat import override
from mot_dinov3.core.timing import Clock, StageTimer
from mot_dinov3.sinks.base import Sink

T = TypeVar("T")

TASKS = Path("/proc/self/task")
DECODER_PREFIX = "av:"  # of the names that FFmpeg gives the threads of a decoder
ENCODER_NAME = "video writer"  # x264's threads inherit the name of the thread that opens it
NAME_LENGTH = 15  # characters that Linux keeps of a thread's name
CPU_CLOCK = 6  # with a thread's number, its clock: what pthread_getcpuclockid returns on Linux

MAIN, OWN, LIBRARY, REST = "main thread", "own thread", "library threads", "the rest"

CpuShare = tuple[str, str]
"""Stage and kind of thread."""


class LibraryThreads:
    """The threads of this process that Python did not start; none where the system does not list them.

    Args:
        tasks: Folder with an entry for each thread.
        clock: Returns the processor seconds of a thread by its number.
    """

    def __init__(self, tasks: Path = TASKS, clock: Callable[[int], float] | None = None) -> None:
        self._tasks = tasks
        self._clock = clock or thread_seconds
        self._stage: dict[int, str] = {}
        self._last: dict[int, float] = {}

    def find(self) -> None:
        """Find threads that have begun, and name those of Python: threads that they start inherit the name."""
        if not self._tasks.is_dir():
            return
        own = {thread.native_id: thread.name for thread in threading.enumerate()}
        for entry in os.listdir(self._tasks):  # noqa: PTH208 - once a frame, and pathlib takes three times as long
            number, name = int(entry), self._tasks / entry / "comm"
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if number in own and number != threading.main_thread().native_id:
                    name.write_text(own[number][:NAME_LENGTH])
                elif number not in own and number not in self._stage:
                    self._stage[number] = stage_of(name.read_text().strip())

    def seconds(self) -> Mapping[str, float]:
        """Return their processor seconds so far: for ``read``, for ``write``, and for any stage (an empty name)."""
        found = defaultdict[str, float](float)
        for thread, stage in self._stage.items():
            with contextlib.suppress(OSError):  # it has ended: what it had used before counts
                self._last[thread] = self._clock(thread)
            found[stage] += self._last.get(thread, 0.0)
        return found


def stage_of(name: str) -> str:
    """Return the stage that a library's thread of this name works for; empty where it may be any."""
    if name.startswith(DECODER_PREFIX):
        return "read"
    return "write" if name == ENCODER_NAME else ""


def thread_seconds(number: int) -> float:
    """Return the processor seconds of a thread of this process, by its number in the system (Linux)."""
    return time.clock_gettime(~number << 3 | CPU_CLOCK)


class CpuTimer(StageTimer):
    """A stage timer that also adds up processor time, which costs about a tenth of a millisecond a frame.

    Args:
        clock: As of `StageTimer`.
        threads: The libraries' threads.

    Attributes:
        cpu_ms: Milliseconds by stage and kind of thread, summed over the run; complete after `total_ms`.
    """

    def __init__(self, clock: Clock = time.perf_counter, threads: LibraryThreads | None = None) -> None:
        super().__init__(clock)
        self.cpu_ms: dict[CpuShare, float] = {}
        self._threads = LibraryThreads() if threads is None else threads
        self._began: Mapping[str, float] = {}
        self._process = self._main = self._library = 0.0

    @override
    def frames(self, source: Iterable[T]) -> Iterator[T]:
        self._threads.find()
        self._began = self._threads.seconds()
        self._process, self._main, self._library = time.process_time(), time.thread_time(), self._began.get("", 0.0)
        for frame in super().frames(source):
            self._threads.find()
            yield frame

    @override
    def lap(self, name: str) -> None:
        super().lap(name)
        main, library = time.thread_time(), self._threads.seconds().get("", 0.0)
        self._add((name, MAIN), main - self._main)
        self._add((name, LIBRARY), library - self._library)
        self._main, self._library = main, library

    @override
    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.thread_time()
        try:
            with super().stage(name):
                yield
        finally:
            self._add((name, OWN), time.thread_time() - start)

    def settle(self) -> None:
        """Count the libraries' threads that decode and encode, which end with the files that they work on."""
        for stage, seconds in self._threads.seconds().items():
            if stage:
                self.cpu_ms[stage, LIBRARY] = 1e3 * (seconds - self._began.get(stage, 0.0))

    def total_ms(self) -> float:
        """Return the processor time of the process since the first frame was asked for; what is left is ``other``."""
        total = 1e3 * (time.process_time() - self._process)
        known = sum(ms for share, ms in self.cpu_ms.items() if share != ("other", REST))
        self.cpu_ms["other", REST] = max(total - known, 0.0)
        return total

    def _add(self, share: CpuShare, seconds: float) -> None:
        self.cpu_ms[share] = self.cpu_ms.get(share, 0.0) + 1e3 * seconds


class TimerSettler(Sink):
    """Settles a timer before the other sinks are closed, and the threads that write end."""

    stage = None

    def __init__(self, timer: CpuTimer) -> None:
        self._timer = timer

    @override
    def close(self) -> None:
        self._timer.settle()
