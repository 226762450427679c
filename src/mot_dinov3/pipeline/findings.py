"""What a run finds out about a frame, and its line in the record."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import Detections, FloatArray, IntArray


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a run found out about one frame.

    Attributes:
        boxes: What the detector found; None where it runs again.
        rows: ``(k,)`` rows whose embedding was computed.
        embedding: ``(k, d)`` float32.
    """

    boxes: Detections | None = None
    rows: IntArray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    embedding: FloatArray = dataclasses.field(default_factory=lambda: np.zeros((0, 0), np.float32))


def packed(frame: int, found: Findings) -> dict[str, Any]:
    """Return what was found out about a frame as plain JSON values, to the last bit."""
    value: dict[str, Any] = {"frame": frame}
    if found.boxes is not None:
        value |= {
            "xyxy": _text(found.boxes.xyxy),
            "score": _text(found.boxes.score),
            "class_id": found.boxes.class_id.tolist(),
        }
        if any(record is not None for record in found.boxes.extra):
            value["extra"] = list(found.boxes.extra)
    if len(found.rows):
        value |= {"rows": found.rows.tolist(), "embedding": _text(found.embedding)}
    return value


def unpacked(value: Mapping[str, Any]) -> Findings:
    """Return what `packed` was given.

    Raises:
        KeyError, TypeError, ValueError, MotError: It is not what `packed` gives.
    """
    boxes = None
    if "xyxy" in value:
        xyxy = _array(value["xyxy"]).reshape(-1, 4)
        extra = np.full(len(xyxy), None, np.object_)
        extra[:] = value.get("extra", [None] * len(xyxy))
        class_id = np.array(value["class_id"], np.int64)
        boxes = Detections(xyxy, score=_array(value["score"]), class_id=class_id, extra=extra)
    if "rows" not in value:
        return Findings(boxes)
    rows = np.array(value["rows"], np.int64)
    return Findings(boxes, rows, _array(value["embedding"]).reshape(len(rows), -1))


def _text(values: npt.NDArray[np.float32]) -> str:
    """Return float32 values to the last bit, as text."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _array(text: str) -> FloatArray:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
