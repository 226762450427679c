"""Sound of a source, copied or converted into the video made from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import VideoError
from mot_dinov3.video.media import decode_video, open_container, video_stream

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

    from mot_dinov3.video.encoders import Container

AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
AAC_FRAME = 1024
OPUS_FRAME = 960


def video_origin(path: str) -> float:
    """Return the timestamp of a file's first frame in seconds: time 0 of its frames.

    Raises:
        VideoError: It cannot be opened or has no frame.
    """
    with open_container(path) as container:
        for frame in decode_video(container, video_stream(container, path), Counter()):
            return frame.time if frame.pts is not None else 0.0
    raise VideoError(f"no frame of '{path}' can be decoded")


class AudioTrack(ABC):
    """Feeds the sound of a file to an output, always as far as its frames have come.

    Sound before the start is read and dropped: seeking is not exact in every container, and whoever reads the frames
    has to skip as much. `offset` is the timestamp in the file, in seconds, that becomes 0 in the output.
    """

    def __init__(self, source: InputContainer, stream: AudioStream, offset: float) -> None:
        self._source = source
        self._stream = stream
        self._offset = offset
        self._packets = self._timed()
        self._waiting = next(self._packets, None)

    @staticmethod
    def open(
        path: str, target: tuple[OutputContainer, Container], *, start: float, notices: list[str]
    ) -> AudioTrack | None:
        """Add the sound of `path` to an output; None where it has none or it cannot be read, which is noticed.

        Args:
            path: The file.
            target: The output, and the kind of its container.
            start: Time of the first frame written, in seconds from the file's first frame.
            notices: Gets messages for the user.
        """
        output, kind = target
        try:
            offset = video_origin(path) + start
            source = open_container(path)
        except (VideoError, OSError) as error:
            notices.append(f"the sound is dropped: {error}")
            return None
        stream = next((s for s in source.streams.audio if s.codec_context is not None), None)
        if stream is None:
            source.close()
            return None
        name = stream.codec_context.name
        # AAC without its description (in a transport stream) cannot be copied into a header written before the sound
        if name in kind.sound and (name != "aac" or stream.codec_context.extradata):
            return _CopiedTrack(source, stream, offset, output)
        is_opus = kind.sound_encoder == "libopus"
        made, muxer = "Opus" if is_opus else "AAC", {"mp4": "MP4", "webm": "WebM"}.get(kind.name, kind.name)
        notices.append(f"the sound ({name}) is converted to {made}: {muxer} does not support it")
        return (_OpusTrack if is_opus else _ConvertedTrack)(source, stream, offset, output)

    def advance(self, output: OutputContainer, until: float) -> None:
        """Write the sound that starts before `until`, in seconds of the output."""
        while self._waiting is not None and self._waiting[0] < until:
            time, packet = self._waiting
            if time >= 0:
                self._write(output, packet, time)
            self._waiting = next(self._packets, None)

    def finish(self, output: OutputContainer, end: float) -> None:
        """Write the sound up to `end`, the end of the last frame, and close the file."""
        self.advance(output, end)
        self._flush(output)
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._waiting = None
        self._source.close()

    def _timed(self) -> Iterator[tuple[float, Packet[AudioStream]]]:
        """Yield the packets that carry sound with their time in the output; sound ends where the file is damaged."""
        import av

        try:
            for packet in self._source.demux(self._stream):
                stamp = packet.pts if packet.pts is not None else packet.dts
                if packet.size and stamp is not None and packet.time_base:
                    yield float(stamp * packet.time_base) - self._offset, packet
        except av.error.FFmpegError:
            return

    @abstractmethod
    def _write(self, output: OutputContainer, packet: Packet[AudioStream], time: float) -> None:
        """Write one packet of the source at `time` seconds of the output."""

    def _flush(self, output: OutputContainer) -> None:
        """Write what is held back."""
        return


class _CopiedTrack(AudioTrack):
    """Sound whose packets are copied unchanged."""

    def __init__(self, source: InputContainer, stream: AudioStream, offset: float, output: OutputContainer) -> None:
        super().__init__(source, stream, offset)
        self._target = output.add_stream_from_template(stream)
        # not the file's own unit: AVI counts whole packets, and a shift by half a packet would be lost in rounding
        self._clock = Fraction(1, stream.codec_context.sample_rate or 48_000)
        self._last = -1

    @override
    def _write(self, output: OutputContainer, packet: Packet[AudioStream], time: float) -> None:
        stamp = round(time / self._clock)
        if stamp <= self._last:  # timestamps that go back cannot be stored
            return
        self._last = stamp
        length = (packet.duration or 0) * (packet.time_base or self._clock)
        packet.pts = packet.dts = stamp
        packet.duration = round(length / self._clock)
        packet.time_base = self._clock
        packet.stream = self._target
        output.mux(packet)


class _ConvertedTrack(AudioTrack):
    """Sound decoded and encoded again as AAC, in mono or stereo."""

    encoder, sample_format, frame_size, rates, usual_rate = "aac", "fltp", AAC_FRAME, AAC_RATES, 48_000

    def __init__(self, source: InputContainer, stream: AudioStream, offset: float, output: OutputContainer) -> None:
        import av

        super().__init__(source, stream, offset)
        rate = stream.codec_context.sample_rate
        rate = rate if rate in self.rates else self.usual_rate
        layout = "mono" if stream.codec_context.channels == 1 else "stereo"
        self._target = cast("AudioStream", output.add_stream(self.encoder, rate=rate, layout=layout))
        self._resampler = av.AudioResampler(self.sample_format, layout, rate, frame_size=self.frame_size)
        self._clock = Fraction(1, rate)
        self._next: int | None = None

    @override
    def _write(self, output: OutputContainer, packet: Packet[AudioStream], time: float) -> None:
        import av

        if self._next is None:
            self._next = round(time / self._clock)
        try:
            decoded = packet.decode()
        except av.error.FFmpegError:
            return
        for frame in decoded:
            frame.pts = None
            self._encode(output, self._resampler.resample(frame))

    def _encode(self, output: OutputContainer, frames: list[AudioFrame]) -> None:
        for frame in frames:
            frame.pts, frame.time_base = self._next, self._clock
            self._next = (self._next or 0) + frame.samples
            output.mux(self._target.encode(frame))

    @override
    def _flush(self, output: OutputContainer) -> None:
        if self._next is not None:
            self._encode(output, self._resampler.resample(None))
        output.mux(self._target.encode(None))


class _OpusTrack(_ConvertedTrack):
    """Sound decoded and encoded again as Opus, which WebM holds."""

    encoder, sample_format, frame_size, rates = "libopus", "flt", OPUS_FRAME, {48_000}
