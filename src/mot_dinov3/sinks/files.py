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
from mot_dinov3.formats.det_v1_writer import with_time
from mot_dinov3.sinks.base import Sink

TOLERANCE = 0.1
"""Part of a frame's duration by which its time may differ from number / fps."""

LEAST_TOLERANCE_S = 0.0011  # many containers round to milliseconds


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


class FrameTimes:
    """Times of the frames that a file gets, compared with the frame rate in its header.

    Before the first time in a file frames are shown at number / fps. A source of variable rate (a phone, a screen
    recording, a stream) has a time in each record, and its mean rate in the header.

    Args:
        fps: The rate.

    Attributes:
        differ: A frame so far was shown at another time than number / fps.
    """

    def __init__(self, fps: float) -> None:
        self.differ = False
        self._fps = fps
        self._first: tuple[int, float] | None = None
        self._last = (0, 0.0)

    def add(self, index: int, time: float) -> None:
        """Take the next frame, shown at `time` seconds."""
        tolerance = max(TOLERANCE / self._fps, LEAST_TOLERANCE_S)
        self.differ = self.differ or abs(time - index / self._fps) > tolerance
        self._last = index, time
        self._first = self._first or self._last

    def stream(self, record: Mapping[str, Any], index: int, time: float) -> Mapping[str, Any]:
        """Take the next frame and return its record for a file whose header is written: timed once times differ."""
        self.add(index, time)
        return with_time(record, time) if self.differ else record

    def header(self, header: Mapping[str, Any]) -> dict[str, Any]:
        """Return the header, with the mean rate of the frames where their times differ."""
        (first, begin), (last, end) = self._first or self._last, self._last
        if not self.differ or end <= begin:
            return dict(header)
        fps = round((last - first) / (end - begin), 6)
        return {**header, "video": {**(header.get("video") or {}), "fps": fps}}

    def record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record that has its time as it is to be written when all frames are known."""
        return {key: value for key, value in record.items() if self.differ or key != "time"}


class JsonSink(Sink):
    """Writes a JSON document whose ``frames`` grow while the run continues.

    Every frame is one line of ``FILE.part.jsonl``, so memory stays bounded and a killed run leaves its frames; closing
    assembles the document, whose header may then contain what is known only at the end of a run.

    Args:
        path: The document.
        record: Turns a frame's index and rows into the frame's JSON object.
        header: Returns the document's other keys, in order, when the run is over.
        fps: Frame rate in the header, from which a variable rate differs: frames then have their times, and the header
            their mean rate. None for a document of frames without times.
    """

    def __init__(
        self,
        path: Path,
        record: Callable[[int, Detections], Mapping[str, Any]],
        header: Callable[[], Mapping[str, Any]],
        *,
        fps: float | None = None,
    ) -> None:
        self.path = path
        self._record = record
        self._header = header
        self._times = None if fps is None else FrameTimes(fps)
        self._journal = JsonLines(files.journal_path(path), output=path)

    @override
    def write(self, frame: Frame, detections: Detections) -> None:
        record = self._record(frame.index, detections)
        if self._times is not None:
            self._times.add(frame.index, frame.time)
            record = with_time(record, frame.time)
        self._journal.append(record)

    @override
    def close(self) -> None:
        self._journal.close()
        header, times = self._header(), self._times
        records: Iterator[Mapping[str, Any]] = (frame for _, frame in whole_lines(self._journal.path))
        if times is not None:
            header, records = times.header(header), map(times.record, records)
        with files.replacing(self.path) as part, part.open("w", encoding="utf-8") as document:
            write_document(document, header, records)
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
