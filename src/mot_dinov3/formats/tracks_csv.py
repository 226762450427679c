"""Tracks as a CSV table with one row per box, for spreadsheets and data frames; specified in ``docs/formats.md``.

Tables of other programs are read, too: `table_columns` recognises their columns, `text_tables` reads their rows.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mot_dinov3.core.errors import FormatError, UsageError
from mot_dinov3.core.json_text import printable
from mot_dinov3.core.structures import Detections, Frame, TrackState, VideoInfo
from mot_dinov3.formats.class_names import names_of, number_labels
from mot_dinov3.formats.frame_names import NamedFrames, frames_of_names
from mot_dinov3.formats.recorded_detections import ASSUMED_FPS, ReadOptions, RecordedDetections
from mot_dinov3.formats.rows import NO_SCORE, LeftOut, Row, RowCollector, check_units, parse_whole, whole_number
from mot_dinov3.formats.table_columns import NEEDED, TableColumns, cell_number, recognise
from mot_dinov3.formats.text_tables import TextTable, read_table
from mot_dinov3.formats.track_ids import TrackIds

TRACK_COLUMNS = (
    "frame", "time_s", "track_id", "class_id", "class_name", "score", "x1", "y1", "x2", "y2", "state", "embedded",
    "coasted", "gallery_id", "gallery_distance", "gallery_margin",
)  # fmt: skip

_OURS = frozenset(("state", "embedded"))
"""Columns by which a table of ours is recognised."""


def track_rows(
    frame: Frame, detections: Detections, names: Mapping[int, str], *, untracked: bool = False
) -> Iterator[tuple[str, ...]]:
    """Yield a row of `TRACK_COLUMNS` for each detection of `frame` that belongs to a track; frames count from 0.

    With `untracked`, all detections have one; without a track, its cell is empty.
    """
    for row in np.flatnonzero((detections.track_id >= 0) | untracked):
        class_id, track_id = int(detections.class_id[row]), int(detections.track_id[row])
        yield (
            str(frame.index),
            f"{frame.time:.6f}",
            str(track_id) if track_id >= 0 else "",
            str(class_id),
            names.get(class_id, ""),
            f"{detections.score[row]:.4f}",
            *(f"{float(v):.2f}" for v in detections.xyxy[row]),
            TrackState(detections.state[row]).name.lower(),
            str(int(detections.fresh[row])),
            str(int(detections.coasted[row])),
            detections.gallery_id[row] or "",
            _number(detections.gallery_distance[row]),
            _number(detections.gallery_margin[row]),
        )


def _number(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else ""


def csv_line(row: Sequence[str]) -> str:
    """Return one line of CSV with its newline."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()


def read_tracks_csv(path: Path, options: ReadOptions | None = None) -> RecordedDetections:
    """Read a table of boxes: columns are known by their names.

    A table is read twice: the first time for the ids, labels and images that are numbered together. Rows without a
    usable box are left out and counted.

    Raises:
        FormatError: It has no columns for frame and box, or a row breaks the format; the message names the line.
    """
    options = options or ReadOptions()
    left_out = LeftOut(path, strict=options.strict)
    table = read_table(path)
    if not table.header:  # an empty JSON list
        return RecordedDetections(str(path), {}, VideoInfo(str(path), 0, 0, ASSUMED_FPS), names=options.names)
    columns = recognise(table.header)
    if columns.missing:
        known = ", ".join(columns.recognised) or "none"
        raise FormatError(f"'{path}', line 1: {columns.missing}; recognised: {known}", remedy=NEEDED)
    if twice := [name for name in columns.recognised if table.header.count(name) > 1]:
        raise FormatError(f"'{path}', line 1: has the column '{twice[0]}' twice", remedy="rename or remove one of them")
    table = _of_video(path, table, columns, options.video_id)
    survey = _Survey(table, columns)
    try:
        numbers = number_labels(survey.labels, options.names)
    except ValueError as error:
        raise FormatError(f"'{path}': {error}", remedy="give the class names of this file") from error
    frame_of, named = _frames(path, columns, survey, options)
    ids = TrackIds(survey.ids)
    rows = RowCollector()
    names = names_of(numbers)
    for place, record in table.records():
        with left_out.checked(f"'{path}', {place}"):
            class_id, name = _class(columns, record, survey, numbers)
            row = _row(columns, record, (class_id, _track(columns, record, ids)), comma=table.comma)
            if row.score == NO_SCORE:
                row = dataclasses.replace(row, score=1.0)
                left_out.assumed("boxes have no score (-1), which is read as 1")
            rows.add(frame_of(columns, record), row)
            if name and class_id >= 0:
                left_out.name(names, class_id, printable(name))
            _count_others(columns, record, left_out)
    frames = rows.frames()
    if not _is_ours(columns):
        check_units(path, frames)
    video = VideoInfo(str(path), 0, 0, ASSUMED_FPS)
    notices = (*filter(None, [named.notice]), *ids.notices(path), *left_out.notices())
    names |= options.names
    return RecordedDetections(str(path), frames, video, names=names, notices=notices, by_number=named.by_number)


