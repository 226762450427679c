"""Registry of the formats of boxes and tracks: how each is detected, read and written, and which fields it keeps.

All of them are read into, and written from, `RecordedDetections`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.errors import FormatError, UsageError, unknown_name
from mot_dinov3.core.json_text import LINES_SUFFIXES, is_lines, read_json, write_document
from mot_dinov3.core.structures import Detections, Frame, ModelInfo
from mot_dinov3.core.text_files import check_file, open_utf8, plain_suffix, reading
from mot_dinov3.formats import (
    coco,
    coco_writer,
    cvat,
    cvat_writer,
    det_v1,
    motchallenge,
    shape_keys,
    text_tables,
    track_v1,
    tracks_csv,
    yolo_folders,
    yolo_labels,
)
from mot_dinov3.formats.det_v1_writer import det_v1_frame, det_v1_header, with_time
from mot_dinov3.formats.json_lists import list_format
from mot_dinov3.formats.recorded_detections import ReadOptions, RecordedDetections, frame_numbers, image_size

HEAD_BYTES = 1 << 16  # of a file, by which its format is detected
_JSON_SUFFIXES = (".json", *LINES_SUFFIXES)
_NEVER_EMPTY = (".json", ".xml", ".csv")  # suffixes of files that have a header even where nothing was found
_COMMON_FIELDS = frozenset(("tracks", "untracked", "classes", "names", "gallery", "coasted", "video"))


@dataclasses.dataclass(frozen=True)
class FileFormat:
    """Reader, writer and fields of a format.

    Attributes:
        read: Takes a path and the user's options; raises a `FormatError` that names file and position.
        write: Takes the path, the detections, and the time of writing, ISO 8601.
        fields: Fields beside boxes and scores: ``tracks``, ``untracked`` (boxes without a track), ``classes``,
            ``names`` (of classes), ``gallery`` (known identities), ``confidence`` (of these), ``coasted`` (which boxes
            are predicted), ``video`` (size and frame rate), ``keys`` (a detection's other keys), and which boxes:
            ``detected`` ones, or ``both`` a detected one and its track's; neither means the track's.
        shapes: The keys of det-v1 for more than a box that it keeps, where it does not keep all ``keys``.
        suffixes: Of files that are in no other format.
        is_member: For a format that is a folder, whether it has a file of this relative path; else None.
    """

    read: Callable[[Path, ReadOptions], RecordedDetections]
    write: Callable[[Path, RecordedDetections, str], None]
    fields: frozenset[str]
    suffixes: tuple[str, ...] = ()
    shapes: frozenset[str] = frozenset()
    is_member: Callable[[Path], bool] | None = None


def _write_mot(path: Path, recorded: RecordedDetections, created: str) -> None:
    untracked = not has_tracks(recorded)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for frame, rows in sorted(recorded.frames.items()):
            file.writelines(line + "\n" for line in motchallenge.mot_rows(frame, rows, untracked=untracked))


def has_tracks(recorded: RecordedDetections) -> bool:
    """Return whether any box belongs to a track."""
    return any((rows.track_id >= 0).any() for rows in recorded.frames.values())


def _write_csv(path: Path, recorded: RecordedDetections, created: str) -> None:
    untracked = not has_tracks(recorded)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(tracks_csv.csv_line(tracks_csv.TRACK_COLUMNS))
        for index, rows in sorted(recorded.frames.items()):
            frame = Frame(index, recorded.times.get(index, index / recorded.video.fps))
            file.writelines(
                map(tracks_csv.csv_line, tracks_csv.track_rows(frame, rows, recorded.names, untracked=untracked))
            )


def _listed(recorded: RecordedDetections) -> Iterator[tuple[int, Detections]]:
    """Yield the frames to list, empty ones between those with a record included."""
    return ((index, recorded.frames.get(index, Detections.empty())) for index in frame_numbers(recorded.frames))


def det_header(recorded: RecordedDetections) -> dict[str, object]:
    """Return the det-v1 header of detections from any format, which track-v1 takes over."""
    made = det_v1_header(recorded.video, ModelInfo("imported", recorded.path))
    return made | {key: value for key, value in recorded.header.items() if key != "video"}


def _write_det_v1(path: Path, recorded: RecordedDetections, created: str) -> None:
    records = (det_v1_frame(index, track_v1.without_tracks(rows), recorded.names) for index, rows in _listed(recorded))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        write_document(file, det_header(recorded), _timed(records, recorded))


def _write_track_v1(path: Path, recorded: RecordedDetections, created: str) -> None:
    header = track_v1.track_v1_header(
        source_header=det_header(recorded), created_at_utc=created, tracker=track_v1.tracker_block("imported", {})
    )
    records = (track_v1.track_v1_frame(index, rows, recorded.names) for index, rows in _listed(recorded))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        write_document(file, header, _timed(records, recorded))


def _timed(records: Iterable[Mapping[str, Any]], recorded: RecordedDetections) -> Iterator[Mapping[str, Any]]:
    """Yield the records with the times that the detections have."""
    for record in records:
        time = recorded.times.get(record["frame"])
        yield record if time is None else with_time(record, time)


def _with_names(read: Callable[..., RecordedDetections]) -> Callable[[Path, ReadOptions], RecordedDetections]:
    """Return the reader of a format with class numbers, which adds the user's class names to those of the file."""

    def reader(path: Path, options: ReadOptions) -> RecordedDetections:
        found = read(path, strict=options.strict)
        return dataclasses.replace(found, names={**found.names, **options.names})

    return reader


def _read_mot(path: Path, options: ReadOptions) -> RecordedDetections:
    found = motchallenge.read_motchallenge(path, strict=options.strict)
    listed, given = list(motchallenge.labels_beside(path).values()), options.names
    # CVAT's labels.txt counts from 1, whether it is found beside the file or given
    if given and (options.names_file == motchallenge.LABELS or list(given.values()) == listed):
        given = {number + 1: name for number, name in given.items()}
    first = int(bool(listed or options.names_file == motchallenge.LABELS))
    return dataclasses.replace(found, names={**found.names, **given}, first_class=first)


FORMATS: Mapping[str, FileFormat] = {
    "motchallenge": FileFormat(_read_mot, _write_mot, frozenset(("tracks",)), (".txt",)),
    "det-v1": FileFormat(
        _with_names(det_v1.read_det_v1),
        _write_det_v1,
        frozenset(("untracked", "classes", "names", "video", "keys", "detected")),
    ),
    "track-v1": FileFormat(
        _with_names(track_v1.read_track_v1), _write_track_v1, _COMMON_FIELDS | {"both", "keys", "confidence"}
    ),
    "coco": FileFormat(
        coco.read_coco,
        coco_writer.write_coco,
        _COMMON_FIELDS,
        shapes=frozenset((shape_keys.KEYPOINTS, shape_keys.SEGMENTS)),
    ),
    "cvat": FileFormat(
        cvat.read_cvat,
        cvat_writer.write_cvat,
        _COMMON_FIELDS,
        (".xml",),
        shapes=frozenset((shape_keys.OBB, shape_keys.OCCLUDED, shape_keys.ATTRIBUTES)),
    ),
    "yolo": FileFormat(
        yolo_labels.read_yolo,
        yolo_labels.write_yolo,
        frozenset(("tracks", "untracked", "classes", "names", "video")),
        is_member=yolo_labels.is_member,
    ),
    "csv": FileFormat(
        tracks_csv.read_tracks_csv,
        _write_csv,
        frozenset(("tracks", "classes", "names", "gallery", "confidence", "coasted")),
        (".csv",),
    ),
}


def detect_format(path: Path) -> str:
    """Return the name of the format of a file or folder, detected from its content.

    Raises:
        FormatError: It is in none of them, or does not exist.
    """
    if path.is_dir():
        if yolo_folders.is_label_folder(path):
            return "yolo"
        raise FormatError(
            f"'{path}' is a folder without labels", remedy="name a file in it, or a folder of YOLO labels"
        )
    suffix = plain_suffix(path)
    if suffix not in _NEVER_EMPTY and motchallenge.is_empty(path):
        return "motchallenge"
    check_file(path)
    with reading(path), open_utf8(path) as file:
        head = file.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:1] in (b"{", b"[") or suffix in _JSON_SUFFIXES:
        return _json_format(path, head)
    if head[:1] == b"<" or suffix == ".xml":
        return "cvat"
    if head[:4] == b"PK\x03\x04":
        raise FormatError(f"'{path}' is a ZIP archive", remedy="unpack it, and give the annotations in it")
    return "csv" if text_tables.is_table(head.decode("utf-8", "replace"), suffix) else "motchallenge"


