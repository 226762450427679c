"""Decoding and encoding on background threads: bounded queues around a source and a writer.

The order is kept, an error on the thread is raised on the caller's, and closing stops the thread. FFmpeg releases
Python's lock while it works, so decoding and encoding run in parallel with detector and tracker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Frame, Image
from mot_dinov3.video.source import FrameSource
from mot_dinov3.video.writer import FrameWriter

DEPTH = 4
"""Frames in a queue at most: enough to even out key frames, few enough for 4K."""

Busy = Callable[[], AbstractContextManager[None]]
"""Makes a context that counts the time spent in it as work of the thread."""

_POLL_SECONDS = 0.1
INTERRUPTED_JOIN_S = 2.0


class PrefetchSource(FrameSource):
    """Reads frames of a source ahead of the caller on a background thread.

    Args:
        source: Used by the thread alone until `close`.
        busy: Counts the work of the thread.
        drop: Do not wait for the caller: of the frames that come meanwhile, only the last one is kept. The frames are
            numbered anew, their times stay.
    """

    def __init__(self, source: FrameSource, *, busy: Busy = contextlib.nullcontext, drop: bool = False) -> None:
        self._source = source
        self.info = source.info
        self.frame_total = source.frame_total
        self.audio_from = source.audio_from
        # a custom source may lack these
        self.pixel_aspect = getattr(source, "pixel_aspect", FrameSource.pixel_aspect)
        self.sound_notice = getattr(source, "sound_notice", "")
        self.notices = source.notices  # the same list: the source goes on adding to it
        self._busy = busy
        self._drop = drop
        self._dropped = 0
        self._queue: queue.Queue[Frame | BaseException | None] = queue.Queue(1 if drop else DEPTH)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.interrupt_when(lambda: False)

    @override
    def interrupt_when(self, stop: Callable[[], bool]) -> None:
        self._interrupt = stop
        if hasattr(self._source, "interrupt_when"):
            self._source.interrupt_when(lambda: stop() or self._stop.is_set())

    @property
    @override
    def interrupted(self) -> bool:
        return self._interrupt()

    @override
    def __iter__(self) -> Iterator[Frame]:
        self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
        self._thread.start()
        first, count = 0, 0
        try:
            while (item := self._take()) is not None:
                if isinstance(item, BaseException):
                    raise item
                if self._drop:
                    first = item.index if not count else first
                    item = dataclasses.replace(item, index=first + count)
                count += 1
                yield item
        finally:
            if self._dropped:
                of_all = f"{self._dropped} of {count + self._dropped} frames"
                self.notices.append(f"{of_all} were dropped: they came while the run was behind")

    def _take(self) -> Frame | BaseException | None:
        """Return the next item of the thread; None at once where the frames are to end."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._queue.get(timeout=_POLL_SECONDS)
            if self.interrupted:
                return None

    def _work(self) -> None:
        last: BaseException | None = None
        try:
            frames = iter(self._source)
            while not self._stop.is_set():
                with self._busy():
                    frame = next(frames, None)
                if frame is None:
                    break
                if self._drop:
                    self._replace(frame)
                else:
                    self._put(frame)
        except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
            last = error
        self._put(last)

    def _put(self, item: Frame | BaseException | None) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=_POLL_SECONDS)
                return

    def _replace(self, frame: Frame) -> None:
        """Put a frame in the place of one that was not taken yet."""
        while True:
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(frame)
                return
            with contextlib.suppress(queue.Empty):
                self._queue.get_nowait()
                self._dropped += 1

    @override
    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(INTERRUPTED_JOIN_S if self.interrupted else None)
            if self._thread.is_alive():  # FFmpeg waits for a network, up to its own time limit: the process ends sooner
                return
        self._source.close()


class ThreadedWriter(FrameWriter):
    """Encodes images on a background thread. An image must not be changed after it was handed over.

    `writer` is used by the thread alone until `close` or `leave`.
    """

    def __init__(self, writer: FrameWriter, *, busy: Busy = contextlib.nullcontext) -> None:
        self.notices = writer.notices
        self._writer = writer
        self._busy = busy
        self._queue: queue.Queue[tuple[Image | None, float] | None] = queue.Queue(DEPTH)
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="video writer", daemon=True)
        self._thread.start()

    @override
    def write(self, image: Image | None, time: float) -> None:
        """Queue an image, waiting while the queue is full; raises the error of an earlier image."""
        self._raise()
        self._queue.put((image, time))

    @override
    def close(self) -> None:
        self._join()
        self._raise()
        with self._busy():
            self._writer.close()

    @override
    def leave(self) -> None:
        self._join()
        self._writer.leave()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._failed is None:  # after a failure the queue is only emptied, so that no caller waits for ever
                try:
                    with self._busy():
                        self._writer.write(*item)
                except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
                    self._failed = error

    def _join(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._failed is not None:
            raise self._failed
