"""The boxes of a run for its viewer: all of them, or those of every Nth frame where there are too many."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

from mot_dinov3.core.structures import BoolArray, Detections, IntArray

MAX_SAMPLES = 40_000  # frames
MAX_BOXES = 200_000
TICKS = 10_000  # per second of the times


class BoxHistory:
    """Keeps the boxes of tracks frame by frame, thinned to every second, fourth, … frame where they are too many.

    The viewer interpolates the frames that were left out.

    Attributes:
        stride: Frames from one that is kept to the next.
        frames: Number of all frames so far.
    """

    def __init__(self) -> None:
        self.stride = 1
        self.frames = 0
        self._times: list[float] = []
        self._boxes: list[IntArray] = []
        self._count = 0

    def add(self, time: float, rows: Detections, detected: BoolArray) -> None:
        """Add the boxes of a frame at `time` seconds; `detected`, ``(n,)``, is false for predictions."""
        if self.frames % self.stride == 0:
            boxes = np.rint(rows.final_xyxy).astype(np.int64)
            kept = np.column_stack([rows.track_id, boxes, detected])[rows.track_id >= 1]
            self._times.append(time)
            self._boxes.append(kept.astype(np.int32))
            self._count += len(kept)
        self.frames += 1
        while len(self._times) > MAX_SAMPLES or (self._count > MAX_BOXES and len(self._times) > 1):
            self._halve()

    def _halve(self) -> None:
        self._times, self._boxes = self._times[::2], self._boxes[::2]
        self._count = sum(map(len, self._boxes))
        self.stride *= 2

    def packed(self, begin: float) -> dict[str, Any]:
        """Return everything for the page.

        Returns:
            ``stride`` and ``frames``; ``times``: ticks since `begin` of each kept frame; ``tracks``: the ids;
            ``counts``: boxes of each of them; ``boxes``: their columns (number of the kept frame, x1, y1, x2, y2,
            detected), track by track.
        """
        ticks = np.rint(TICKS * (np.array(self._times) - begin))
        numbers = np.repeat(np.arange(len(self._boxes)), [len(rows) for rows in self._boxes])
        rows = np.concatenate([np.zeros((0, 6), np.int32), *self._boxes])
        order = np.lexsort((numbers, rows[:, 0]))
        tracks, counts = np.unique(rows[:, 0], return_counts=True)
        columns = np.column_stack([numbers, rows[:, 1:]])[order]
        return {
            **{"stride": self.stride, "frames": self.frames, "ticks": TICKS},
            **{"times": packed_columns(ticks[:, None]), "tracks": tracks.tolist(), "counts": counts.tolist()},
            "boxes": packed_columns(columns),
        }


def packed_columns(table: np.ndarray) -> str:
    """Return the columns of a table of whole numbers one after the other: differences, int32, compressed, base64."""
    differences = np.diff(table, axis=0, prepend=0).astype("<i4")
    return base64.b64encode(zlib.compress(differences.T.tobytes(), 9)).decode()
