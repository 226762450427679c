"""Which frames of a video are solved together: the gaps between labelled frames."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Gap:
    """Frames to solve: those after labelled frame `before`, or from the start, up to labelled frame `after` or the end.

    Attributes:
        before: Labelled frame in front, or None.
        after: Labelled frame behind, or None.
        first: First frame to write.
        stop: Where to stop, exclusive; None for the end of the video.
    """

    before: int | None
    after: int | None
    first: int
    stop: int | None

    def looks(self) -> int:
        """Return how many pictures are looked at to solve it, 0 where its end is unknown."""
        if self.before is not None and self.after is not None:
            return 2 * (self.after - self.before)
        if self.after is not None:
            return self.after - self.first
        return 0 if self.stop is None or self.before is None else self.stop - self.before - 1


def plan_gaps(labelled: Sequence[int], start: int, stop: int | None) -> list[Gap]:
    """Return the gaps that the labelled frames leave in the frames ``start … stop``, in order; pure."""
    gaps = []
    bounds: list[int | None] = [None, *labelled, None]
    for before, after in itertools.pairwise(bounds):
        first = max(start, 0 if before is None else before)
        last = stop if after is None else after if stop is None else min(after, stop)
        if last is None or first < last:
            gaps.append(Gap(before, after, first, last))
    return gaps
