"""Tracks as a CSV table: one row a box, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mot_dinov3.structures import Detections, Frame, TrackState

TRACK_COLUMNS = (
    "frame",
    "time_s",
    "track_id",
    "class_id",
    "class_name",
    "score",
    "x1",
    "y1",
    "x2",
    "y2",
    "state",
    "embedded",
    "coasted",
    "gallery_id",
    "gallery_distance",
    "gallery_margin",
)


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
    """Return one CSV line with its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()
