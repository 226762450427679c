"""A camera by its index, through OpenCV, which numbers cameras alike on Linux, macOS and Windows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Image, VideoInfo
from mot_dinov3.video.source import MAX_FPS, BaseSource, SourceConfig

DEFAULT_FPS = 30.0
FPS_PROPERTY = 5  # cv2.CAP_PROP_FPS
REMEDY = "check that it is plugged in, that no other program holds it, and that you may use it"


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def read(self) -> tuple[bool, Any]:
        """Return success and a ``(h, w, 3)`` uint8 BGR picture."""
        ...

    def get(self, propId: int) -> float:  # noqa: N803 (OpenCV's name)
        """Return a property."""
        ...

    def release(self) -> None:
        """Let go of the device."""
        ...


def open_camera(index: int) -> Capture:
    """Open camera `index`.

    Raises:
        VideoError: There is no such camera, or it does not open.
    """
    if sys.platform == "linux" and not Path(f"/dev/video{index}").exists():
        raise VideoError(f"camera {index} is not there (no /dev/video{index})", remedy=REMEDY)
    import cv2

    capture = cv2.VideoCapture(index)
    if not capture.isOpened():
        raise VideoError(f"camera {index} cannot be opened", remedy=REMEDY)
    return capture


class CameraSource(BaseSource[Image]):
    """Live frames, each with the moment it arrived as its time.

    Args:
        config: Source and range.
        capture: The opened device; released by `close`.
        clock: Seconds from any fixed point.

    Raises:
        VideoError: No picture comes.
    """

    def __init__(self, config: SourceConfig, capture: Capture, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(config)
        self._capture = capture
        self._clock = clock
        self._first = self._read()
        if self._first is None:
            self.close()
            raise VideoError(f"camera {config.source} gives no picture", remedy=REMEDY)
        height, width = self._first[1].shape[:2]
        told = capture.get(FPS_PROPERTY)
        fps = config.fps or (told if 0 < told <= MAX_FPS else DEFAULT_FPS)
        self._ready(VideoInfo(str(config.source), width, height, fps), 0)

    def _read(self) -> tuple[float, Image] | None:
        ok, image = self._capture.read()
        return (self._clock(), np.ascontiguousarray(image, np.uint8)) if ok else None

    def _pictures(self) -> Iterator[tuple[float | None, Image]]:
        taken, self._first = self._first, None
        while taken is not None:
            yield taken
            taken = self._read()
        self.notices.append(f"camera {self.config.source} stopped after {self._count} frames")

    def _image(self, raw: Image) -> Image:
        return raw

    def _release(self) -> None:
        self._capture.release()
