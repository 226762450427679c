"""Any range of a video file, again and again, without decoding all that lies before it each time.

Frames are numbered as they come out of the decoder, damage and all, and only decoding tells that for sure. So the file
is decoded once, as far as somebody asks for, and what is remembered is where each frame is; a range is then sought.
"""

from __future__ import annotations

import bisect
import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Frame, VideoInfo
from mot_dinov3.video import media
from mot_dinov3.video.open import open_source
from mot_dinov3.video.source import FrameClock, FrameSource, SourceConfig

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

NEAR = 32  # frames from the start: no farther, a range is read from there on

log = logging.getLogger(__name__)


class FrameIndex:
    """Where the frames of a file are, known as far as somebody asked for.

    Args:
        path: The file.

    Attributes:
        stamps: Timestamp of each frame known so far.
        keys: Numbers of those that can be decoded without others.
        usable: Whether timestamps tell frames apart.
    """

    def __init__(self, path: Path) -> None:
        self.stamps: list[int] = []
        self.keys: list[int] = []
        self.usable = True
        self._origin: float | None = None
        self._container = media.open_container(str(path))
        stream = media.video_stream(self._container, str(path))
        self._decoded = media.decode_video(self._container, stream, Counter())

    def reach(self, number: int) -> bool:
        """Decode on as far as a frame; tell whether it is there and can be found again."""
        missing = number + 1 - len(self.stamps)
        try:
            for frame in itertools.islice(self._decoded, max(missing, 0)):
                self._add(frame)
        except OSError as error:
            log.info("frames cannot be sought: %s", error)
            self.usable = False
        return self.usable and number < len(self.stamps)

    def _add(self, frame: VideoFrame) -> None:
        if frame.pts is None or (self.stamps and frame.pts <= self.stamps[-1]):
            self.usable = False
            return
        if self._origin is None:
            self._origin = frame.time
        if frame.key_frame:
            self.keys.append(len(self.stamps))
        self.stamps.append(frame.pts)

    def clock(self, fps: float) -> FrameClock:
        """Return a clock that has seen the first frame: what it tells later ones is what it would after all of them."""
        clock = FrameClock(fps)
        clock.time_of(0, self._origin)
        return clock

    def entries(self, number: int) -> list[int]:
        """Return the timestamps to seek to for a frame, the nearest key frame first and the file's start last."""
        last = bisect.bisect_right(self.keys, number)
        return [self.stamps[n] for n in dict.fromkeys([*reversed(self.keys[max(0, last - 2) : last]), 0])]

    def close(self) -> None:
        """Release the file."""
        self._container.close()


def chunk_start(keys: Sequence[int], low: int, stop: int, most: int) -> int:
    """Return where to begin reading the frames before `stop`, at most `most` of them and none before `low`.

    Chunks begin at key frames where they can, so that no frame is decoded twice.
    """
    earliest = max(low, stop - most)
    at = bisect.bisect_left(keys, earliest)
    return earliest if earliest == low or at == len(keys) or keys[at] >= stop else keys[at]


class SoughtSource(media.MediaSource):
    """A range of a file's frames, sought.

    Args:
        config: Source and range; the range begins at a frame that `index` has reached.
        index: Where the frames are.

    Raises:
        VideoError: It cannot be opened, or the range cannot be found.
    """

    def __init__(self, config: SourceConfig, index: FrameIndex) -> None:
        self._index = index  # the constructor fetches the first frame
        super().__init__(config, config.source or "", network=False)

    def _numbered(self) -> Iterator[Frame]:
        start = self.config.start_frame
        clock = self._index.clock(self.info.fps)
        for number, frame in enumerate(self._from(start), start=start):
            self._count = number + 1
            yield Frame(number, clock.time_of(number, frame.time), self._image(frame))
            if self._count == self.config.end_frame:
                return

    def _from(self, start: int) -> Iterator[VideoFrame]:
        import av

        wanted = self._index.stamps[start]
        for stamp in self._index.entries(start):
            try:
                self._container.seek(stamp, stream=self._stream, backward=True)
            except av.error.FFmpegError:
                continue
            self._decoded = media.decode_video(self._container, self._stream, self._seen)
            frame = self._next()
            while frame is not None and (frame.pts is None or frame.pts < wanted):
                frame = self._next()
            if frame is None or frame.pts != wanted:
                continue
            while frame is not None:
                yield frame
                frame = self._next()
            return


class VideoRanges:
    """Ranges of a video file or of a folder of images, in any order.

    Args:
        path: The file or folder.
        info: What is known of it.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self.info = info
        self._path = path
        self._seeks = path.is_file()  # a folder's pictures are files of their own
        self._index: FrameIndex | None = None

    def open(self, start: int, stop: int | None) -> FrameSource:
        """Open the frames from `start` up to `stop` (exclusive), or to the end.

        Raises:
            VideoError: There are none, or they cannot be read.
        """
        config = SourceConfig(source=str(self._path), start_frame=start, end_frame=stop)
        if start > NEAR and self._reaches(start):
            assert self._index is not None
            try:
                return SoughtSource(config, self._index)
            except VideoError as error:
                log.info("frames of '%s' cannot be sought: %s", self._path, error.message)
                self._index.usable = False
        return open_source(config)

    def chunk_start(self, low: int, stop: int, most: int) -> int:
        """Return where to begin reading the frames before `stop`; see `chunk_start`."""
        keys = self._index.keys if self._reaches(stop - 1) and self._index is not None else ()
        return chunk_start(keys, low, stop, most)

    def _reaches(self, number: int) -> bool:
        if not self._seeks:
            return False
        if self._index is None:
            self._index = FrameIndex(self._path)
        return self._index.reach(number)

    def close(self) -> None:
        """Release the file; a later range opens it again."""
        if self._index is not None:
            self._index.close()
            self._index = None
