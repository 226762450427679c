"""Fields that a format cannot keep of some detections, as a user reads them, and how many boxes it keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mot_dinov3.core.structures import Detections
from mot_dinov3.formats import cvat, cvat_writer, shape_keys, track_v1
from mot_dinov3.formats.format_registry import FORMATS, has_tracks
from mot_dinov3.formats.recorded_detections import RecordedDetections

_KNOWN_KEYS = {"bbox", "xyxy", "score", "conf", "class_id", "class", "class_name", "det_ind", *track_v1.TRACK_KEYS}
ONLY_TRACKS = ("motchallenge", "csv")
"""Formats that hold boxes without a track only where no box has one."""


def written_boxes(recorded: RecordedDetections, name: str) -> int:
    """Return how many boxes the format `name` keeps."""
    skipped = 0
    if name in ONLY_TRACKS and has_tracks(recorded):
        skipped = sum(int((rows.track_id < 0).sum()) for rows in recorded.frames.values())
    if name == "det-v1":
        skipped = sum(int(rows.coasted.sum()) for rows in recorded.frames.values())
    return sum(map(len, recorded.frames.values())) - skipped


def lost_fields(recorded: RecordedDetections, name: str) -> list[str]:
    """Return descriptions, with counts, of the fields that the format `name` cannot keep."""
    kept, shapes = FORMATS[name].fields, FORMATS[name].shapes

    def count(which: Callable[[Detections], Any]) -> int:
        return sum(int(np.count_nonzero(which(rows))) for rows in recorded.frames.values())

    tracked = count(lambda rows: rows.track_id >= 0)
    identified = count(lambda rows: [name is not None for name in rows.gallery_id])
    moved = count(lambda rows: () if rows.track_xyxy is None else (rows.track_xyxy != rows.xyxy).any(1))
    more = count(lambda rows: [bool(shape_keys.unkept(r or {}, shapes) - _KNOWN_KEYS) for r in rows.extra])
    counts = {
        "tracks": ("the tracks of {} boxes", tracked),
        "untracked": ("{} boxes without a track, skipped", count(lambda rows: rows.track_id < 0)),
        "classes": ("the classes of {} boxes", count(lambda rows: rows.class_id >= 0)),
        "names": ("the names of {} classes", len(recorded.names)),
        "gallery": ("the known identities of {} boxes", identified),
        "confidence": ("the confidence of {} known identities", count(lambda rows: np.isfinite(rows.gallery_distance))),
        "coasted": ("the mark of {} predicted boxes", count(lambda rows: rows.coasted)),
        "video": ("frame rate and size of the video", int(recorded.fps_known or recorded.video.width > 0)),
        "both": ("the detected boxes of {} tracked ones, whose smoothed ones are written", moved),
        "keys": ("further keys of {} detections", more),
    }
    if name in ONLY_TRACKS and not tracked:
        counts.pop("untracked")
    if "gallery" not in kept:
        counts.pop("confidence")
    if "detected" in kept:
        counts.pop("both")
    if name == "det-v1":  # it has no box where nothing was detected
        counts["coasted"] = ("{} predicted boxes, skipped", counts["coasted"][1])
    lost = [text.format(number) for field, (text, number) in counts.items() if field not in kept and number]
    if name == "yolo" and recorded.first_class:
        lost.append("the numbers of the classes, which are counted from 0 (1 is written as 0)")
    if name == "yolo" and (unclassified := count(lambda rows: rows.class_id < 0)):
        lost.append(f"{unclassified} boxes without a class, written as class 0")
    if name == "cvat" and (changed := cvat_writer.count_lost_classes(recorded.frames)):
        lost.append(f"the classes of {changed} boxes that differ from their track's")
    if name == "cvat" and (clashing := cvat_writer.count_clashing_attributes(recorded.frames)):
        lost.append(f"attributes of {clashing} boxes that are called {', '.join(cvat.OURS)}")
    return lost
