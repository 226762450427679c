"""Tables in files as header and records: CSV as spreadsheets and programs write it, JSON Lines, JSON lists.

Cells are separated by commas, semicolons, tabs or bars; Excel's first line ``sep=;`` is heeded, and a quoted cell may
span lines.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import itertools
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import check_file, open_plain, read_json, reading
from mot_dinov3.formats.json_lists import flat_records
from mot_dinov3.formats.rows import BOX_REMEDY
from mot_dinov3.formats.table_columns import count_known

DELIMITERS = (",", ";", "\t", "|", " ")
SEPARATOR = "sep="
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
    lines = [line for line in head.splitlines()[:3] if line.strip()]
    if not lines:
        return False
    if lines[0].lower().startswith(SEPARATOR) and len(lines) > 1:
        return True
    delimiter = _delimiter(lines[0])
    header = next(csv.reader([lines[0].strip()], delimiter=delimiter, skipinitialspace=True), [])
    if count_known(header) > (_LEAST_SPACED if delimiter == " " else 1):
        return True
    return suffix in (".csv", ".tsv") and re.search("[A-Za-z]{2}", lines[0]) is not None


def _is_json(path: Path) -> bool:
    check_file(path)
    with reading(path), open_plain(path) as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{")


def _json_table(path: Path) -> TextTable:
    records = flat_records(path, read_json(path))
    header = list(dict.fromkeys(itertools.chain.from_iterable(records)))
    return TextTable(header, lambda: ((f"record {place}", record) for place, record in enumerate(records)))


def _text_table(path: Path) -> TextTable:
    with contextlib.closing(_lines(path)) as lines:
        first = next((line for line in lines if line.strip()), "")
        declared = first.strip()[len(SEPARATOR) :] if first.lower().startswith(SEPARATOR) else ""
        header_line = next((line for line in lines if line.strip()), "") if declared else first
    delimiter = declared[:1] or _delimiter(header_line)

    def rows() -> Iterator[tuple[int, list[str]]]:
        with contextlib.closing(_lines(path)) as lines:
            whole = (line.strip() for line in lines) if delimiter == " " else lines
            reader = csv.reader(whole, delimiter=delimiter, skipinitialspace=True)
            try:
                for row in reader:
                    if any(map(str.strip, row)) and not (reader.line_num == 1 and declared):
                        yield reader.line_num, row
            except csv.Error as error:
                raise FormatError(
                    f"'{path}', line {reader.line_num}: {error}", remedy="save it as CSV again"
                ) from error

    header = [name.strip() for name in next(rows(), (0, [""]))[1]]

    def records() -> Iterator[tuple[str, Mapping[str, str]]]:
        for number, row in itertools.islice(rows(), 1, None):
            if len(row) != len(header):
                raise FormatError(
                    f"'{path}', line {number}: has {len(row)} columns, its first line {len(header)}", remedy=BOX_REMEDY
                )
            yield f"line {number}", dict(zip(header, row))

    return TextTable(header, records, comma=delimiter not in (",", " "))


def _lines(path: Path) -> Generator[str]:
    """Yield the lines of a text file with their ends, of a cell that spans several, each of them."""
    check_file(path)
    with reading(path), io.TextIOWrapper(open_plain(path), encoding="utf-8-sig", newline="") as file:
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
