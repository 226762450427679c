"""COCO-style video JSON: COCO's images, annotations and categories, with videos, frame numbers and track numbers.

The layout that the readers of CocoVID (MMTracking), TAO (TrackEval) and YouTube-VIS share: an image has ``video_id``
and its frame number as ``frame_id`` (CocoVID) or ``frame_index`` (TAO), both from 0; an annotation has ``bbox`` (x, y,
width, height), ``category_id``, and its track as ``track_id`` (TAO) or ``instance_id`` (CocoVID). Written files have
both of each. Outlines are polygons in ``segmentation``, ``keypoints`` have their scores in ``keypoint_scores``. A
category's id is the class number plus one, since many readers take 0 for the background. COCO:
https://cocodataset.org/#format-data; TAO: https://github.com/TAO-Dataset/tao.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import (
    MAX_FRAME,
    is_number,
    kind_of,
    printable,
    read_json,
)
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.formats.class_names import names_of, number_labels
from mot_dinov3.formats.coco_variants import as_coco, chosen_video
from mot_dinov3.formats.frame_names import NamedFrames, frames_of_names, number_in, plain_stem
from mot_dinov3.formats.recorded_detections import (
    ASSUMED_FPS,
    ReadOptions,
    RecordedDetections,
    plausible,
)
from mot_dinov3.formats.rows import ODD_NUMBERS, Corners, LeftOut, Row, RowCollector, UnusableRowError
from mot_dinov3.formats.shape_keys import KEYPOINTS, SEGMENTS, keypoints_of, segments_of
from mot_dinov3.formats.track_ids import TrackIds

MAX_CATEGORY = 2**31 - 1
_FRAME_KEYS = ("frame_id", "frame_index")
_BOX_KEYS = ("bbox", "area", "score", "segmentation", "keypoints", "keypoint_scores", "num_keypoints")
_MARKS = ("iscrowd", "ignore", "gallery_id", "coasted", "attributes", "track_id", "instance_id")
_KEYS = frozenset((*_BOX_KEYS, *_MARKS, "id", "image_id", "video_id", "category_id"))
"""Keys of an annotation that are read, or follow from those."""
_IDS = frozenset(("id", "image_id", "category_id", "video_id"))
_REMEDY = "give a COCO file with images, annotations and categories"
_TRACK_KEYS = ("track_id", "instance_id")
_VISIBILITY = {0: 0.0, 1: 0.5, 2: 1.0}
"""COCO's marks of a keypoint (not labelled, hidden, visible) → its score, where the file has none."""


def read_coco(path: Path, options: ReadOptions) -> RecordedDetections:
    """Read the boxes of one video; annotations marked ``iscrowd`` or ``ignore`` are skipped and counted.

    Raises:
        FormatError: It breaks the format, or holds several videos; the message names the record.
    """
    left_out, odd = LeftOut(path, strict=options.strict), list[str]()
    document = as_coco(path, read_json(path, odd=odd))
    video = chosen_video(path, document, options.video_id)
    images, others = _images_of(_records(path, document, "images"), video)
    frames, named = _frames(path, images, options)
    classes, names = _classes(path, document, options)
    # annotations refer to images and categories by id
    rows = RowCollector()
    for frame in frames.values():
        rows.add_frame(frame)
    annotations = _records(path, document, "annotations")
    ids = TrackIds(_track_id(record) for record in annotations)
    for position, record in enumerate(annotations):
        if others and str(record.get("image_id")) in others:
            continue
        if record.get("iscrowd") in (1, True) or record.get("ignore") in (1, True):
            left_out.field("annotations marked as crowd or to be ignored")
            continue
        with left_out.checked(f"'{path}', annotation {position}"):
            rows.add(_look_up(record, "image_id", frames), _row(record, classes, ids))
            _count_dropped(record, left_out)
    if odd:
        left_out.field(ODD_NUMBERS, len(odd))
    info, fps_known = _video_info(path, video or {}, images)
    notices = (*filter(None, [named.notice]), *ids.notices(path), *left_out.notices())
    first = int(not options.names and _counts_from_one(document["categories"]))
    return RecordedDetections(
        str(path),
        rows.frames(),
        info,
        fps_known,
        names,
        notices=notices,
        by_number=named.by_number,
        first_class=first,
    )


