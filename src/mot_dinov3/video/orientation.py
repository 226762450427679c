"""Display geometry of a video: rotation of its stored frames, and the shape of their pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Image

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

WIDEST = 20
"""Pixels this many times as wide as high, or as high as wide, are a mistake in the file."""


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
