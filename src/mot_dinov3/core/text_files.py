"""Text files, in UTF-8 or UTF-16, plain or compressed with gzip: strict reading, a `FormatError` for every defect."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from mot_dinov3.core.errors import FormatError

MAX_BYTES = 1 << 29
"""Largest text file read at once: a day of detections. Its values take about ten times as much memory."""

GZIP = b"\x1f\x8b"
"""The first bytes of a file that is compressed with gzip."""

UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The first bytes of text in UTF-16, as Excel and PowerShell write it."""

OTHER_FILE = "check that it is the file that you mean"
_MAX_LINE = 10_000


def check_file(path: Path) -> None:
    """Raise `FormatError` unless `path` is a file with something in it."""
    if path.is_dir():
        raise FormatError(f"'{path}' is a folder, not a file", remedy="name the file in it")
    if not path.exists():
        raise FormatError(f"'{path}' does not exist", remedy="check the path")
    if not path.is_file():
        raise FormatError(
            f"'{path}' is not a regular file", remedy="save it to a file first: it is read more than once"
        )
    if path.stat().st_size == 0:
        raise FormatError(f"'{path}' is empty", remedy="create it again: it was probably not completed")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors of opening and decoding the text file `path` into `FormatError`."""
    try:
        yield
    except UnicodeDecodeError as error:
        is_text = b"\0" not in error.object
        what, remedy = ("UTF-8 text", "save it as UTF-8") if is_text else ("a text file", OTHER_FILE)
        raise FormatError(f"'{path}' is not {what}", remedy=remedy) from error
    except (EOFError, zlib.error) as error:
        raise FormatError(f"'{path}' cannot be decompressed: {error}", remedy="it may have been cut off") from error
    except OSError as error:
        raise FormatError(f"'{path}' cannot be read: {error.strerror or error}") from error


def open_plain(path: Path) -> IO[bytes]:
    """Open a file to read its bytes, decompressed where it is compressed with gzip.

    Raises:
        OSError: It cannot be opened.
    """
    with path.open("rb") as file:
        is_compressed = file.read(len(GZIP)) == GZIP
    return cast("IO[bytes]", gzip.open(path)) if is_compressed else path.open("rb")


def open_utf8(path: Path) -> IO[bytes]:
    """Open a text file to read its bytes in UTF-8, whether it is in UTF-8 or, by its first bytes, in UTF-16.

    Raises:
        OSError: It cannot be opened.
        UnicodeDecodeError: It begins as UTF-16 and is not.
    """
    file = open_plain(path)
    if file.read(len(UTF_16[0])) in UTF_16 and path.stat().st_size <= MAX_BYTES:
        with file:
            file.seek(0)
            return io.BytesIO(file.read(MAX_BYTES).decode("utf-16").encode())
    file.seek(0)
    return file


def plain_suffix(path: Path) -> str:
    """Return the extension of a file's name in lower case, without the ``.gz`` of a compressed one."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield ``(number, line)`` of a text file, 1-based, stripped, blank lines left out.

    Raises:
        FormatError: The file cannot be read, is not UTF-8, or has a line longer than any format here needs.
    """
    check_file(path)
    with reading(path), io.TextIOWrapper(open_utf8(path), encoding="utf-8-sig") as file:
        number = 0
        while line := file.readline(_MAX_LINE):
            number += 1
            if len(line) == _MAX_LINE:
                raise FormatError(f"'{path}', line {number}: longer than {_MAX_LINE} characters")
            if stripped := line.strip():
                yield number, stripped


def read_text(path: Path, *, largest: int = MAX_BYTES) -> str:
    """Return the content of a UTF-8 text file of at most `largest` bytes.

    Raises:
        FormatError: It cannot be read, is too large or is not UTF-8.
    """
    check_file(path)
    with reading(path), open_utf8(path) as file:
        size = path.stat().st_size
        content = b"" if size > largest else file.read(largest + 1)
        size = max(size, len(content))
        if size > largest:
            raise FormatError(
                f"'{path}' is {size / 1e6:.0f} MB large, more than the limit ({largest / 1e6:.0f} MB)",
                remedy="it is probably not such a file; very long recordings can be split, or given as MOTChallenge "
                "text",
            )
        return content.decode("utf-8-sig")
