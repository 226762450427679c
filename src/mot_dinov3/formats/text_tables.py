"""Tables in files as header and records: CSV as spreadsheets and programs write it, JSON Lines, JSON lists.

Cells are separated by commas, semicolons, tabs or bars; Excel's first line ``sep=;`` is heeded, and a quoted cell may
span lines. Lines that begin with ``#`` may stand before the header, which NumPy writes as such a line itself.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import itertools
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import read_json
from mot_dinov3.core.text_files import check_file, open_utf8, reading
from mot_dinov3.formats.json_lists import flat_records
from mot_dinov3.formats.rows import BOX_REMEDY
from mot_dinov3.formats.table_columns import count_known

DELIMITERS = (",", ";", "\t", "|", " ")
SEPARATOR = "sep="
COMMENT = "#"
_END = "\x1eend"  # a line behind the last one: within a cell, its quote was never closed
_LEAST_SPACED = 4  # names of columns that a line of words may have by chance
MAX_LINE = 100_000  # characters


@dataclasses.dataclass(frozen=True)
class TextTable:
    """Header and records of a table.

    Attributes:
        header: The names of the columns.
        records: Reads the records again each time; yields the place of each, and its cells by column.
        comma: Decimals may follow a comma.
    """

    header: Sequence[str]
    records: Callable[[], Iterator[tuple[str, Mapping[str, str]]]]
    comma: bool = False


def read_table(path: Path) -> TextTable:
    """Open a table; its records are read when they are asked for.

    Raises:
        FormatError: It cannot be read; also while its records are.
    """
    return _json_table(path) if _is_json(path) else _text_table(path)


def is_table(head: str, suffix: str) -> bool:
    """Return whether the beginning of a text file is a header with names of columns; `suffix` is the file's."""
    lines = [line for line in _uncommented(head.splitlines()) if line.strip()][:3]
    if not lines:
        return False
    if (lines[0].lower().startswith(SEPARATOR) and len(lines) > 1) or _is_header(lines[0]):
        return True
    return suffix in (".csv", ".tsv") and re.search("[A-Za-z]{2}", lines[0]) is not None


def _is_header(line: str) -> bool:
    delimiter = _delimiter(line)
    return count_known(_cells(line, delimiter)) > (_LEAST_SPACED if delimiter == " " else 1)


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line.strip()], delimiter=delimiter, skipinitialspace=True), [])


def _uncommented(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines; those that begin with # before the first other one are blank, but for a header of that one."""
    lines, comment = iter(lines), ""
    for line in lines:
        if line.lstrip().startswith(COMMENT):
            yield from ["\n"] * bool(comment)
            comment = line.lstrip().lstrip(COMMENT)
            continue
        if comment:
            mark = _delimiter(comment)
            is_header = _is_header(comment) and len(_cells(comment, mark)) == len(_cells(line, mark))
            yield comment if is_header else "\n"
        yield line
        yield from lines
        return
    yield comment


def _is_json(path: Path) -> bool:
    check_file(path)
    with reading(path), open_utf8(path) as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{")


def _json_table(path: Path) -> TextTable:
    records = flat_records(path, read_json(path))
    header = list(dict.fromkeys(itertools.chain.from_iterable(records)))
    return TextTable(header, lambda: ((f"record {place}", record) for place, record in enumerate(records)))


def _text_table(path: Path) -> TextTable:
    with contextlib.closing(_lines(path)) as read:
        lines = _uncommented(read)
        first = next((line for line in lines if line.strip()), "")
        declared = first.strip()[len(SEPARATOR) :] if first.lower().startswith(SEPARATOR) else ""
        header_line = next((line for line in lines if line.strip()), "") if declared else first
    delimiter = declared[:1] or _delimiter(header_line)

    def rows() -> Iterator[tuple[int, list[str]]]:
        with contextlib.closing(_lines(path)) as read:
            lines = _uncommented(read)
            whole = (line.strip() for line in lines) if delimiter == " " else lines
            reader = csv.reader(itertools.chain(whole, [_END]), delimiter=delimiter, skipinitialspace=True)
            last = 0
            try:
                for row in reader:
                    if row == [_END]:
                        return
                    if any(_END in cell for cell in row):
                        raise csv.Error("a quote is opened, and never closed")
                    last = reader.line_num
                    if any(map(str.strip, row)) and not (last == 1 and declared):
                        yield last, row
            except csv.Error as error:
                raise FormatError(f"'{path}', line {last + 1}: {error}", remedy="save it as CSV again") from error

    header = [name.strip() for name in next(rows(), (0, [""]))[1]]

    def records() -> Iterator[tuple[str, Mapping[str, str]]]:
        for number, row in itertools.islice(rows(), 1, None):
            if any(map(str.strip, row[len(header) :])) or len(row) < len(header):
                raise FormatError(
                    f"'{path}', line {number}: has {len(row)} columns, its first line {len(header)}", remedy=BOX_REMEDY
                )
            yield f"line {number}", dict(zip(header, row))

    return TextTable(header, records, comma=delimiter not in (",", " "))


def _lines(path: Path) -> Generator[str]:
    """Yield the lines of a text file with their ends, of a cell that spans several, each of them."""
    check_file(path)
    with reading(path), io.TextIOWrapper(open_utf8(path), encoding="utf-8-sig", newline="") as file:
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise FormatError(f"'{path}', line {number}: longer than {MAX_LINE} characters")
            yield line


def _delimiter(header: str) -> str:
    """Return what separates the columns of a header: what gives the most names that are known, else the most names."""
    marks = [mark for mark in DELIMITERS if mark in header.strip()]
    marks = [mark for mark in marks if mark != " "] or marks or [","]  # other marks may have blanks behind them
    found = {mark: next(csv.reader([header.strip()], delimiter=mark, skipinitialspace=True), []) for mark in marks}
    return max(found, key=lambda mark: (count_known(found[mark]), len(found[mark])))
