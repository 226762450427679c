"""Sinks for drawn frames: a video, a folder of images, and a live window."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from mot_dinov3.core import files
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import Detections, Frame, Image
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.sinks.base import FilterSink, Sink
from mot_dinov3.video.writer import FrameWriter

STOP_KEY, PAUSE_KEY = ord("q"), ord(" ")
PAUSE_POLL_MS = 50
X11_PORT = 6000
HIGHEST_SCREEN = 59535
PATIENCE_S = 2.0  # for a display server to answer

Draw = Callable[[Frame, Detections], Image]
"""Returns the image to write for a frame and its rows."""


class VideoSink(Sink):
    """Draws every frame and writes it to a video.

    Args:
        writer: The video.
        draw: Of the frames that are not skipped.
        timer: Counts drawing, and waiting for the writer, which counts its own work.
        kept: First frames that an earlier run has written and the writer takes over.
        skip: Gets those frames in place of `draw`.
    """

    stage = None

    def __init__(
        self,
        writer: FrameWriter,
        draw: Draw,
        timer: StageTimer,
        *,
        kept: int = 0,
        skip: Callable[[Frame, Detections], None] = lambda frame, detections: None,
    ) -> None:
        self._writer = writer
        self._draw = draw
        self._timer = timer
        self._kept = kept
        self._skip = skip

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        image = None
        if self._kept > 0:
            self._kept -= 1
            self._skip(frame, detections)
        else:
            image = self._draw(frame, detections)
            self._timer.lap("draw")
        self._writer.write(image, frame.time)
        self._timer.lap("wait")

    @override
    def close(self) -> None:
        self._writer.close()
        self._timer.lap("wait")

    @override
    def abort(self) -> None:
        """Leave the unfinished video under its temporary name: it plays, and a later run can continue it."""
        self._writer.leave()


class FolderSink(Sink):
    """Writes every frame as ``%06d.jpg``, by its number, to an existing folder."""

    def __init__(self, folder: Path, draw: Draw) -> None:
        self._folder = folder
        self._draw = draw

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        import cv2

        path = self._folder / f"{frame.index:06d}.jpg"
        encoded = cv2.imencode(".jpg", self._draw(frame, detections))[1]
        with files.replacing(path) as part:
            part.write_bytes(encoded.tobytes())


class RetimedSink(FilterSink):
    """Hands frames on at a steady rate, in place of their own times."""

    def __init__(self, sink: Sink, fps: float) -> None:
        super().__init__(sink)
        self._fps = fps
        self._written = 0

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        self._sink.write(dataclasses.replace(frame, time=self._written / self._fps), detections)
        self._written += 1


class WindowSink(Sink):
    """Shows every frame in a window. The key q calls `stop`, space pauses; a window that is closed stays closed.

    Args:
        title: Of the window.
        draw: Returns the image to show.
        stop: Called for q.
        interrupted: Ends a pause when true.
    """

    stage = "draw"

    def __init__(
        self, title: str, draw: Draw, stop: Callable[[], None], *, interrupted: Callable[[], bool] = lambda: False
    ) -> None:
        self._title = title
        self._draw = draw
        self._stop = stop
        self._interrupted = interrupted
        self._is_open: bool | None = None  # None: not shown yet

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        import cv2

        if self._is_open is False:
            return
        image = self._draw(frame, detections)
        try:
            if self._was_closed():
                self._is_open = False
                return
            cv2.imshow(self._title, image)
            self._is_open = True
            key = cv2.waitKey(1) & 0xFF
            if key == PAUSE_KEY:
                key = self._pause()
        except cv2.error as error:
            raise _no_screen("this build of OpenCV has no windows") from error
        if key == STOP_KEY:
            self._stop()
            self.close()

    def _pause(self) -> int:
        """Wait for space or q, and return the key; also return where the window is closed or the run interrupted."""
        import cv2

        while True:
            key = cv2.waitKey(PAUSE_POLL_MS) & 0xFF
            if key in (PAUSE_KEY, STOP_KEY) or self._was_closed() or self._interrupted():
                return key

    def _was_closed(self) -> bool:
        import cv2

        return self._is_open is True and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1

    @override
    def close(self) -> None:
        import cv2

        if self._is_open:
            with contextlib.suppress(cv2.error):  # closed by hand
                cv2.destroyWindow(self._title)
        self._is_open = False

    @override
    def abort(self) -> None:
        self.close()


def check_screen() -> None:
    """Raise `UsageError` where no window can be shown.

    A display that is named and not there has to be found out here: Qt, which OpenCV draws with, ends the process.
    """
    import cv2

    framework = cv2.currentUIFramework()
    if not framework:
        raise _no_screen("this build of OpenCV has no windows")
    if not sys.platform.startswith("linux"):
        return
    spoken = ("DISPLAY",) if framework.startswith("QT") else ("DISPLAY", "WAYLAND_DISPLAY")  # its Qt speaks X11 only
    named = [name for name in spoken if os.environ.get(name)]
    if not named:
        raise _no_screen(f"{' or '.join(spoken)} is not set")
    if not any(_answers(address) for name in named for address in _addresses(name, os.environ[name])):
        shown = ", ".join(f"{name} is '{os.environ[name]}'" for name in named)
        raise _no_screen(f"{shown}, and nothing responds there")


def _addresses(name: str, value: str) -> list[str | tuple[str, int]]:
    """Return where the display server of an environment variable listens: socket files, or host and port."""
    if name == "WAYLAND_DISPLAY":
        return [str(Path(os.environ.get("XDG_RUNTIME_DIR", "")) / value)]
    host, _, number = value.rpartition(":")
    number = number.partition(".")[0]
    if not number.isdecimal() or int(number) > HIGHEST_SCREEN:
        return []
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"
        return [path, f"\0{path}"]  # the second is Linux's abstract name
    return [(host, X11_PORT + int(number))]


def _answers(address: str | tuple[str, int]) -> bool:
    kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(kind, socket.SOCK_STREAM) as line:
        line.settimeout(PATIENCE_S)
        try:
            line.connect(address)
        except OSError:
            return False
    return True


def _no_screen(reason: str) -> UsageError:
    return UsageError(f"--show needs a screen: {reason}", remedy="omit it: the video that is written shows the same")
