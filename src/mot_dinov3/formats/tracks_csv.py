"""Tracks as a CSV table with one row per box, for spreadsheets and data frames; specified in ``docs/formats.md``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import printable, read_lines
from mot_dinov3.core.structures import Detections, Frame, TrackState, VideoInfo
from mot_dinov3.formats.recorded_detections import ASSUMED_FPS, RecordedDetections
from mot_dinov3.formats.rows import LeftOut, Row, RowCollector, parse_number, parse_whole

TRACK_COLUMNS = (
    "frame", "time_s", "track_id", "class_id", "class_name", "score", "x1", "y1", "x2", "y2", "state", "embedded",
    "coasted", "gallery_id", "gallery_distance", "gallery_margin",
)  # fmt: skip

_CORNERS = ("x1", "y1", "x2", "y2")
_REQUIRED = ("frame", "track_id", *_CORNERS)


def track_rows(frame: Frame, detections: Detections, names: Mapping[int, str]) -> Iterator[tuple[str, ...]]:
    """Yield a row of `TRACK_COLUMNS` for each detection of `frame` that belongs to a track; frames count from 0."""
    for row in np.flatnonzero(detections.track_id >= 0):
        class_id = int(detections.class_id[row])
        yield (
            str(frame.index),
            f"{frame.time:.6f}",
            str(detections.track_id[row]),
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


def read_tracks_csv(path: Path, *, strict: bool = False) -> RecordedDetections:
    """Read a table of tracks that `track_rows` wrote; columns may be missing or come in another order.

    Rows without a usable box are left out and counted, or an error where `strict`.

    Raises:
        FormatError: It has no such columns, or a row breaks the format; the message names the line.
    """
    lines = read_lines(path)
    header = next(csv.reader([next(lines, (1, ""))[1]]))
    missing = [name for name in _REQUIRED if name not in header]
    if missing:
        raise FormatError(
            f"'{path}', line 1: the column '{missing[0]}' is missing", remedy=f"needed: {', '.join(_REQUIRED)}"
        )
    rows, left_out = RowCollector(), LeftOut(path, strict=strict)
    names: dict[int, str] = {}
    for number, line in lines:
        fields = next(csv.reader([line]))
        with left_out.checked(f"'{path}', line {number}"):
            if len(fields) != len(header):
                raise ValueError(f"has {len(fields)} columns, its first line {len(header)}")
            record = dict(zip(header, fields))
            row = _row(record)
            rows.add(parse_whole(record["frame"], "the frame"), row)
            if record.get("class_name") and row.class_id >= 0:
                names.setdefault(row.class_id, printable(record["class_name"]))
    video = VideoInfo(str(path), 0, 0, ASSUMED_FPS)
    return RecordedDetections(str(path), rows.frames(), video, names=names, notices=left_out.notices())


def _row(record: Mapping[str, str]) -> Row:
    x1, y1, x2, y2 = (parse_number(record[name], name) for name in _CORNERS)
    return Row(
        (x1, y1, x2, y2),
        parse_number(record.get("score") or "1", "the score"),
        parse_whole(record.get("class_id") or "-1", "class_id", low=-1),
        parse_whole(record["track_id"], "track_id"),
        record.get("coasted") == "1",
        record.get("gallery_id") or None,
    )
