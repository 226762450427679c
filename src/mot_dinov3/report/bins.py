"""Sums over time and over the image, in a number of bins that does not grow with the run."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.structures import Float64Array, FloatArray


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
        self._width, self._most = width, most
        self._start: list[float] = []
        self._frames: list[int] = []
        self._sums: list[Float64Array] = []
        self._peaks: list[Float64Array] = []

    def add(self, time: float, values: Float64Array) -> None:
        """Add the `values`, ``(width,)``, of a frame that was displayed at `time` seconds."""
        if not self._frames or self._frames[-1] >= self.span:
            if len(self._frames) == self._most:
                self._halve()
            self._start.append(time)
            self._frames.append(0)
            self._sums.append(np.zeros(self._width))
            self._peaks.append(np.zeros(self._width))
        self._frames[-1] += 1
        self._sums[-1] += values
        np.maximum(self._peaks[-1], values, out=self._peaks[-1])

    def _halve(self) -> None:
        self._start = self._start[::2]
        self._frames = [a + b for a, b in zip(self._frames[::2], self._frames[1::2])]
        self._sums = [a + b for a, b in zip(self._sums[::2], self._sums[1::2])]
        self._peaks = [np.maximum(a, b) for a, b in zip(self._peaks[::2], self._peaks[1::2])]
        self.span *= 2

    @property
    def start(self) -> Float64Array:
        """``(k,)`` seconds at which each bin begins."""
        return np.array(self._start, np.float64)

    @property
    def frames(self) -> Float64Array:
        """``(k,)`` frames in each bin."""
        return np.array(self._frames, np.float64)

    @property
    def mean(self) -> Float64Array:
        """``(k, width)`` mean per frame in each bin."""
        return np.reshape(self._sums, (-1, self._width)) / self.frames[:, None]

    @property
    def peak(self) -> Float64Array:
        """``(k, width)`` largest value of a frame in each bin."""
        return np.reshape(self._peaks, (-1, self._width))

    @property
    def total(self) -> Float64Array:
        """``(width,)`` sums over all."""
        return np.reshape(self._sums, (-1, self._width)).sum(axis=0)


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
