"""H.264 MP4 out: under a temporary name while it grows, playable at any moment, renamed when whole."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from mot_dinov3.core import files
from mot_dinov3.core.errors import MotError, OutputLostError
from mot_dinov3.core.structures import Image, VideoInfo

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

    from mot_dinov3.video.audio import AudioTrack
    from mot_dinov3.video.partial_video import Earlier

H264_ENCODER = "libx264"
TICKS = 90_000  # per second: divides by 24, 25, 30, 50 and 60 exactly, and keeps odd moments to 11 µs
COARSE_TICKS = 60_000  # for encoders other than H.264: MPEG-4 has 16 bits for it
BITS_PER_PIXEL = 0.25  # for those too: their defaults are for stamps
KEYFRAME_S = 2.0  # a killed run loses at most this much of its end; seeking is as fine
# No B-frames: frames leave in the order they came, the first at 0, with the least delay; about 10 % more bytes.
ENCODER = {"preset": "veryfast", "crf": "20", "bf": "0"}
QUIET = {"libx265": {"x265-params": "log-level=error"}}  # else it writes about itself onto the terminal
MUXER = {
    # fragments while it grows, so that a killed run's file plays; an ordinary MP4 with one index once closed
    "movflags": "frag_keyframe+hybrid_fragmented+default_base_moof",
    "video_track_timescale": str(TICKS),
    "max_interleave_delta": "1000000",  # µs; never hold pictures back for sound that has ended
}
MPEG_RANGE, BT601 = 1, 5  # what OpenCV's BGR → YUV conversion makes; without the tag players assume BT.709 for HD


@dataclasses.dataclass
class _Output:
    """What is open while a video grows."""

    file: IO[bytes]
    container: OutputContainer
    stream: VideoStream
    audio: AudioTrack | None = None


class VideoWriter:
    """Writes pictures, with the sound that belongs to them, as a video that browsers play.

    Frame times are kept (variable frame rate). The output starts at 0: the first picture's time is subtracted from all
    others and from the sound, so that a range from the middle of a source stays in step; sound before the first and
    after the last picture is left out. Odd sizes grow by one edge pixel, since the format wants even ones.

    Nothing is created before the first picture; `close` renames the finished file to `path`, `abort` removes it,
    `leave` keeps it under its temporary name, where it plays and a later run can go on with it (`continue_from`).

    Args:
        path: The video; its folder exists (`outputs.check_output`).
        info: Of the source: its `fps` sets the length of the last picture and the distance of key frames.
        audio_from: File whose sound to copy (`FrameSource.audio_from`), or None. Sound that MP4 cannot hold is
            converted to AAC; sound that cannot be read is left out. Both are told in `notices`.
        encoder: FFmpeg's name of the encoder (see `encoders`); only H.264 plays in every browser.
    """

    def __init__(
        self, path: Path, *, info: VideoInfo, audio_from: str | None = None, encoder: str = H264_ENCODER
    ) -> None:
        self.path = path
        self.notices: list[str] = []
        self._info = info
        self._fps = info.fps
        self._audio_from = audio_from
        self._encoder = encoder
        self._file: IO[bytes] | None = None
        self._output: _Output | None = None
        self._shape: tuple[int, ...] = ()
        self._start = 0.0
        self._last = -1
        self._done = False
        self._earlier: Earlier | None = None

    def continue_from(self, finished_bytes: int = 0) -> int:
        """Take over what an interrupted run has written; return how many pictures need not be written again.

        For each of them `write` takes None in place of the picture. Where the earlier file cannot be continued to the
        bit (another size, another encoder) it is left out and the answer is 0.

        Args:
            finished_bytes: Size of the file at `path` if the interrupted run has finished it; 0 if it was killed.
        """
        from mot_dinov3.video.partial_video import earlier_path, find_earlier

        earlier = find_earlier(self.path, finished_bytes)
        width, height = (side + side % 2 for side in (self._info.width, self._info.height))
        if (
            earlier is None
            or earlier.size != (width, height)
            or earlier.description != self._description(width, height)
        ):
            return 0
        if earlier.path == files.part_path(self.path):
            earlier.move(earlier_path(self.path))
        self._earlier = earlier
        return earlier.pictures

    def _description(self, width: int, height: int) -> bytes:
        """Return what a file of ours says of its stream: what players need to know before the first picture."""
        import av

        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as scratch:
            self._shape = (height, width, 3)
            stream = self._add_video(scratch)
            frame = av.VideoFrame(width, height, "yuv420p")
            frame.pts, frame.time_base = 0, Fraction(1, TICKS)
            scratch.mux(stream.encode(frame))  # FFmpeg's muxer crashes when it is closed without a picture
            scratch.mux(stream.encode(None))
        self._shape = ()
        file.seek(0)
        with av.open(file) as written:
            return bytes(written.streams.video[0].codec_context.extradata or b"")

    def write(self, image: Image | None, time: float) -> None:
        """Append a picture that is shown from `time` on.

        Args:
            image: ``(h, w, 3)`` uint8 BGR, of the first picture's size; it may be changed afterwards. None for the next
                one of those that `continue_from` has told.
            time: Seconds in the source; a time not later than the one before is moved behind it.

        Raises:
            OutputLostError: The file cannot be written any further.
            MotError: The picture has another size, or the writer is closed.
        """
        if self._done:
            raise MotError(f"the video '{self.path}' is closed: nothing more can be written to it")
        with self._guard():
            if self._output is None:
                self._shape = (self._info.height, self._info.width, 3) if image is None else image.shape
            output = self._output or self._open(time)
            if image is None:
                self._copy(output, time)
                return
            if image.shape != self._shape:
                raise MotError(f"pictures of '{self.path}' have shape {self._shape}, got {image.shape}")
            self._encode(output, image, time)

    def close(self) -> None:
        """Finish the video and put it in its place; does nothing the second time or without pictures.

        Raises:
            OutputLostError: The end of the file cannot be written.
        """
        output = self._output
        if not self._done and output is not None:
            with self._guard():
                self._finish(output)
                files.publish(files.part_path(self.path), self.path)
                if self._earlier is not None:
                    self._earlier.remove_aside(self.path)
        self._done = True

    def _finish(self, output: _Output) -> None:
        output.container.mux(output.stream.encode(None))
        if output.audio is not None:
            output.audio.finish(output.container, self._last / TICKS + 1 / self._fps)
        output.container.close()
        output.file.close()

    def abort(self) -> None:
        """Drop what was written; an earlier file at `path` stays as it was."""
        if self._done:
            return
        self._done = True
        if self._file is not None:
            self._let_go(self._file)
            files.part_path(self.path).unlink(missing_ok=True)

    def leave(self) -> None:
        """Stop; what was written stays under its temporary name and plays, an earlier file at `path` as it was."""
        import av

        if self._done:
            return
        self._done = True
        if self._file is None or self._output is None:
            return
        try:
            self._finish(self._output)
        except (OSError, ValueError, av.error.FFmpegError):
            self._drop(self._file)

    def _drop(self, file: IO[bytes]) -> None:
        """Let go of a file that failed, as if the run had been killed: its fragments play, its end is not touched."""
        from mot_dinov3.video.partial_video import Earlier

        with contextlib.suppress(OSError):
            file.close()  # first: FFmpeg would turn the fragments into one piece, which a full disk cannot hold
        self._let_go(file)
        part = files.part_path(self.path)
        with contextlib.closing(Earlier(part)) as left:
            if not left.pictures:
                part.unlink(missing_ok=True)

    def _let_go(self, file: IO[bytes]) -> None:
        """Close what is open, whatever it says: the file is lost or unwanted."""
        import av

        output = self._output
        held = [output.audio, output.container] if output is not None else []
        if self._earlier is not None:
            self._earlier.close()
        for resource in (*held, file):
            try:
                if resource is not None:
                    resource.close()
            except (OSError, ValueError, av.error.FFmpegError):  # a full disk, told already
                continue

    def _open(self, time: float) -> _Output:
        import av

        self._file = files.private(files.part_path(self.path)).open("r+b")
        self._start = time
        container = av.open(self._file, "w", format="mp4", options=MUXER)
        output = self._output = _Output(self._file, container, self._add_video(container))
        if self._audio_from is not None:
            from mot_dinov3.video.audio import AudioTrack

            output.audio = AudioTrack.open(self._audio_from, container, start=time, notices=self.notices)
        return output

    def _copy(self, output: _Output, time: float) -> None:
        """Append the next picture of the earlier run's file, as it was encoded there."""
        packet = next(self._earlier) if self._earlier is not None else None
        if packet is None:
            raise MotError(f"the earlier part of '{self.path}' has no more pictures")
        packet.stream = output.stream
        packet.pts = packet.dts = self._stamp(time)
        packet.time_base = Fraction(1, TICKS)
        output.container.mux(packet)
        self._follow(output)

    def _stamp(self, time: float) -> int:
        """Return the next picture's time in ticks."""
        self._last = max(round((time - self._start) * TICKS), self._last + 1)
        return self._last

    def _follow(self, output: _Output) -> None:
        """Write the sound up to the last picture."""
        if output.audio is not None:
            output.audio.advance(output.container, self._last / TICKS)
        output.file.flush()

    def _add_video(self, container: OutputContainer) -> VideoStream:
        height, width = self._shape[:2]
        rate = Fraction(self._fps).limit_denominator(10_000)
        spacing = str(min(250, max(1, round(KEYFRAME_S * self._fps))))
        # Motion JPEG takes pictures of the usual range only when it need not be strict.
        options = ENCODER if self._encoder == H264_ENCODER else {"strict": "unofficial", **QUIET.get(self._encoder, {})}
        stream = cast("VideoStream", container.add_stream(self._encoder, rate=rate, options={**options, "g": spacing}))
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        plain = self._encoder == H264_ENCODER
        stream.codec_context.time_base = Fraction(1, TICKS if plain else COARSE_TICKS)
        if not plain:
            stream.codec_context.bit_rate = round(BITS_PER_PIXEL * width * height * self._fps)
        stream.codec_context.color_range = MPEG_RANGE
        stream.codec_context.colorspace = BT601
        return stream

    def _encode(self, output: _Output, image: Image, time: float) -> None:
        import av
        import cv2

        height, width = image.shape[:2]
        if height % 2 or width % 2:
            edge = cv2.BORDER_REPLICATE
            image = np.asarray(cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, edge), np.uint8)
        # OpenCV converts 3 to 5 times faster than FFmpeg's scaler, and rounds better
        planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = self._stamp(time), Fraction(1, TICKS)
        output.container.mux(output.stream.encode(frame))
        self._follow(output)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn what FFmpeg and the disk say into `OutputLostError`; what was written before stays in the part file."""
        import av

        try:
            with files.writing(self.path):
                yield
        except OutputLostError:
            self._fail()
            raise
        except (av.error.FFmpegError, ValueError) as error:
            self._fail()
            size = "×".join(str(n) for n in self._shape[1::-1])
            raise OutputLostError(
                f"output '{self.path}' ({size}) could not be encoded by {self._encoder}: {error}",
                remedy="--no-video leaves the video out",
            ) from error

    def _fail(self) -> None:
        if not self._done and self._file is not None:
            self._drop(self._file)
        self._done = True

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()
