"""Recorded detections in whichever format a file has."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mot_dinov3.formats.det_v1 import read_det_v1
from mot_dinov3.formats.format_registry import read_any, recognise
from mot_dinov3.formats.motchallenge import read_detections
from mot_dinov3.formats.recorded_detections import RecordedDetections
from mot_dinov3.formats.track_v1 import without_tracks


def read_recorded(path: str | Path) -> RecordedDetections:
    """Read the boxes of a file in any format of `exchange.FORMATS`, without their tracks.

    Raises:
        FormatError: The file cannot be read as what it is.
    """
    path = Path(path)
    name = recognise(path)
    if name == "motchallenge":
        return read_detections(path)
    if name == "det-v1":
        return read_det_v1(path)
    found = read_any(path, name=name)
    return dataclasses.replace(found, frames={index: without_tracks(rows) for index, rows in found.frames.items()})
