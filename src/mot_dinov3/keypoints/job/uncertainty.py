"""How doubtful each frame was when it was solved, kept beside the results: scores alone do not tell it later."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TextIO

from mot_dinov3.core import files
from mot_dinov3.keypoints.job.journal import undamaged
from mot_dinov3.keypoints.review import Doubt


class DoubtLog:
    """One JSON line a frame, written anew by every run; what the run before had written can be asked for.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._old: dict[int, Doubt] = {}
        self._file: TextIO | None = None

    def begin(self) -> None:
        """Read what an earlier run left, then begin anew."""
        with files.writing(self._path):
            self._old = {doubt.frame: doubt for doubt in undamaged(self._path, _doubt)}
            self._file = self._path.open("w", encoding="utf-8")

    def earlier(self, frame: int) -> Doubt | None:
        """Return what an earlier run noted about a frame, or None."""
        return self._old.get(frame)

    def write(self, doubt: Doubt) -> None:
        """Note a frame."""
        if self._file is not None:
            with files.writing(self._path):
                self._file.write(json.dumps(dataclasses.asdict(doubt)) + "\n")
                self._file.flush()

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._file is not None:
            self._file.close()


def _doubt(content: Any) -> Doubt:
    return Doubt(**content | {"keypoints": tuple(content["keypoints"])})
