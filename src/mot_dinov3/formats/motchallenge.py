"""MOTChallenge text: one box a line, ``frame,id,x,y,w,h,conf,-1,-1,-1``.

The format of https://motchallenge.net/instructions: detections (``det.txt``, id −1), results, and ground truth, whose
column 7 is a flag (0: ignore). Frames count from 1 in the file and from 0 in this program. Ground truth with nine
columns (MOT16, MOT17, MOT20, DanceTrack) ends in class and visibility, with ten (2D MOT 2015) in world coordinates.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_FRAME, has_size
from mot_dinov3.core.structures import Detections, Float64Array, FloatArray, IntArray, TrackState
from mot_dinov3.core.text_files import read_lines
from mot_dinov3.formats.class_names import read_class_names
from mot_dinov3.formats.recorded_detections import RecordedDetections
from mot_dinov3.formats.rows import (
    MAX_ID,
    MISSING,
    NO_SCORE,
    SCORE_ROOM,
    LeftOut,
    UnusableRowError,
    check_box,
    check_units,
    plain_score,
)
from mot_dinov3.formats.seqinfo import sequence_info

_COLUMNS = 7
_CLASS_COLUMNS = 9
_KITTI_COLUMNS = (17, 18)
_LAYOUT = "each line is frame,id,x,y,w,h,conf with frames from 1; further columns are ignored"
_KITTI = (
    "these are KITTI's labels, which are read as a table with this first line:\n"
    "frame track_id class_name truncated occluded alpha x1 y1 x2 y2 height width length x y z yaw"
)
LABELS = "labels.txt"
"""Names of the classes from 1, beside the ``gt.txt`` that CVAT and Datumaro write."""

_BLANK = 8


@dataclasses.dataclass(frozen=True)
class TrackTable:
    """Boxes with identities row by row, in the file's own precision for scoring.

    Attributes:
        path: The file.
        frame: ``(n,)`` int64, 0-based.
        track_id: ``(n,)`` int64 ≥ 0.
        xywh: ``(n, 4)`` float64 top-left corner and size, pixels.
        value: ``(n,)`` float64, column 7: a result's confidence, a ground truth's flag (0: ignore).
        class_id: ``(n,)`` int64, −1 where the file has no classes.
        visibility: ``(n,)`` float64 in 0…1, 1 where the file has none.
        notices: Lines for the user: what was left out or assumed.
    """

    path: str
    frame: IntArray
    track_id: IntArray
    xywh: Float64Array
    value: Float64Array
    class_id: IntArray
    visibility: Float64Array
    notices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)


def read_detections(path: str | Path, *, strict: bool = False) -> RecordedDetections:
    """Read a ``det.txt``: column 7 is the score, −1 where there is none, read as 1; classes are unknown.

    An empty file is that of a run that found nothing. A row without a usable box, for example one that was clipped to a
    width of 0, is left out and counted, or an error where `strict`.
    Properties of the video are read from the sequence's seqinfo.ini, one folder above that of the file.

    Raises:
        FormatError: A row breaks the format, or its score is not 0…1; the message names the line.
    """
    path = Path(path)
    rows: dict[int, list[list[float]]] = {}
    left_out, without_score = LeftOut(path, strict=strict), 0
    for number, line in [] if is_empty(path) else _lines(path):
        with left_out.checked(f"'{path}', line {number}"):
            values = _numbers(line, path, number)
            _check_box(values)
            if values[6] == NO_SCORE:
                values[6] = 1.0
                without_score += 1
            try:
                values[6] = plain_score(values[6])
            except ValueError as error:
                # Rescaling unbounded scores (2D MOT 2015's ACF, MOT16's DPM) would silently change what --conf means.
                _fail(path, number, str(error), "rescale column 7 to 0…1")
            rows.setdefault(int(values[0]) - 1, []).append(values[2:7])
            _count_columns(values, left_out)
    frames = {}
    for index, of_frame in sorted(rows.items()):
        table = np.array(of_frame)
        frames[index] = Detections(boxes.from_xywh(table[:, :4]).astype(np.float32), table[:, 4].astype(np.float32))
    check_units(path, frames)
    notices = (*_read_notices(path, without_score), *left_out.notices())
    return RecordedDetections(str(path), frames, *sequence_info(path), notices=notices)


def is_empty(path: Path) -> bool:
    """Return whether `path` is a file of 0 bytes or a blank line: the result of a run that found nothing."""
    return path.is_file() and path.stat().st_size <= _BLANK and not path.read_bytes().strip()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is neither blank nor a comment."""
    return ((number, line) for number, line in read_lines(path) if not line.startswith("#"))


def _read_notices(path: Path, without_score: int) -> Iterator[str]:
    """Yield what is assumed about the rows of a file, each once with its count."""
    if is_empty(path):
        yield f"'{path}' is empty: it has no detections"
    if without_score:
        yield f"'{path}': no score (-1) is read as 1 ({without_score} boxes)"


