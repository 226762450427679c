"""Any frame of a video file by its number: sought by timestamp, from a table that is read beside."""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Image, VideoInfo
from mot_dinov3.video.picture_cache import CACHE_BYTES, PictureCache

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

AHEAD = 16  # frames: so near it is decoded on to, not sought
KEPT = 8  # frames before a wanted one that are kept; more where somebody goes backward
KEPT_BACKWARD = 64
PATIENCE_S = 30.0  # for the table of frames to reach a wanted one


def beyond(path: str, number: int, count: int) -> VideoError:
    """Return the error of a frame that is not there."""
    return VideoError(f"'{path}' has no frame {number}: it has {count}", remedy=f"choose one from 0 to {count - 1}")


class FrameTable:
    """Which timestamp each frame has: read from the packets, nothing decoded.

    Packets come in decoding order; a frame's number is settled once no earlier timestamp can follow.
    """

    def __init__(self) -> None:
        self.times: list[int] = []
        self.keys: list[int] = []
        self.usable = True
        self._pending: list[int] = []

    def add(self, pts: int | None, dts: int | None, *, is_key: bool) -> None:
        """Take the next packet's timestamps."""
        shown = dts if pts is None else pts
        if shown is None or (self.times and shown <= self.times[-1]):
            self.usable = False
            return
        bisect.insort(self._pending, shown)
        if is_key:
            bisect.insort(self.keys, shown)
        if dts is not None:
            settled = bisect.bisect_right(self._pending, dts)
            self.times += self._pending[:settled]
            del self._pending[:settled]

    def end(self) -> None:
        """All packets have come."""
        self.times += self._pending
        self._pending = []

    def key_before(self, time: int) -> int | None:
        """Return the last key frame's time at or before `time`, or None."""
        at = bisect.bisect_right(self.keys, time)
        return self.keys[at - 1] if at else None

    def number_of(self, time: int) -> int:
        """Return the number of the frame shown at `time`."""
        return max(0, bisect.bisect_right(self.times, time) - 1)


