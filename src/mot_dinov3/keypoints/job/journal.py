"""What the passes through an unfinished gap have found, kept beside the results so that a second run goes on there.

One JSON line a frame and pass. A gap between two labelled frames is final only when both passes have met; without this
an interrupted run would lose hours of them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

import numpy as np

from mot_dinov3.core import files
from mot_dinov3.keypoints.estimate import Estimate

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Passed:
    """One frame as a pass saw it.

    Attributes:
        frame: Its number.
        time: Seconds.
        estimates: One per body; none where the frame was labelled or skipped.
    """

    frame: int
    time: float
    estimates: list[Estimate]


def undamaged(path: Path, read: Callable[[Any], T]) -> Iterator[T]:
    """Yield what `read` makes of the value of each JSON line; one that an interruption cut off is left out.

    Args:
        path: The file; one that is not there has no lines.
        read: Raises `ValueError`, `KeyError` or `TypeError` for a value that is not what it reads.
    """
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                found = read(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue
            yield found


class PassJournal:
    """Appends what passes find, and hands out what an earlier run had found.

    Args:
        path: The file; it is there only while a gap is unfinished.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def read(self, gap: str, side: str) -> list[Passed]:
        """Return what a pass through a gap has found, in the order it did; damaged lines are left out."""

        def wanted(content: Any) -> Passed | None:
            return _passed(content) if content["gap"] == gap and content["side"] == side else None

        return [passed for passed in undamaged(self._path, wanted) if passed is not None]

    def append(self, gap: str, side: str, passed: Passed) -> None:
        """Note a frame."""
        with files.writing(self._path):
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8")
                self._file.write("\n")  # ends a line that was cut off
            bodies = [_line(e) for e in passed.estimates]
            line = {"gap": gap, "side": side, "frame": passed.frame, "time": passed.time, "bodies": bodies}
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def close(self, *, complete: bool) -> None:
        """Close the file, and remove it if nothing is unfinished."""
        if self._file is not None:
            self._file.close()
        if complete:
            self._path.unlink(missing_ok=True)


def _line(estimate: Estimate) -> dict[str, Any]:
    return {
        "xy": np.round(estimate.xy, 3).tolist(),
        "variance": estimate.variance.tolist(),
        "score": np.round(estimate.score, 4).tolist(),
        "state": estimate.state.tolist(),
        "swapped": estimate.swapped.tolist(),
        "polygons": [np.round(p, 2).tolist() for p in estimate.polygons],
    }


def _passed(content: dict[str, Any]) -> Passed:
    return Passed(int(content["frame"]), float(content["time"]), [_estimate(b) for b in content["bodies"]])


def _estimate(body: dict[str, Any]) -> Estimate:
    return Estimate(
        np.array(body["xy"], np.float64).reshape(-1, 2),
        np.array(body["variance"], np.float64),
        np.array(body["score"], np.float64),
        np.array(body["state"], np.int64),
        tuple(np.array(p, np.float64).reshape(-1, 2) for p in body["polygons"]),
        np.array(body["swapped"], np.bool_),
    )
