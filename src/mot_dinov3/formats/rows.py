"""Rows of a file: single boxes, parsed and checked as every reader of another program's format does."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_COORDINATE, MAX_FRAME, has_size, printable
from mot_dinov3.core.structures import Detections
from mot_dinov3.formats.recorded_detections import recorded_states

MAX_ROWS = 5_000_000
"""Boxes read from one file. More are a broken file, or one that lists a day of video twice."""

MAX_ID = 2**53
_LONGEST_WHOLE = 40  # characters
BOX_REMEDY = "correct it or remove it: a box has finite corners with x1 < x2 and y1 < y2, a score is 0…1"

NO_SCORE = -1
"""MOTChallenge's score of a box without one."""

SCORE_ROOM = 1e-3
"""By how much rounding, of float16 above all, may put a score beyond 0…1."""

ODD_NUMBERS = "numbers that are not finite (read as null)"
"""Name of the field that counts NaN and Infinity in JSON."""

SHOWN_FIELDS = 12  # kinds in one notice
MISSING = frozenset(("", "nan", "na", "n/a", "none", "null"))
"""Texts of a missing number, in lower case."""

# 3, 3.0 and, as numpy writes it, 3.00e+00; but not 3e5, which may be a name
_WHOLE = re.compile(r"([-+]?[0-9]+)(?:\.0*)?|[-+]?[0-9]\.[0-9]+[eE][-+]?[0-9]{2,3}")

Corners = tuple[float, float, float, float]


class UnusableRowError(ValueError):
    """A row without a box: it is missing or not finite, has no area or lies beyond any image."""


class LeftOut:
    """Counts what a reader leaves out of a file: unusable rows, and fields that are valid but not kept.

    Args:
        path: The file, for messages.
        strict: An unusable row is an error.

    Attributes:
        rows: Number of unusable rows.
    """

    def __init__(self, path: str | Path, *, strict: bool = False) -> None:
        self.rows = 0
        self._path = path
        self._strict = strict
        self._first = ""
        self._fields: Counter[str] = Counter()
        self._assumed: Counter[str] = Counter()
        self._renamed, self._first_renamed = 0, ""

    @contextlib.contextmanager
    def checked(self, place: str, remedy: str = BOX_REMEDY) -> Iterator[None]:
        """Leave out the row that a block reads, where that raises `UnusableRowError`.

        Args:
            place: The row's file and place: ``'t.csv', line 3``.
            remedy: Of the error.

        Raises:
            FormatError: The block raised any other `ValueError`, or this one while `strict`.
        """
        try:
            yield
        except UnusableRowError as error:
            self.row(place, str(error), remedy)
        except ValueError as error:
            raise FormatError(f"{place}: {error}", remedy=remedy) from error

    def row(self, place: str, problem: str, remedy: str = BOX_REMEDY) -> None:
        """Count an unusable row.

        Raises:
            FormatError: The reader is strict.
        """
        if self._strict:
            raise FormatError(f"{place}: {problem}", remedy=remedy)
        self.rows += 1
        self._first = self._first or f"{place}: {problem}"

    def field(self, name: str, count: int = 1) -> None:
        """Count something that is valid but not kept; `name` is its plural (``polygons``, ``values of 'occluded'``)."""
        self._fields[name] += count

    def keys(self, record: Mapping[str, Any], known: frozenset[str], kind: str = "values of") -> None:
        """Count the keys of a record that no reader knows, but for empty ones."""
        for key in record.keys() - known:
            if record[key] not in (None, "", [], {}, False):
                self.field(f"{kind} {printable(key)[:40]!r}")

    def name(self, names: dict[int, str], class_id: int, name: str) -> None:
        """Note the name of a box's class in `names`; where the class has another one already, count the box."""
        known = names.setdefault(class_id, name)
        if known != name:
            self._renamed += 1
            self._first_renamed = self._first_renamed or f"class {class_id} is {known!r:.40} and {name!r:.40}"

    def assumed(self, what: str) -> None:
        """Count something that a row lacks: `what` is read in its place."""
        self._assumed[what] += 1

    def notices(self) -> tuple[str, ...]:
        """Return a line about the rows, one about the fields, and one for each assumption, as far as there are any."""
        lines = []
        if self.rows:
            what = "box that cannot be used is" if self.rows == 1 else "boxes that cannot be used are"
            lines.append(f"{self.rows} {what} left out, the first: {self._first}")
        if self._fields:
            shown = sorted(self._fields.items())[:SHOWN_FIELDS]
            counts = ", ".join(f"{count} {name}" for name, count in shown)
            more = len(self._fields) - len(shown)
            lines.append(f"'{self._path}': not read: {counts}{f' and {more} other kinds' if more else ''}")
        lines += [f"'{self._path}': {count} {what}" for what, count in self._assumed.items()]
        if self._renamed:
            lines.append(
                f"'{self._path}': {self._renamed} boxes call their class differently from the first box of it, whose "
                f"name is kept; the first: {self._first_renamed}"
            )
        return tuple(lines)


