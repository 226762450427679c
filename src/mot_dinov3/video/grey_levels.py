"""Grey images of more than 8 bits, such as a thermal camera's: one range of values for a whole sequence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Image

Raw = npt.NDArray[Any]
"""Decoded pixels of any type, ``(h, w)`` or ``(h, w, c)``."""

SAMPLES = 16
"""Images of a sequence from which the range is taken, at most."""

MARGIN = 0.05  # of the range, on both sides: between the samples it may be a little colder or warmer
NO_DATA = 1e30  # a float beyond it stands for a missing value


@dataclasses.dataclass(frozen=True)
class GreyLevels:
    """The values that become black and white.

    Attributes:
        low: Value of black.
        high: Value of white, greater than `low`.
        bits: Bits of a value; 32 for floating point.
    """

    low: float
    high: float
    bits: int = 16

    @classmethod
    def of(cls, samples: Iterable[Raw]) -> GreyLevels:
        """Return the range of the samples, without single pixels and lines that are defective."""
        import cv2

        low, high, bits = np.inf, -np.inf, 16
        for sample in samples:
            values = sample if sample.dtype == np.uint16 else sample.astype(np.float32)
            bits = max(bits, 8 * sample.dtype.itemsize)
            valid = np.isfinite(values) & (np.abs(values) < NO_DATA)
            if not valid.any():
                continue
            smooth = np.asarray(cv2.medianBlur(np.where(valid, values, values[valid].min()), 3))
            low, high = min(low, float(smooth.min())), max(high, float(smooth.max()))
        if not low < high:  # nothing but one value
            low, high = (low, low + 1) if np.isfinite(low) else (0, 1)
        margin = MARGIN * (high - low)
        return cls(low - margin, high + margin, bits)

    @property
    def notice(self) -> str:
        """Message for the user."""
        return f"{self.bits}-bit grey values are scaled: {self.low:.5g}…{self.high:.5g} become 0…255"

    def apply(self, raw: Raw) -> npt.NDArray[np.uint8]:
        """Return the values as 8-bit levels, of the same shape."""
        within = np.clip(np.nan_to_num(raw, nan=self.low), self.low, self.high).astype(np.float32)
        return np.asarray((within - np.float32(self.low)) * np.float32(255 / (self.high - self.low)), np.uint8)


def is_deep_grey(raw: Raw) -> bool:
    """Return whether the pixels have to be scaled by their range: grey of more than 8 bits, or floating point.

    16-bit colours fill their range, but for grey that was stored as three equal colours.
    """
    if raw.dtype == np.uint8:
        return False
    if raw.dtype != np.uint16 or raw.ndim == 2:
        return True
    return all(np.array_equal(raw[..., 0], raw[..., channel]) for channel in range(1, min(raw.shape[2], 3)))


def as_bgr(raw: Raw, levels: GreyLevels | None) -> Image:
    """Return pixels of any type as ``(h, w, 3)`` uint8 BGR; `levels` are those of deep grey, None for colours."""
    import cv2

    if raw.dtype != np.uint8:
        raw = (raw >> 8).astype(np.uint8) if levels is None else levels.apply(raw)
    if raw.ndim == 2:
        return np.asarray(cv2.cvtColor(raw, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.ascontiguousarray(raw[..., :3], np.uint8)
