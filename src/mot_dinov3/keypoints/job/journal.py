"""Journals of a keypoint run, read by the next one: passes through an unfinished gap, and uncertainties.

One JSON line a frame. A gap between two labelled frames is final only when both passes have met; without a journal an
interrupted run would lose hours of them. The uncertainties are kept since the scores in the tables do not tell them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mot_dinov3.core import files
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
    for _, content in whole_lines(path) if os.access(path, os.R_OK) else ():
        try:
            found = parse(content)
        except (ValueError, KeyError, TypeError):
            continue
        yield found


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
            return _pass_frame(content) if (content["gap"], content["side"]) == (gap, side) else None

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


def _pass_frame(content: dict[str, Any]) -> PassFrame:
    estimates = [Estimate.from_record(record) for record in content["instances"]]
    return PassFrame(int(content["frame"]), float(content["time"]), estimates)


class UncertaintyLog:
    """The uncertainty of each frame, written anew by every run; that of the run before can be asked for.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._old: dict[int, FrameUncertainty] = {}
        self._lines: JsonLines | None = None

    def begin(self) -> None:
        """Read what an earlier run left, then begin anew."""
        with files.writing(self._path):
            self._old = {one.frame: one for one in _records(self._path, _uncertainty)}
        self._lines = JsonLines(self._path)

    def earlier(self, frame: int) -> FrameUncertainty | None:
        """Return what an earlier run noted about a frame, or None."""
        return self._old.get(frame)

    def write(self, uncertainty: FrameUncertainty) -> None:
        """Append a frame."""
        if self._lines is not None:
            self._lines.append(dataclasses.asdict(uncertainty))

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._lines is not None:
            self._lines.close()


def _uncertainty(content: dict[str, Any]) -> FrameUncertainty:
    return FrameUncertainty(**content | {"keypoints": tuple(content["keypoints"])})
