"""Sums over time and over the image, in a number of bins that does not grow with the run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import FloatArray

Array = npt.NDArray[np.float64]


class TimeBins:
    """Sums of some quantities per interval of time; where there are too many intervals, neighbours are merged.

    Args:
        width: Number of quantities.
        most: Maximum number of bins; an even number.

    Attributes:
        span: Frames in a full bin.
    """

    def __init__(self, width: int, *, most: int = 600) -> None:
        self.span = 1
        self._most = most
        self._used = 0
        self._start = np.zeros(most)
        self._frames = np.zeros(most)
        self._sums = np.zeros((most, width))
        self._peak = np.zeros((most, width))

    def add(self, time: float, values: Array) -> None:
        """Add the `values`, ``(width,)``, of a frame that was displayed at `time` seconds."""
        last = self._used - 1
        if last < 0 or self._frames[last] >= self.span:
            if self._used == self._most:
                self._halve()
            last = self._used
            self._used += 1
            self._start[last] = time
        self._frames[last] += 1
        self._sums[last] += values
        np.maximum(self._peak[last], values, out=self._peak[last])

    def _halve(self) -> None:
        half, first, second = self._most // 2, slice(0, None, 2), slice(1, None, 2)
        self._start[:half] = self._start[first]
        for sums in (self._frames, self._sums):
            sums[:half] = sums[first] + sums[second]
            sums[half:] = 0
        self._peak[:half] = np.maximum(self._peak[first], self._peak[second])
        self._peak[half:] = 0
        self._used = half
        self.span *= 2

    @property
    def start(self) -> Array:
        """``(k,)`` seconds at which each bin begins."""
        return self._start[: self._used].copy()

    @property
    def frames(self) -> Array:
        """``(k,)`` frames in each bin."""
        return self._frames[: self._used].copy()

    @property
    def mean(self) -> Array:
        """``(k, width)`` mean per frame in each bin."""
        return self._sums[: self._used] / np.maximum(self._frames[: self._used, None], 1)

    @property
    def peak(self) -> Array:
        """``(k, width)`` largest value of a frame in each bin."""
        return self._peak[: self._used].copy()

    @property
    def total(self) -> Array:
        """``(width,)`` sums over all."""
        return np.asarray(self._sums.sum(0))


class Heatmap:
    """Seconds that objects spent in each cell of a grid over the image.

    The grid of an image of unknown size has the same number of cells: where a point lies beyond them, four are merged.

    Args:
        width: Of the image in pixels; 0 where it is unknown.
        height: The same.
        cells: Cells along the longer side.
    """

    def __init__(self, width: int, height: int, *, cells: int = 64) -> None:
        longer = max(width, height)
        self._last_pixel = np.array([width - 1, height - 1] if longer else [np.inf, np.inf])
        self.cell = longer / cells if longer else 8.0
        self.seconds = np.zeros((cells, cells))

    def add(self, points: FloatArray, seconds: float) -> None:
        """Add some seconds at `points`, ``(n, 2)`` pixels; those outside are counted at the border."""
        points = np.clip(points[np.isfinite(points).all(1)], 0, self._last_pixel)
        if not len(points):
            return
        while points.max() >= self.cell * len(self.seconds):
            self._coarsen()
        column, row = (points / self.cell).astype(np.int64).T
        np.add.at(self.seconds, (row, column), seconds)

    def _coarsen(self) -> None:
        half = len(self.seconds) // 2
        merged = self.seconds.reshape(half, 2, half, 2).sum((1, 3))
        self.seconds = np.zeros_like(self.seconds)
        self.seconds[:half, :half] = merged
        self.cell *= 2
