"""Colours: one for each track, the same wherever it is shown."""

from __future__ import annotations

import colorsys
import functools

Color = tuple[int, int, int]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)
GREY: Color = (170, 170, 170)
_GOLDEN_RATIO = 0.61803398875


@functools.lru_cache(maxsize=4096)
def track_color(track_id: int) -> Color:
    """Return the BGR colour of a track: the same in each run, far from those of its neighbours.

    Hues step by the golden ratio, which spreads any run of ids evenly over the circle; brightness and saturation
    alternate with a longer period, so that ids of like hue still differ.
    """
    hue = (track_id * _GOLDEN_RATIO) % 1
    saturation, value = ((0.85, 1.0), (0.60, 1.0), (0.90, 0.78))[(track_id // 5) % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * blue), round(255 * green), round(255 * red)


def ink_on(color: Color) -> Color:
    """Return black or white, whichever is easier to read on a plate of `color`."""
    blue, green, red = color
    return BLACK if 0.114 * blue + 0.587 * green + 0.299 * red > 120 else WHITE
