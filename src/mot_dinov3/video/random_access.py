"""Random access to videos by frame number: ranges of frames for tracking, and single frames for a viewer."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Frame, Image, VideoInfo
from mot_dinov3.video import media
from mot_dinov3.video.frame_index import FrameIndex
from mot_dinov3.video.images import SeekableImages, is_series, open_series
from mot_dinov3.video.opening import open_source
from mot_dinov3.video.source import (
    CACHE_BYTES,
    FrameClock,
    FrameSource,
    RandomAccessFrames,
    SourceConfig,
    image_cache,
    no_such_frame,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

MIN_SEEK = 32  # a range that begins at an earlier frame is read from the start
DECODE_AHEAD = 16  # a frame at most so far ahead is decoded to, not sought
KEPT_BEFORE = 8  # frames before a wanted one that are cached; more while stepping backward
KEPT_BACKWARD = 64
INDEX_TIMEOUT_S = 30.0  # for the index to reach a wanted frame
NOTIFY_PACKETS = 256  # packets between two notifications of those that wait for the index

log = logging.getLogger(__name__)


class SeekedSource(media.MediaSource):
    """A range of a video file that is sought, not decoded from the start; `index` holds its first frame.

    Raises:
        VideoError: The file cannot be opened, or the range not found.
    """

    def __init__(self, config: SourceConfig, index: FrameIndex) -> None:
        self._index = index  # before the constructor, which reads the first frame
        super().__init__(config, config.source or "", network=False)

    @override
    def _numbered(self) -> Iterator[Frame]:
        clock = FrameClock(self.info.fps)
        if self._first is not None:  # the clock starts with the file: later times are what they are after all frames
            clock.time_of(0, self._first.time)
            self._first = None
        start = self.config.start_frame
        for number, frame in enumerate(self._decode_at(start), start=start):
            self._count = number + 1
            yield Frame(number, clock.time_of(number, frame.time), self.to_image(frame))
            if self._count == self.config.end_frame:
                return

    def _decode_at(self, number: int) -> Iterator[VideoFrame]:
        """Yield frame `number` and those after it; nothing where it is not found."""
        wanted = self._index.times[number]
        for time in self._index.seek_times(number):
            frames = itertools.dropwhile(lambda f: f.pts is None or f.pts < wanted, self.decode_from(time))
            first = next(frames, None)
            if first is not None and first.pts == wanted:
                yield first
                yield from frames
                return


class VideoRanges:
    """Ranges of a video file or of a series of images, in any order.

    The file is decoded once, as far as frames are asked for, to index it.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self.info = info
        self._path = path
        self._is_series = is_series(path)
        self._index = FrameIndex()
        self._container: InputContainer | None = None  # of the frames that the index has not reached yet
        self._decoded: Iterator[VideoFrame] = iter(())

    def open(self, start: int, stop: int | None) -> FrameSource:
        """Open the frames from `start` up to `stop` (exclusive), or to the end.

        Raises:
            VideoError: There are none, or they cannot be read.
        """
        config = SourceConfig(source=str(self._path), start_frame=start, end_frame=stop)
        if start > MIN_SEEK and self._indexes(start):
            try:
                return SeekedSource(config, self._index)
            except VideoError as error:
                log.info("seeking in '%s' is not possible: %s", self._path, error.message)
                self._index.usable = False
        return open_source(config)

    def chunk_start(self, low: int, stop: int, most: int) -> int:
        """Return where to begin reading the frames before `stop`; see `FrameIndex.chunk_start`."""
        return self._index.chunk_start(low, stop, most) if self._indexes(stop - 1) else max(low, stop - most)

    def _indexes(self, number: int) -> bool:
        """Decode up to a frame; return whether it is there and can be sought."""
        if self._is_series:  # its images need no seeking
            return False
        if self._container is None:
            self._container = media.open_container(str(self._path))
            stream = media.video_stream(self._container, str(self._path))
            self._decoded = media.decode_video(self._container, stream, Counter())
        missing = number + 1 - len(self._index.times)
        try:
            for frame in itertools.islice(self._decoded, max(missing, 0)):
                self._index.add_frame(frame.pts, is_key=frame.key_frame)
        except OSError as error:
            log.info("seeking is not possible: %s", error)
            self._index.usable = False
        return self._index.usable and number < len(self._index.times)

    def close(self) -> None:
        """Release the file; a later range opens it again."""
        if self._container is not None:
            self._container.close()
        self._container, self._index = None, FrameIndex()


