"""Progress bars, notices, and stopping by signals."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(total: int, *, shown: bool, unit: str = "frame") -> tqdm[Any]:
    """Return a progress bar on stderr; hidden where stderr is not a terminal."""
    from tqdm import tqdm

    return tqdm(total=total or None, unit=unit, disable=None if shown else True, dynamic_ncols=True)


def print_notices(notices: Iterable[str]) -> None:
    """Print each notice on a line of stderr."""
    for notice in notices:
        print(f"notice: {notice}", file=sys.stderr)


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
def stoppable_progress(total: int, *, shown: bool) -> Iterator[tuple[Callable[[], bool], list[int]]]:
    """Yield a function to call per frame, which advances a bar and returns whether to stop, and the caught signals."""
    with stop_signals() as caught, progress_bar(total, shown=shown) as bar:

        def tick() -> bool:
            bar.update()
            return bool(caught)

        yield tick, caught
