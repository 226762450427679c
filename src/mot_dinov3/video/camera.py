"""Cameras by index, through OpenCV, which numbers them alike on Linux, macOS and Windows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Image, VideoInfo
from mot_dinov3.video.source import MAX_FPS, BaseSource, SourceConfig

if TYPE_CHECKING:
    from cv2 import VideoCapture

DEFAULT_FPS = 30.0
FPS_PROPERTY = 5  # cv2.CAP_PROP_FPS
REMEDY = "check that it is connected, not in use by another program, and that you have access"


def open_camera(index: int) -> VideoCapture:
    """Open camera `index`.

    Raises:
        VideoError: There is no such camera, or it does not open.
    """
    if sys.platform == "linux" and not Path(f"/dev/video{index}").exists():
        raise VideoError(f"camera {index} does not exist (no /dev/video{index})", remedy=REMEDY)
    import cv2

    capture = cv2.VideoCapture(index)
    if not capture.isOpened():
        raise VideoError(f"camera {index} cannot be opened", remedy=REMEDY)
    return capture


class CameraSource(BaseSource[Image]):
    """Live frames of a camera, timed by their arrival; `close` releases the device.

    Raises:
        VideoError: The camera delivers no image.
    """

    def __init__(
        self, config: SourceConfig, capture: VideoCapture, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(config)
        self._capture = capture
        self._clock = clock
        self._first = self._read()
        if self._first is None:
            self.close()
            raise VideoError(f"camera {config.source} delivers no image", remedy=REMEDY)
        height, width = self._first[1].shape[:2]
        announced = capture.get(FPS_PROPERTY)
        fps = config.fps or (announced if 0 < announced <= MAX_FPS else DEFAULT_FPS)
        self._ready(VideoInfo(str(config.source), width, height, fps), 0)

    def _read(self) -> tuple[float, Image] | None:
        ok, image = self._capture.read()
        return (self._clock(), np.ascontiguousarray(image, np.uint8)) if ok else None

    @override
    def _raw_frames(self) -> Iterator[tuple[float | None, Image]]:
        captured, self._first = self._first, None
        while captured is not None:
            yield captured
            captured = self._read()
        self.notices.append(f"camera {self.config.source} stopped after {self._count} frames")

    @override
    def to_image(self, raw: Image) -> Image:
        return raw

    @override
    def _release(self) -> None:
        self._capture.release()
