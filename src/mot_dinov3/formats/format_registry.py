"""Every format of boxes and tracks by name: recognised, read, written, and what it has no room for.

What all of them become, and are made from, is `RecordedDetections`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from mot_dinov3.core.errors import FormatError, UsageError, unknown_name
from mot_dinov3.core.json_text import check_file, read_object, write_document
from mot_dinov3.core.structures import Detections, Frame, ModelInfo
from mot_dinov3.formats import coco, cvat, cvat_writer, det_v1, motchallenge, track_v1, tracks_csv, yolo_labels
from mot_dinov3.formats.recorded_detections import RecordedDetections
from mot_dinov3.formats.rows import Hints, frame_numbers, picture_size

HEAD = 1 << 16  # bytes of a file by which its format is told
_COLUMNS = {"bbox", "xyxy", "score", "conf", "class_id", "class", "class_name", "det_ind", *track_v1.OURS}
_EVERYTHING = frozenset(("tracks", "loose", "classes", "names", "gallery", "coasted", "video"))


@dataclasses.dataclass(frozen=True)
class Format:
    """How a format is read and written.

    Attributes:
        read: Takes a path and what the user knows; raises `FormatError` that names file and place.
        write: Takes the path, what to write, and ``created``, the time, ISO 8601.
        room: What it can hold beside boxes and scores: ``tracks``, ``loose`` (boxes without a track), ``classes``,
            ``names`` (of classes), ``gallery`` (known identities), ``sure`` (how sure these are), ``coasted`` (which
            boxes are predicted), ``video`` (size and frame rate), ``keys`` (a detection's other keys), and which boxes:
            ``detected``, or ``both`` a detected one and its track's; neither means the track's.
        endings: Of files that are in no other format.
        holds: For a format that is a folder, whether a file in it, by its path there, is of the format; else None.
    """

    read: Callable[[Path, Hints], RecordedDetections]
    write: Callable[[Path, RecordedDetections, str], None]
    room: frozenset[str]
    endings: tuple[str, ...] = ()
    holds: Callable[[Path], bool] | None = None


def _write_mot(path: Path, recorded: RecordedDetections, created: str) -> None:
    tracked = any((rows.track_id >= 0).any() for rows in recorded.frames.values())
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for frame, rows in sorted(recorded.frames.items()):
            if tracked:
                file.writelines(line + "\n" for line in motchallenge.mot_rows(frame, rows))
            else:
                pairs = zip(rows.xyxy, rows.score.tolist())
                file.writelines(motchallenge.mot_row(frame, -1, box, score) + "\n" for box, score in pairs)


def _write_csv(path: Path, recorded: RecordedDetections, created: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(tracks_csv.csv_line(tracks_csv.TRACK_COLUMNS))
        for index, rows in sorted(recorded.frames.items()):
            frame = Frame(index, index / recorded.video.fps)
            file.writelines(map(tracks_csv.csv_line, tracks_csv.track_rows(frame, rows, recorded.names)))


def _det_header(recorded: RecordedDetections) -> dict[str, object]:
    made = det_v1.det_v1_header(recorded.video, ModelInfo("imported", recorded.path))
    return made | {key: value for key, value in recorded.header.items() if key != "video"}


def _write_det_v1(path: Path, recorded: RecordedDetections, created: str) -> None:
    def records() -> Iterator[Mapping[str, object]]:
        for index in frame_numbers(recorded.frames):
            rows = track_v1.without_tracks(recorded.frames.get(index, Detections.empty()))
            yield det_v1.det_v1_frame(index, rows, recorded.names)

    with path.open("w", encoding="utf-8", newline="\n") as file:
        write_document(file, _det_header(recorded), records())


def _write_track_v1(path: Path, recorded: RecordedDetections, created: str) -> None:
    header = track_v1.track_v1_header(
        carried=_det_header(recorded), created_at_utc=created, tracker=track_v1.tracker_block("imported", {})
    )
    frames = (
        track_v1.track_v1_frame(index, recorded.frames.get(index, Detections.empty()), recorded.names)
        for index in frame_numbers(recorded.frames)
    )
    with path.open("w", encoding="utf-8", newline="\n") as file:
        write_document(file, header, frames)


def _named(read: Callable[[Path], RecordedDetections]) -> Callable[[Path, Hints], RecordedDetections]:
    """Return the reader of a format whose classes are numbers: the user's names are added to its own."""

    def reader(path: Path, hints: Hints) -> RecordedDetections:
        found = read(path)
        return dataclasses.replace(found, names={**found.names, **hints.names})

    return reader


FORMATS: Mapping[str, Format] = {
    "motchallenge": Format(_named(motchallenge.read_recorded), _write_mot, frozenset(("tracks",)), (".txt",)),
    "det-v1": Format(
        _named(det_v1.read_det_v1), _write_det_v1, frozenset(("loose", "classes", "names", "video", "keys", "detected"))
    ),
    "track-v1": Format(_named(track_v1.read_track_v1), _write_track_v1, _EVERYTHING | {"both", "keys", "sure"}),
    "coco": Format(coco.read_coco, coco.write_coco, _EVERYTHING),
    "cvat": Format(cvat.read_cvat, cvat_writer.write_cvat, _EVERYTHING, (".xml",)),
    "yolo": Format(
        yolo_labels.read_yolo,
        yolo_labels.write_yolo,
        frozenset(("tracks", "loose", "classes", "names", "video")),
        holds=yolo_labels.holds,
    ),
    "csv": Format(
        _named(tracks_csv.read_table),
        _write_csv,
        frozenset(("tracks", "classes", "names", "gallery", "sure", "coasted")),
        (".csv",),
    ),
}


def recognise(path: Path) -> str:
    """Return the name of the format that a file or folder is in.

    Raises:
        FormatError: It is in none of them, or does not exist.
    """
    if path.is_dir():
        if yolo_labels.is_yolo(path):
            return "yolo"
        raise FormatError(
            f"'{path}' is a folder without labels", remedy="name a file in it, or a folder of YOLO labels"
        )
    check_file(path)
    with path.open("rb") as file:
        head = file.read(HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:1] in (b"{", b"[") or path.suffix.lower() == ".json":
        return _json_format(path, head)
    if head[:1] == b"<" or path.suffix.lower() == ".xml":
        return "cvat"
    if head[:4] == b"PK\x03\x04":
        raise FormatError(f"'{path}' is a ZIP archive", remedy="unpack it, and give the annotations in it")
    first = head.split(b"\n", 1)[0]
    if b"track_id" in first and b"frame" in first:
        return "csv"
    return "motchallenge"


def _json_format(path: Path, head: bytes) -> str:
    """Return the name of a JSON file's format: by its beginning where that tells, else by all its keys."""
    schema = re.search(rb'"schema_version"\s*:\s*"([a-z0-9-]+)"', head)
    if schema and schema[1].decode() in ("det-v1", "track-v1"):
        return schema[1].decode()
    if re.search(rb'"(?:images|annotations)"\s*:\s*\[', head):
        return "coco"
    document = read_object(path)
    if {"images", "annotations"} & document.keys():
        return "coco"
    if document.get("schema_version") in ("det-v1", "track-v1"):
        return str(document["schema_version"])
    if "frames" in document:  # det-v1 without its name: its reader says what is missing
        return "det-v1"
    raise FormatError(
        f"'{path}' is JSON of none of the formats", remedy=f"--from says which: {', '.join(sorted(FORMATS))}"
    )


def format_of_output(path: Path) -> str:
    """Return the name of the format that a file to be written should be in, by its ending.

    Raises:
        UsageError: The ending fits several, or none.
    """
    fitting = [name for name, known in FORMATS.items() if path.suffix.lower() in known.endings]
    if len(fitting) == 1:
        return fitting[0]
    names = [n for n, known in FORMATS.items() if not known.endings and (known.holds is not None) == (not path.suffix)]
    raise UsageError(
        f"'{path}' does not tell which format it should have", remedy=f"--to says which: {', '.join(names or FORMATS)}"
    )


def read_any(path: Path, hints: Hints | None = None, *, name: str | None = None) -> RecordedDetections:
    """Read a file in the format of that `name`, or in the one that it is recognised to have.

    Raises:
        FormatError: It breaks the format; the message names file and place.
        UnknownNameError: There is no format of that name.
    """
    name = name or recognise(path)
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS)
    hints = hints or Hints()
    found = FORMATS[name].read(path, hints)
    width, height = picture_size(path, found.video.width, found.video.height, hints)
    for index, rows in found.frames.items():
        ids, times = np.unique(rows.track_id[rows.track_id >= 0], return_counts=True)
        if (times > 1).any():
            raise FormatError(
                f"'{path}', frame {index}: track_id {ids[times > 1][0]} occurs twice", remedy="keep one of them"
            )
    return dataclasses.replace(found, video=dataclasses.replace(found.video, width=width, height=height))


