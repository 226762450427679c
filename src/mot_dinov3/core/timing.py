"""Stage timer with an injected clock, the start of the process, calls with a time limit, and what takes long."""

from __future__ import annotations

import datetime
import os
import queue
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Clock = Callable[[], float]
ShowActivity = Callable[[str, float | None], AbstractContextManager[object]]
"""Shows that something takes long, as long as its context lasts: its name, and the seconds to expect if known."""

_shown_by: ContextVar[ShowActivity | None] = ContextVar("shown_by", default=None)
_IMPORTED = time.perf_counter()


class StageTimer:
    """Adds up busy milliseconds per stage and keeps the latency of every frame.

    The frame loop is timed in laps: `lap` gives a stage all the time since the lap before it. Decoding and encoding run
    in threads of their own, timed by `stage`: their ``read`` and ``write`` are busy time in parallel to the others, and
    the time that the main thread waits for them is the stage ``wait``. A stage is timed by one thread.

    Args:
        clock: Seconds from any fixed point; a test passes its own.

    Attributes:
        stage_ms: Busy milliseconds per stage, summed over the run.
        frame_ms: Latency of every frame, from asking for it until the next one is asked for.
        asked_ms: Milliseconds from asking for a frame until it came, summed over the run: a part of ``wait``.
        began: When what led to the first frame began, on the clock; a command sets it to its process's start.
        first_frame_s: Seconds from then until the first frame had gone through all stages; None before.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self.clock = clock
        self._lap = clock()
        self.stage_ms: dict[str, float] = {}
        self.frame_ms = array("d")
        self.asked_ms = 0.0
        self.began = clock()
        self.first_frame_s: float | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time spent inside as busy time of the stage `name`, also where it raises."""
        start = self.clock()
        try:
            yield
        finally:
            self.stage_ms[name] = self.stage_ms.get(name, 0.0) + 1e3 * (self.clock() - start)

    def start(self) -> None:
        """Begin a lap: the time before it belongs to no stage."""
        self._lap = self.clock()

    def lap(self, name: str) -> None:
        """Count the time since the last lap as busy time of the stage `name`, and begin the next lap."""
        now = self.clock()
        self.stage_ms[name] = self.stage_ms.get(name, 0.0) + 1e3 * (now - self._lap)
        self._lap = now

    def frames(self, source: Iterable[T]) -> Iterator[T]:
        """Yield the frames of `source`; waiting for one is the stage ``wait``, all until the next is its latency."""
        frames = iter(source)
        while True:
            start = self._lap = self.clock()
            frame = next(frames, None)
            if frame is None:  # to learn that was the last one is no frame's latency, so it is no stage's time either
                return
            self.lap("wait")
            self.asked_ms += 1e3 * (self._lap - start)
            yield frame
            now = self.clock()
            self.frame_ms.append(1e3 * (now - start))
            if self.first_frame_s is None:
                self.first_frame_s = now - self.began


def process_start() -> float:
    """Return when this process began, on `time.perf_counter`; else when this was imported.

    Linux provides it in ``/proc``, to a hundredth of a second.
    """
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return _IMPORTED
    return time.perf_counter() - age if age >= 0 else _IMPORTED


def now_utc() -> str:
    """Return the time of the run, ISO 8601; ``SOURCE_DATE_EPOCH`` fixes it where equal runs must write equal files."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.now(datetime.timezone.utc)
    moment = datetime.datetime.fromtimestamp(int(fixed), datetime.timezone.utc) if fixed else now
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what `call` returns, or raise what it raises.

    Raises:
        TimeoutError: It did neither within `seconds`; its daemon thread is left behind.
    """
    outcome: queue.SimpleQueue[tuple[bool, T | BaseException]] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.put((True, call()))
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread, which raises it
            outcome.put((False, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        done, result = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if not done:
        raise result  # type: ignore[misc]
    return result  # type: ignore[return-value]


def activity(text: str, seconds: float | None = None) -> AbstractContextManager[object]:
    """Return a context for something that takes long; whoever `activities_shown_by` names shows it meanwhile.

    Args:
        text: What is done: ``loading 'yolov8n.pt'``.
        seconds: Usual duration, where it is known to be long.
    """
    show = _shown_by.get()
    return nullcontext() if show is None else show(text, seconds)


@contextmanager
def activities_shown_by(show: ShowActivity) -> Iterator[None]:
    """Let `show` show the activities inside."""
    token = _shown_by.set(show)
    try:
        yield
    finally:
        _shown_by.reset(token)
