"""Journals of a keypoint run, read by the next one: passes through an unfinished gap, and uncertainties.

One JSON line a frame. A gap between two labelled frames is final only when both passes have met; without a journal an
interrupted run would lose hours of them. The uncertainties are kept since the scores in the tables do not tell them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from mot_dinov3.core import files
from mot_dinov3.core.json_text import dumps, whole_lines
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
    """The frames of passes through an unfinished gap, on disk: a long gap's would fill the memory.

    Args:
        path: The file; it exists only while a gap is unfinished.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._places: dict[tuple[str, str], dict[int, int]] = {}

    def frames(self, gap: str, side: str) -> list[int]:
        """Return the frames of a pass through a gap, in the order of time."""
        self._open()
        return sorted(self._places.get((gap, side), ()))

    def read(self, gap: str, side: str, frame: int) -> PassFrame | None:
        """Return a frame of a pass, as it was appended last; None where it is not there."""
        file, place = self._open(), self._places.get((gap, side), {}).get(frame)
        if place is None:
            return None
        with files.writing(self._path):
            file.seek(place)
            content = json.loads(file.readline())
        return PassFrame(frame, content["time"], [Estimate.from_record(record) for record in content["instances"]])

    def append(self, gap: str, side: str, frame: PassFrame) -> None:
        """Append a frame."""
        file = self._open()
        head = {"gap": gap, "side": side, "frame": frame.frame, "time": frame.time}
        record = {**head, "instances": [e.as_record() for e in frame.estimates]}
        with files.writing(self._path):
            self._places.setdefault((gap, side), {})[frame.frame] = file.seek(0, os.SEEK_END)
            file.write(dumps(record).encode() + b"\n")
            file.flush()

    def cut(self, gap: str, side: str, kept: Container[int]) -> None:
        """Forget the frames of a pass that are not to be `kept`."""
        places = self._places.get((gap, side), {})
        self._places[gap, side] = {frame: place for frame, place in places.items() if frame in kept}

    def forget(self, gap: str) -> None:
        """Forget a finished gap; the file begins anew with the next one."""
        self._places = {key: places for key, places in self._places.items() if key[0] != gap}
        if not self._places and self._file is not None:
            with files.writing(self._path):
                self._file.seek(0)
                self._file.truncate()

    def close(self, *, complete: bool) -> None:
        """Close the file, and delete it if nothing is unfinished."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if complete or not self._places:
            self._path.unlink(missing_ok=True)

    def _open(self) -> IO[bytes]:
        """Open the file and index it, once; it ends at its last whole line then."""
        if self._file is not None:
            return self._file
        with files.writing(self._path):
            if not self._path.exists():
                files.private(self._path)
            self._file = os.fdopen(os.open(self._path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)), "r+b")
            place = 0
            for line in self._file:
                key = _key(line)
                if key is None:
                    break
                self._places.setdefault(key[:2], {})[key[2]] = place
                place += len(line)
            self._file.seek(place)
            self._file.truncate()
        return self._file


def _key(line: bytes) -> tuple[str, str, int] | None:
    """Return gap, side and frame of a whole line, None for another one."""
    try:
        content = json.loads(line) if line.endswith(b"\n") else {}
        for record in content["instances"]:
            Estimate.from_record(record)
        return str(content["gap"]), str(content["side"]), int(content["frame"])
    except (ValueError, KeyError, TypeError):
        return None


def read_uncertainties(path: Path) -> dict[int, FrameUncertainty]:
    """Return frame → uncertainty, as an earlier run noted it."""

    def parsed(content: dict[str, Any]) -> FrameUncertainty:
        return FrameUncertainty(**content | {"keypoints": tuple(content["keypoints"])})

    return {one.frame: one for one in _records(path, parsed)}