class SeekableVideo(RandomAccessFrames):
    """Frames of a video file by number; hours of video cost no more than minutes.

    The index is read from the packets on a thread of its own; a frame can be shown as soon as the index reaches it.
    Where timestamps are unusable, frames are counted from the start. Numbers are those of `MediaSource` but for damaged
    files, where it counts what the decoder returns. Up to `cache_bytes` of decoded images are held.

    Raises:
        VideoError: It cannot be opened, or no frame can be decoded.
    """

    def __init__(self, path: Path, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._path = str(path)
        self._cache = image_cache(cache_bytes)
        self._lock = threading.RLock()
        self._grown = threading.Condition()
        self._index = FrameIndex()
        self._complete = self._closed = False
        self._open()
        self.info = dataclasses.replace(self._source.info, frame_count=self._source.frame_total)
        self._wanted = 0  # number of the last wanted frame
        self._indexer = threading.Thread(target=self._read_index, name="frame index", daemon=True)
        self._indexer.start()

    @property
    @override
    def known(self) -> int:
        return len(self._index.times)

    @property
    @override
    def complete(self) -> bool:
        return self._complete

    @override
    def time(self, index: int) -> float:
        """Return a frame's time in seconds; an estimate while its position is not known."""
        times = self._index.times
        if not self._index.usable or index >= len(times):
            return index / self.info.fps
        return float((times[index] - times[0]) * self._source.time_base)

    @override
    def image(self, index: int) -> Image:
        self._wait_for(index)
        with self._lock:
            if self._closed:
                raise VideoError(f"'{self._path}' was closed", remedy="open it again")
            image = self._cache.get(index)
            if image is None:
                self._decode(index, KEPT_BACKWARD if index < self._wanted else KEPT_BEFORE)
                image = self._cache.get(index)
            self._wanted = index
        if image is None:
            raise VideoError(
                f"frame {index} of '{self._path}' cannot be decoded", remedy="the file is damaged at this position"
            )
        return image

    @override
    def close(self) -> None:
        self._closed = True
        with self._lock:
            self._source.close()
            self._cache.clear()

    # -- the index ---------------------------------------------------------------------------------------------

    def _read_index(self) -> None:
        import av

        try:  # a truncated file ends with an error: the frames before can be shown
            with media.open_container(self._path) as container, contextlib.suppress(av.error.FFmpegError):
                for count, packet in enumerate(container.demux(media.video_stream(container, self._path))):
                    if self._closed or not self._index.usable:
                        return
                    if packet.size and not packet.is_discard:
                        self._index.add_packet(packet.pts, packet.dts, is_key=packet.is_keyframe)
                    if count % NOTIFY_PACKETS == 0:
                        with self._grown:
                            self._grown.notify_all()
        finally:
            self._index.finish()
            with self._grown:
                self._complete = True
                if self._index.usable:
                    self.info = dataclasses.replace(self.info, frame_count=self.known)
                self._grown.notify_all()

    def _wait_for(self, number: int) -> None:
        with self._grown:
            reached = self._grown.wait_for(lambda: self.known > number or self._complete, INDEX_TIMEOUT_S)
        if not reached:
            raise VideoError(f"frame {number} is not indexed yet: the file is still being read", remedy="wait a moment")
        if number < 0 or (self._index.usable and number >= self.known):
            raise no_such_frame(self._path, number, self.known)

    # -- decoding ----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._source = media.MediaSource(SourceConfig(source=self._path), self._path, network=False)
        self._cache.put(0, next(iter(self._source)).pixels())
        self._decoded = self._source.decode_next()
        self._number = 0  # of the last decoded frame

    def _decode(self, number: int, kept: int) -> None:
        """Decode up to a frame and cache it with some before it."""
        if not self._index.usable:
            self._count_to(number, kept)
            return
        # a near frame: decode on
        if self._is_near(number) and self._decode_to(number, kept):
            return
        # any other, or one that was missed: seek, farther back each time
        for time in self._index.seek_times(number):
            self._decoded = self._source.decode_from(time)
            if self._decode_to(number, kept):
                return

    def _is_near(self, number: int) -> bool:
        """Return whether decoding on reaches a frame sooner than seeking does."""
        key = self._index.key_before(self._index.times[number])
        passed = key is None or key <= self._index.times[self._number]
        return self._number < number and (passed or number - self._number <= DECODE_AHEAD)

    def _decode_to(self, number: int, kept: int) -> bool:
        """Return whether the decoder has returned the frame."""
        for frame in self._decoded:
            time = frame.dts if frame.pts is None else frame.pts
            if time is None:
                continue
            self._number = self._index.number_of(time)
            if number - kept <= self._number <= number:
                self._cache.put(self._number, self._source.to_image(frame))
            if self._number >= number:
                return self._number == number
        return False

    def _count_to(self, number: int, kept: int) -> None:
        if number <= self._number:  # opened again: a file without timestamps cannot always be sought
            self._source.close()
            self._open()
        for frame in itertools.islice(self._decoded, number - self._number):
            self._number += 1
            if self._number > number - kept:
                self._cache.put(self._number, self._source.to_image(frame))


def open_random_access(path: Path) -> RandomAccessFrames:
    """Open a video file, or a series of images, for frames in any order.

    Raises:
        VideoError: It cannot be opened, or has no frame.
    """
    if not path.is_dir() and not path.is_file():
        raise VideoError(f"video '{path}' does not exist", remedy="choose another file")
    return SeekableImages(open_series(path)) if is_series(path) else SeekableVideo(path)
