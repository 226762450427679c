"""Sources of frames: the interface, its options, the numbering and timing that all share, and opening by address."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError, VideoError
from mot_dinov3.core.lru import LruCache
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.core.structures import Frame, Image, VideoInfo

if TYPE_CHECKING:
    from typing_extensions import Self

MIN_FPS = 1e-6  # a frame in twelve days
MAX_FPS = 1000.0  # rates above it are time bases mistaken for frame rates (some VFR files say 90000)

CACHE_BYTES = 256_000_000  # of decoded images, where frames are wanted in any order

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".mts"}
"""Endings of videos in a folder; a file that is named may have any ending."""

Raw = TypeVar("Raw")


@dataclasses.dataclass(frozen=True)
class SourceConfig(StageConfig):
    """Address of the frames, and the range of them to process.

    Raises:
        ConfigError: The range is empty, a number is out of range, or the source is an empty text.
    """

    group = "source"

    source: str | None = option(
        None,
        "a video file, a folder of images, a camera index, an rtsp:// or http:// URL, a pipe (-: standard input)",
        metavar="PATH",
        common=True,
        positional=True,
        aliases=("video",),
    )
    start_frame: int = option(0, "first frame to process (0-based)", metavar="N", low=0)
    end_frame: int | None = option(None, "stop before this frame", metavar="N")
    fps: float | None = option(
        None, "frames per second, instead of the timing of the source", metavar="FPS", low=MIN_FPS, high=MAX_FPS
    )
    reconnect_seconds: float = option(
        60.0,
        "seconds for which a lost network stream is reconnected; 0: do not reconnect",
        metavar="S",
        low=0,
    )

    @override
    def check(self) -> None:
        if self.source is not None:
            require(bool(self.source.strip()) and "\0" not in self.source, "source", repr(self.source), "a path")
        if self.end_frame is not None and self.end_frame <= self.start_frame:
            raise ConfigError(
                f"end_frame must be beyond start_frame {self.start_frame}, got {self.end_frame}",
                remedy="ranges are half-open: frames start … end - 1",
            )


class FrameSource(Protocol):
    """Frames in order, once. A context manager that closes the source.

    Attributes:
        info: Properties of the source; size after rotation.
        frame_total: Frames expected in the chosen range, 0 where unknown; an estimate, for a progress bar.
        audio_from: Path of the file whose sound belongs to these frames, or None.
        sound_notice: Message where a video of these frames is written without their sound; empty where they have none.
        pixel_aspect: Width of a pixel divided by its height, as it is to be shown.
        notices: Messages for the user; complete when the last frame has been read.
    """

    info: VideoInfo
    frame_total: int
    audio_from: str | None
    sound_notice: str = ""
    pixel_aspect: Fraction = Fraction(1)
    notices: list[str]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of the range; a frame that was taken once does not come again."""

    def interrupt_when(self, stop: Callable[[], bool]) -> None:
        """End the frames, also while the next one is waited for, once `stop` returns true; any thread may call it."""
        return

    @property
    def interrupted(self) -> bool:
        """Whether the frames are to end before the source does."""
        return False

    def close(self) -> None:
        """Release the file or device, if there is one; may be called twice."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RandomAccessFrames(Protocol):
    """Frames by number, in any order.

    Attributes:
        info: Properties of the source; its frame count is exact once `complete`.
    """

    info: VideoInfo

    @property
    def known(self) -> int:
        """Number of frames whose position is known so far."""

    @property
    def complete(self) -> bool:
        """Whether the position of every frame is known."""

    def image(self, index: int) -> Image:
        """Return a frame, ``(h, w, 3)`` uint8 BGR; not to be changed. Any thread may call it."""

    def time(self, index: int) -> float:
        """Return a frame's time in seconds from the first."""

    def close(self) -> None:
        """Release the file; may be called twice."""


def no_such_frame(path: str, index: int, count: int) -> VideoError:
    """Return the error of a frame number beyond the source's `count` frames."""
    return VideoError(f"'{path}' has no frame {index}: it has {count}", remedy=f"choose one from 0 to {count - 1}")


def image_cache(capacity: int = CACHE_BYTES) -> LruCache[int, Image]:
    """Return a cache of images by frame number that holds up to `capacity` bytes."""
    return LruCache(capacity, size=lambda image: image.nbytes)