def _json_format(path: Path, head: bytes) -> str:
    """Return the name of a JSON file's format: from its beginning where that is enough, else from all its keys."""
    if head[:1] == b"[" or plain_suffix(path) in LINES_SUFFIXES or is_lines(head.decode("utf-8", "replace")):
        document = read_json(path)
        return list_format(path, document) if isinstance(document, list) else "det-v1"
    schema = re.search(rb'"schema_version"\s*:\s*"([a-z0-9-]+)"', head)
    if schema and schema[1].decode() in ("det-v1", "track-v1"):
        return schema[1].decode()
    if re.search(rb'"(?:images|annotations)"\s*:\s*\[', head):
        return "coco"
    document = read_json(path)
    if isinstance(document, list):  # JSON Lines whose first one is longer than the head
        return list_format(path, document)
    if {"images", "annotations"} & document.keys():
        return "coco"
    if document.get("schema_version") in ("det-v1", "track-v1"):
        return str(document["schema_version"])
    if "frames" in document:  # det-v1 without its schema_version: its reader reports what is missing
        return "det-v1"
    raise FormatError(
        f"'{path}' is JSON of an unknown format: its keys are {', '.join(document)[:100] or 'none'}",
        remedy="export it as COCO, CVAT for video 1.1, YOLO or MOTChallenge text\n"
        f"if it is in a format of convert, specify it with --from: {', '.join(sorted(FORMATS))}",
    )


