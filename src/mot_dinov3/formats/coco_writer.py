"""Writing COCO-style video JSON; `coco` describes the format."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.json_text import dumps, shortest_floats, write_records
from mot_dinov3.core.structures import Detections
from mot_dinov3.formats.class_names import labels_of
from mot_dinov3.formats.recorded_detections import RecordedDetections, frame_numbers
from mot_dinov3.formats.shape_keys import keypoints_of, polygon_area, segments_of


def write_coco(path: Path, recorded: RecordedDetections, created: str) -> None:
    """Write the boxes of `Detections.xyxy` with their tracks; `created` is the time of writing, ISO 8601."""
    frames, video = recorded.frames, recorded.video
    labels = labels_of({int(c) for rows in frames.values() for c in np.unique(rows.class_id)}, recorded.names)
    categories = _category_ids(labels)
    numbers = frame_numbers(frames)
    size = {"width": video.width, "height": video.height} if video.width and video.height else {}
    listed = {"id": 1, "name": video.path, **size, "length": max(recorded.last_frame + 1, video.frame_count)}
    listed |= {"fps": video.fps} if recorded.fps_known else {}
    listed |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}  # TAO's readers ask for them
    ids = itertools.count(1)
    parts: dict[str, Iterable[Mapping[str, Any]]] = {
        "categories": _category_records(frames, labels, categories),
        "videos": [listed],
        "tracks": _tracks(frames, categories),
        "images": (_image(number, size) for number in numbers),
        "annotations": (
            _annotation(next(ids), frame, rows, row, categories)
            for frame, rows in sorted(frames.items())
            for row in range(len(rows))
        ),
    }
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"info": {dumps({"description": "tracks", "date_created": created})}')
        for key, records in parts.items():
            file.write(f',\n "{key}": [')
            write_records(file, records)
            file.write("]")
        file.write("}\n")


def _category_ids(labels: Mapping[int, str]) -> dict[int, int]:
    """Return class number → category id, one more; for boxes without a class, the lowest free id from 1."""
    ids = {class_id: class_id + 1 for class_id in labels if class_id >= 0}
    if -1 in labels:
        ids[-1] = next(number for number in range(1, len(ids) + 2) if number not in ids.values())
    return ids


def _category_records(
    frames: Mapping[int, Detections], labels: Mapping[int, str], categories: Mapping[int, int]
) -> list[dict[str, Any]]:
    """Return the categories; one whose objects have keypoints names these by their numbers."""
    points: dict[int, int] = {}
    for rows in frames.values():
        for class_id, extra in zip(rows.class_id.tolist(), rows.extra):
            points[class_id] = max(points.get(class_id, 0), len(keypoints_of(extra) or ()))
    records: list[dict[str, Any]] = []
    for class_id, label in labels.items():
        record = {"id": categories[class_id], "name": label, "class_id": class_id}
        named = {"keypoints": list(map(str, range(points[class_id]))), "skeleton": []} if points.get(class_id) else {}
        records.append(record | named)
    return records


def _image(number: int, size: Mapping[str, int]) -> Mapping[str, Any]:
    name = f"{number:06d}.jpg"
    return {"id": number + 1, "video_id": 1, "frame_id": number, "frame_index": number, "file_name": name, **size}


def _tracks(frames: Mapping[int, Detections], categories: Mapping[int, int]) -> list[Mapping[str, Any]]:
    """Return TAO's list of tracks, each with the category of its first box."""
    first: dict[int, int] = {}
    for _, rows in sorted(frames.items()):
        for track_id, class_id in zip(rows.track_id.tolist(), rows.class_id.tolist()):
            if track_id >= 0:
                first.setdefault(track_id, class_id)
    return [{"id": track_id, "video_id": 1, "category_id": categories[c]} for track_id, c in sorted(first.items())]


def _annotation(
    number: int, frame: int, rows: Detections, row: int, categories: Mapping[int, int]
) -> Mapping[str, Any]:
    x1, y1, x2, y2 = shortest_floats(rows.xyxy[row])
    track_id = int(rows.track_id[row])
    record: dict[str, Any] = {"id": number, "image_id": frame + 1, "video_id": 1}
    record["category_id"] = categories[int(rows.class_id[row])]
    if track_id >= 0:
        record |= {"track_id": track_id, "instance_id": track_id}
    record |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
    record["score"] = shortest_floats(rows.score[row : row + 1])[0]
    if not rows.coasted[row]:
        record |= _shape_fields(rows.extra[row])
    if rows.gallery_id[row] is not None:
        record["gallery_id"] = str(rows.gallery_id[row])
    if rows.coasted[row]:
        record["coasted"] = True
    return record


def _shape_fields(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an annotation's fields for outlines and keypoints; those of a score of 0 count as not labelled."""
    fields: dict[str, Any] = {}
    if segments := segments_of(extra):
        fields["segmentation"] = [[side for point in polygon for side in point] for polygon in segments]
        fields["area"] = sum(map(polygon_area, segments))
    if keypoints := keypoints_of(extra):
        fields["keypoints"] = [value for x, y, score in keypoints for value in (x, y, 2 if score > 0 else 0)]
        fields["num_keypoints"] = sum(score > 0 for _, _, score in keypoints)
        fields["keypoint_scores"] = [score for _, _, score in keypoints]
    return fields