def read_motchallenge(path: Path, *, strict: bool = False) -> RecordedDetections:
    """Read detections, where the id of every row is −1, or else tracks; rows without a track may be among them.

    Class names are read from the ``labels.txt`` beside the file, as CVAT's export has it. A value of −1 in column 7 of
    a track means that it has no score, and is read as 1. Rows without a usable box are left out and counted, or an
    error where `strict`.

    Raises:
        FormatError: A row breaks the format; the message names the line.
    """
    if is_empty(path) or not _has_tracks(path):
        return read_detections(path, strict=strict)
    table = _read_table(path, LeftOut(path, strict=strict), sized=True, untracked=True)
    score = np.where(table.value == NO_SCORE, 1.0, table.value)
    wrong = np.flatnonzero((score < -SCORE_ROOM) | (score > 1 + SCORE_ROOM))
    if len(wrong):
        row = wrong[0]
        raise FormatError(
            f"'{path}', frame {table.frame[row] + 1}, id {table.track_id[row]}: the score {score[row]:g} is not 0…1",
            remedy="rescale column 7 to 0…1",
        )
    score, xyxy = np.clip(score, 0, 1), boxes.from_xywh(table.xywh).astype(np.float32)
    frames = {}
    for index in np.unique(table.frame):
        rows = np.flatnonzero(table.frame == index)
        frames[int(index)] = Detections(
            xyxy[rows],
            score[rows],
            np.maximum(table.class_id[rows], -1),
            track_id=table.track_id[rows],
            state=np.where(table.track_id[rows] >= 0, int(TrackState.CONFIRMED), int(TrackState.NONE)),
        )
    check_units(path, frames)
    names = labels_beside(path) if (table.class_id >= 0).any() else {}
    return RecordedDetections(str(path), frames, *sequence_info(path), names=names, notices=table.notices)


def _has_tracks(path: Path) -> bool:
    """Return whether the id of a row is not −1 (nor missing); the rows themselves are left to the reader."""
    for _, line in _lines(path):
        fields = line.split(",", 2) if "," in line else line.split(None, 2)
        track_id = fields[1].strip().lower() if len(fields) > 1 else ""
        if track_id not in MISSING and not re.fullmatch(r"-1(\.0*)?", track_id):
            return True
    return False


def read_tracks(path: str | Path, *, strict: bool = False, sized: bool = True) -> TrackTable:
    """Read a tracker's result or a ground truth; rows may come in any order.

    In CVAT's export, which has a ``labels.txt`` beside it, rows without a track are left out and counted.
    Rows that are not finite are left out and counted, or an error where `strict`; so are those without an area and
    beyond any image, unless they are to be scored: with `sized` False they are kept, since TrackEval counts them.

    Raises:
        FormatError: A row breaks the format, or an identity comes twice in a frame; the message names the line.
    """
    path = Path(path)
    left_out = LeftOut(path, strict=strict)
    table = _read_table(path, left_out, sized=sized or strict, untracked=(path.absolute().parent / LABELS).is_file())
    tracked = table.track_id >= 0
    if not tracked.all():
        left_out.field("rows without a track (id -1)", int(np.sum(~tracked)))
    columns = {
        field.name: getattr(table, field.name)[tracked]
        for field in dataclasses.fields(table)
        if field.name not in ("path", "notices")
    }
    return TrackTable(str(path), **columns, notices=left_out.notices())


def _read_table(path: Path, left_out: LeftOut, *, sized: bool, untracked: bool) -> TrackTable:
    """Read the rows of a file; see `read_tracks`. Only where they may be `untracked`, the id −1 is accepted."""
    table: list[list[float]] = []
    seen: dict[tuple[float, float], int] = {}
    for number, line in _lines(path):
        with left_out.checked(f"'{path}', line {number}"):
            values = _numbers(line, path, number)
            if sized:
                _check_box(values)
            elif not _is_sized(values):
                left_out.assumed("boxes without an area overlap with none, as in TrackEval")
            _check_id(path, number, values, -1 if untracked else 0)
            first = seen.setdefault((values[0], values[1]), number)
            if first != number and values[1] >= 0:
                frame, track_id = values[:2]
                _fail(
                    path, number, f"id {track_id:g} is in frame {frame:g} already, on line {first}", "keep one of them"
                )
            if sized:
                _count_columns(values, left_out)
            table.append([*values[:7], *_class_and_visibility(values, left_out)])
    data = np.array(table, np.float64).reshape(-1, 9)
    frames, ids, classes = (data[:, column].astype(np.int64) for column in (0, 1, 7))
    columns = data[:, 2:6], data[:, 6], classes, data[:, 8]
    return TrackTable(str(path), frames - 1, ids, *columns, notices=left_out.notices())