def _of_video(path: Path, table: TextTable, columns: TableColumns, wanted: str) -> TextTable:
    """Return the part of a table that belongs to a video; the whole one where it has no column for that.

    Raises:
        FormatError: It has several videos, and none was chosen.
        UsageError: It has no video of that name.
    """
    if "video" not in columns.fields:
        if wanted:
            raise UsageError(
                f"'{path}' has no video '{wanted}': it has no column 'video'", remedy="leave out --video-id"
            )
        return table
    videos = list(dict.fromkeys(columns.get(record, "video") for _, record in table.records()))
    listed = ", ".join(videos)[:500]
    if not wanted and len(videos) > 1:
        raise FormatError(
            f"'{path}' holds {len(videos)} videos", remedy=f"choose one with --video-id of convert: {listed}"
        )
    if wanted and wanted not in videos:
        raise UsageError(f"'{path}' has no video '{wanted}'", remedy=f"its videos are {listed}")
    chosen = wanted or next(iter(videos), "")

    def records() -> Iterator[tuple[str, Mapping[str, str]]]:
        return ((place, record) for place, record in table.records() if columns.get(record, "video") == chosen)

    return dataclasses.replace(table, records=records)


class _Survey:
    """What the rows of a table have together, by reading it once.

    Attributes:
        ids: The tracks' ids, in order.
        labels: Labels of classes, where these have no numbers.
        images: The images' names, in order, where frames have no numbers.
        first: The lowest frame number; None where there is none.
        has_classes: Whether the column of classes holds numbers.
    """

    def __init__(self, table: TextTable, columns: TableColumns) -> None:
        ids: dict[str, None] = {}
        classes: dict[str, None] = {}
        named: dict[str, None] = {}
        images: dict[str, None] = {}
        frames: set[str] = set()
        for _, record in table.records():
            ids.setdefault(columns.get(record, "track"))
            classes.setdefault(columns.get(record, "class"))
            named.setdefault(columns.get(record, "name"))
            images.setdefault(columns.get(record, "image"))
            frames.add(columns.get(record, "frame"))
        self.ids = list(ids)
        self.has_classes = all(map(_is_whole, classes)) and any(classes)
        self.labels: dict[str, int | None] = {}
        if not self.has_classes:
            labels = classes if any(classes) else named
            self.labels = {label: None for label in labels if label}
        self.images = [image for image in images if image]
        numbers = [float(frame) for frame in frames if _is_whole(frame) and frame]
        self.first = int(min(numbers)) if numbers else None


def _is_ours(columns: TableColumns) -> bool:
    return _OURS.issubset(columns.others)


def _is_whole(text: str) -> bool:
    """Return whether a cell is a whole number, or empty."""
    return not text or whole_number(text) is not None


def _frames(
    path: Path, columns: TableColumns, survey: _Survey, options: ReadOptions
) -> tuple[Callable[[TableColumns, Mapping[str, str]], int], NamedFrames]:
    """Return a function that gives a record's frame, and how the frames are known."""
    if "frame" in columns.fields:
        first = 1 if columns.counts_from_one and (survey.first or 0) > 0 else 0
        notice = ""
        if first:
            notice = f"'{path}' has the columns of MOTChallenge: frame 1 is read as frame 0"
        elif survey.first == 1 and not _is_ours(columns):
            notice = f"'{path}': its first frame is 1; frames count from 0, so it is the second frame of the video"
        named = NamedFrames((), notice)
        return lambda columns, record: parse_whole(columns.get(record, "frame"), "the frame") - first, named
    beside = [path.parent / "images", path.parent]
    named = frames_of_names(path, survey.images, options, beside)
    numbers = dict(zip(survey.images, named.numbers))

    def frame_of(columns: TableColumns, record: Mapping[str, str]) -> int:
        image = columns.get(record, "image")
        if image not in numbers:
            raise ValueError(f"{columns.fields['image']} is empty")
        return numbers[image]

    return frame_of, named


def _class(
    columns: TableColumns, record: Mapping[str, str], survey: _Survey, numbers: Mapping[str, int]
) -> tuple[int, str]:
    """Return the number of a record's class, −1 for none, and its name, empty for none."""
    name = columns.get(record, "name")
    if survey.has_classes:
        return parse_whole(columns.get(record, "class") or "-1", "class_id", low=-1), name
    label = columns.get(record, "class") or name
    return numbers.get(label, -1), ""


def _track(columns: TableColumns, record: Mapping[str, str], ids: TrackIds) -> int:
    text = columns.get(record, "track")
    number = ids.number(text)
    if text.startswith("-") and _is_ours(columns):  # no track is an empty cell in our own tables
        parse_whole(text, "track_id")
    return number


def _row(columns: TableColumns, record: Mapping[str, str], numbers: tuple[int, int], *, comma: bool) -> Row:
    """Return a record's row; `numbers` are those of class and track."""
    score = columns.get(record, "score")
    return Row(
        columns.corners(record, comma=comma),
        cell_number(score, "the score", comma=comma) if score else 1.0,
        *numbers,
        columns.get(record, "coasted").casefold() in ("1", "true"),
        columns.get(record, "gallery") or None,
    )


def _count_others(columns: TableColumns, record: Mapping[str, str], left_out: LeftOut) -> None:
    for name in columns.others:
        if name not in TRACK_COLUMNS and record.get(name, "").strip():
            left_out.field(f"values of {printable(name)[:40]!r}" if name else "values of a column without a name")
