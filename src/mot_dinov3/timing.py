"""Where the time goes: a stage timer with an injected clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
Clock = Callable[[], float]


class StageTimer:
    """Adds up busy milliseconds per stage and keeps the latency of every frame.

    Args:
        clock: Seconds from any fixed point; a test passes its own.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self.clock = clock
        self.total_ms: dict[str, float] = {}
        self.frame_ms: list[float] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time spent inside as busy time of the stage `name`, also where it raises."""
        start = self.clock()
        try:
            yield
        finally:
            self.total_ms[name] = self.total_ms.get(name, 0.0) + 1e3 * (self.clock() - start)

    def timed(self, name: str, items: Iterator[T]) -> Iterator[T]:
        """Yield from `items`, counting each wait for the next one as time of the stage `name`."""
        while True:
            with self.stage(name):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    @contextmanager
    def frame(self) -> Iterator[None]:
        """Record the time spent inside as the latency of one more frame."""
        start = self.clock()
        yield
        self.frame_ms.append(1e3 * (self.clock() - start))
