"""Journals of a keypoint run, read by the next one: passes through an unfinished gap, and uncertainties.

One JSON line a frame. A gap between two labelled frames is final only when both passes have met; without a journal an
interrupted run would lose hours of them. The uncertainties are kept since the scores in the tables do not tell them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mot_dinov3.core.json_text import JsonLines, whole_lines
from mot_dinov3.keypoints.fusion import Estimate
from mot_dinov3.keypoints.review import FrameUncertainty

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class PassFrame:
    """One frame of a pass.

    Attributes:
        frame: Its number.
        time: Seconds.
        estimates: One per instance; none where the frame was labelled or skipped.
    """

    frame: int
    time: float
    estimates: list[Estimate]


def _records(path: Path, parse: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    """Yield the parsed lines of a journal but those with other content; a missing or unreadable file has none."""
    for _, content in whole_lines(path) if path.is_file() and os.access(path, os.R_OK) else ():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            yield parse(content)


class PassJournal:
    """The frames of passes through an unfinished gap.

    Args:
        path: The file; it exists only while a gap is unfinished.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: JsonLines | None = None

    def read(self, gap: str, side: str) -> list[PassFrame]:
        """Return the frames of a pass through a gap, in the order they were tracked."""

        def wanted(content: dict[str, Any]) -> PassFrame | None:
            if (content["gap"], content["side"]) != (gap, side):
                return None
            estimates = [Estimate.from_record(record) for record in content["instances"]]
            return PassFrame(int(content["frame"]), float(content["time"]), estimates)

        return [frame for frame in _records(self._path, wanted) if frame is not None]

    def append(self, gap: str, side: str, frame: PassFrame) -> None:
        """Append a frame."""
        if self._lines is None:
            self._lines = JsonLines(self._path, resume=True)
            for _ in iter(self._lines.read, None):
                pass  # what is appended follows the last whole line
        instances = [_rounded(e).as_record() for e in frame.estimates]
        head = {"gap": gap, "side": side, "frame": frame.frame, "time": frame.time}
        self._lines.append({**head, "instances": instances})

    def close(self, *, complete: bool) -> None:
        """Close the file, and delete it if nothing is unfinished."""
        if self._lines is not None:
            self._lines.close()
        if complete:
            self._path.unlink(missing_ok=True)


def _rounded(estimate: Estimate) -> Estimate:
    polygons = tuple(np.round(p, 2) for p in estimate.polygons)
    xy, score = np.round(estimate.xy, 3), np.round(estimate.score, 4)
    return dataclasses.replace(estimate, xy=xy, score=score, polygons=polygons)


def read_uncertainties(path: Path) -> dict[int, FrameUncertainty]:
    """Return frame → uncertainty, as an earlier run noted it."""

    def parsed(content: dict[str, Any]) -> FrameUncertainty:
        return FrameUncertainty(**content | {"keypoints": tuple(content["keypoints"])})

    return {one.frame: one for one in _records(path, parsed)}
