"""Tracks as a CSV table: one row a box, for spreadsheets and data frames."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import TextIO

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


class TrackTableWriter:
    """Writes the header, then frame by frame, to a text file opened with ``newline=""``.

    Args:
        file: Where the table goes.
        names: Class id → class name.
    """

    def __init__(self, file: TextIO, names: Mapping[int, str]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(TRACK_COLUMNS)
        self._names = names

    def write(self, frame: Frame, detections: Detections) -> None:
        """Write the rows of one frame."""
        self._writer.writerows(track_rows(frame, detections, self._names))
