"""Recorded detections in whichever format a file has."""

from __future__ import annotations

from pathlib import Path

from mot_dinov3.formats.det_v1 import read_det_v1
from mot_dinov3.formats.motchallenge import read_detections
from mot_dinov3.formats.recorded import RecordedDetections
from mot_dinov3.formats.text import check_file


def read_recorded(path: str | Path) -> RecordedDetections:
    """Read det-v1 JSON (``.json``) or MOTChallenge text (``.txt``, ``.csv``); another ending is told by its content.

    Raises:
        FormatError: The file cannot be read as what it is.
    """
    path = Path(path)
    check_file(path)
    return read_det_v1(path) if _is_json(path) else read_detections(path)


def _is_json(path: Path) -> bool:
    if path.suffix.lower() in (".json", ".txt", ".csv"):
        return path.suffix.lower() == ".json"
    with path.open("rb") as file:
        start = file.read(64)
    return start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