def _records(path: Path, document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    records = document.get(key)
    if not isinstance(records, list):
        problem = f"'{key}' must be a list, not a {kind_of(records)}" if key in document else f"has no '{key}'"
        raise FormatError(f"'{path}': {problem}", remedy=_REMEDY)
    for position, record in enumerate(records):
        if not isinstance(record, dict):
            raise FormatError(
                f"'{path}', {key}, record {position}: must be an object, not a {kind_of(record)}", remedy=_REMEDY
            )
        for name in _IDS & record.keys():
            if type(record[name]) is float and record[name].is_integer():  # as data frames have them
                record[name] = int(record[name])
    return records


def _images_of(images: list[dict[str, Any]], video: Mapping[str, Any] | None) -> tuple[list[dict[str, Any]], set[str]]:
    """Return the images of a video, and the ids of those of other videos."""
    wanted = None if video is None else video.get("id")
    chosen, others = [], set[str]()
    for image in images:
        of = image.get("video_id", wanted)
        if of == wanted:
            chosen.append(image)
        elif type(image.get("id")) in (int, str):
            others.add(str(image["id"]))
    return chosen, others


def _frames(path: Path, images: list[dict[str, Any]], options: ReadOptions) -> tuple[dict[str, int], NamedFrames]:
    """Return image id → frame number, and how the frames are known; the ids 7 and "7" are the same."""
    ids: dict[str, int] = {}
    for position, image in enumerate(images):
        where = f"'{path}', images, record {position}"
        key = image.get("id")
        if type(key) not in (int, str):
            raise FormatError(f"{where}: its id must be a number or a string", remedy=_REMEDY)
        if str(key) in ids:
            raise FormatError(f"{where}: the id {key!r:.40} is taken already", remedy="list each image once")
        ids[str(key)] = position
    named = _numbered_frames(path, images)
    if named is None:
        names = [_file_name(path, position, image) for position, image in enumerate(images)]
        _check_distinct(path, names)
        named = frames_of_names(
            path, names, options, [path.parent / "images", path.parent, path.parent.parent / "images"]
        )
    else:
        _check_distinct(path, named.numbers)
    return {key: named.numbers[position] for key, position in ids.items()}, named


def _numbered_frames(path: Path, images: list[dict[str, Any]]) -> NamedFrames | None:
    """Return the frame numbers that the images themselves give; None where no image has one.

    Files made for ByteTrack and CenterTrack count ``frame_id`` from 1, as their images' names do.
    """
    if not any(key in image for image in images for key in _FRAME_KEYS):
        return None
    numbers = []
    for position, image in enumerate(images):
        number = next((image[key] for key in _FRAME_KEYS if key in image), None)
        where = f"'{path}', images, record {position}"
        if number is None:
            raise FormatError(f"{where}: has no frame number", remedy="give it a frame_id, as the other images have")
        if type(number) is not int or not 0 <= number <= MAX_FRAME:
            problem = f"frame_id must be a whole number from 0, got {number!r:.40}"
            raise FormatError(f"{where}: {problem}", remedy="number the frames of the video from 0")
        numbers.append(number)
    if min(numbers) != 1:
        return NamedFrames(tuple(numbers))
    named = [number_in(plain_stem(str(image.get("file_name")))) for image in images]
    if named == numbers and not any("frame_index" in image for image in images):
        notice = f"'{path}' counts frames from 1, as the names of its images do: number 1 is frame 0"
        return NamedFrames(tuple(number - 1 for number in numbers), notice)
    notice = f"'{path}': its first frame is 1; frames count from 0, so it is the second frame of the video"
    return NamedFrames(tuple(numbers), notice)


def _file_name(path: Path, position: int, image: Mapping[str, Any]) -> str:
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        raise FormatError(
            f"'{path}', images, record {position}: has neither a frame number nor a file_name",
            remedy="give it a frame_id, or a file_name that ends with its number",
        )
    return printable(name)


def _check_distinct(path: Path, frames: Sequence[object]) -> None:
    """Raise `FormatError` where two images are the same frame."""
    first: dict[object, int] = {}
    for position, frame in enumerate(frames):
        if (other := first.setdefault(frame, position)) != position:
            raise FormatError(
                f"'{path}', images, record {position}: frame {frame} is record {other} already",
                remedy="list each image once; images of several videos need a video_id",
            )


def _classes(path: Path, document: Mapping[str, Any], options: ReadOptions) -> tuple[dict[str, int], dict[int, str]]:
    """Return category id → class number, and class number → name; ids that are texts are numbered in order."""
    labels: dict[str, str] = {}
    declared: dict[str, int | None] = {}
    for position, category in enumerate(_records(path, document, "categories")):
        key, name, class_id = category.get("id"), category.get("name"), category.get("class_id")
        where = f"'{path}', categories, record {position}"
        number = int(key) if isinstance(key, str) and re.fullmatch("[0-9]{1,9}", key) else key
        is_known = isinstance(key, str) or (type(key) is int and 0 <= key <= MAX_CATEGORY)
        if not is_known or not isinstance(name, str):
            problem = "needs an id, a whole number from 0 or a text, and a name"
            raise FormatError(f"{where}: {problem}", remedy=_REMEDY)
        if str(key) in labels or name in declared:
            problem = f"its id or name is taken already ({key!r:.40}, {name!r:.40})"
            raise FormatError(f"{where}: {problem}", remedy="give each category an id and a name of its own")
        if class_id is not None and (type(class_id) is not int or not -1 <= class_id <= MAX_CATEGORY):
            raise FormatError(f"{where}: class_id must be a whole number from -1, got {class_id!r:.40}")
        labels[str(key)] = name
        own = number if type(number) is int else None
        declared[name] = own if class_id is None else class_id
    try:
        numbers = number_labels(declared, options.names)
    except ValueError as error:
        raise FormatError(f"'{path}': {error}", remedy="give the class names of this file") from error
    return {key: numbers[name] for key, name in labels.items()}, names_of(numbers)


def _counts_from_one(categories: list[dict[str, Any]]) -> bool:
    """Return whether categories are numbered from 1 and declare no class numbers: those of other programs."""
    return bool(categories) and all(type(c["id"]) is int and c["id"] > 0 and "class_id" not in c for c in categories)


def _look_up(record: Mapping[str, Any], key: str, listed: Mapping[str, int]) -> int:
    value = record.get(key)
    if type(value) not in (int, str) or str(value) not in listed:
        raise ValueError(f"{key} {value!r:.40} is not listed")
    return listed[str(value)]


def _row(record: Mapping[str, Any], classes: Mapping[str, int], ids: TrackIds) -> Row:
    score = record.get("score", 1)
    if not is_number(score):
        raise UnusableRowError(f"score must be a number from 0 to 1, got {score!r:.40}")
    name = record.get("gallery_id")
    if name is not None and not isinstance(name, str):
        raise ValueError(f"gallery_id must be a string, not a {kind_of(name)}")
    return Row(
        _corners(record.get("bbox")),
        float(score),
        _look_up(record, "category_id", classes),
        ids.number(_track_id(record)),
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


def _count_dropped(record: Mapping[str, Any], left_out: LeftOut) -> None:
    """Count what an annotation has beside what is read."""
    left_out.keys(record, _KEYS)
    if isinstance(attributes := record.get("attributes"), dict):
        left_out.keys(attributes, frozenset(("track_id",)), "attributes")
    if isinstance(record.get("segmentation"), dict):
        left_out.field("run-length masks")
    kept = _shapes(record)
    for key, name in (("segmentation", SEGMENTS), ("keypoints", KEYPOINTS)):
        if isinstance(record.get(key), list) and record[key] and name not in kept:
            left_out.field(f"{key} that are not valid")


def _pairs(flat: list[Any]) -> list[list[Any]]:
    return [flat[i : i + 2] for i in range(0, len(flat), 2)]


def _corners(box: object) -> Corners:
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        raise UnusableRowError(f"bbox must be four finite numbers, x, y, width and height, got {box!r:.60}")
    x, y, width, height = map(float, box)
    return x, y, x + width, y + height


def _track_id(record: Mapping[str, Any]) -> object:
    """Return the id of an annotation's track, also from the place that CVAT's COCO export uses; None for none."""
    attributes = record.get("attributes")
    places = [(record, _TRACK_KEYS), (attributes if isinstance(attributes, dict) else {}, ("track_id",))]
    return next((place[key] for place, keys in places for key in keys if place.get(key) is not None), None)


def _video_info(path: Path, video: Mapping[str, Any], images: Iterable[Mapping[str, Any]]) -> tuple[VideoInfo, bool]:
    """Return the video's properties, and whether the frame rate is among them."""
    sources = [video, *images]
    width, height = (
        next((s[k] for s in sources if type(s.get(k)) is int and s[k] > 0), 0) for k in ("width", "height")
    )
    count, fps = plausible(video.get("length")), plausible(video.get("fps"))
    name = video.get("name") or video.get("file_name") or str(path)
    return VideoInfo(printable(str(name)), width, height, fps or ASSUMED_FPS, int(count)), fps > 0
