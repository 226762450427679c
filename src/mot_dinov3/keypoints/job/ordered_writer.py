"""Frames in order, whatever order they are solved in; those that were skipped are interpolated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mot_dinov3.core.structures import Keypoints
from mot_dinov3.keypoints.fusion import Solved, interpolate

Write = Callable[[int, float, Keypoints, Sequence[Solved] | None], None]


class InOrder:
    """Writes frames in order; those between two tracked ones wait until they can be interpolated.

    Args:
        write: Takes frame, time, rows and what they come from.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._last: tuple[int, Keypoints] | None = None
        self.waiting: list[tuple[int, float]] = []

    def wait(self, frame: int, time: float) -> None:
        """Note a frame that is not tracked."""
        self.waiting.append((frame, time))

    def skip_to(self, frame: int, keypoints: Keypoints) -> None:
        """Take a frame as the last one, without writing it."""
        self._last = frame, keypoints

    def put(
        self, frame: int, time: float, keypoints: Keypoints, solved: Sequence[Solved] | None, *, write: bool = True
    ) -> None:
        """Write what waits, then this frame, if it is to be written."""
        last, before = self._last or (frame, keypoints)
        for number, moment in self.waiting:
            if number < frame:
                share = (number - last) / (frame - last) if frame > last else 1.0
                self._write(number, moment, interpolate(before, keypoints, share), None)
        self.waiting = []
        self._last = frame, keypoints
        if write:
            self._write(frame, time, keypoints, solved)
