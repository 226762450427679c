"""Opening text files that others made: one clear `FormatError` for whatever is wrong with them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TextIO

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import FloatArray

MAX_FRAME = 100_000_000
"""Highest frame number believed: 38 days at 30 fps. A larger one is a broken file, and would be counted up to."""

MAX_COORDINATE = 1e7
"""Largest box coordinate believed, pixels. Far below it float32 still tells neighbouring pixels apart."""

MAX_BYTES = 1 << 29
"""Largest text file read whole: a day of detections. Its values take about ten times as much memory."""

MAX_INT = 10**300
"""Where whole numbers end that can be made a float."""

_MAX_LINE = 10_000
_ENCODER = json.JSONEncoder(allow_nan=False)
_MAX_DEPTH = 16


def check_file(path: Path) -> None:
    """Raise `FormatError` unless `path` is a file with something in it."""
    if path.is_dir():
        raise FormatError(f"'{path}' is a folder, not a file", remedy="name the file in it")
    if not path.exists():
        raise FormatError(f"'{path}' does not exist", remedy="check the path")
    if not path.is_file():
        raise FormatError(f"'{path}' is not a regular file")
    if path.stat().st_size == 0:
        raise FormatError(f"'{path}' is empty", remedy="write it anew: it was probably never finished")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield ``(number, line)`` of a text file, 1-based, stripped, blank lines left out.

    Raises:
        FormatError: The file cannot be read, is not UTF-8, or has a line longer than any format here needs.
    """
    check_file(path)
    try:
        with path.open(encoding="utf-8-sig") as file:
            number = 0
            while line := file.readline(_MAX_LINE):
                number += 1
                if len(line) == _MAX_LINE:
                    raise FormatError(f"'{path}', line {number}: longer than {_MAX_LINE} characters")
                if stripped := line.strip():
                    yield number, stripped
    except UnicodeDecodeError as error:
        raise FormatError(f"'{path}' is not UTF-8 text", remedy="save it as UTF-8") from error
    except OSError as error:
        raise FormatError(f"'{path}' cannot be read: {error.strerror or error}") from error


def read_text(path: Path, *, largest: int = MAX_BYTES) -> str:
    """Return what a UTF-8 text file holds.

    Args:
        path: The file.
        largest: Bytes beyond which it is not even opened.

    Raises:
        FormatError: It cannot be read, is too large or is not UTF-8.
    """
    check_file(path)
    try:
        size = path.stat().st_size
        if size > largest:
            raise FormatError(
                f"'{path}' is {size / 1e6:.0f} MB large, more than is read at once ({largest / 1e6:.0f} MB)",
                remedy="it is not what it should be; very long recordings can be split, or given as MOTChallenge text",
            )
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"'{path}' is not UTF-8 text", remedy="save it as UTF-8") from error
    except OSError as error:
        raise FormatError(f"'{path}' cannot be read: {error.strerror or error}") from error


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object a file holds; NaN, Infinity and numbers that overflow are errors.

    Raises:
        FormatError: The file cannot be read or is not one JSON object; the message names the line.
    """
    return parse_object(read_text(path), f"'{path}'")


def parse_object(text: str, where: str) -> dict[str, Any]:
    """Return the JSON object that `text` is; `where` names it in messages.

    Raises:
        FormatError: It is none.
    """
    try:
        value = json.loads(text, parse_constant=refuse_constant, parse_float=finite)
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{where} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            remedy="write it anew: it may have been cut off",
        ) from error
    except ValueError as error:  # ours from the two hooks, or Python's limit on the digits of an integer
        raise FormatError(f"{where} is not valid JSON: {error}", remedy="write finite numbers only") from error
    except RecursionError as error:
        raise FormatError(f"{where} is nested too deeply to be what it should be") from error
    if not isinstance(value, dict):
        raise FormatError(f"{where} holds a JSON {kind_of(value)}, not an object")
    return value


def refuse_constant(constant: str) -> NoReturn:
    """Raise `ValueError`: NaN and Infinity are no JSON."""
    raise ValueError(f"{constant} is no JSON number")


def finite(digits: str) -> float:
    """Return the number; raise `ValueError` where it is too large for one."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value


def kind_of(value: object) -> str:
    """Return what JSON calls the type of `value`: ``string``, ``list``, ``null`` and so on."""
    names = {str: "string", list: "list", dict: "object", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def is_number(value: object) -> bool:
    """Tell whether `value` is a JSON number that a float can hold; a boolean is none."""
    return (type(value) is int and -MAX_INT < value < MAX_INT) or (type(value) is float and math.isfinite(value))


def has_size(x1: float, y1: float, x2: float, y2: float) -> bool:
    """Tell whether a box has a positive size, and keeps it when its corners are rounded to float32."""
    return x2 - x1 > 1e-6 * max(1, abs(x2)) and y2 - y1 > 1e-6 * max(1, abs(y2))


def too_deep(value: object, depth: int = _MAX_DEPTH) -> bool:
    """Tell whether `value` is nested so deeply that writing it again could exhaust the stack."""
    if depth == 0:
        return True
    if type(value) is dict:
        return any(too_deep(v, depth - 1) for v in value.values() if type(v) in (dict, list))
    if type(value) is list:
        return any(too_deep(v, depth - 1) for v in value if type(v) in (dict, list))
    return False


def shortest(values: FloatArray) -> list[float]:
    """Return Python floats with the fewest digits that still give the same float32 when read again."""
    return list(map(float, map(str, values)))


def shortest_boxes(xyxy: FloatArray) -> list[list[float]]:
    """Return `shortest` of each of the ``(n, 4)`` boxes."""
    flat = shortest(xyxy.ravel())
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
    for number, frame in enumerate(frames):
        file.write(",\n  " if number else "\n  ")
        file.write(dumps(frame))
    file.write("\n ]}\n")


def dumps(value: object) -> str:
    """Return `value` as one line of valid JSON, never with NaN or Infinity."""
    return _ENCODER.encode(value)
