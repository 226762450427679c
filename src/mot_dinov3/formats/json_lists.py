"""JSON lists and JSON Lines: which format their records are, and the records as that format's reader takes them.

A list of ``{"frame": 0, "detections": […]}`` is a det-v1 file without its header, a list of ``{"image_id": …, "bbox":
[…]}`` COCO's results (also Ultralytics' ``predictions.json``), a list of flat records a table; a list of lists, one per
frame, is a table, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import is_number, kind_of

_LOOKED_AT = 1000  # records by which a list is recognised
_LISTS: Mapping[str, tuple[str, str, str, str]] = {
    "bbox": ("x1", "y1", "x2", "y2"),
    "box": ("x1", "y1", "x2", "y2"),
    "xyxy": ("x1", "y1", "x2", "y2"),
    "xywh": ("x", "y", "w", "h"),
}
"""Key of a box in a flat record → the columns of its four numbers."""


def list_format(path: Path, records: list[Any]) -> str:
    """Return the name of the format of a list of records.

    Raises:
        FormatError: They are in none.
    """
    shown = [record for record in itertools.islice(records, _LOOKED_AT) if isinstance(record, dict)]
    if any(isinstance(record.get("detections"), list) for record in shown):
        rows = (row for record in records if isinstance(record, dict) for row in record.get("detections") or ())
        tracked = any(isinstance(row, dict) and row.get("track_id") not in (None, "") for row in rows)
        return "track-v1" if tracked else "det-v1"
    if any("image_id" in record and _has_box(record) for record in shown):
        return "coco"
    if shown and any(not isinstance(value, (dict, list)) for value in shown[0].values()):
        return "csv"
    if all(isinstance(record, list) for record in records):  # or nothing was found
        return "csv"
    keys = ", ".join(map(str, shown[0]))[:80] if shown else f"a {kind_of(records[0])}"
    raise FormatError(
        f"'{path}' is a JSON list of an unknown format: its first record has {keys or 'no key'}",
        remedy="records have frame and detections (det-v1), image_id and bbox (COCO results), or a frame and a box",
    )


def frames_document(path: Path, document: dict[str, Any] | list[Any], schema: str) -> dict[str, Any]:
    """Return a det-v1 document; of a list of its frames, one with these, and with the header that may come first.

    Raises:
        FormatError: It is a list of something else.
    """
    if isinstance(document, dict):
        return document
    if not any(isinstance(record, dict) and "detections" in record for record in document):
        raise FormatError(f"'{path}' contains a JSON list, not an object", remedy="a list has a record for each frame")
    first = document[0] if document else None
    has_header = isinstance(first, dict) and "schema_version" in first and "detections" not in first
    header = {key: value for key, value in first.items() if key != "frames"} if has_header else {}  # type: ignore[union-attr]
    return {"schema_version": schema, **header, "frames": document[1:] if has_header else document}


def flat_records(path: Path, document: dict[str, Any] | list[Any]) -> list[dict[str, str]]:
    """Return the records of a table as texts by column; those of a list of lists get their place as frame.

    Raises:
        FormatError: A record is no object.
    """
    if isinstance(document, dict):
        raise FormatError(f"'{path}' contains a JSON object, not a list of records", remedy="choose another --from")
    records = []
    for place, record in enumerate(document):
        for row in record if isinstance(record, list) else [record]:
            if not isinstance(row, dict):
                raise FormatError(f"'{path}', record {place}: must be an object, not a {kind_of(row)}")
            records.append(_texts({"frame": place, **row} if isinstance(record, list) else row))
    return records


def _has_box(record: Mapping[str, Any]) -> bool:
    return "bbox" in record or "segmentation" in record


def _texts(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a record as texts, its box as four of them."""
    texts: dict[str, str] = {}
    for key, value in record.items():
        if key in _LISTS and isinstance(value, dict):
            texts |= {name: _text(side) for name, side in value.items()}
        elif key in _LISTS and isinstance(value, list) and len(value) == 4 and all(map(is_number, value)):
            texts |= dict(zip(_LISTS[key], map(_text, value)))
        else:
            texts[key] = _text(value)
    return texts


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)
