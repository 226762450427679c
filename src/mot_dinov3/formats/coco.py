"""COCO-style video JSON: COCO's images, annotations and categories, with videos, frame numbers and track numbers.

The layout that the readers of CocoVID (MMTracking), TAO (TrackEval) and YouTube-VIS share: an image has ``video_id``
and its frame number as ``frame_id`` (CocoVID) or ``frame_index`` (TAO), both from 0; an annotation has ``bbox`` (x, y,
width, height), ``category_id``, and its track as ``track_id`` (TAO) or ``instance_id`` (CocoVID). Written files have
both of each. Outlines are polygons in ``segmentation``, ``keypoints`` have their scores in ``keypoint_scores``. A
category's id is the class number plus one, since many readers take 0 for the background. COCO:
https://cocodataset.org/#format-data; TAO: https://github.com/TAO-Dataset/tao.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import (
    MAX_FRAME,
    dumps,
    is_number,
    kind_of,
    printable,
    read_object,
    shortest_floats,
    write_records,
)
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.class_names import labels_of, names_of, number_labels
from mot_dinov3.formats.recorded_detections import (
    ASSUMED_FPS,
    ReadOptions,
    RecordedDetections,
    frame_numbers,
    plausible,
)
from mot_dinov3.formats.rows import BOX_REMEDY, Corners, Row, RowCollector
from mot_dinov3.formats.shape_keys import KEYPOINTS, SEGMENTS, keypoints_of, polygon_area, segments_of

log = logging.getLogger(__name__)

MAX_CATEGORY = 2**31 - 1
_FRAME_KEYS = ("frame_id", "frame_index")
_TRACK_KEYS = ("track_id", "instance_id")
_VISIBILITY = {0: 0.0, 1: 0.5, 2: 1.0}
"""COCO's marks of a keypoint (not labelled, hidden, visible) → its score, where the file has none."""


def read_coco(path: Path, options: ReadOptions) -> RecordedDetections:
    """Read the boxes of one video; annotations marked ``iscrowd`` or ``ignore`` are skipped, and counted in the log.

    Raises:
        FormatError: It breaks the format, or holds several videos; the message names the record.
    """
    document = read_object(path)
    images = _records(path, document, "images")
    video = _one_video(path, document, images)
    frames = _frames(path, images)
    classes, names = _classes(path, document, options)
    # annotations refer to images and categories by id
    rows = RowCollector()
    for frame in frames.values():
        rows.add_frame(frame)
    skipped = 0
    for position, record in enumerate(_records(path, document, "annotations")):
        if record.get("iscrowd") in (1, True) or record.get("ignore") in (1, True):
            skipped += 1
            continue
        try:
            rows.add(_look_up(record, "image_id", frames), _row(record, classes))
        except ValueError as error:
            raise FormatError(f"'{path}', annotation {position}: {error}", remedy=BOX_REMEDY) from error
    if skipped:
        log.warning("'%s': %d annotations marked as crowd or to be ignored are skipped", path, skipped)
    info, fps_known = _video_info(path, video, images)
    return RecordedDetections(str(path), rows.frames(), info, fps_known, names)