@dataclasses.dataclass(frozen=True)
class Row:
    """One box of a file.

    Attributes:
        box: Corners x1, y1, x2, y2 in pixels.
        score: 0…1; 1 where the file has none.
        class_id: −1 where unknown.
        track_id: −1 for none.
        coasted: It was predicted, nothing was detected there.
        gallery_id: Name of the known identity, or None.
        extra: Keys of det-v1 for more than a box, or None.
    """

    box: Corners
    score: float = 1.0
    class_id: int = -1
    track_id: int = -1
    coasted: bool = False
    gallery_id: str | None = None
    extra: Mapping[str, Any] | None = None


class RowCollector:
    """Boxes of a file, checked and collected by frame, in the file's order."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Row]] = {}
        self._seen: set[tuple[int, int]] = set()
        self._count = 0

    def add_frame(self, frame: int) -> None:
        """Add a frame that the file names, with boxes or without.

        Raises:
            ValueError: No file has a frame of that number.
        """
        if not 0 <= frame <= MAX_FRAME:
            raise ValueError(f"the frame {frame} is not from 0 to {MAX_FRAME}")
        self._rows.setdefault(frame, [])

    def add(self, frame: int, row: Row) -> None:
        """Check a box and add it.

        Raises:
            UnusableRowError: The box cannot be used.
            ValueError: The score or frame is impossible, or its track is in the frame already.
        """
        self.add_frame(frame)
        check_box(row.box)
        if (score := plain_score(row.score)) != row.score:
            row = dataclasses.replace(row, score=score)
        if row.track_id >= 0:
            if row.track_id > MAX_ID:
                raise ValueError(f"the track ID {row.track_id} is too large")
            if (frame, row.track_id) in self._seen:
                raise ValueError(f"track {row.track_id} is in frame {frame} already")
            self._seen.add((frame, row.track_id))
        self._count += 1
        if self._count > MAX_ROWS:
            raise ValueError(f"more than {MAX_ROWS} boxes in one file")
        self._rows[frame].append(row)

    def frames(self) -> dict[int, Detections]:
        """Return the detections by rising frame number."""
        return {frame: _detections(rows) for frame, rows in sorted(self._rows.items())}


def _detections(rows: list[Row]) -> Detections:
    if not rows:
        return Detections.empty()
    track_id = np.array([row.track_id for row in rows], np.int64)
    coasted = np.array([row.coasted for row in rows], np.bool_)
    return Detections(
        np.array([row.box for row in rows], np.float64).astype(np.float32),
        np.array([row.score for row in rows], np.float32),
        np.array([row.class_id for row in rows], np.int64),
        track_id=track_id,
        state=recorded_states(track_id, coasted),
        coasted=coasted,
        gallery_id=np.array([row.gallery_id for row in rows], np.object_),
        extra=np.array([row.extra for row in rows], np.object_),
    )


def check_box(box: Corners) -> None:
    """Raise `UnusableRowError` unless the corners are finite and plausible, and enclose an area."""
    if not all(map(math.isfinite, box)):
        raise UnusableRowError("its box has a number that is not finite")
    if max(map(abs, box)) > MAX_COORDINATE:
        raise UnusableRowError("its box lies beyond any image")
    if not has_size(*box):
        raise UnusableRowError(f"its box has no positive size ({box[2] - box[0]:g} × {box[3] - box[1]:g})")


def check_units(path: Path, frames: Mapping[int, Detections]) -> None:
    """Raise `FormatError` where all boxes are within one pixel of the corner: they are parts of the image's size."""
    boxes = [rows.xyxy for rows in frames.values() if len(rows)]
    if boxes and max(float(np.abs(box).max()) for box in boxes) <= 1:
        raise FormatError(
            f"'{path}': its boxes are from 0 to 1, relative to the image size",
            remedy="multiply them by the width and height of the images",
        )


def plain_score(score: float) -> float:
    """Return a score of 0…1, also where rounding put it slightly beyond; raise a `ValueError` where it is none."""
    if not -SCORE_ROOM <= score <= 1 + SCORE_ROOM:
        raise ValueError(f"the score {score:g} is not from 0 to 1")
    return min(max(score, 0.0), 1.0)


def parse_number(text: str, name: str) -> float:
    """Return the finite number in `text`; raise a `ValueError` that calls it `name`.

    Raises:
        UnusableRowError: The text stands for a missing or infinite number.
    """
    # float() would take digits of any script and 1_000
    try:
        value = float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        value = None
    if text.strip().casefold() in MISSING or (value is not None and not math.isfinite(value)):
        raise UnusableRowError(f"{name} is not a finite number: {text[:40]!r}")
    if value is None:
        raise ValueError(f"{name} is not a finite number: {text[:40]!r}")
    return value


def parse_whole(text: str, name: str, *, low: int = 0) -> int:
    """Return the whole number from `low` in `text`; raise a `ValueError` that calls it `name`."""
    value = whole_number(text)
    if value is None:
        parse_number(text, name)  # raises where it is missing, or no number at all
    if value is not None and value > MAX_ID:
        raise ValueError(f"{name} is too large: {text[:40]}")
    if value is None or value < low:
        raise ValueError(f"{name} is not a whole number from {low}: {text[:40]!r}")
    return value


def whole_number(text: str) -> int | None:
    """Return the whole number that a text is; None where it is anything else."""
    found = _WHOLE.fullmatch(text.strip())
    if found is None or len(found[0]) > _LONGEST_WHOLE:
        return None
    if found[1] is not None:
        return int(found[1])
    value = float(found[0])
    return int(value) if value.is_integer() else None
