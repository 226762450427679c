"""Progress on stderr, notices, and stopping by signals.

On a terminal, progress is one line that is drawn again twice a second, whatever the program is busy with. Elsewhere it
is a line of its own at least every `LINE_SECONDS`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, TextIO

from mot_dinov3.core.timing import Clock, activities_shown_by

DRAW_SECONDS = 0.5
LINE_SECONDS = 10.0
PATIENCE = 0.5  # seconds that an activity lasts before it is worth a line on a terminal
SPINNER = "|/-\\"
CLEAR = "\r\x1b[K"
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that control a terminal, end a line, or turn the direction of writing."""


@dataclasses.dataclass
class Task:
    """What a command is busy with.

    Attributes:
        text: Its name.
        begun: When it began, on the display's clock.
        expected: Seconds that it usually takes; None where unknown.
        unit: Things that are counted; empty where nothing is.
        total: Number of them; 0 where unknown.
        done: Number of those that are done.
        note: Shown after the counts.
    """

    text: str
    begun: float
    expected: float | None = None
    unit: str = ""
    total: int = 0
    done: int = 0
    note: str = ""

    def update(self) -> None:
        """Count one more."""
        self.done += 1

    def line(self, now: float, columns: int) -> str:
        """Return what is shown of it."""
        seconds = now - self.begun
        if self.unit:
            from tqdm import tqdm

            shown = {"ncols": columns, "unit": self.unit, "postfix": self.note or None}
            return str(tqdm.format_meter(self.done, self.total or None, seconds, **shown))  # type: ignore[arg-type]
        if self.expected is None:
            return f"{self.text}: {seconds:.0f} s"
        return f"{self.text}: {seconds:.0f} s of about {self.expected:.0f} s"


class ProgressDisplay:
    """Shows the task that began last.

    Args:
        stream: Takes the lines.
        terminal: Draw one line again and again; else write one from time to time.
        clock: Seconds from any fixed point.
    """

    def __init__(self, stream: TextIO, *, terminal: bool, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._terminal = terminal
        self._clock = clock
        self._tasks: list[Task] = []
        self._lock = threading.RLock()  # a signal may come while its own thread draws
        self._drawn = False
        self._spins = 0
        self._last_line = clock()

    @contextmanager
    def task(self, text: str, expected: float | None = None, *, unit: str = "", total: int = 0) -> Iterator[Task]:
        """Show a task as long as the context lasts; the last state of what counts stays."""
        task = Task(text, self._clock(), expected, unit, total)
        with self._lock:
            self._tasks.append(task)
            if expected is not None and not self._terminal:
                self._write_line(f"{text}: about {expected:.0f} s")
        try:
            yield task
        finally:
            with self._lock:
                self.clear()
                self._tasks.remove(task)
                if unit and (self._terminal or self._clock() - task.begun >= LINE_SECONDS):
                    self._write_line(task.line(self._clock(), self._columns()))

    def beat(self) -> None:
        """Draw, or write a line, if it is time for it."""
        with self._lock:
            if not self._tasks:
                return
            now, task = self._clock(), self._tasks[-1]
            if not self._terminal:
                if now - self._last_line >= LINE_SECONDS - DRAW_SECONDS:
                    self._write_line(task.line(now, 80))
                return
            if now - task.begun < PATIENCE and not task.unit and not self._drawn:
                return
            self._spins += 1
            mark = "" if task.unit else f"{SPINNER[self._spins % len(SPINNER)]} "
            columns = self._columns()
            # The cursor waits at the start of the line: what another part of the program writes takes its place.
            self._write(f"{CLEAR}{mark}{task.line(now, columns)}"[: columns + len(CLEAR)] + "\r")
            self._drawn = True

    def clear(self) -> None:
        """Make room for a line of another kind."""
        with self._lock:
            if self._drawn:
                self._write(CLEAR)
                self._drawn = False

    def _write_line(self, text: str) -> None:
        self._write(f"{text}\n")
        self._last_line = self._clock()

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more: no reason to end the run
            self._stream.write(text)
            self._stream.flush()

    @staticmethod
    def _columns() -> int:
        return max((shutil.get_terminal_size((80, 24)).columns or 80) - 1, 20)


class _ClearedStream:
    """A terminal's stream that clears the line of the display before it is written to."""

    def __init__(self, stream: TextIO, display: ProgressDisplay) -> None:
        self._stream = stream
        self._display = display

    def write(self, text: str) -> int:
        self._display.clear()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_display: ContextVar[ProgressDisplay | None] = ContextVar("display", default=None)


@contextmanager
def progress_shown(text: str) -> Iterator[None]:
    """Show what goes on inside: bars, what the library says to take long, else `text`."""
    display = ProgressDisplay(sys.stderr, terminal=sys.stderr.isatty())
    over = threading.Event()

    def draw() -> None:
        while not over.wait(DRAW_SECONDS):
            display.beat()

    thread = threading.Thread(target=draw, name="progress", daemon=True)
    token = _display.set(display)
    thread.start()
    try:
        with _cleared_streams(display), activities_shown_by(display.task), display.task(text):
            yield
    finally:
        over.set()
        thread.join()
        _display.reset(token)


@contextmanager
def _cleared_streams(display: ProgressDisplay) -> Iterator[None]:
    with contextlib.ExitStack() as redirected:
        if sys.stdout.isatty():
            redirected.enter_context(contextlib.redirect_stdout(_ClearedStream(sys.stdout, display)))
        if sys.stderr.isatty():
            redirected.enter_context(contextlib.redirect_stderr(_ClearedStream(sys.stderr, display)))
        yield


@contextmanager
def progress_bar(total: int, *, unit: str = "frame") -> Iterator[Task]:
    """Show a bar that its `Task.update` advances; `total` is 0 where it is unknown."""
    display = _display.get()
    if display is None:
        yield Task("", 0.0, unit=unit, total=total)
        return
    with display.task("", unit=unit, total=total) as task:
        yield task


def print_notices(notices: Iterable[str]) -> None:
    """Print each notice on a line of stderr."""
    print_lines((f"notice: {notice}" for notice in notices), sys.stderr)


def print_lines(lines: Iterable[str], file: TextIO | None = None) -> None:
    """Print lines on stdout or in `file`; what a terminal would obey, as a class may be called, is spelled out."""
    for line in lines:
        print(_OBEYED.sub(lambda found: ascii(found[0])[1:-1], line), file=file or sys.stdout)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of exiting; a second one acts immediately."""
    caught: list[int] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def collect(number: int, _: FrameType | None) -> None:
        caught.append(number)
        restore()
        print("stopping after this frame; press again to stop immediately", file=sys.stderr)

    for number in previous:
        signal.signal(number, collect)
    try:
        yield caught
    finally:
        restore()


@contextmanager
def stoppable_progress(total: int) -> Iterator[tuple[Callable[[], bool], list[int]]]:
    """Yield a function to call per frame, which advances a bar and returns whether to stop, and the caught signals."""
    with stop_signals() as caught, progress_bar(total) as bar:

        def tick() -> bool:
            bar.update()
            return bool(caught)

        yield tick, caught
