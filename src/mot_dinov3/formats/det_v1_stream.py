"""Reading det-v1 frame by frame, in memory that does not grow with the length of the video.

The standard library's scanner decodes one record at a time from a sliding window of text. It is as fast as reading the
file at once, and several times faster than incremental parsers that build every value in Python.
"""

from __future__ import annotations

import dataclasses
import json
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import dumps, kind_of
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.core.text_files import check_file, reading
from mot_dinov3.formats.det_v1 import NUMBER_KEYS, SCHEMA, ParseState, parse_frame, parse_header
from mot_dinov3.formats.rows import ODD_NUMBERS, LeftOut

S = TypeVar("S", bound="DetectionSource")

WINDOW = 1 << 18  # characters read at once
MAX_RECORD = 1 << 26  # characters of one record; a longer one is no frame
NEAR = 16  # an error this close to the window's end may come from the cut, not from the file
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclasses.dataclass(frozen=True)
class RecordedFrame:
    """One frame of a det-v1 file: its number, its rows, whose `extra` holds their records, and its other keys."""

    index: int
    detections: Detections
    keys: Mapping[str, Any]


class DetectionSource(Protocol):
    """Detections of a file in order of frames, read once or more.

    Attributes:
        path: The file.
        state: Class names and what is left out, as far as records have been read.
        video: Properties of the video in the file; zeros where it lacks them.
        fps_known: The file gives the frame rate.
        header: The file's own top-level keys that a result keeps.
        notices: Further lines for the user.
        last_frame: Highest frame number of a file that was read whole; −1 where it is not known yet.
    """

    path: Path
    state: ParseState
    video: VideoInfo
    fps_known: bool
    header: Mapping[str, Any]
    notices: tuple[str, ...] = ()
    last_frame: int = -1

    @abstractmethod
    def __iter__(self) -> Iterator[RecordedFrame]:
        """Yield the frames, whose numbers rise."""

    @abstractmethod
    def close(self) -> None:
        """Close the file; may be called twice."""

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class DetectionStream(DetectionSource):
    """Frames of a det-v1 file, read once in order; keys before ``frames`` are read first, those behind it at the end.

    Args:
        path: The file.
        strict: A detection without a usable box is an error; else it is left out and counted.

    Raises:
        FormatError: The file breaks the format; the message names file, frame and detection.
    """

    def __init__(self, path: str | Path, *, strict: bool = False) -> None:
        self.path = Path(path)
        check_file(self.path)
        self.state = ParseState(LeftOut(path, strict=strict))
        self._keys: dict[str, Any] = {}
        with reading(self.path):
            self._file = self.path.open(encoding="utf-8-sig")
        self._text = _Window(self.path, self._file, self.state.left_out)
        try:
            self._begin()
            # a schema_version behind the frames is checked at the end
            self._read_header({"schema_version": SCHEMA, **self._keys})
        except BaseException:
            self.close()
            raise

    @override
    def __iter__(self) -> Iterator[RecordedFrame]:
        last, position, text = -1, 0, self._text
        while text.peek() != "]":
            if position:
                text.take(",")
            record = text.value()
            last, detections = parse_frame(record, f"'{self.path}'", position=position, last=last, state=self.state)
            keys = {key: value for key, value in record.items() if key not in ("detections", *NUMBER_KEYS)}
            yield RecordedFrame(last, detections, keys)
            position += 1
        text.take("]")
        self._end()

    def _begin(self) -> None:
        text = self._text
        if text.peek() != "{":
            raise FormatError(f"'{self.path}' contains a JSON {kind_of(text.value())}, not an object")
        text.take("{")
        while text.peek() != "}":
            if self._keys:
                text.take(",")
            if self._key() == "frames":
                if text.peek() != "[":
                    raise FormatError(f"'{self.path}': 'frames' must be a list, not a {kind_of(text.value())}")
                text.take("[")
                return
        raise FormatError(f"'{self.path}': has no 'frames'", remedy="add a list 'frames', which may be empty")

    def _key(self) -> str:
        """Read a key, and its value unless it is ``frames``."""
        key = self._text.value()
        if not isinstance(key, str) or key in self._keys:
            problem = f"has the key '{key}' twice" if isinstance(key, str) else "has a key that is not a string"
            raise FormatError(f"'{self.path}': {problem}")
        self._text.take(":")
        self._keys[key] = None if key == "frames" else self._text.value()
        return key

    def _end(self) -> None:
        """Read the keys behind the frames, check the whole header, and make sure that nothing follows."""
        text = self._text
        while text.peek() != "}":
            text.take(",")
            self._key()
        text.take("}")
        if text.peek():
            raise text.invalid("unexpected data after the document", remedy="")
        self._read_header(self._keys)

    def _read_header(self, keys: Mapping[str, Any]) -> None:
        found = parse_header(self.path, keys, SCHEMA)
        try:
            dumps(found.header)
        except ValueError as error:
            raise FormatError(
                f"'{self.path}': its header contains a number that is not finite", remedy="write finite numbers only"
            ) from error
        self.video, self.fps_known, self.header = found.video, found.fps_known, found.header

    @override
    def close(self) -> None:
        self._file.close()


class _Window:
    """Text of a file through a window that slides on as values are taken."""

    def __init__(self, path: Path, file: TextIO, left_out: LeftOut) -> None:
        self._path = path
        self._file = file
        self._text = ""
        self._at = 0
        self._lines = 0  # newlines that have slid out of the window
        self._ended = False
        # Numbers too large for a float (1e999) are left to the parser of the records, which can name the detection: a
        # check of each number would double the time.
        self._decoder = json.JSONDecoder(parse_constant=lambda _: left_out.field(ODD_NUMBERS))

    def _more(self, count: int = WINDOW) -> None:
        with reading(self._path):
            read = self._file.read(count)
        self._lines += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + read, 0
        self._ended = not read

    def peek(self) -> str:
        """Return the next character that is not white space, without taking it; empty at the file's end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more()

    def take(self, wanted: str) -> None:
        """Take the next character; raise `FormatError` unless it is `wanted`."""
        found = self.peek()
        if found != wanted:
            raise self.invalid(
                f"expected '{wanted}', found '{found}'" if found else f"it ends where '{wanted}' is expected"
            )
        self._at += 1

    def value(self) -> Any:
        """Take the next value; raise `FormatError` where it is not valid JSON."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._is_cut(error):
                    self._more(max(WINDOW, len(self._text)))
                    continue
                raise self.invalid(error.msg, at=error.pos) from error
            except ValueError as error:  # Python's limit on the digits of an integer
                raise self.invalid(str(error), remedy="write finite numbers only") from error
            except RecursionError as error:
                raise FormatError(f"'{self._path}' is nested too deeply") from error
            if end == len(self._text) and not self._ended and not isinstance(value, (dict, list, str)):
                self._more()  # a number may go on behind the window
                continue
            self._at = end
            return value

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        if self._ended or len(self._text) - self._at > MAX_RECORD:
            return False
        return error.pos >= len(self._text) - NEAR or error.msg.startswith("Unterminated string")

    def invalid(
        self, problem: str, *, at: int | None = None, remedy: str = "create it again: it may be truncated"
    ) -> FormatError:
        """Return the error of a problem at a position in the window."""
        at = self._at if at is None else at
        line = self._lines + self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        place = f"line {line}, column {column}" if line > 1 else f"line {line}"
        return FormatError(f"'{self._path}' is not valid JSON: {place}: {problem}", remedy=remedy)
