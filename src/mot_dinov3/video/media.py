"""Reading video files and network streams: everything that FFmpeg decodes, through PyAV."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Image, VideoInfo
from mot_dinov3.models.devices import usable_cpus
from mot_dinov3.video.grey_levels import SAMPLES
from mot_dinov3.video.images import is_series, open_series
from mot_dinov3.video.pixel_conversion import conversion_for, pixel_aspect
from mot_dinov3.video.source import BaseSource, SourceConfig
from mot_dinov3.video.stream_properties import (
    announced_frames,
    announced_seconds,
    frame_rate,
    has_rate,
    lacks_rate,
    measured_rate,
    spread_frames,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from mot_dinov3.video.pipe import PipeReader

TIMEOUT_S = (10.0, 15.0)  # to connect, and between two packets of a network stream
NOT_VIDEO = {"tty", "bin", "xbin", "adf", "idf"}  # FFmpeg renders any text as a terminal's screen
TAIL_S = 0.5  # by which a stream may end before the time that its container announces
GIVE_UP = 50  # failures of the demuxer in a row before the rest of a file is given up


def open_container(address: str, *, network: bool = False, pipe: PipeReader | None = None) -> InputContainer:
    """Open a file (its name is taken literally), a network address, or a pipe of that name.

    Raises:
        VideoError: FFmpeg cannot open it or does not know it as a video.
    """
    import av

    options = {"rtsp_transport": "tcp"} if address.lower().startswith("rtsp") else {}
    try:
        if network:
            container = av.open(address, options=options, timeout=TIMEOUT_S)
        else:
            # a playlist may name more files, but nothing on a network
            options = {"protocol_whitelist": "file,crypto,data"}
            container = av.open(pipe or f"file:{address}", "r", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if pipe is not None:
            pipe.check()
        reason = getattr(error, "strerror", None) or str(error)
        if network:
            remedy = "check the address and that the sender is running"
        elif pipe is not None:
            remedy = "it is not a video, or its format cannot be read from a pipe: save it to a file first"
        else:
            remedy = "it is not a video, or it is damaged (an interrupted recording has no index)"
        raise VideoError(f"source '{hide_password(address)}' cannot be opened: {reason}", remedy=remedy) from error
    if container.format.name in NOT_VIDEO:
        container.close()
        raise VideoError(f"source '{address}' is not a video but text", remedy="check --source")
    return container


def video_stream(container: InputContainer, address: str) -> VideoStream:
    """Return the video stream; the cover image of a sound file is none.

    Raises:
        VideoError: There is none, or no decoder knows it.
    """
    import av

    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        held = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoError(f"source '{address}' has no video stream, only {held}", remedy="check --source")
    best = container.streams.best("video")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    if stream.frames == 1:  # the still image of an animated AVIF; the animation is a stream of its own
        stream = max(streams, key=lambda s: s.frames)
    if stream.codec_context is None:
        raise VideoError(f"source '{address}' uses a video codec that this build of FFmpeg cannot decode")
    stream.thread_type = "AUTO"
    cpus = usable_cpus()
    stream.codec_context.thread_count = cpus + 1 if cpus > 1 else 1  # as FFmpeg does, but within this process's share
    return stream


def decode_video(container: InputContainer, stream: VideoStream, seen: Counter[str]) -> Iterator[VideoFrame]:
    """Yield the decoded frames, skipping damaged packets.

    `seen` counts ``packets`` read, ``damaged`` ones skipped, and frames whose damage was ``concealed``.

    Raises:
        TimeoutError: A network stream stalled.
        OSError: The connection, or the disk, failed.
    """
    import av

    failures = 0
    while failures < GIVE_UP:
        try:
            for packet in container.demux(stream):
                failures = 0
                seen["packets"] += packet.size > 0 and not packet.is_discard
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    seen["damaged"] += 1
                    continue
                for frame in frames:
                    seen["concealed"] += frame.is_corrupt
                    yield frame
            return
        except av.error.ExitError as error:  # PyAV's read timeout ends FFmpeg's call with "exit requested"
            raise TimeoutError from error
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            seen["damaged"] += 1
            failures += 1


def read_header(address: str) -> VideoInfo:
    """Return the properties in the header of a video file: nothing is decoded, so a rotation is not applied.

    Raises:
        VideoError: FFmpeg cannot open it, or it has no video.
    """
    if is_series(Path(address)):
        with contextlib.closing(open_series(Path(address))) as series:
            return series.info
    with open_container(address) as container:
        stream = video_stream(container, address)
        count, width, height = announced_frames(container, stream), stream.width, stream.height
        fps = None if has_rate(stream) else measured_rate(container, stream)
        return VideoInfo(address, width, height, fps or frame_rate(container, stream), count)


def count_frames(address: str) -> int:
    """Return the number of frames in a video file by reading all its packets, decoding nothing.

    Raises:
        VideoError: FFmpeg cannot open it, or it has no video.
    """
    import av

    if is_series(Path(address)):
        return read_header(address).frame_count
    count = 0
    with open_container(address) as container, contextlib.suppress(av.error.FFmpegError):  # a truncated file ends there
        for packet in container.demux(video_stream(container, address)):
            count += packet.size > 0 and not packet.is_discard
    return count


def hide_password(address: str) -> str:
    """Return the address with the password of ``scheme://user:password@host`` starred out."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", address)