class SeekableVideo:
    """Frames of a file by number: sought by timestamp, so that hours of video cost no more than minutes.

    The table of timestamps is read in a thread of its own, from the start on; a frame can be had as soon as the table
    reaches it. Where timestamps are of no use, frames are counted from the start. Numbers are those that
    `MediaSource` gives, but for damaged files, where it counts what came out of the decoder.

    Args:
        path: The file.
        budget: Bytes of decoded pictures to hold.

    Raises:
        VideoError: It cannot be opened, or no frame can be decoded.
    """

    def __init__(self, path: Path, *, budget: int = CACHE_BYTES) -> None:
        from av.video.reformatter import VideoReformatter

        from mot_dinov3.video.media import Orientation, frame_rate, open_container, video_stream

        self._path = str(path)
        self._cache = PictureCache(budget)
        self._lock = threading.RLock()
        self._grown = threading.Condition()
        self._table = FrameTable()
        self._complete = self._closed = False
        self._reformatter = VideoReformatter()
        self._container = open_container(self._path)
        try:
            self._stream = video_stream(self._container, self._path)
            self._decoded = self._frames()
            first = next(self._decoded, None)
            if first is None:
                raise VideoError(f"no frame of '{path}' can be decoded", remedy="the file is damaged; try another copy")
        except VideoError:
            self._container.close()
            raise
        self._size, self._orientation = (first.width, first.height), Orientation.of(first)
        self._at = 0
        width, height = self._size[::-1] if self._orientation.transposed else self._size
        fps = frame_rate(self._stream)
        announced = max(0, self._stream.frames) or round((self._container.duration or 0) / 1e6 * fps)
        self.info = VideoInfo(self._path, width, height, fps, announced)
        self._cache.put(0, self._converted(first))
        self._wanted = 0
        self._scanner = threading.Thread(target=self._scan, name="frame table", daemon=True)
        self._scanner.start()

    @property
    def known(self) -> int:
        """Frames whose place is known so far."""
        return len(self._table.times)

    @property
    def complete(self) -> bool:
        """Whether `known` is all of them."""
        return self._complete

    def time(self, number: int) -> float:
        """Return a frame's time in seconds; an estimate while its place is not known."""
        times = self._table.times
        if not self._table.usable or number >= len(times):
            return number / self.info.fps
        return float((times[number] - times[0]) * self._time_base)

    @property
    def _time_base(self) -> Any:
        return self._stream.time_base or 1 / self.info.fps

    def picture(self, number: int) -> Image:
        """Return a frame; see `seeking.SeekableFrames`.

        Raises:
            VideoError: There is no such frame, or it cannot be decoded.
        """
        self._wait_for(number)
        with self._lock:
            if self._closed:
                raise VideoError(f"'{self._path}' was closed", remedy="open it again")
            image = self._cache.get(number)
            if image is None:
                kept = KEPT_BACKWARD if number < self._wanted else KEPT
                self._reach(number, kept)
                image = self._cache.get(number)
            self._wanted = number
        if image is None:
            raise VideoError(f"frame {number} of '{self._path}' cannot be decoded", remedy="the file is damaged there")
        return image

    def close(self) -> None:
        """Release the file; may be called twice."""
        self._closed = True
        with self._lock:
            self._container.close()
            self._cache.clear()

    # -- the table of frames -----------------------------------------------------------------------------------

    def _scan(self) -> None:
        from mot_dinov3.video.media import open_container, video_stream

        container = open_container(self._path)
        try:
            self._read_packets(container, video_stream(container, self._path))
        finally:
            container.close()
            self._table.end()
            with self._grown:
                self._complete = True
                if self._table.usable:
                    known = len(self._table.times)
                    self.info = VideoInfo(self._path, self.info.width, self.info.height, self.info.fps, known)
                self._grown.notify_all()

    def _read_packets(self, container: Any, stream: Any) -> None:
        import av

        try:
            for count, packet in enumerate(container.demux(stream)):
                if self._closed or not self._table.usable:
                    return
                if packet.size and not packet.is_discard:
                    self._table.add(packet.pts, packet.dts, is_key=packet.is_keyframe)
                if count % 256 == 0:
                    with self._grown:
                        self._grown.notify_all()
        except av.error.FFmpegError:
            return  # truncated: what was found so far can be shown

    def _wait_for(self, number: int) -> None:
        with self._grown:
            ready = self._grown.wait_for(lambda: self.known > number or self._complete, PATIENCE_S)
        if not ready:
            raise VideoError(f"frame {number} is not reached yet: the file is still being read", remedy="wait a moment")
        if number < 0 or (self._table.usable and number >= self.known):
            raise beyond(self._path, number, self.known)

    # -- decoding ----------------------------------------------------------------------------------------------

    def _frames(self) -> Iterator[VideoFrame]:
        from mot_dinov3.video.media import decode_video

        return decode_video(self._container, self._stream, Counter())

    def _reach(self, number: int, kept: int) -> None:
        """Decode up to a frame and hold it with some before it."""
        if not self._table.usable:
            self._count_to(number, kept)
            return
        wanted = self._table.times[number]
        key = self._table.key_before(wanted)
        near = self._at < number and (key is None or key <= self._table.times[self._at] or number - self._at <= AHEAD)
        if near and self._decode_to(number, kept):
            return
        for start in (key, None if key is None else self._table.key_before(key - 1), self._table.times[0]):
            if start is not None:
                self._container.seek(start, stream=self._stream, backward=True)
                self._decoded = self._frames()
                if self._decode_to(number, kept):
                    return

    def _decode_to(self, number: int, kept: int) -> bool:
        """Tell whether the frame came out of the decoder."""
        for frame in self._decoded:
            time = frame.dts if frame.pts is None else frame.pts
            if time is None:
                continue
            self._at = self._table.number_of(time)
            if number - kept <= self._at <= number:
                self._cache.put(self._at, self._converted(frame))
            if self._at >= number:
                return self._at == number
        return False

    def _count_to(self, number: int, kept: int) -> None:
        if number <= self._at:
            self._container.seek(0)
            self._decoded, self._at = self._frames(), -1
        for frame in self._decoded:
            self._at += 1
            if self._at > number - kept:
                self._cache.put(self._at, self._converted(frame))
            if self._at == number:
                return

    def _converted(self, frame: VideoFrame) -> Image:
        width, height = self._size
        converted = self._reformatter.reformat(frame, width=width, height=height, format="bgr24")
        pixels = np.asarray(converted.to_ndarray(), np.uint8)
        return np.ascontiguousarray(self._orientation.apply(pixels.copy() if converted is frame else pixels))
