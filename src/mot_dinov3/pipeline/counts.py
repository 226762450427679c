"""The counts of a run: one counter for what is drawn, one for what is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.pipeline.counting import Count, PlaceCounter, count_lines, count_records, count_rows
from mot_dinov3.pipeline.regions import Place


class CountSink:
    """Counts settled rows; put it before the sinks that write what it counted.

    Args:
        places: Where.
        fps: Frames per second.
        names: Class id → name.
    """

    def __init__(self, places: Sequence[Place], fps: float, names: Mapping[int, str]) -> None:
        self._counter = PlaceCounter(places, fps)
        self._names = names

    def write(self, frame: Frame, detections: Detections) -> None:
        """Count one frame."""
        self._counter.add(detections)

    def close(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing is open."""

    @property
    def counts(self) -> list[Count]:
        """What was counted so far."""
        return self._counter.counts()

    def lines(self) -> list[str]:
        """Return it for the summary."""
        return count_lines(self.counts, self._names)

    def records(self) -> list[dict[str, Any]]:
        """Return it for track-v1."""
        return count_records(self.counts, self._names)

    def table(self) -> list[tuple[str, ...]]:
        """Return it as a table, its head first."""
        return count_rows(self.counts, self._names)