class MediaSource(BaseSource["VideoFrame"]):
    """Frames of a video file, of a network stream, or of a pipe.

    The orientation and size of the first frame hold for all; later ones of another size are scaled to it. Damaged
    packets are skipped, counted and reported in `notices`; frames are numbered as they come out of the decoder.

    Raises:
        VideoError: It cannot be opened, or no frame of the range can be decoded.
    """

    def __init__(
        self, config: SourceConfig, address: str, *, network: bool = False, pipe: PipeReader | None = None
    ) -> None:
        super().__init__(config)
        self._shown = hide_password(config.source or address)
        self._network = network
        self._pipe = pipe
        self._once = network or pipe is not None
        self._seen: Counter[str] = Counter()
        self._last = self._until = 0.0  # times of the last frame, and of the announced end, seconds
        self._container = open_container(address, network=network, pipe=pipe)
        try:
            self._stream = video_stream(self._container, self._shown)
            self._open(address)
        except VideoError:
            self.close()
            raise

    def _open(self, address: str) -> None:
        fps = self.config.fps or self._measured_rate(address) or frame_rate(self._container, self._stream)
        if self.config.fps is None and lacks_rate(self._container, self._stream):
            self.notices.append(f"'{self._shown}' has no frame rate: {fps:g} assumed (--fps sets it)")
        announced = announced_frames(self._container, self._stream)
        self._until = announced_seconds(self._stream)
        if self._container.streams.audio and self.config.fps is None:
            self.audio_from = None if self._once else address
            self.sound_notice = f"the sound of '{self._shown}' is left out: it can be read only once" * self._once
        self._decoded = decode_video(self._container, self._stream, self._seen)
        self._first = first = self._next()
        if first is None:
            raise VideoError(
                f"no frame of '{self._shown}' can be decoded", remedy="the file is damaged; try another copy"
            )
        self._conversion = conversion_for(self._stream, first, functools.partial(self._samples, address, first))
        if self._conversion.notice:
            self.notices.append(f"'{self._shown}': {self._conversion.notice}")
        self.pixel_aspect = pixel_aspect(self._stream, self._conversion.orientation)
        estimated = 0 if self._once else max(0, round((self._container.duration or 0) / 1e6 * fps))
        self._ready(VideoInfo(self._shown, *self._conversion.size, fps, announced), announced or estimated)

    def _next(self) -> VideoFrame | None:
        try:
            frame = next(self._decoded, None)
            if frame is None and self._pipe is not None:
                self._pipe.check()
            return frame
        except TimeoutError as error:
            raise VideoError(
                f"source '{self._shown}' stalled: no data for {TIMEOUT_S[1]:g} s",
                remedy="check the connection and that the sender is running",
            ) from error
        except OSError as error:
            raise VideoError(
                f"source '{self._shown}' was lost after {self._count} frames: {error.strerror or error}",
                remedy="check the connection, or the disk the file is on",
            ) from error

    def _measured_rate(self, address: str) -> float | None:
        if self._once or has_rate(self._stream):
            return None
        with open_container(address) as container:
            return measured_rate(container, video_stream(container, address))

    def _samples(self, address: str, first: VideoFrame) -> list[VideoFrame]:
        """Return the first frame and others: from all over a file, from the beginning of what can be read only once."""
        if self._once:
            ahead = list(itertools.islice(self._decoded, SAMPLES - 1))
            self._decoded = itertools.chain(ahead, self._decoded)
            return [first, *ahead]
        with open_container(address) as container:
            return [first, *spread_frames(container, video_stream(container, address), SAMPLES - 1)]

    @property
    def time_base(self) -> Fraction:
        """Unit of the stream's timestamps, seconds."""
        return self._stream.time_base or 1 / Fraction(self.info.fps)

    def decode_from(self, time: int) -> Iterator[VideoFrame]:
        """Yield what is decoded from the last key frame at or before a timestamp on; nothing where seeking fails."""
        import av

        try:
            self._container.seek(time, stream=self._stream, backward=True)
        except av.error.FFmpegError:
            return
        self._decoded = decode_video(self._container, self._stream, self._seen)
        yield from self.decode_next()

    def decode_next(self) -> Iterator[VideoFrame]:
        """Yield what is decoded after the last frame."""
        while (frame := self._next()) is not None:
            yield frame

    @override
    def _raw_frames(self) -> Iterator[tuple[float | None, VideoFrame]]:
        frame, self._first = self._first, None
        ended = False
        try:
            while frame is not None:
                time = None if frame.pts is None else frame.time
                self._last = self._last if time is None else time
                yield time, frame
                frame = self._next()
            ended = True
        finally:
            self._report_damage(ended)

    def _report_damage(self, ended: bool) -> None:
        if damaged := self._seen["damaged"]:
            self.notices.append(f"{damaged} damaged packet{'s' * (damaged > 1)} of '{self._shown}' skipped")
        if concealed := self._seen["concealed"]:
            self.notices.append(f"{concealed} frame{'s' * (concealed > 1)} of '{self._shown}' concealed by the decoder")
        missing = self.info.frame_count - self._seen["packets"]
        if ended and missing > 0:
            self.notices.append(
                f"'{self._shown}' ends early: {self._count} of {self.info.frame_count} frames are present (truncated?)"
            )
        if ended and not self.info.frame_count and self._last + max(TAIL_S, 2 / self.info.fps) < self._until:
            self.notices.append(
                f"'{self._shown}' ends early: at {self._last:.1f} s of {self._until:.1f} s (truncated?)"
            )

    @override
    def to_image(self, raw: VideoFrame) -> Image:
        import av

        self._report_size(raw)
        try:
            return self._conversion.image(raw)
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(
                f"frame {self._count - 1} of '{self._shown}' cannot be converted from {raw.format.name}: {error}"
            ) from error

    def _report_size(self, raw: VideoFrame) -> None:
        """Report the first frame whose size is not that of the images."""
        width, height = self._conversion.stored
        if (raw.width, raw.height) == (width, height) or self._seen["resized"]:
            return
        self._seen["resized"] += 1
        self.notices.append(
            f"frame {self._count - 1} of '{self._shown}' is {raw.width}×{raw.height}: "
            f"scaled to {width}×{height} like the first, as are all other frames of a different size"
        )

    @override
    def interrupt_when(self, stop: Callable[[], bool]) -> None:
        super().interrupt_when(stop)
        if self._pipe is not None:
            self._pipe.stop = stop

    @override
    def _release(self) -> None:
        self._container.close()
        if self._pipe is not None:
            self._pipe.close()