def format_of_output(path: Path) -> str:
    """Return the name of the format of a file to be written, by its suffix.

    Raises:
        UsageError: The suffix fits several, or none.
    """
    fitting = [name for name, known in FORMATS.items() if path.suffix.lower() in known.suffixes]
    if len(fitting) == 1:
        return fitting[0]
    names = [
        name
        for name, known in FORMATS.items()
        if not known.suffixes and (known.is_member is not None) == (not path.suffix)
    ]
    raise UsageError(
        f"the format of '{path}' is not clear from its name",
        remedy=f"specify it with --to: {', '.join(names or FORMATS)}",
    )


def read_any(path: Path, options: ReadOptions | None = None, *, name: str | None = None) -> RecordedDetections:
    """Read a file in the format `name`, or in the one detected from its content.

    Raises:
        FormatError: It breaks the format; the message names file and position.
        UnknownNameError: There is no format of that name.
        UsageError: A task or video was chosen of a file that has none.
    """
    name = name or detect_format(path)
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS)
    options = options or ReadOptions()
    for flag, given, of in (("--task", options.task, ("cvat",)), ("--video-id", options.video_id, ("coco", "csv"))):
        if given and name not in of:
            kinds = " and ".join(of)
            raise UsageError(
                f"{flag} is for files of the format {kinds}, and '{path}' is {name}", remedy="leave it out"
            )
    found = FORMATS[name].read(path, options)
    width, height = image_size(path, found.video.width, found.video.height, options)
    for index, rows in found.frames.items():
        ids, times = np.unique(rows.track_id[rows.track_id >= 0], return_counts=True)
        if (times > 1).any():
            raise FormatError(
                f"'{path}', frame {index}: track_id {ids[times > 1][0]} occurs twice", remedy="keep one of them"
            )
    return dataclasses.replace(found, video=dataclasses.replace(found.video, width=width, height=height))


def read_recorded(path: str | Path, options: ReadOptions | None = None) -> RecordedDetections:
    """Read the boxes of a file in any of the `FORMATS`, without their tracks; `options` are those of the source.

    Raises:
        FormatError: The file breaks its format.
    """
    path, options = Path(path), options or ReadOptions()
    name = detect_format(path)
    if name == "motchallenge":
        return motchallenge.read_detections(path, strict=options.strict)
    if name == "det-v1":
        return det_v1.read_det_v1(path, strict=options.strict)
    found = read_any(path, options, name=name)
    frames = {index: track_v1.without_tracks(rows) for index, rows in found.frames.items()}
    return dataclasses.replace(found, frames=frames)


def with_track_boxes(recorded: RecordedDetections) -> RecordedDetections:
    """Return the tracks' smoothed boxes in place of the detected ones, for formats with one box per row."""
    frames = {index: rows.with_track_boxes() for index, rows in recorded.frames.items()}
    return dataclasses.replace(recorded, frames=frames)