def _class_and_visibility(values: Sequence[float], left_out: LeftOut) -> tuple[float, float]:
    """Return a row's class and visibility, −1 and 1 where it has none."""
    if len(values) != _CLASS_COLUMNS:
        return -1, 1
    class_id, visibility = values[_COLUMNS:]
    if class_id != int(class_id) or abs(class_id) > MAX_ID:
        left_out.field("values of column 8 that are no class")
        return -1, visibility
    return class_id, visibility


def _check_id(path: Path, number: int, values: Sequence[float], low: int) -> None:
    """Raise `FormatError` unless a row's id is a whole number from `low`."""
    track_id = values[1]
    if track_id > MAX_ID:
        _fail(path, number, f"the id {track_id:g} is above {MAX_ID:g}", "number the tracks from 1")
    if not low <= track_id <= MAX_ID or track_id != int(track_id):
        _fail(path, number, f"the id {track_id:g} is not a whole number from {low}", "give tracks, not detections")


def labels_beside(path: Path) -> dict[int, str]:
    """Return class number → name by the ``labels.txt`` beside a file, numbered from 1; empty where there is none.

    Raises:
        FormatError: It has a name twice.
    """
    labels = path.absolute().parent / LABELS
    return {number + 1: name for number, name in read_class_names(labels).items()} if labels.is_file() else {}


def _numbers(line: str, path: Path, number: int) -> list[float]:
    """Return the columns of a line as finite numbers, its frame number checked.

    Raises:
        UnusableRowError: A number that is needed is missing or not finite.
        FormatError: It is no such line.
    """
    fields = line.split(",") if "," in line else line.split()
    fields = fields[:-1] if not fields[-1].strip() and len(fields) > _COLUMNS else fields  # a comma at the line's end
    if len(fields) < _COLUMNS:
        labels = "; YOLO's labels are given as their folder" if len(fields) in (5, 6) else ""
        _fail(path, number, f"has {len(fields)} columns, not {_COLUMNS} or more", _LAYOUT + labels)
    if not line.isascii() or "_" in line:  # float() would take digits of any script, and 1_000
        _fail(path, number, "is not made of plain numbers", _LAYOUT)
    try:
        values = [math.nan if field.strip().lower() in MISSING else float(field) for field in fields]
    except ValueError:
        is_kitti = len(fields) in _KITTI_COLUMNS and fields[2].isalpha()
        _fail(path, number, f"is not made of numbers: {line[:60]!r}", _KITTI if is_kitti else _LAYOUT)
    needed = values if len(values) == _CLASS_COLUMNS else values[:_COLUMNS]  # world coordinates are not read
    if not all(map(math.isfinite, needed)):
        raise UnusableRowError("has a number that is missing or not finite")
    frame = values[0]
    if frame != int(frame) or not 1 <= frame <= MAX_FRAME:
        remedy = _LAYOUT if frame else "add 1 to the frames, or give a table whose first line is: frame,id,x1,y1,…"
        _fail(path, number, f"the frame {frame:g} is not a whole number from 1", remedy)
    return values


def _count_columns(values: Sequence[float], left_out: LeftOut) -> None:
    """Count what a row has in columns that are not read: visibilities, and others that are not −1."""
    if len(values) == _CLASS_COLUMNS:
        if values[8] not in (1, -1):
            left_out.field("visibilities")
    elif any(value != -1 for value in values[_COLUMNS:]):
        which = "column 8" if len(values) == _COLUMNS + 1 else f"columns 8 to {len(values)}"
        left_out.field(f"rows with values in {which}")


def _check_box(values: Sequence[float]) -> None:
    """Raise `UnusableRowError` unless the row's box has an area within an image."""
    x, y, w, h = values[2:6]
    check_box((x, y, x + w, y + h))


def _is_sized(values: Sequence[float]) -> bool:
    x, y, w, h = values[2:6]
    return has_size(x, y, x + w, y + h)


def _fail(path: Path, number: int, message: str, remedy: str) -> NoReturn:
    raise FormatError(f"'{path}', line {number}: {message}", remedy=remedy)


def mot_row(index: int, track_id: int, box: FloatArray, score: float) -> str:
    """Return one line, without its newline, for frame `index` (from 0) and the ``(4,)`` xyxy `box`; id −1 for none."""
    x1, y1, x2, y2 = box.tolist()
    x, y = round(x1, 2) + 0.0, round(y1, 2) + 0.0  # + 0.0 makes a negative zero a plain one
    return f"{index + 1},{track_id},{x:.2f},{y:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{score:.4f},-1,-1,-1"


def mot_rows(index: int, detections: Detections, *, untracked: bool = False) -> list[str]:
    """Return the lines of frame `index` for the rows that belong to a track, or for all, `untracked` ones included."""
    rows = detections if untracked else detections[detections.track_id >= 0]
    return [mot_row(index, *row) for row in zip(rows.track_id.tolist(), rows.xyxy, rows.score.tolist())]
