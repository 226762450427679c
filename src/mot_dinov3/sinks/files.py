"""Sinks that write text files: they grow while the run continues and get their name when it is over."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from mot_dinov3.core import files
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import OutputLostError
from mot_dinov3.core.json_text import JsonLines, whole_lines, write_document
from mot_dinov3.core.special_files import is_special, open_special
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.formats import motchallenge, tracks_csv
from mot_dinov3.sinks.base import Sink


class TextSink(Sink):
    """Writes lines to a file that appears under its name when the run is over; a pipe or device gets each at once.

    Args:
        path: The file.
        lines: Turns a frame and its rows into the lines to append.
        head: Lines before the first frame.
    """

    def __init__(
        self, path: Path, lines: Callable[[Frame, Detections], Iterable[str]], *, head: Sequence[str] = ()
    ) -> None:
        self.path = path
        self._lines = lines
        self._part = None if is_special(path) else files.part_path(path)
        with files.writing(path):
            grown = open_special(path) if self._part is None else files.private(self._part).open("wb")
            self._file: IO[str] = io.TextIOWrapper(grown, encoding="utf-8", newline="\n")
            self._file.writelines(head)

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        try:  # flushed, so that a killed run leaves its lines in the part file
            self._file.writelines(self._lines(frame, detections))
            self._file.flush()
        except OSError as error:
            raise files.lost(self.path, error) from error

    @override
    def close(self) -> None:
        with files.writing(self.path):
            self._file.close()
            if self._part is not None:
                files.publish(self._part, self.path)

    @override
    def abort(self) -> None:
        """Leave the lines so far in the part file: they may be all that a long run has to show."""
        with contextlib.suppress(OSError):  # a full disk, reported already
            self._file.close()


class SummarySink(Sink):
    """Writes a text file of what is known when the run is over."""

    def __init__(self, path: Path, lines: Callable[[], Iterable[str]]) -> None:
        self.path = path
        self._lines = lines

    @override
    def close(self) -> None:
        with files.replacing(self.path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(self._lines())


class JsonSink(Sink):
    """Writes a JSON document whose ``frames`` grow while the run continues.

    Every frame is one line of ``FILE.part.jsonl``, so memory stays bounded and a killed run leaves its frames; closing
    assembles the document, whose header may then contain what is known only at the end of a run.

    Args:
        path: The document.
        record: Turns a frame's index and rows into the frame's JSON object.
        header: Returns the document's other keys, in order, when the run is over.
    """

    def __init__(
        self,
        path: Path,
        record: Callable[[int, Detections], Mapping[str, Any]],
        header: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.path = path
        self._record = record
        self._header = header
        self._journal = JsonLines(files.journal_path(path), output=path)

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        self._journal.append(self._record(frame.index, detections))

    @override
    def close(self) -> None:
        self._journal.close()
        with files.replacing(self.path) as part, part.open("w", encoding="utf-8") as document:
            write_document(document, self._header(), (frame for _, frame in whole_lines(self._journal.path)))
        self._journal.remove()

    @override
    def abort(self) -> None:
        """Leave the frames so far in ``FILE.part.jsonl``: they may be all that a long run has to show."""
        with contextlib.suppress(OutputLostError):
            self._journal.close()
            if is_special(self.path):
                self._journal.remove()


def mot_lines(frame: Frame, detections: Detections) -> list[str]:
    """Return a frame's lines of MOTChallenge text, with the boxes of the tracks."""
    return [row + "\n" for row in motchallenge.mot_rows(frame.index, detections.with_track_boxes())]


def csv_lines(names: Mapping[int, str]) -> Callable[[Frame, Detections], Iterator[str]]:
    """Return what gives a frame's lines of the tracks' CSV table, with the boxes of the tracks."""

    def lines(frame: Frame, detections: Detections) -> Iterator[str]:
        return map(tracks_csv.csv_line, tracks_csv.track_rows(frame, detections.with_track_boxes(), names))

    return lines
