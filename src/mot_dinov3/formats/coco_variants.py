"""Other layouts of COCO's family as COCO-style video JSON: lists of results, and YouTube-VIS.

Results (https://cocodataset.org/#format-results) are a list of ``image_id``, ``category_id``, ``bbox``, ``score``, in
TAO with ``track_id`` and ``video_id``; Ultralytics' ``predictions.json`` adds ``file_name``, and its image ids may be
the images' names. YouTube-VIS (https://youtube-vos.org/dataset/vis) has no images, but videos with ``file_names``, and
annotations that are tracks, with a box or null for every frame in ``bboxes``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import FormatError, UsageError
from mot_dinov3.core.json_text import kind_of
from mot_dinov3.formats.class_names import UNNAMED

_SIZE = ("width", "height")


def as_coco(path: Path, document: dict[str, Any] | list[Any]) -> dict[str, Any]:
    """Return a document with images, annotations and categories.

    Raises:
        FormatError: It is in none of the layouts; the message names the record.
    """
    if isinstance(document, list):
        if not document:
            raise FormatError(f"'{path}' contains a JSON list, not an object", remedy="results have a record per box")
        return _from_results(path, document)
    videos = document.get("videos")
    if "images" not in document and isinstance(videos, list) and any("file_names" in v for v in _objects(videos)):
        return _from_youtube_vis(path, document)
    return document


def chosen_video(path: Path, document: Mapping[str, Any], wanted: str) -> Mapping[str, Any] | None:
    """Return the record of the video to read, by id or name; of the only one by default; None where there is none.

    Raises:
        FormatError: There are several.
        UsageError: There is none of that id or name.
    """
    given = document.get("videos")
    videos = list(_objects(given if isinstance(given, list) else []))
    images = document.get("images")
    ids = [image.get("video_id") for image in _objects(images if isinstance(images, list) else [])]
    if not videos:  # of a file that only numbers them
        videos = [{"id": key} for key in dict.fromkeys(key for key in ids if type(key) in (int, str))]
    known = [video.get("id") for video in videos]
    for place, key in enumerate(ids):
        if (key is not None and key not in known) or (key is None and len(videos) > 1):
            of = f"'{path}', images, record {place}"
            raise FormatError(f"{of}: belongs to video {key!r:.40}, which is not listed in 'videos'")
    if not wanted and len(videos) < 2:
        return videos[0] if videos else None
    listed = ", ".join(f"{video.get('id')} ('{video.get('name') or video.get('file_name') or ''}')" for video in videos)
    if not wanted:
        raise FormatError(
            f"'{path}' holds {len(videos)} videos", remedy=f"choose one with --video-id of convert: {listed[:500]}"
        )
    found = [video for video in videos if str(video.get("id")) == wanted]
    found = found or [video for video in videos if wanted in (video.get("name"), video.get("file_name"))]
    if len(found) != 1:
        raise UsageError(f"'{path}' has no single video '{wanted}'", remedy=f"its videos are {listed[:500] or 'none'}")
    return found[0]


def _objects(records: list[Any]) -> Iterator[Mapping[str, Any]]:
    return (record for record in records if isinstance(record, dict))


def _from_results(path: Path, records: list[Any]) -> dict[str, Any]:
    images: dict[object, dict[str, Any]] = {}
    categories: dict[object, dict[str, Any]] = {}
    annotations = []
    for place, record in enumerate(records):
        where = f"'{path}', record {place}"
        if not isinstance(record, dict):
            raise FormatError(f"{where}: must be an object, not a {kind_of(record)}")
        key, category = record.get("image_id"), record.get("category_id")
        if type(key) not in (int, str):
            raise FormatError(
                f"{where}: has no image_id",
                remedy="results in COCO's format have image_id, category_id, bbox and score",
            )
        if "bbox" not in record and ("segmentation" in record or "segmentations" in record):
            raise FormatError(f"{where}: has a mask, but no bbox", remedy="export the boxes, too")
        name = record.get("file_name")
        image = {"id": key, "file_name": name if isinstance(name, str) and name else f"{key}.jpg"}
        images.setdefault(key, image | {k: record[k] for k in ("video_id",) if k in record})
        if category is None:
            categories[UNNAMED] = {"id": 0, "name": UNNAMED, "class_id": -1}
        elif type(category) is int:
            label = record.get("category_name")
            categories.setdefault(
                category, {"id": category, "name": label if isinstance(label, str) else str(category)}
            )
        annotations.append({**record, "category_id": 0 if category is None else category})
    if UNNAMED in categories and len(categories) > 1:
        raise FormatError(f"'{path}': only some records have a category_id", remedy="give all of them one, or none")
    return {"images": list(images.values()), "annotations": annotations, "categories": list(categories.values())}


def _from_youtube_vis(path: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    images = []
    for place, video in enumerate(_objects(document["videos"])):
        names = video.get("file_names")
        if not isinstance(names, list) or type(video.get("id")) not in (int, str):
            raise FormatError(f"'{path}', videos, record {place}: needs an id and file_names")
        size = {key: video[key] for key in _SIZE if key in video}
        images += [
            {"id": f"{video['id']}/{index}", "video_id": video["id"], "frame_id": index, "file_name": name, **size}
            for index, name in enumerate(names)
        ]
    given = document.get("annotations")
    annotations = []
    for place, track in enumerate(given if isinstance(given, list) else []):
        if not isinstance(track, dict) or not isinstance(track.get("bboxes"), list):
            raise FormatError(
                f"'{path}', annotation {place}: has no 'bboxes'",
                remedy="YouTube-VIS annotations have a box or null for every frame; masks alone are not read",
            )
        shared = {key: value for key, value in track.items() if key not in ("bboxes", "segmentations", "areas", "id")}
        annotations += [
            {**shared, "image_id": f"{track.get('video_id')}/{index}", "track_id": track.get("id"), "bbox": box}
            for index, box in enumerate(track["bboxes"])
            if box is not None
        ]
    return {**document, "images": images, "annotations": annotations}
