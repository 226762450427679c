"""HDR to SDR: frames coded with PQ or HLG become sRGB with the primaries of BT.709.

Light is measured in multiples of the reference white of ITU-R BT.2408: 203 cd/m² in PQ, 75 % of the signal in HLG. Up
to `KNEE` it is kept as it is, so that people, streets and grey cards get the levels of an SDR recording; brighter light
is compressed by a curve of Reinhard's kind, so that lamps and sky keep some detail. Transfer functions are those of
BT.2100 (PQ: display light; HLG: scene light, without the display's system gamma), and primaries change as in BT.2087;
colours outside BT.709 are clipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Float64Array, Image

KNEE = 0.9  # of the reference white
WHITE_NITS, PEAK_NITS = 203.0, 1000.0
HLG_WHITE = 0.75
TRANSFERS = {16: "PQ", 18: "HLG"}
"""FFmpeg's numbers of the transfer functions that are HDR, as in ITU-T H.273."""

# Linear RGB of other primaries (H.273) to that of BT.709; both have the white point D65.
TO_BT709 = {
    1: np.eye(3),
    9: np.array([[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]),
    12: np.array([[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]]),
}
BT2020 = 9  # its primaries, and its matrix too
CODES = 1 << 16


def pq_light(code: Float64Array) -> Float64Array:
    """Return the light of PQ codes 0…1 in multiples of the reference white (EOTF of BT.2100, SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.asarray(code) ** (1 / m2)
    return 10_000 / WHITE_NITS * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def hlg_light(code: Float64Array) -> Float64Array:
    """Return the light of HLG codes 0…1 in multiples of the reference white (inverse OETF of BT.2100)."""

    def scene(signal: npt.ArrayLike) -> Float64Array:
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        low, high = np.square(signal) / 3, (np.exp((np.asarray(signal) - c) / a) + b) / 12
        return np.where(np.asarray(signal) <= 0.5, low, high)

    return scene(code) / scene(HLG_WHITE)


def compressed(light: Float64Array, peak: float) -> Float64Array:
    """Return the light within 0…1: unchanged up to `KNEE`, then rising less and less until `peak` becomes 1."""
    beyond = np.maximum(light - KNEE, 0)
    bend = 1 / (1 - KNEE) - 1 / (peak - KNEE)
    return np.minimum(light, KNEE) + beyond / (1 + bend * beyond)


def srgb_code(light: Float64Array) -> Float64Array:
    """Return the sRGB codes 0…1 of linear light 0…1 (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


class ToneMap:
    """Turns HDR images into SDR ones by two tables and a matrix.

    Args:
        transfer: A key of `TRANSFERS`.
        primaries: A key of `TO_BT709`; any other number counts as BT.2020.
    """

    def __init__(self, transfer: int, primaries: int = BT2020) -> None:
        self.name = TRANSFERS[transfer]
        codes = np.linspace(0, 1, CODES)
        is_pq = self.name == "PQ"
        peak = PEAK_NITS / WHITE_NITS if is_pq else float(hlg_light(np.ones(1))[0])
        light = pq_light(codes) if is_pq else hlg_light(codes)
        self._light = np.minimum(light, peak).astype(np.float32)
        matrix = TO_BT709.get(primaries, TO_BT709[BT2020])
        self._to_bgr = (matrix[::-1] * (CODES - 1) / peak).astype(np.float32)
        self._shown = np.rint(255 * srgb_code(compressed(codes * peak, peak))).astype(np.uint8)

    def apply(self, rgb: npt.NDArray[np.uint16]) -> Image:
        """Return the ``(h, w, 3)`` uint8 BGR image of an ``(h, w, 3)`` uint16 RGB one, which holds HDR codes."""
        import cv2

        light = lookup(self._light, rgb)
        mixed = np.asarray(cv2.transform(light, self._to_bgr))
        scaled = np.asarray(cv2.addWeighted(mixed, 1, mixed, 0, 0, dtype=cv2.CV_16U), np.uint16)  # rounds and clips
        return np.asarray(lookup(self._shown, scaled), np.uint8)


def lookup(table: npt.NDArray[Any], codes: npt.NDArray[np.uint16]) -> npt.NDArray[Any]:
    """Return the entries of a table of 65,536 for an ``(h, w, c)`` image of indices."""
    import cv2

    try:
        return np.asarray(cv2.LUT(codes, table[None]))
    except cv2.error:  # OpenCV 4 has tables for 8 bits only
        return table[codes]