def shown(recorded: RecordedDetections) -> RecordedDetections:
    """Return the same with the tracks' smoothed boxes in place of the detected ones, for formats with one box a row."""
    frames = {
        index: rows if rows.track_xyxy is None else rows.replace(xyxy=rows.track_xyxy, track_xyxy=None)
        for index, rows in recorded.frames.items()
    }
    return dataclasses.replace(recorded, frames=frames)


def losses(recorded: RecordedDetections, name: str) -> list[str]:
    """Return what the format of that `name` has no room for, each counted; empty where it holds everything."""
    room, frames = FORMATS[name].room, recorded.frames.values()
    tracked = _count(frames, lambda rows: rows.track_id >= 0)
    counts = {
        "tracks": ("the tracks of {} boxes", tracked),
        "loose": ("{} boxes without a track, left out", _count(frames, lambda rows: rows.track_id < 0)),
        "classes": ("the classes of {} boxes", _count(frames, lambda rows: rows.class_id >= 0)),
        "names": ("the names of {} classes", len(recorded.names)),
        "gallery": ("the known identities of {} boxes", _count(frames, _are_named)),
        "sure": ("how sure {} known identities are", _count(frames, lambda rows: np.isfinite(rows.gallery_distance))),
        "coasted": ("the mark of {} predicted boxes", _count(frames, lambda rows: rows.coasted)),
        "video": ("frame rate and size of the video", int(recorded.fps_known or recorded.video.width > 0)),
        "both": ("the detected boxes of {} tracked ones, whose smoothed ones are written", _count(frames, _differ)),
        "keys": ("further keys of {} detections", _count(frames, _have_keys)),
    }
    if name == "motchallenge" and not tracked:
        counts.pop("loose")
    if "gallery" not in room:
        counts.pop("sure")
    if "detected" in room:
        counts.pop("both")
    if name == "det-v1":  # it has no box where nothing was detected
        counts["coasted"] = ("{} predicted boxes, left out", counts["coasted"][1])
    lost = [text.format(count) for kind, (text, count) in counts.items() if kind not in room and count]
    if name == "yolo" and (bare := _count(frames, lambda rows: rows.class_id < 0)):
        lost.append(f"{bare} boxes without a class, written as class 0")
    if name == "cvat" and (changed := cvat_writer.class_losses(recorded.frames)):
        lost.append(f"the classes of {changed} boxes that differ from their track's")
    return lost


def _count(frames: Iterable[Detections], which: Callable[[Detections], np.ndarray]) -> int:
    return sum(int(np.count_nonzero(which(rows))) for rows in frames)


def _are_named(rows: Detections) -> np.ndarray:
    return np.array([name is not None for name in rows.gallery_id], np.bool_)


def _differ(rows: Detections) -> np.ndarray:
    if rows.track_xyxy is None:
        return np.zeros(len(rows), np.bool_)
    return (rows.track_xyxy != rows.xyxy).any(1)


def _have_keys(rows: Detections) -> np.ndarray:
    return np.array([record is not None and bool(record.keys() - _COLUMNS) for record in rows.extra], np.bool_)
