"""Writing videos: under a temporary name while they grow, playable at any moment, renamed when whole."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol

from mot_dinov3.core import files
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import MotError, OutputLostError
from mot_dinov3.core.special_files import UnseekableFile, is_special, open_special
from mot_dinov3.core.structures import Image, VideoInfo
from mot_dinov3.video.encoders import (
    PRESETS,
    TICKS,
    StreamShape,
    add_video_stream,
    as_frame,
    codec_description,
    container_of,
)

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

    from mot_dinov3.video.audio import AudioTrack
    from mot_dinov3.video.partial_video import PartialVideo

MUXER = {"max_interleave_delta": "1000000"}  # µs; never hold frames back for sound that has ended


class FrameWriter(Protocol):
    """Writes images as a video.

    Attributes:
        notices: Messages for the user.
    """

    notices: list[str]

    def write(self, image: Image | None, time: float) -> None:
        """Append an image shown at `time` seconds; None for one that an interrupted run has written already."""

    def close(self) -> None:
        """Finish the video and put it in its place."""

    def leave(self) -> None:
        """Stop; what was written stays under its temporary name, and can be continued from there."""


@dataclasses.dataclass
class _Output:
    """An opened video file: its container and streams."""

    file: IO[bytes] | UnseekableFile
    container: OutputContainer
    stream: VideoStream
    audio: AudioTrack | None = None


class VideoWriter(FrameWriter):
    """Writes images, with the sound that belongs to them: H.264 in MP4, MOV or Matroska, or WebM, by the extension.

    Frame times are kept (variable frame rate). The output starts at 0: the first frame's time is subtracted from all
    others and from the sound, so that a range from the middle of a source stays in step; sound before the first and
    after the last frame is left out. Odd sizes grow by one edge pixel, since the format wants even ones.

    Nothing is created before the first frame; `close` renames the finished file to `path`, `abort` removes it,
    `leave` keeps it under its temporary name, where it plays and a later run can continue it (`continue_from`). A pipe
    or device gets the frames as they come.

    Args:
        path: The video; its folder exists (`files.check_output`).
        info: Properties of the source: its `fps` sets the length of the last frame and the distance of key frames.
        audio_from: File whose sound to copy (`FrameSource.audio_from`), or None. Sound that the container
            cannot hold is converted; sound that cannot be read is left out. Both add to `notices`.
        encoder: FFmpeg's name of the encoder (see `encoders`); None for that of the container. Of MP4's, only H.264
            plays in every browser.
        pixel_aspect: Width of a pixel divided by its height, by which players stretch the images.

    Attributes:
        preset: One of `PRESETS`, by which H.264 is encoded; to be set before the first frame.

    Raises:
        OutputError: No video with such an extension can be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        info: VideoInfo,
        audio_from: str | None = None,
        encoder: str | None = None,
        pixel_aspect: Fraction = Fraction(1),
    ) -> None:
        self.path = path
        self.notices: list[str] = []
        self.preset = PRESETS[0]
        self._info = info
        self._fps = info.fps
        self._audio_from = audio_from
        self._container = container_of(path)
        self._encoder = encoder or self._container.encoder
        self._pixel_aspect = pixel_aspect
        self._streams = is_special(path)
        self._file: IO[bytes] | UnseekableFile | None = None
        if self._streams:  # before a run begins: a FIFO waits for its reader
            with files.writing(path):
                self._file = UnseekableFile(open_special(path))
        self._output: _Output | None = None
        self._shape: tuple[int, ...] = ()
        self._start = 0.0
        self._last = -1
        self._done = False
        self._partial: PartialVideo | None = None

    def continue_from(self, finished_bytes: int = 0) -> int:
        """Continue the video that an interrupted run has begun; return how many of its frames are kept.

        For each of them `write` takes None in place of the image. Where the unfinished file cannot be continued to the
        bit (another size, another encoder) it is left out and the answer is 0. `finished_bytes` is the size of the file
        at `path` if the interrupted run has finished it; 0 if it was killed.
        """
        from mot_dinov3.video.partial_video import aside_path, find_partial

        if self._streams:
            return 0
        partial = find_partial(self.path, finished_bytes)
        size = self._info.width, self._info.height
        if partial is None:
            return 0
        if partial.size != tuple(side + side % 2 for side in size) or partial.description != codec_description(
            self._container.name, self._encoder, self._stream_shape(*size)
        ):
            partial.close()
            return 0
        if partial.path == files.part_path(self.path):
            partial.move(aside_path(self.path))
        self._partial = partial
        return partial.frame_count

    @override
    def write(self, image: Image | None, time: float) -> None:
        """Append an image that is shown from `time` on.

        Args:
            image: ``(h, w, 3)`` uint8 BGR, of the first one's size; it may be changed afterwards. None for the next of
                the frames that `continue_from` keeps.
            time: Seconds in the source; a time not later than the one before is moved behind it.

        Raises:
            OutputLostError: The file cannot be written any further.
            MotError: The image has another size, or the writer is closed.
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
                raise MotError(f"images of '{self.path}' have shape {self._shape}, got {image.shape}")
            self._encode(output, image, time)

    @override
    def close(self) -> None:
        """Finish the video and put it in its place; does nothing the second time or without frames.

        Raises:
            OutputLostError: The end of the file cannot be written.
        """
        output = self._output
        if not self._done and output is not None:
            with self._guard():
                self._finish(output)
                if not self._streams:
                    files.publish(files.part_path(self.path), self.path)
                if self._partial is not None:
                    self._partial.remove_aside(self.path)
        elif not self._done and self._file is not None:
            self._file.close()
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
            self._close_all(self._file)
            if not self._streams:
                files.part_path(self.path).unlink(missing_ok=True)

    @override
    def leave(self) -> None:
        import av

        if self._done:
            return
        self._done = True
        if self._file is None:
            return
        if self._output is None:
            self._file.close()
            return
        try:
            self._finish(self._output)
        except (OSError, ValueError, av.error.FFmpegError):
            self._drop(self._file)

    def _drop(self, file: IO[bytes] | UnseekableFile) -> None:
        """Close a file that failed, as if the run had been killed: its fragments play, its end is not touched."""
        from mot_dinov3.video.partial_video import PartialVideo

        with contextlib.suppress(OSError):
            file.close()  # first: FFmpeg would turn the fragments into one piece, which a full disk cannot hold
        self._close_all(file)
        if self._streams:
            return
        part = files.part_path(self.path)
        with contextlib.closing(PartialVideo(part)) as left:
            if not left.frame_count:
                part.unlink(missing_ok=True)

    def _close_all(self, file: IO[bytes] | UnseekableFile) -> None:
        """Close what is open, whatever errors it raises: the file is lost or unwanted."""
        import av

        output = self._output
        held = [output.audio, output.container] if output is not None else []
        if self._partial is not None:
            self._partial.close()
        for resource in (*held, file):
            try:
                if resource is not None:
                    resource.close()
            except (OSError, ValueError, av.error.FFmpegError):  # a full disk, reported already
                continue

    def _open(self, time: float) -> _Output:
        import av

        kind = self._container
        if self._file is None:
            self._file = files.private(files.part_path(self.path)).open("r+b")
        options = kind.streamed if self._streams else kind.growing
        self._start = time
        container = av.open(self._file, "w", format=kind.name, options={**MUXER, **options})
        height, width = self._shape[:2]
        stream = add_video_stream(container, self._encoder, self._stream_shape(width, height))
        output = self._output = _Output(self._file, container, stream)
        if self._audio_from is not None:
            from mot_dinov3.video.audio import AudioTrack

            output.audio = AudioTrack.open(self._audio_from, (container, kind), start=time, notices=self.notices)
        return output

    def _stream_shape(self, width: int, height: int) -> StreamShape:
        return StreamShape((width, height), self._fps, self._pixel_aspect, self.preset)

    def _copy(self, output: _Output, time: float) -> None:
        """Append the next frame of the interrupted run's video, as it was encoded there."""
        packet = next(self._partial) if self._partial is not None else None
        if packet is None:
            raise MotError(f"the unfinished part of '{self.path}' has no more frames")
        packet.stream = output.stream
        packet.pts = packet.dts = self._stamp(time)
        packet.time_base = Fraction(1, TICKS)
        output.container.mux(packet)
        self._follow(output)

    def _stamp(self, time: float) -> int:
        """Return the next frame's time in ticks."""
        self._last = max(round((time - self._start) * TICKS), self._last + 1)
        return self._last

    def _follow(self, output: _Output) -> None:
        """Write the sound up to the last frame."""
        if output.audio is not None:
            output.audio.advance(output.container, self._last / TICKS)
        output.file.flush()

    def _encode(self, output: _Output, image: Image, time: float) -> None:
        frame = as_frame(image)
        frame.pts, frame.time_base = self._stamp(time), Fraction(1, TICKS)
        output.container.mux(output.stream.encode(frame))
        self._follow(output)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn errors of FFmpeg and the disk into `OutputLostError`; what was written before stays in the part file."""
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
                remedy="--no-video disables the video",
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
