"""Network streams, which may be lost and reconnected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import VideoError
from mot_dinov3.video.media import MediaSource, decode_video, open_container, video_stream
from mot_dinov3.video.source import SourceConfig

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
REPORTED_GAPS = 20  # gaps reported one by one: a stream that flickers for days must not fill the memory


class StreamSource(MediaSource):
    """Frames of an ``rtsp://``, ``http://`` or similar address, reconnected when it is lost.

    Reconnection is tried after half a second, then after twice as long each time, up to eight seconds, until
    `reconnect_seconds` have passed. A live stream continues with what is sent then, its time advanced by the gap; a
    clip continues behind the last frame received. Each gap is reported in `notices`.
    With `reconnect_seconds` 0 the first loss ends the stream.

    Raises:
        VideoError: It cannot be opened, or delivers no frame.
    """

    def __init__(
        self,
        config: SourceConfig,
        address: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._address = address
        self._clock, self._sleep = clock, sleep
        self._received = False
        self._arrived = self._last = self._shift = 0.0
        self._gaps = 0
        self._missed = 0.0
        super().__init__(config, address, network=True)
        # whatever has a size has an end, and is sent from its beginning when it is opened again
        self._is_clip = bool(self._container.duration) or self._container.size > 0

    @override
    def _next(self) -> VideoFrame | None:
        try:
            frame, lost = super()._next(), None
        except VideoError as error:
            if not self._received or not self.config.reconnect_seconds:
                raise
            frame, lost = None, error
        if frame is None and self._received and self.config.reconnect_seconds and (lost or not self._is_clip):
            frame = self._reconnect(lost or VideoError(f"source '{self._shown}' was closed by the sender"))
        if frame is not None:
            self._received, self._arrived = True, self._clock()
            self._last = self._time(frame)
        return frame

    def _time(self, frame: VideoFrame) -> float:
        return self._last if frame.pts is None else frame.time + self._shift

    @override
    def _raw_frames(self) -> Iterator[tuple[float | None, VideoFrame]]:
        for seconds, frame in super()._raw_frames():
            yield (None if seconds is None else seconds + self._shift), frame

    def _reconnect(self, lost: VideoError) -> VideoFrame:
        """Open the stream again and again until it delivers a frame; return the frame."""
        limit, wait, tries = self.config.reconnect_seconds, FIRST_WAIT_S, 0
        begun = self._clock()
        while self._clock() - begun + wait <= limit:
            self._sleep(wait)
            if self.interrupted:
                break
            wait = min(2 * wait, LONGEST_WAIT_S)
            tries += 1
            try:
                frame = self._reopen()
            except VideoError as error:
                lost = error
                continue
            if frame is not None:
                self._report_gap(tries)
                return frame
        raise VideoError(
            f"source '{self._shown}' was lost after {self._count} frames and could not be reconnected in {limit:g} s "
            f"({tries} tries): {lost.message}",
            remedy="check the connection and that the sender is running; --reconnect-seconds waits longer",
        ) from lost

    def _reopen(self) -> VideoFrame | None:
        """Open the stream again and return its first frame that was not received yet."""
        self._container.close()
        self._container = open_container(self._address, network=True)
        self._stream = video_stream(self._container, self._shown)
        self._decoded = decode_video(self._container, self._stream, self._seen)
        frame = super()._next()
        if self._is_clip:  # sent from its beginning: skip what was received before
            while frame is not None and self._time(frame) <= self._last:
                frame = super()._next()
        elif frame is not None and frame.pts is not None:  # live: its clock may have begun again
            self._shift = self._last + self._clock() - self._arrived - frame.time
        return frame

    def _report_gap(self, tries: int) -> None:
        gap = self._clock() - self._arrived
        self._gaps, self._missed = self._gaps + 1, self._missed + gap
        if self._gaps > REPORTED_GAPS + 1:
            self.notices.pop()
        self.notices.append(
            f"'{self._shown}' was lost after frame {self._count - 1} and was reconnected after {gap:.1f} s "
            f"({tries} {'try' if tries == 1 else 'tries'})"
            if self._gaps <= REPORTED_GAPS
            else f"'{self._shown}' was lost {self._gaps} times, for {self._missed:.1f} s in total"
        )
