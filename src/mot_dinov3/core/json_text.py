"""JSON: strict reading with a clear `FormatError` for every defect, strict writing, line journals."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn, TextIO

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.files import lost, private, writing
from mot_dinov3.core.structures import FloatArray
from mot_dinov3.core.text_files import OTHER_FILE, plain_suffix, read_text

MAX_FRAME = 100_000_000
"""Highest plausible frame number: 38 days at 30 fps. A larger one is a broken file, and would be counted up to."""

MAX_COORDINATE = 1e7
"""Largest plausible box coordinate, pixels. Far below it float32 still distinguishes neighbouring pixels."""

MAX_INT = 10**300
"""Bound of the integers that can be converted to a float."""

LINES_SUFFIXES = (".jsonl", ".ndjson")
"""Extensions of JSON Lines, which may have a single one."""

_ENCODER = json.JSONEncoder(allow_nan=False)
_MAX_DEPTH = 16
_TAIL = 4096  # bytes in which the last line of a finished journal lies


def read_object(path: Path, *, odd: list[str] | None = None) -> dict[str, Any]:
    """Return the JSON object in a file; NaN, Infinity and numbers that overflow are errors.

    With `odd`, such numbers are read as null and added to it.

    Raises:
        FormatError: The file cannot be read or is not one JSON object; the message names the line.
    """
    return parse_object(read_text(path), f"'{path}'", odd=odd)


def parse_object(text: str, where: str, *, odd: list[str] | None = None) -> dict[str, Any]:
    """Return the JSON object in `text`; `where` names it in messages; see `read_object` for `odd`.

    Raises:
        FormatError: It is not one JSON object.
    """
    value = parse_json(text, where, odd=odd)
    if not isinstance(value, dict):
        raise FormatError(f"{where} contains a JSON {kind_of(value)}, not an object", remedy=OTHER_FILE)
    return value


def read_json(path: Path, *, odd: list[str] | None = None) -> dict[str, Any] | list[Any]:
    """Return the object or the list in a JSON file; of JSON Lines, the list of their values. See `read_object`.

    Raises:
        FormatError: The file cannot be read, or is neither; the message names the line.
    """
    text = read_text(path)
    if is_lines(text) or (plain_suffix(path) in LINES_SUFFIXES and text.lstrip().startswith("{")):
        lines = ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())
        return [parse_object(line, f"'{path}', line {number}", odd=odd) for number, line in lines]
    value = parse_json(text, f"'{path}'", odd=odd)
    if not isinstance(value, (dict, list)):
        raise FormatError(f"'{path}' contains a JSON {kind_of(value)}, not an object", remedy=OTHER_FILE)
    return value


def is_lines(text: str) -> bool:
    """Return whether the first line of `text` is a JSON object by itself, and another one follows."""
    first, _, rest = text.lstrip().partition("\n")
    if not first.startswith("{") or not rest.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def parse_json(text: str, where: str, *, odd: list[str] | None = None) -> Any:
    """Return the JSON value in `text`; see `parse_object`.

    Raises:
        FormatError: It is not JSON.
    """

    def finite_or_null(digits: str) -> float | None:
        value = float(digits)
        return value if math.isfinite(value) else odd.append(digits)  # type: ignore[union-attr]

    hooks = (refuse_constant, finite) if odd is None else (odd.append, finite_or_null)
    try:
        return json.loads(text, parse_constant=hooks[0], parse_float=hooks[1])
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{where} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            remedy="create it again: it may be truncated",
        ) from error
    except ValueError as error:  # from the two hooks, or Python's limit on the digits of an integer
        raise FormatError(f"{where} is not valid JSON: {error}", remedy="write finite numbers only") from error
    except RecursionError as error:
        raise FormatError(f"{where} is nested too deeply") from error


def refuse_constant(constant: str) -> NoReturn:
    """Raise `ValueError`: NaN and Infinity are not JSON."""
    raise ValueError(f"{constant} is not a JSON number")


def finite(digits: str) -> float:
    """Return a JSON number as a float; raise `ValueError` where it is too large."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value


def kind_of(value: object) -> str:
    """Return the name of a value's JSON type: ``string``, ``list``, ``null`` and so on."""
    names = {str: "string", list: "list", dict: "object", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def is_number(value: object) -> bool:
    """Return whether `value` is a JSON number that a float can hold; a boolean is none."""
    return (type(value) is int and -MAX_INT < value < MAX_INT) or (type(value) is float and math.isfinite(value))


def has_size(x1: float, y1: float, x2: float, y2: float) -> bool:
    """Return whether a box has a positive size, also when its corners are rounded to float32."""
    return x2 - x1 > 1e-6 * max(1, abs(x2)) and y2 - y1 > 1e-6 * max(1, abs(y2))


def too_deep(value: object, depth: int = _MAX_DEPTH) -> bool:
    """Return whether `value` is nested so deeply that writing it again could exhaust the stack."""
    if depth == 0:
        return True
    if type(value) is dict:
        return any(too_deep(v, depth - 1) for v in value.values() if type(v) in (dict, list))
    if type(value) is list:
        return any(too_deep(v, depth - 1) for v in value if type(v) in (dict, list))
    return False


def shortest_floats(values: FloatArray) -> list[float]:
    """Return Python floats with the fewest digits that give the same float32 when read again."""
    return list(map(float, map(str, values)))


def shortest_boxes(xyxy: FloatArray) -> list[list[float]]:
    """Return `shortest_floats` of each of the ``(n, 4)`` boxes."""
    flat = shortest_floats(xyxy.ravel())
    return list(map(list, zip(*[iter(flat)] * 4)))


def printable(text: str) -> str:
    """Return `text` such that it can be written to any UTF-8 file: lone surrogates become ``?``."""
    return text.encode("utf-8", "replace").decode("utf-8")


def write_document(file: TextIO, header: Mapping[str, Any], frames: Iterable[Mapping[str, Any]]) -> None:
    """Write ``{…header…, "frames": […]}`` to an open text file, one frame a line, holding one frame at a time."""
    file.write("{")
    for key, value in header.items():
        file.write(f"{dumps(key)}: {dumps(value)},\n ")
    file.write('"frames": [')
    write_records(file, frames)
    file.write("\n ]}\n")


def write_records(file: TextIO, records: Iterable[Mapping[str, Any]]) -> None:
    """Write the elements of a JSON list to an open text file, one a line."""
    for number, record in enumerate(records):
        file.write(",\n  " if number else "\n  ")
        file.write(dumps(record))


def dumps(value: object) -> str:
    """Return `value` as one line of valid JSON, never with NaN or Infinity."""
    return _ENCODER.encode(value)


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
