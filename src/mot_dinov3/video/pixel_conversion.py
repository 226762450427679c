"""Decoded frames as the images to be shown: 8-bit BGR of any pixel format, rotated; and the shape of their pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Image
from mot_dinov3.video.grey_levels import GreyLevels, Raw, as_bgr
from mot_dinov3.video.tone_mapping import BT2020, TRANSFERS, ToneMap

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

UNSPECIFIED_MATRIX = 2  # of ITU-T H.273
DEEP_BITS = 12
WIDEST = 20  # pixels so many times as wide as high, or as high as wide, are a mistake in the file


class Orientation:
    """Rotation of stored frames for display: an optional transposition, then flips.

    Args:
        matrix: Nine numbers of an FFmpeg display matrix (rows ``a b u, c d v, x y w``: ``x' = a x + c y``,
            ``y' = b x + d y``), or None for upright.
    """

    def __init__(self, matrix: Sequence[int] | npt.NDArray[np.int32] | None = None) -> None:
        a, b, _, c, d = (1, 0, 0, 0, 1) if matrix is None else (int(v) for v in matrix[:5])
        self.transposed = abs(b) + abs(c) > abs(a) + abs(d)
        self.flip_x, self.flip_y = (c < 0, b < 0) if self.transposed else (a < 0, d < 0)

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Read the display matrix a decoded frame carries."""
        data: Any = side_data(frame).get("DISPLAYMATRIX")
        return cls(None if data is None else np.frombuffer(bytes(data), np.int32))

    def apply(self, image: Image) -> Image:
        """Return the image as it is to be shown."""
        if not (self.transposed or self.flip_x or self.flip_y):
            return image
        import cv2

        turned = cv2.transpose(image) if self.transposed else image
        if self.flip_x or self.flip_y:
            turned = cv2.flip(turned, -1 if self.flip_x and self.flip_y else int(self.flip_x))
        return np.asarray(turned, np.uint8)


def side_data(frame: VideoFrame) -> Mapping[Any, Any]:
    """Return a frame's side data by type, also where FFmpeg knows types that PyAV does not."""
    try:
        return frame.side_data
    except ValueError:  # PyAV builds the whole table, and stops at a type without a name (EXIF, LCEVC, VIEW_ID)
        _name_unknown_types()
        return frame.side_data


def _name_unknown_types() -> None:
    """Let PyAV's enumeration of side data accept numbers beyond those it lists."""
    from av.sidedata.sidedata import Type

    def unknown(kind: type[Type], value: object) -> Type:
        member: Any = object.__new__(kind)
        member._name_, member._value_ = f"UNKNOWN_{value}", value
        return member

    Type._missing_ = classmethod(unknown)  # type: ignore[assignment,method-assign]


def pixel_aspect(stream: VideoStream, orientation: Orientation) -> Fraction:
    """Return the width of a pixel divided by its height as it is shown, 1 where the file gives no plausible one."""
    aspect = stream.sample_aspect_ratio
    if not aspect or not Fraction(1, WIDEST) <= aspect <= WIDEST:
        return Fraction(1)
    return 1 / aspect if orientation.transposed else aspect


class PixelConversion(ABC):
    """Converts a video's frames to images of one size.

    Args:
        first: The first frame, whose size and rotation hold for all.

    Attributes:
        notice: Message for the user about what is done to the levels; empty where nothing is.
        stored: Width and height of the frames, before any rotation.
        orientation: Rotation of the images.
    """

    notice = ""

    def __init__(self, first: VideoFrame) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self.stored = (first.width, first.height)
        self.orientation = Orientation.of(first)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the images."""
        return self.stored[::-1] if self.orientation.transposed else self.stored

    def image(self, frame: VideoFrame) -> Image:
        """Return a frame as an ``(h, w, 3)`` uint8 BGR image, contiguous, which may be changed.

        Raises:
            ValueError, av.error.FFmpegError: Its pixel format cannot be converted.
        """
        return np.ascontiguousarray(self.orientation.apply(self._pixels(frame)))

    @abstractmethod
    def _pixels(self, frame: VideoFrame) -> Image:
        """Return a frame as it is stored."""


class PlainConversion(PixelConversion):
    """Keeps the levels, rounded to 8 bits."""

    @override
    def _pixels(self, frame: VideoFrame) -> Image:
        width, height = self.stored
        converted = self._reformatter.reformat(frame, width=width, height=height, format="bgr24")
        pixels = np.asarray(converted.to_ndarray(), np.uint8)
        # BGR already: the decoder may still predict from this very memory
        return pixels.copy() if converted is frame else pixels


class HdrConversion(PixelConversion):
    """Maps the levels of PQ and HLG to those of SDR."""

    def __init__(self, first: VideoFrame, tone_map: ToneMap) -> None:
        super().__init__(first)
        self._tone_map = tone_map
        self.notice = f"HDR ({tone_map.name}) is tone-mapped to SDR"

    @override
    def _pixels(self, frame: VideoFrame) -> Image:
        width, height = self.stored
        matrix = BT2020 if frame.colorspace == UNSPECIFIED_MATRIX else None
        converted = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb48le", src_colorspace=matrix
        )
        return self._tone_map.apply(np.asarray(converted.to_ndarray(), np.uint16))


class GreyConversion(PixelConversion):
    """Scales grey of more than 8 bits by the range of the whole video."""

    def __init__(self, first: VideoFrame, samples: Iterable[VideoFrame]) -> None:
        super().__init__(first)
        self._levels = GreyLevels.of(map(self._values, samples))
        self.notice = self._levels.notice

    def _values(self, frame: VideoFrame) -> Raw:
        width, height = self.stored
        kind = "grayf32le" if frame.format.name.startswith("grayf") else "gray16le"
        converted = self._reformatter.reformat(frame, width=width, height=height, format=kind)
        return np.asarray(converted.to_ndarray())

    @override
    def _pixels(self, frame: VideoFrame) -> Image:
        return as_bgr(self._values(frame), self._levels)


def is_deep(frame: VideoFrame) -> bool:
    """Return whether a frame is grey of 12 bits or more; cameras for visible light use 10 at most."""
    pixels = frame.format
    return pixels.name.startswith("gray") and pixels.components[0].bits >= DEEP_BITS


def conversion_for(
    stream: VideoStream, first: VideoFrame, samples: Callable[[], Iterable[VideoFrame]]
) -> PixelConversion:
    """Return the conversion of a stream's frames; `samples` returns some of them."""
    context = stream.codec_context
    if is_deep(first):
        return GreyConversion(first, samples())
    if context.color_trc in TRANSFERS:
        return HdrConversion(first, ToneMap(context.color_trc, context.color_primaries))
    return PlainConversion(first)
