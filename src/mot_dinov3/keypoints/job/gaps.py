"""Gaps between labelled frames, and which of them a range of frames needs. Pure."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True)
class Gap:
    """Frames to solve: those after labelled frame `before`, or from the start, up to labelled frame `after` or the end.

    Attributes:
        before: Labelled frame before it, or None.
        after: Labelled frame after it, or None.
        first: First frame to write.
        stop: Exclusive end; None for the end of the video.
    """

    before: int | None
    after: int | None
    first: int
    stop: int | None

    @property
    def is_leading(self) -> bool:
        """No frame of it is written: it is tracked for the points that are carried out of it."""
        return self.stop is not None and self.first >= self.stop

    def frame_visits(self) -> int:
        """Return the number of frames in all passes through it, 0 where its end is unknown."""
        if self.before is not None and self.after is not None:
            return 2 * (self.after - self.before)
        if self.after is not None:
            return self.after - self.first
        return 0 if self.stop is None or self.before is None else self.stop - self.before - 1


def plan_gaps(labelled: Sequence[int], start: int, stop: int | None) -> list[Gap]:
    """Return the gaps between labelled frames within the frames ``start … stop``, in order; pure."""
    gaps = []
    bounds: list[int | None] = [None, *labelled, None]
    for before, after in itertools.pairwise(bounds):
        first = max(start, 0 if before is None else before)
        last = stop if after is None else after if stop is None else min(after, stop)
        if last is None or first < last:
            gaps.append(Gap(before, after, first, last))
    return gaps


def leading_gaps(labelled: Sequence[int], gaps: Sequence[Gap], goes_on: Callable[[int], bool]) -> list[Gap]:
    """Return the gaps before `gaps` that carry points into the first one, in order.

    Args:
        labelled: The labelled frames, in order.
        gaps: Gaps to write.
        goes_on: Whether points that are not labelled in a labelled frame are carried through it.
    """
    leading: list[Gap] = []
    at = labelled.index(gaps[0].before) if gaps and gaps[0].before is not None else 0
    while at > 0 and goes_on(labelled[at]):
        leading.append(Gap(labelled[at - 1], labelled[at], labelled[at], labelled[at]))
        at -= 1
    return leading[::-1]
