"""File actions on a background thread: in order, a few at most waiting, errors reported."""

from __future__ import annotations

import collections
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

DEPTH = 32


class BackgroundWriter:
    """Runs actions in order on a background thread; an action's error is raised by a later call."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background writer")
        self._pending: collections.deque[Future[None]] = collections.deque()

    def do(self, action: Callable[[], None]) -> None:
        """Queue an action; waits while the queue is full."""
        self._pending.append(self._pool.submit(action))
        while len(self._pending) > DEPTH or (self._pending and self._pending[0].done()):
            self._pending.popleft().result()

    def drain(self) -> None:
        """Wait until all is done."""
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        """Finish what waits and end the thread."""
        try:
            self.drain()
        finally:
            self._pool.shutdown()
