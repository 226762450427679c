"""Videos from pipes: standard input, FIFOs and what a shell substitutes for a command, each read once to its end."""

from __future__ import annotations

import os
import select
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.special_files import descriptor
from mot_dinov3.video.images import TIFF_MAGIC, ImageFolder, is_series, open_series
from mot_dinov3.video.media import MediaSource
from mot_dinov3.video.source import BaseSource, SourceConfig

POLL_MS = 100
HEAD_BYTES = 4096  # in which an MP4 shows whether its index or its frames come first
BLOCK = 1 << 20
BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"meta")


class PipeReader:
    """A pipe that FFmpeg reads as a file without seeking.

    Attributes:
        name: The path, for FFmpeg.
        stop: Ends the waiting for the sender, and with it the data, once it returns true.

    Raises:
        VideoError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.stop: Callable[[], bool] = lambda: False
        self._ahead = b""
        self._failure: BaseException | None = None
        number = descriptor(path)
        try:
            # a FIFO is not waited for here, where no signal but the default ones would end it
            self._fd = os.dup(number) if number is not None else os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise VideoError(f"source '{path}' cannot be opened: {error.strerror}", remedy="check --source") from error
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._closed = False

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end; called by FFmpeg, through which errors do not pass (`check`)."""
        try:
            data = self._ahead[:size] or self._receive(size)
        except BaseException as error:  # noqa: BLE001 - raised again by `check`
            self._failure = error
            return b""
        self._ahead = self._ahead[len(data) :]
        return data

    def check(self) -> None:
        """Raise the error, or the interruption, that ended the data."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes without taking them; fewer at the end."""
        while len(self._ahead) < size and (data := self._receive(size - len(self._ahead))):
            self._ahead += data
        return self._ahead[:size]

    def spool(self) -> IO[bytes]:
        """Return a temporary file with all that is sent; it is gone when it is closed, also if the process is killed.

        Raises:
            VideoError: The disk is full.
        """
        file = tempfile.TemporaryFile() if sys.platform == "linux" else tempfile.NamedTemporaryFile()  # noqa: SIM115
        try:
            file.write(self._ahead)
            while data := self._receive(BLOCK):
                file.write(data)
            file.flush()
        except OSError as error:
            file.close()
            raise VideoError(
                f"source '{self.name}' cannot be stored in a temporary file: {error.strerror or error}",
                remedy="free some disk space, or set TMPDIR to a folder on another disk",
            ) from error
        return file

    def _receive(self, size: int) -> bytes:
        while not self._closed and not self.stop():
            if self._poll.poll(POLL_MS):
                try:
                    return os.read(self._fd, size)
                except BlockingIOError:
                    continue
        return b""

    def close(self) -> None:
        """Close the pipe; may be called twice."""
        if not self._closed:
            self._closed = True
            os.close(self._fd)


def open_pipe(config: SourceConfig, path: Path) -> BaseSource[Any]:
    """Open a pipe and read its first wanted frame, waiting for the sender.

    Formats that need seeking are stored in a temporary file first.

    Raises:
        VideoError: Nothing is sent, or no video.
    """
    shown = config.source or str(path)
    reader = PipeReader(path)
    try:
        if not reader.peek(1):
            raise VideoError(
                f"source '{shown}' cannot be opened: nothing was sent", remedy="check the command that sends it"
            )
        head = reader.peek(12)
        if needs_seeking(reader.peek(HEAD_BYTES) if head[4:8] in BOXES else head):
            file = reader.spool()
            reader.close()
            return _open_spooled(config, file, shown)
        return MediaSource(config, str(path), pipe=reader)
    except BaseException:
        reader.close()
        raise


def _open_spooled(config: SourceConfig, file: IO[bytes], shown: str) -> BaseSource[Any]:
    path = Path(f"/proc/self/fd/{file.fileno()}" if sys.platform == "linux" else file.name)
    try:
        if is_series(path):
            series = open_series(path)
            series.path = Path(shown)
            source: BaseSource[Any] = ImageFolder(config, series)
        else:
            source = MediaSource(config, str(path))
    except BaseException:
        file.close()
        raise
    source.held.callback(file.close)
    source.notices.append(f"'{shown}' was stored in a temporary file: its format cannot be read from a pipe")
    return source


def needs_seeking(head: bytes) -> bool:
    """Return whether a file that begins so has to be read in another order than it is sent.

    That is so for TIFF, PNG, animated WebP, and an MP4 whose frames come before the index.
    """
    if head[:4] in (*TIFF_MAGIC, b"\x89PNG") or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    at = 0
    while head[4:8] in BOXES and at + 8 <= len(head):
        size, kind = struct.unpack(">I4s", head[at : at + 8])
        if kind in (b"moov", b"moof"):
            return False
        if kind == b"mdat" or size < 8:
            return True
        at += size
    return head[4:8] in BOXES
