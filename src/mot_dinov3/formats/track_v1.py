"""track-v1: the detections of det-v1 with the identities of a tracker; specified in ``docs/formats.md``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import has_size, is_number
from mot_dinov3.core.structures import Detections
from mot_dinov3.formats.det_v1 import SCHEMA as PARENT_SCHEMA
from mot_dinov3.formats.det_v1 import SOURCE_KEYS, read_document
from mot_dinov3.formats.det_v1_writer import detection_records
from mot_dinov3.formats.recorded_detections import RecordedDetections, recorded_states
from mot_dinov3.formats.rows import LeftOut

SCHEMA = "track-v1"
TRACK_KEYS = frozenset(
    ("track_id", "gallery_id", "track_bbox", "gallery_distance", "gallery_margin", "embedded", "coasted")
)
_NUMBERS = ("gallery_distance", "gallery_margin")


def track_v1_header(
    *,
    source_header: Mapping[str, Any],
    created_at_utc: str,
    tracker: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return all top-level keys but ``frames``, in the order of the format.

    Args:
        source_header: A det-v1 header or `RecordedDetections.header`, whose ``video`` and ``detector`` are kept.
        created_at_utc: Time of the run, ISO 8601; given, so that equal runs write equal files.
        tracker: What `tracker_block` returns.
        more: Further keys (``fallbacks``, ``summary``), which a reader may ignore.
    """
    header: dict[str, Any] = {"schema_version": SCHEMA, "parent_schema_version": PARENT_SCHEMA}
    header |= {key: source_header[key] for key in SOURCE_KEYS[:2] if key in source_header}
    header |= {"created_at_utc": created_at_utc, "tracker": dict(tracker)}
    return header | dict(more or {})


def tracker_block(
    name: str, config: Mapping[str, Any], *, track_classes: Sequence[int] | None = None, filter_gallery: bool = False
) -> dict[str, Any]:
    """Return the ``tracker`` object of the header; `track_classes` None means all classes."""
    classes = None if track_classes is None else list(track_classes)
    return {
        "name": name,
        "class_filter": {"track_classes": classes, "filter_gallery_for_tracked_classes": filter_gallery},
        "config": dict(config),
    }


def track_v1_frame(
    index: int, detections: Detections, names: Mapping[int, str], *, detected: bool | None = None
) -> dict[str, Any]:
    """Return the record of frame `index`: the detections in order, then the predicted boxes where there are any.

    Each detection keeps every key of its input record; ``track_id`` (a string) and ``track_bbox`` are there for rows
    that belong to a track, ``gallery_id`` and its numbers for identified ones, ``coasted`` only for rows where nothing
    was detected. `detected`, where it is given, tells whether the detector ran on the frame.
    """
    record: dict[str, Any] = {"frame": index, "file": f"{index:06d}.jpg"}
    if detected is not None:
        record["detected"] = detected
    return {**record, "detections": track_records(detections, names)}


def track_records(detections: Detections, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return one track-v1 dict per row (see `track_v1_frame`)."""
    smoothed = None if detections.track_xyxy is None else np.round(detections.track_xyxy.astype(float), 2).tolist()
    known = [None if name is None else str(name) for name in detections.gallery_id]
    numbers = {key: np.round(getattr(detections, key).astype(float), 4).tolist() for key in _NUMBERS}
    fresh, coasted = detections.fresh.tolist(), detections.coasted.tolist()
    records = detection_records(detections, names)
    for row, (record, track_id) in enumerate(zip(records, detections.track_id.tolist())):
        for key in TRACK_KEYS & record.keys():
            del record[key]
        if track_id >= 0:
            record["track_id"] = str(track_id)
        if known[row] is not None:
            record["gallery_id"] = known[row]
            record |= {key: v[row] for key, v in numbers.items() if math.isfinite(v[row])}
        if track_id >= 0 and smoothed is not None:
            record["track_bbox"] = smoothed[row]
        record["embedded"] = fresh[row]
        if coasted[row]:
            record["coasted"] = True
    return records


def without_tracks(detections: Detections) -> Detections:
    """Return the detected rows as they were before tracking: without the keys that track-v1 adds."""
    rows = detections[~detections.coasted]
    plain = [None if r is None else {key: v for key, v in r.items() if key not in TRACK_KEYS} for r in rows.extra]
    extra = np.empty(len(plain), np.object_)
    extra[:] = plain
    return Detections(rows.xyxy, rows.score, rows.class_id, extra=extra)


def read_track_v1(path: str | Path, *, strict: bool = False) -> RecordedDetections:
    """Read a track-v1 file: detections with their identities; see `read_det_v1` for `strict`.

    Raises:
        FormatError: The file breaks the format; the message names file, frame and detection.
    """
    left_out = LeftOut(path, strict=strict)
    recorded = read_document(Path(path), SCHEMA, left_out)
    frames = {
        number: _with_tracks(rows, f"'{path}', frame {number}", left_out) for number, rows in recorded.frames.items()
    }
    return dataclasses.replace(recorded, frames=frames, notices=left_out.notices())


def _with_tracks(detections: Detections, where: str, left_out: LeftOut) -> Detections:
    """Return the rows with the columns that `track_v1_frame` wrote; the smoothed box is the detected one if absent."""
    ids, smoothed = [], detections.xyxy.copy()
    for row, record in enumerate(detections.extra):
        ids.append(_track_id(record.get("track_id"), f"{where}, detection {row}"))
        if not isinstance(record.get("gallery_id"), str | None):
            raise FormatError(f"{where}: gallery_id must be a string, not {record['gallery_id']!r:.40}")
        box = record.get("track_bbox")
        if box is not None:
            if type(box) is not list or len(box) != 4 or not all(map(is_number, box)) or not has_size(*box):
                left_out.field("track_bbox without an area, in place of which bbox is taken")
                continue
            smoothed[row] = np.clip(box, -1e9, 1e9)
    track_id = np.array(ids, np.int64)
    coasted = np.array([r.get("coasted") is True for r in detections.extra], np.bool_)
    return detections.replace(
        track_id=track_id,
        state=recorded_states(track_id, coasted),
        fresh=np.array([r.get("embedded") is True for r in detections.extra], np.bool_),
        coasted=coasted,
        track_xyxy=smoothed,
        gallery_id=np.array([r.get("gallery_id") for r in detections.extra], np.object_),
        **{key: np.array([_number(r.get(key)) for r in detections.extra], np.float32) for key in _NUMBERS},
    )


def _number(value: object) -> float:
    return float(value) if is_number(value) else math.nan  # type: ignore[arg-type]


def _track_id(value: object, where: str) -> int:
    if value is None:
        return -1
    digits = str(value) if type(value) is int else value
    if isinstance(digits, str) and digits.isascii() and digits.isdigit() and len(digits) < 19:
        return int(digits)
    raise FormatError(f"{where}: track_id must be a string of digits", remedy='write it like "3"')