def _records(path: Path, document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    records = document.get(key)
    if not isinstance(records, list):
        problem = f"'{key}' must be a list, not a {kind_of(records)}" if key in document else f"has no '{key}'"
        raise FormatError(f"'{path}': {problem}", remedy="give a COCO file with images, annotations and categories")
    for position, record in enumerate(records):
        if not isinstance(record, dict):
            raise FormatError(f"'{path}', {key}, record {position}: must be an object, not a {kind_of(record)}")
    return records


def _one_video(path: Path, document: Mapping[str, Any], images: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Return the record of the file's video, empty where it has none, and check the videos of the images."""
    videos = _records(path, document, "videos") if "videos" in document else []
    if len(videos) > 1:
        raise FormatError(f"'{path}' holds {len(videos)} videos", remedy="split it: one file per video")
    known = videos[0].get("id") if videos else None
    for position, image in enumerate(images):
        if "video_id" in image and image["video_id"] != known:
            of = f"'{path}', images, record {position}"
            raise FormatError(f"{of}: belongs to video {image['video_id']!r:.40}, which is not listed in 'videos'")
    return videos[0] if videos else {}


def _frames(path: Path, images: list[dict[str, Any]]) -> dict[object, int]:
    """Return image id → frame number."""
    frames: dict[object, int] = {}
    first: dict[int, int] = {}
    for position, image in enumerate(images):
        where = f"'{path}', images, record {position}"
        key = image.get("id")
        if type(key) not in (int, str):
            raise FormatError(f"{where}: its id must be a number or a string")
        if key in frames:
            raise FormatError(f"{where}: the id {key!r:.40} is taken already")
        frames[key] = _frame_number(image, where)
        other = first.setdefault(frames[key], position)
        if other != position:
            raise FormatError(f"{where}: frame {frames[key]} is record {other} already")
    if first and min(first) == 1 and any("frame_id" in image for image in images):
        log.warning("'%s': its first frame is 1; frames count from 0, so it is the second frame of the video", path)
    return frames


def _frame_number(image: Mapping[str, Any], where: str) -> int:
    """Return an image's frame number: its own, or the number at the end of its file's name."""
    for key in _FRAME_KEYS:
        if key in image:
            if type(image[key]) is not int or not 0 <= image[key] <= MAX_FRAME:
                raise FormatError(f"{where}: {key} must be a whole number from 0, got {image[key]!r:.40}")
            return int(image[key])
    name = image.get("file_name")
    digits = re.search(r"([0-9]{1,9})\.[^.]*$", name) if isinstance(name, str) else None
    if digits is None or int(digits[1]) > MAX_FRAME:
        raise FormatError(
            f"{where}: has no frame number", remedy="give it a frame_id, or a file_name that ends with its number"
        )
    return int(digits[1])


def _classes(path: Path, document: Mapping[str, Any], options: ReadOptions) -> tuple[dict[object, int], dict[int, str]]:
    """Return category id → class number, and class number → name."""
    labels: dict[object, str] = {}
    declared: dict[str, int | None] = {}
    for position, category in enumerate(_records(path, document, "categories")):
        key, name, class_id = category.get("id"), category.get("name"), category.get("class_id")
        where = f"'{path}', categories, record {position}"
        if type(key) is not int or not 0 <= key <= MAX_CATEGORY or not isinstance(name, str):
            raise FormatError(f"{where}: needs an id, a whole number from 0, and a name")
        if key in labels or name in declared:
            raise FormatError(f"{where}: its id or name is taken already")
        if class_id is not None and (type(class_id) is not int or not -1 <= class_id <= MAX_CATEGORY):
            raise FormatError(f"{where}: class_id must be a whole number from -1, got {class_id!r:.40}")
        labels[key] = name
        declared[name] = key if class_id is None else class_id
    try:
        numbers = number_labels(declared, options.names)
    except ValueError as error:
        raise FormatError(f"'{path}': {error}") from error
    return {key: numbers[name] for key, name in labels.items()}, names_of(numbers)


def _look_up(record: Mapping[str, Any], key: str, listed: Mapping[object, int]) -> int:
    value = record.get(key)
    if type(value) not in (int, str) or value not in listed:
        raise ValueError(f"{key} {value!r:.40} is not listed")
    return listed[value]


def _row(record: Mapping[str, Any], classes: Mapping[object, int]) -> Row:
    score = record.get("score", 1)
    if not is_number(score):
        raise ValueError(f"score must be a number from 0 to 1, got {score!r:.40}")
    name = record.get("gallery_id")
    if name is not None and not isinstance(name, str):
        raise ValueError(f"gallery_id must be a string, not a {kind_of(name)}")
    return Row(
        _corners(record.get("bbox")),
        float(score),
        _look_up(record, "category_id", classes),
        _track_id(record),
        record.get("coasted") is True,
        name,
        _shapes(record) or None,
    )


def _shapes(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an annotation's outlines and keypoints as det-v1 has them; what is not valid is left out, as is RLE."""
    outlines, points = record.get("segmentation"), record.get("keypoints")
    polygons = [_pairs(flat) for flat in outlines if isinstance(flat, list)] if isinstance(outlines, list) else []
    found: dict[str, Any] = {}
    if segments := segments_of({SEGMENTS: polygons}):
        found[SEGMENTS] = [list(map(list, polygon)) for polygon in segments]
    if isinstance(points, list) and points and len(points) % 3 == 0:
        triples = [points[i : i + 3] for i in range(0, len(points), 3)]
        scores = record.get("keypoint_scores")
        if not isinstance(scores, list) or len(scores) != len(triples):
            scores = [_VISIBILITY.get(v, 0.0) if type(v) is int else None for _, _, v in triples]
        if keypoints := keypoints_of({KEYPOINTS: [[x, y, score] for (x, y, _), score in zip(triples, scores)]}):
            found[KEYPOINTS] = keypoints
    return found


def _pairs(flat: list[Any]) -> list[list[Any]]:
    return [flat[i : i + 2] for i in range(0, len(flat), 2)]


def _corners(box: object) -> Corners:
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        raise ValueError(f"bbox must be four finite numbers, x, y, width and height, got {box!r:.60}")
    x, y, width, height = map(float, box)
    return x, y, x + width, y + height


def _track_id(record: Mapping[str, Any]) -> int:
    """Return an annotation's track number, also from the place that CVAT's COCO export uses; −1 for none."""
    attributes = record.get("attributes")
    places = [(record, _TRACK_KEYS), (attributes if isinstance(attributes, dict) else {}, ("track_id",))]
    for place, keys in places:
        for key in keys:
            value = place.get(key)
            if value is not None:
                if type(value) is not int or value < -1:
                    raise ValueError(f"{key} must be a whole number from 0, got {value!r:.40}")
                return value
    return -1


def _video_info(path: Path, video: Mapping[str, Any], images: Iterable[Mapping[str, Any]]) -> tuple[VideoInfo, bool]:
    """Return the video's properties, and whether the frame rate is among them."""
    sources = [video, *images]
    width, height = (
        next((s[k] for s in sources if type(s.get(k)) is int and s[k] > 0), 0) for k in ("width", "height")
    )
    count, fps = plausible(video.get("length")), plausible(video.get("fps"))
    name = video.get("name") or video.get("file_name") or str(path)
    return VideoInfo(printable(str(name)), width, height, fps or ASSUMED_FPS, int(count)), fps > 0


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
