"""Colours of tracks, and line and font sizes that fit an image."""

from __future__ import annotations

import colorsys
import dataclasses
import functools

import numpy as np

from mot_dinov3.core.structures import Image

Color = tuple[int, int, int]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)
GREY: Color = (170, 170, 170)
_GOLDEN_RATIO = 0.61803398875
MIN_FONT = 0.35
PAL_FONT = 0.42  # font scale in an image of 768×576
FONT_GROWTH = 0.6  # exponent: larger images are displayed on larger screens, but not as much larger


@functools.lru_cache(maxsize=4096)
def track_color(track_id: int) -> Color:
    """Return the BGR colour of a track: the same in each run, far from those of its neighbours.

    Brightness and saturation alternate with a longer period than the hue, so that ids of like hue still differ.
    """
    return hue_color(track_id, *((0.85, 1.0), (0.60, 1.0), (0.90, 0.78))[(track_id // 5) % 3])


def hue_color(number: int, saturation: float = 0.85, value: float = 1.0) -> Color:
    """Return the BGR colour of a number: hues step by the golden ratio, which spreads any run of numbers evenly."""
    red, green, blue = colorsys.hsv_to_rgb((number * _GOLDEN_RATIO) % 1, saturation, value)
    return round(255 * blue), round(255 * green), round(255 * red)


def text_color(color: Color) -> Color:
    """Return black or white, whichever is easier to read on a plate of `color`."""
    blue, green, red = color
    return BLACK if 0.114 * blue + 0.587 * green + 0.299 * red > 120 else WHITE


@dataclasses.dataclass(frozen=True)
class Pen:
    """Line and font sizes in pixels that fit an image."""

    line: int
    scale: float
    stroke: int
    pad: int

    @classmethod
    def for_image(cls, image: Image, *, line: int = 0, scale: float = 0.0) -> Pen:
        """Return the pen for an image; 0 stands for the size that fits it."""
        # The sizes follow the diagonal, so that portrait and landscape images look alike.
        diagonal = float(np.hypot(*image.shape[:2]))
        line = line or max(1, round(diagonal / 480))
        scale = scale or max(MIN_FONT, PAL_FONT * (diagonal / 960) ** FONT_GROWTH)
        return cls(line, scale, max(1, round(scale * 1.6)), max(2, round(5 * scale)))
