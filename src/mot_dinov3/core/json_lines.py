"""Journals: one JSON object a line, appended while a run continues, so that a killed run leaves whole lines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from mot_dinov3.core.files import lost, private, writing
from mot_dinov3.core.json_text import dumps

_TAIL = 4096  # bytes in which the last line of a finished journal lies


class JsonLines:
    """A journal: read what an earlier run left, line by line, then append.

    Every line is written whole and at once. Reading ends at the first line that is broken, which is cut off together
    with all after it, so that what is appended follows the last whole line.

    Args:
        path: The journal.
        output: The output that it belongs to, for messages; the journal itself by default.
        resume: Keep an existing journal; otherwise an empty one takes its place.

    Raises:
        OutputLostError: It cannot be written.
    """

    def __init__(self, path: Path, *, output: Path | None = None, resume: bool = False) -> None:
        self.path = path
        self._output = output or path
        with writing(self._output):
            if not (resume and path.exists()):
                private(path)
            self._file: IO[bytes] = os.fdopen(os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)), "r+b")

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._file.closed

    def read(self) -> dict[str, Any] | None:
        """Return the next line's object; None where no whole line is left, from where on `append` continues."""
        start = self._file.tell()
        value = _parsed(self._file.readline())
        if value is None:
            with writing(self._output):
                self._file.seek(start)
                self._file.truncate()
        return value

    def last(self) -> dict[str, Any]:
        """Return the last line's object, empty where that line is long or broken; `read` starts from the beginning."""
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, end - _TAIL))
        lines = self._file.readlines()
        self._file.seek(0)
        return (_parsed(lines[-1]) if lines else None) or {}

    def append(self, value: Mapping[str, Any]) -> None:
        """Append an object as one line."""
        self.append_text(dumps(value))

    def append_text(self, line: str) -> None:
        """Append an object that is one line of JSON already."""
        try:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise lost(self._output, error) from error

    def close(self) -> None:
        """Close the journal; what it holds stays."""
        with writing(self._output):
            self._file.close()

    def remove(self) -> None:
        """Close the journal and delete it."""
        with writing(self._output):
            self._file.close()
            self.path.unlink(missing_ok=True)


def whole_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the lines of a journal, as text without the line's end and as objects, up to the first broken one."""
    with path.open("rb") as lines:
        for line in lines:
            if (value := _parsed(line)) is None:
                return
            yield line[:-1].decode(), value


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the object of a whole line, None for a broken one."""
    try:
        value = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
