"""The growing file beside a track-v1 document: valid JSON lines that a killed run leaves, and from which it goes on.

The first line tells the run, so that another run's lines are never continued; then one line a frame, and one for every
look at the gallery. A run that goes on tracks again from the first frame, which is cheap and gives the same tracks, but
takes the looks from here: nothing is embedded twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from mot_dinov3.core import files
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.json_text import dumps
from mot_dinov3.core.structures import FloatArray, IntArray

Look = tuple[IntArray, FloatArray]
"""Rows of a frame and their ``(r, k)`` distances to the identities."""


class NoJournal:
    """Stands in where no JSON is written."""

    def __init__(self) -> None:
        self.looks: dict[int, Look] = {}

    def look(self, frame: int, rows: IntArray, distance: FloatArray) -> None:
        """Forget it."""

    def frame(self, number: int, line: str) -> None:
        """Forget it."""

    def close(self, *, whole: bool, tail: Sequence[str] = ()) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing is open."""


class Journal(NoJournal):
    """Writes ``FILE.part.jsonl`` and, when closed, the document FILE.

    Args:
        path: The document.
        run: What the run is; a journal of another run is refused.
        header: Returns the document's keys but ``frames``, when the run is over.
        resume: Go on with what is there; otherwise begin anew.

    Attributes:
        looks: Frame → what an earlier run saw of it, to be taken instead of embedding again.

    Raises:
        UsageError: The journal to resume belongs to another run.
        OutputLostError: It cannot be written.
    """

    def __init__(
        self, path: Path, run: Mapping[str, Any], header: Callable[[], Mapping[str, Any]], *, resume: bool
    ) -> None:
        super().__init__()
        self.path = path
        self._header = header
        self._lines = files.journal_path(path)
        self._done = -1
        kept = self._resume(run) if resume and self._lines.exists() else 0
        with files.writing(path):
            self._file: IO[bytes] = (self._lines if kept else files.private(self._lines)).open("r+b")
            self._file.seek(kept)
            self._file.truncate()
            if not kept:
                self._file.write((dumps({"run": run}) + "\n").encode())

    def _resume(self, run: Mapping[str, Any]) -> int:
        """Take over an earlier run's lines; return how many bytes of them are whole."""
        size = 0
        for line, value in _whole_lines(self._lines):
            if not size and value.get("run") != json.loads(dumps(run)):
                raise UsageError(
                    f"'{self._lines}' belongs to a run with other input or options",
                    remedy="repeat the same command with --resume, or omit --resume to start from the beginning",
                )
            size += len(line)
            if "look" in value:
                rows, distance = np.array(value["rows"], np.int64), np.array(value["distance"], np.float32)
                self.looks[value["look"]] = rows, distance.reshape(len(rows), -1)
            elif "frame" in value:
                self._done = value["frame"]
        return size

    def look(self, frame: int, rows: IntArray, distance: FloatArray) -> None:
        """Note how far `rows` of a frame are from the identities."""
        self._write(dumps({"look": frame, "rows": rows.tolist(), "distance": distance.astype(float).tolist()}))

    def frame(self, number: int, line: str) -> None:
        """Append a frame's record, unless an earlier run has written it."""
        if number > self._done:
            self._write(line)

    def _write(self, line: str) -> None:
        with files.writing(self.path):
            self._file.write(line.encode() + b"\n")
            self._file.flush()

    def close(self, *, whole: bool, tail: Sequence[str] = ()) -> None:
        """Write the document; the lines stay where the run is not `whole`, to go on from.

        Args:
            whole: The run has come to its end.
            tail: Last frames of a run that has not: what is not final stands in the document, not in the lines.
        """
        self.abort()
        with files.replacing(self.path) as part, part.open("wb") as document:
            text = dumps(self._header())
            document.write(f'{text[:-1]},\n "frames": ['.encode())
            between = b"\n  "
            for line, value in _whole_lines(self._lines):
                if "frame" in value:
                    document.write(between + line.rstrip(b"\n"))
                    between = b",\n  "
            for frame in tail:
                document.write(between + frame.encode())
                between = b",\n  "
            document.write(b"\n ]}\n")
        if whole:
            with files.writing(self.path):
                self._lines.unlink()

    def abort(self) -> None:
        """Leave the lines so far: they may be all that a long run has to show."""
        with files.writing(self.path):
            self._file.close()


def _whole_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield the lines of a journal, as written and as values, up to the first that is broken."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                return
            if not isinstance(value, dict) or not line.endswith(b"\n"):
                return
            yield line, value
