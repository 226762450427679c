"""Where the time goes: a stage timer with an injected clock."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
Clock = Callable[[], float]


class StageTimer:
    """Adds up busy milliseconds per stage and keeps the latency of every frame.

    Decoding and encoding run in threads of their own: their stages ``read`` and ``write`` are busy time beside the
    others, and what the main thread spends on waiting for them is the stage ``wait``. A stage is timed by one thread.

    Args:
        clock: Seconds from any fixed point; a test passes its own.

    Attributes:
        stage_ms: Busy milliseconds per stage, summed over the run.
        frame_ms: Latency of every frame, from asking for it until the next one is asked for.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self.clock = clock
        self.stage_ms: dict[str, float] = {}
        self.frame_ms = array("d")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time spent inside as busy time of the stage `name`, also where it raises."""
        start = self.clock()
        try:
            yield
        finally:
            self.stage_ms[name] = self.stage_ms.get(name, 0.0) + 1e3 * (self.clock() - start)

    def frames(self, source: Iterable[T]) -> Iterator[T]:
        """Yield the frames of `source`; waiting for one is the stage ``wait``, all until the next is its latency."""
        frames = iter(source)
        while True:
            start = self.clock()
            with self.stage("wait"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame
            self.frame_ms.append(1e3 * (self.clock() - start))
