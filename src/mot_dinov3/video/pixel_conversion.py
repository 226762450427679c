"""Decoded frames of any pixel format as 8-bit BGR images: as they are, or tone-mapped where they are HDR."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Image
from mot_dinov3.video.tone_mapping import TRANSFERS, ToneMap

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

UNSPECIFIED_MATRIX = 2  # of ITU-T H.273


class PixelConversion(ABC):
    """Converts a video's frames to images of one size.

    Args:
        size: Width and height in pixels, before any rotation.

    Attributes:
        notice: Message for the user about what is done to the levels; empty where nothing is.
    """

    notice = ""

    def __init__(self, size: tuple[int, int]) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self.size = size

    @abstractmethod
    def image(self, frame: VideoFrame) -> Image:
        """Return a frame as an ``(h, w, 3)`` uint8 BGR image, which may be changed.

        Raises:
            ValueError, av.error.FFmpegError: Its pixel format cannot be converted.
        """


class PlainConversion(PixelConversion):
    """Keeps the levels, rounded to 8 bits."""

    @override
    def image(self, frame: VideoFrame) -> Image:
        width, height = self.size
        converted = self._reformatter.reformat(frame, width=width, height=height, format="bgr24")
        pixels = np.asarray(converted.to_ndarray(), np.uint8)
        # BGR already: the decoder may still predict from this very memory
        return pixels.copy() if converted is frame else pixels


class HdrConversion(PixelConversion):
    """Maps the levels of PQ and HLG to those of SDR."""

    def __init__(self, size: tuple[int, int], tone_map: ToneMap) -> None:
        super().__init__(size)
        self._tone_map = tone_map
        self.notice = f"HDR ({tone_map.name}) is tone-mapped to SDR"

    @override
    def image(self, frame: VideoFrame) -> Image:
        from av.video.reformatter import Colorspace

        width, height = self.size
        matrix = Colorspace.BT2020 if frame.colorspace == UNSPECIFIED_MATRIX else None
        converted = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb48le", src_colorspace=matrix
        )
        return self._tone_map.apply(np.asarray(converted.to_ndarray(), np.uint16))


def conversion_for(stream: VideoStream, size: tuple[int, int]) -> PixelConversion:
    """Return the conversion of a stream of which a frame has been decoded."""
    context = stream.codec_context
    if context.color_trc in TRANSFERS:
        return HdrConversion(size, ToneMap(context.color_trc, context.color_primaries))
    return PlainConversion(size)
