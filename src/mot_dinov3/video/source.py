"""What every source of frames has in common: its options, the numbering, the clock."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError, VideoError
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.core.structures import Frame, Image, VideoInfo

MAX_FPS = 1000.0  # rates above it are time bases mistaken for frame rates (some VFR files say 90000)

Raw = TypeVar("Raw")


@dataclasses.dataclass(frozen=True)
class SourceConfig(StageConfig):
    """Where the frames come from and which of them are wanted.

    Raises:
        ConfigError: The range is empty, a number is out of range, or the source is an empty text.
    """

    group = "source"

    source: str | None = option(
        None, "a video file, a folder of images, a camera index, an rtsp:// or http:// address", metavar="PATH"
    )
    start_frame: int = option(0, "first frame to process (0-based)", metavar="N", low=0)
    end_frame: int | None = option(None, "stop before this frame", metavar="N")
    fps: float | None = option(
        None, "frames per second, in place of the source's own timing", metavar="FPS", above=0, high=MAX_FPS
    )
    reconnect_seconds: float = option(
        60.0,
        "how long a stream over a network is tried again when it is lost; 0: its loss is its end",
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
    """Frames in order, once.

    Attributes:
        info: What the source is; size after rotation.
        frame_total: Frames expected in the chosen range, 0 where unknown; an estimate, for a progress bar.
        audio_from: Path of the file whose sound belongs to these frames, or None.
        notices: Things to tell the user; complete when the last frame has come out.
    """

    info: VideoInfo
    frame_total: int
    audio_from: str | None
    notices: list[str]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of the range."""
        ...

    def close(self) -> None:
        """Release the file or device; may be called twice."""
        ...

    def __enter__(self) -> FrameSource: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class FrameClock:
    """Turns a source's timestamps into seconds from its first frame that always increase.

    A missing timestamp, or one not later than the frame before, is replaced by ``index / fps``; where even that is not
    later (timestamps that went back), frames go on at the nominal rate.

    Args:
        fps: Nominal rate.
        trusted: False ignores the timestamps altogether.
    """

    def __init__(self, fps: float, *, trusted: bool = True) -> None:
        self._fps = fps
        self._trusted = trusted
        self._origin: float | None = None
        self._last = -math.inf

    def time_of(self, index: int, seconds: float | None) -> float:
        """Return the time of frame `index`, whose own timestamp is `seconds`; call it for every frame in order."""
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


class BaseSource(ABC, Generic[Raw]):
    """Numbers, times and selects what a kind of source reads.

    A kind calls `_ready` once at the end of its constructor: the first wanted frame is fetched there, so that a source
    without one fails before a model is loaded.

    Args:
        config: Source and range.
    """

    info: VideoInfo
    frame_total: int = 0
    audio_from: str | None = None

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        self.notices: list[str] = []
        self._count = 0
        self._frames: Iterator[Frame] = iter(())
        self._head: Frame | None = None

    @abstractmethod
    def _pictures(self) -> Iterator[tuple[float | None, Raw]]:
        """Yield every picture of the source from the first on, with its timestamp in seconds or None."""

    @abstractmethod
    def _image(self, raw: Raw) -> Image:
        """Return a picture's pixels: ``(h, w, 3)`` uint8 BGR, contiguous."""

    @abstractmethod
    def _release(self) -> None:
        """Close file or device."""

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
        for index, (seconds, raw) in enumerate(self._pictures()):
            self._count = index + 1
            time = clock.time_of(index, seconds)
            if index >= config.start_frame:
                yield Frame(index, time, self._image(raw))
            if self._count == config.end_frame:
                return

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of the range; what was taken once does not come again."""
        if self._head is not None:
            head, self._head = self._head, None
            yield head
        yield from self._frames

    def close(self) -> None:
        """Release the file or device; may be called twice."""
        self._head = None
        self._release()

    def __enter__(self) -> BaseSource[Raw]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
