"""Decoding ahead and encoding behind: threads with bounded queues around a source and a writer.

Order is kept, an error of the thread is raised in the caller's, and closing stops the thread. FFmpeg releases Python's
lock while it works, so decoding and encoding really run beside detector and tracker.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from mot_dinov3.core.structures import Frame, Image
from mot_dinov3.video.source import FrameSource

DEPTH = 4
"""Pictures that wait at most: enough to even out key frames, little enough for 4K."""

Busy = Callable[[], AbstractContextManager[None]]
"""Makes a context that counts the time spent in it as work of the thread."""

_POLL_SECONDS = 0.1


class Writer(Protocol):
    """What pictures are written to."""

    notices: list[str]

    def write(self, image: Image | None, time: float) -> None:
        """Append a picture shown at `time` seconds; None stands for one that an earlier run has written."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...

    def leave(self) -> None:
        """Stop; what was written stays under its temporary name."""
        ...


class ReadAhead:
    """A source whose frames are decoded by a thread of its own, a few ahead.

    Args:
        source: Frames in order; used by the thread alone until `close`.
        busy: Counts the time spent decoding.
    """

    def __init__(self, source: FrameSource, *, busy: Busy = contextlib.nullcontext) -> None:
        self._source = source
        self.info = source.info
        self.frame_total = source.frame_total
        self.audio_from = source.audio_from
        self.notices = source.notices  # the very list: the source goes on filling it
        self._busy = busy
        self._queue: queue.Queue[Frame | BaseException | None] = queue.Queue(DEPTH)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; the thread starts now."""
        self._thread = threading.Thread(target=self._work, name="read ahead", daemon=True)
        self._thread.start()
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _work(self) -> None:
        last: BaseException | None = None
        try:
            frames = iter(self._source)
            while not self._stop.is_set():
                with self._busy():
                    frame = next(frames, None)
                if frame is None:
                    break
                self._put(frame)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            last = error
        self._put(last)

    def _put(self, item: Frame | BaseException | None) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=_POLL_SECONDS)
                return

    def close(self) -> None:
        """Stop the thread and release the source; may be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._source.close()

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class WriteBehind:
    """A writer whose pictures are encoded by a thread of its own, a few behind.

    A picture must not be changed after it was handed over.

    Args:
        writer: Used by the thread alone until `close` or `leave`.
        busy: Counts the time spent encoding.
    """

    def __init__(self, writer: Writer, *, busy: Busy = contextlib.nullcontext) -> None:
        self._writer = writer
        self._busy = busy
        self._queue: queue.Queue[tuple[Image | None, float] | None] = queue.Queue(DEPTH)
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="write behind", daemon=True)
        self._thread.start()

    @property
    def notices(self) -> list[str]:
        """The writer's."""
        return self._writer.notices

    def write(self, image: Image | None, time: float) -> None:
        """Hand a picture over; waits while the queue is full. Raises what an earlier picture has failed with."""
        self._raise()
        self._queue.put((image, time))

    def close(self) -> None:
        """Write what waits and finish the file."""
        self._join()
        self._raise()
        with self._busy():
            self._writer.close()

    def leave(self) -> None:
        """Write what waits and stop; the unfinished file stays."""
        self._join()
        self._writer.leave()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._failed is None:  # after a failure the queue is only emptied, so that nobody waits for ever
                try:
                    with self._busy():
                        self._writer.write(*item)
                except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                    self._failed = error

    def _join(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._failed is not None:
            raise self._failed