class FrameClock:
    """Converts timestamps to seconds from the first frame, strictly increasing.

    A missing timestamp, or one not later than the frame before, is replaced by ``index / fps``; where even that is not
    later (timestamps went back), the time advances at the nominal rate. Timestamps are ignored unless `trusted`.
    """

    def __init__(self, fps: float, *, trusted: bool = True) -> None:
        self._fps = fps
        self._trusted = trusted
        self._origin: float | None = None
        self._last = -math.inf

    def time_of(self, index: int, seconds: float | None) -> float:
        """Return the time of frame `index` with the timestamp `seconds`; to be called for every frame in order."""
        time = index / self._fps
        if self._trusted and seconds is not None and math.isfinite(seconds):
            if self._origin is None:
                self._origin = seconds - time
            if seconds - self._origin > self._last:
                time = seconds - self._origin
        if time <= self._last:
            time = self._last + 1 / self._fps
        self._last = time
        return time


class RecordedClock:
    """Times of recorded frames: those that are given, rising, and between and behind them steps of the frame rate."""

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._last: tuple[int, float] | None = None
        self._is_timed = False

    def time_of(self, index: int, given: float | None) -> float:
        """Return the time of frame `index`, whose record gives the time `given`; to be called in order."""
        last_index, last = self._last or (index, -math.inf)
        if given is not None and given > last:
            time, self._is_timed = given, True
        else:
            time = last + (index - last_index) / self._fps if self._is_timed else index / self._fps
        self._last = index, time
        return time


class BaseSource(FrameSource, ABC, Generic[Raw]):
    """Base of sources that read images: numbers the frames, times them and selects the range.

    A subclass calls `_ready` once at the end of its constructor. The first wanted frame is read there, so that a source
    without one fails before a model is loaded.
    """

    info: VideoInfo
    frame_total: int = 0
    audio_from: str | None = None

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        self.notices: list[str] = []
        self.held = contextlib.ExitStack()  # what is closed with the source
        self._stop: Callable[[], bool] = lambda: False
        self._count = 0
        self._frames: Iterator[Frame] = iter(())
        self._head: Frame | None = None

    @abstractmethod
    def _raw_frames(self) -> Iterator[tuple[float | None, Raw]]:
        """Yield every frame of the source from its start, with its timestamp in seconds or None."""

    @abstractmethod
    def to_image(self, raw: Raw) -> Image:
        """Return the pixels of a raw frame: ``(h, w, 3)`` uint8 BGR, contiguous."""

    def _release(self) -> None:
        """Close the file or device; there may be none."""
        return

    def _ready(self, info: VideoInfo, known_frames: int) -> None:
        config = self.config
        self.info = info
        stop = min(config.end_frame or known_frames, known_frames or config.end_frame or 0)
        self.frame_total = max(0, stop - config.start_frame)
        self._frames = self._numbered()
        self._head = next(self._frames, None)
        if self._head is None:
            raise VideoError(
                f"no frames in range: '{info.path}' has {self._count} frames, start_frame is {config.start_frame}",
                remedy="choose a smaller --start-frame",
            )

    def _numbered(self) -> Iterator[Frame]:
        config = self.config
        clock = FrameClock(self.info.fps, trusted=config.fps is None)
        for index, (seconds, raw) in enumerate(self._raw_frames()):
            self._count = index + 1
            time = clock.time_of(index, seconds)
            if index >= config.start_frame:
                yield Frame(index, time, self.to_image(raw))
            if self._count == config.end_frame:
                return

    @override
    def __iter__(self) -> Iterator[Frame]:
        if self._head is not None:
            head, self._head = self._head, None
            yield head
        yield from self._frames

    @override
    def interrupt_when(self, stop: Callable[[], bool]) -> None:
        self._stop = stop

    @property
    @override
    def interrupted(self) -> bool:
        return self._stop()

    @override
    def close(self) -> None:
        self._head = None
        self._release()
        self.held.close()


class FramelessSource(FrameSource):
    """Frames without images, one for every frame number of recorded detections, as many as `info` says.

    Args:
        info: Properties of the source.
        config: The range, and the frame rate that the user gives.
        notices: Messages for the user.
        times: Frame number → seconds, where known; a frame rate that the user gives replaces them.

    Raises:
        VideoError: No frame lies in the range.
    """

    audio_from: str | None = None

    def __init__(
        self, info: VideoInfo, config: SourceConfig, notices: list[str], times: Mapping[int, float] | None = None
    ) -> None:
        self._times = (times or {}) if config.fps is None else {}
        self.info = info
        self.notices = notices
        end = info.frame_count if config.end_frame is None else min(config.end_frame, info.frame_count)
        self._range = range(config.start_frame, end)
        self.frame_total = len(self._range)
        if info.frame_count and not self._range:
            raise VideoError(
                f"no frames in range: '{info.path}' has detections for {info.frame_count} frames",
                remedy="lower --start-frame",
            )

    @override
    def __iter__(self) -> Iterator[Frame]:
        clock = RecordedClock(self.info.fps)
        for index in range(self._range.stop):
            time = clock.time_of(index, self._times.get(index))
            if index in self._range:
                yield Frame(index, time)
