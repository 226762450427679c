"""Writing det-v1: the header of a file, and the records of its frames and detections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mot_dinov3.core.json_text import printable, shortest_boxes, shortest_floats
from mot_dinov3.core.structures import Detections, ModelInfo, VideoInfo
from mot_dinov3.formats.det_v1 import BOX_KEYS, SCHEMA


def det_v1_header(video: VideoInfo, model: ModelInfo) -> dict[str, Any]:
    """Return all top-level keys but ``frames``, in the order of the format.

    Args:
        video: The source.
        model: The detector; `details` may give ``backend``, ``classes``, ``conf_thresh``, ``imgsz`` and ``task``.
    """
    details = model.details
    return {
        "schema_version": SCHEMA,
        "video": {
            "path": printable(video.path),
            "fps": float(video.fps),
            "frame_count": int(video.frame_count),
            "width": int(video.width),
            "height": int(video.height),
        },
        "detector": {
            "name": model.name,
            "backend": details.get("backend", model.name),
            "weights": printable(model.weights),
            "classes": details.get("classes"),
            "conf_thresh": details.get("conf_thresh", 0.0),
            "imgsz": details.get("imgsz", 0),
            "device": model.device,
            "half": model.precision == "fp16",
            "task": details.get("task", "detect"),
        },
        "frames_dir": "",
    }


def det_v1_frame(index: int, detections: Detections, names: Mapping[int, str]) -> dict[str, Any]:
    """Return the record of frame `index`; a detection that was read from a file keeps its fields."""
    return {"frame": index, "file": f"{index:06d}.jpg", "detections": detection_records(detections, names)}


def with_time(record: Mapping[str, Any], time: float) -> dict[str, Any]:
    """Return a frame's record with its time, before the detections; one that it has already stays."""
    timed = {key: value for key, value in record.items() if key != "detections"}
    timed.setdefault("time", round(time, 6))  # microseconds
    return timed | {key: record[key] for key in ("detections",) if key in record}


def detection_records(detections: Detections, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return one det-v1 dict per row: all keys of the record that it was read from, or those made from the columns.

    A detector's `Detections.extra` has no box: its keys (``obb``, ``keypoints``, ``segments``) follow the columns'.
    """
    records = []
    columns = shortest_boxes(detections.xyxy), shortest_floats(detections.score), detections.class_id.tolist()
    for row, (source, box, score, class_id) in enumerate(zip(detections.extra, *columns)):
        if detections.coasted[row]:  # a predicted box: no field of its record is valid for it
            source = None
        is_read = source is not None and not BOX_KEYS.isdisjoint(source)
        record = dict(source) if is_read else {}
        record.setdefault("bbox", box)
        record.setdefault("score", score)
        if "class_id" not in record:
            record["class_id"] = class_id
            if class_id in names:
                record.setdefault("class_name", names[class_id])
        if not is_read and not detections.coasted[row]:
            record |= source or {}
            record["det_ind"] = row
        records.append(record)
    return records
