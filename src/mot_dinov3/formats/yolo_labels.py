"""YOLO labels: one text file per frame, ``class cx cy w h [score] [track]``, relative to the image size.

The format of Ultralytics' ``save_txt`` (https://docs.ultralytics.com/datasets/detect): ``labels/<stem>_<frame>.txt``,
frames from 1, and no file for a frame without boxes. ``data.yaml`` beside ``labels/`` names the classes; one that this
program writes also gives size, frame rate and the number of the first frame, which Ultralytics does not read; the
frames of other folders follow `frame_names`. Six numbers a line are ambiguous: the sixth is a track where all of a
folder are whole and none comes twice in a frame, else a score.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_FRAME, printable, read_lines, read_text, shortest_floats
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.class_names import MAX_CLASS, read_class_names, read_yaml, yaml_names
from mot_dinov3.formats.frame_names import NamedFrames, frames_of_names, number_in
from mot_dinov3.formats.recorded_detections import ASSUMED_FPS, ReadOptions, RecordedDetections, image_size, plausible
from mot_dinov3.formats.rows import LeftOut, Row, RowCollector, parse_number, parse_whole

LABELS, IMAGES = "labels", "images"
DATA = "data.yaml"
FIRST = "first_frame"
"""Key of ``data.yaml`` for the number of frame 0 in the names of the label files."""
MAX_FILES = 2_000_000
MAX_DATA = 1 << 20  # bytes
_NAME_FILES = (DATA, "data.yml", "classes.txt", "obj.names")
_NUMBERED = re.compile(r"(?:.*[^0-9])?([0-9]{1,9})\.txt")
_LAYOUT = (
    "each line is: class, centre x and y, width, height, all but the class from 0 to 1; then a score, a track or both"
)


@dataclasses.dataclass(frozen=True)
class _Line:
    """One line, its numbers as text: the meaning of the sixth is only known when all lines have been read."""

    path: Path
    number: int
    fields: tuple[str, ...]


def read_yolo(folder: Path, options: ReadOptions) -> RecordedDetections:
    """Read a folder of labels, or one that has them in ``labels/``.

    Raises:
        FormatError: It is no such folder, a line breaks the format, or the size of the images is unknown; the message
            names file and line.
    """
    files = _files(folder)
    data = _data(folder)
    named = _frames(folder, files, data, options)
    width, height = image_size(folder, _whole(data, "width"), _whole(data, "height"), options)
    if files and not (width and height):
        raise FormatError(
            f"'{folder}' does not give the size of the images, to which its boxes are relative",
            remedy="give --size WxH or --video FILE to: mot-dinov3 convert",
        )
    # all lines first: only together do they tell what the sixth number is
    lines = {frame: list(_lines(path)) for frame, path in sorted(zip(named.numbers, files))}
    tracks = _sixth_is_track(lines)
    rows, left_out = RowCollector(), LeftOut(folder, strict=options.strict)
    for frame, of_frame in lines.items():
        for line in of_frame:
            with left_out.checked(f"'{line.path}', line {line.number}"):
                rows.add(frame, _row(line.fields, tracks, (width, height)))
    fps, name = plausible(data.get("fps")), data.get("video")
    video = VideoInfo(printable(name) if isinstance(name, str) else str(folder), width, height, fps or ASSUMED_FPS)
    names = dict(options.names) or data["names"]
    notices = (*filter(None, [named.notice]), *left_out.notices())
    return RecordedDetections(
        str(folder), rows.frames(), video, fps > 0, names, notices=notices, by_number=named.by_number
    )


def is_label_folder(folder: Path) -> bool:
    """Return whether a folder contains text files like labels, or is that of a run that found nothing."""
    return _is_result(folder) or any(True for _ in folder.glob("*.txt"))


def _is_result(folder: Path) -> bool:
    """Return whether a folder has the layout of written labels, where a frame without boxes has no file."""
    return (folder / LABELS).is_dir() or (folder.name == LABELS and folder.is_dir())


def is_member(inner: Path) -> bool:
    """Return whether `write_yolo` writes a file of this path in its folder."""
    return inner == Path(DATA) or (inner.parent == Path(LABELS) and _NUMBERED.fullmatch(inner.name) is not None)


def _files(folder: Path) -> list[Path]:
    """Return the files of labels by name."""
    if not folder.is_dir():
        raise FormatError(f"'{folder}' is not a folder", remedy="give the folder of the labels")
    inner = folder / LABELS
    place = inner if inner.is_dir() else folder
    root = folder.resolve()
    with os.scandir(place) as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith(".txt") and entry.name not in _NAME_FILES)
    if not names and not _is_result(folder):
        raise FormatError(
            f"'{place}' contains no labels, <name>_<frame>.txt", remedy="give the folder that contains them"
        )
    if len(names) > MAX_FILES:
        raise FormatError(f"'{place}' holds {len(names)} files, more than {MAX_FILES}")
    for name in names:
        if not (place / name).resolve().is_relative_to(root):
            raise FormatError(f"'{place / name}' is a link that leads out of '{folder}'", remedy="copy the file itself")
    return [place / name for name in names]


def _frames(folder: Path, files: list[Path], data: Mapping[str, Any], options: ReadOptions) -> NamedFrames:
    """Return the frame of each file; a folder that this program wrote gives the number of its first frame."""
    names = [path.name for path in files]
    first = data.get(FIRST)
    numbers = [number_in(path.stem) for path in files]
    if type(first) is int and not options.images and all(n is not None and n >= first for n in numbers):
        return NamedFrames(tuple(n - first for n in numbers if n is not None))
    place = files[0].parent if files else folder
    parts = place.parts
    at = max((i for i, part in enumerate(parts) if part == LABELS), default=None)
    twins = [] if at is None else [Path(*parts[:at], IMAGES, *parts[at + 1 :])]
    return frames_of_names(folder, names, options, [*twins, place / IMAGES, place.parent / IMAGES, place])


def _data(folder: Path) -> dict[str, Any]:
    """Return the description beside the labels, ``data.yaml`` or a list of names; paths in it are not followed."""
    for place in (folder, folder.parent) if folder.name == LABELS else (folder,):
        for name in _NAME_FILES:
            path = place / name
            if not path.is_file():
                continue
            if path.suffix not in (".yaml", ".yml"):
                return {"names": read_class_names(path)}
            document = read_yaml(path, read_text(path, largest=MAX_DATA))
            named = {number: name for number, name in yaml_names(document, path).items() if name != str(number)}
            return document | {"names": named}
    return {"names": {}}


def _whole(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    return value if type(value) is int and 0 < value <= MAX_FRAME else 0


def _lines(path: Path) -> Iterator[_Line]:
    if path.stat().st_size == 0:
        return
    for number, text in read_lines(path):
        line = _Line(path, number, tuple(text.split()))
        if not 5 <= len(line.fields) <= 7:
            _fail(line, f"has {len(line.fields)} numbers, not 5 to 7", _LAYOUT)
        yield line


def _fail(line: _Line, message: str, remedy: str) -> NoReturn:
    raise FormatError(f"'{line.path}', line {line.number}: {message}", remedy=remedy)


def _sixth_is_track(lines: Mapping[int, list[_Line]]) -> bool:
    """Return whether a line of six numbers ends in a track: all are whole, and no two of a frame the same."""
    if any(len(line.fields) == 7 for of_frame in lines.values() for line in of_frame):
        return False
    for of_frame in lines.values():
        sixth = [line.fields[5] for line in of_frame if len(line.fields) == 6]
        if not all(text.isascii() and text.isdigit() for text in sixth) or len(set(sixth)) < len(sixth):
            return False
    return True


def _row(fields: tuple[str, ...], tracks: bool, size: tuple[int, int]) -> Row:
    class_id = parse_whole(fields[0], "the class")
    if class_id > MAX_CLASS:
        raise ValueError(f"the class {class_id} is too large")
    cx, cy, w, h = (parse_number(text, name) for text, name in zip(fields[1:5], ("cx", "cy", "w", "h")))
    if max(abs(cx), abs(cy), w, h) > 10:
        raise ValueError("its box is in pixels, not relative to the image size")
    has_track = len(fields) == 7 or (len(fields) == 6 and tracks)
    score = parse_number(fields[5], "the score") if len(fields) - has_track == 6 else 1.0
    width, height = size
    box = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
    return Row(box, score, class_id, parse_whole(fields[-1], "the track") if has_track else -1)


def write_yolo(folder: Path, recorded: RecordedDetections, created: str) -> None:
    """Write the boxes of `Detections.xyxy` into ``labels/`` in an empty folder, with a ``data.yaml``.

    `created` is the time of writing, ISO 8601.

    Raises:
        FormatError: The size of the images is unknown.
    """
    import yaml

    video = recorded.video
    if not video.width or not video.height:
        raise FormatError(
            f"'{recorded.path}' does not give the size of the images, to which YOLO's boxes are relative",
            remedy="give --size WxH or --video FILE",
        )
    labels = folder / LABELS
    labels.mkdir()
    stem = safe_stem(video.path)
    present = {max(int(c), 0) for rows in recorded.frames.values() for c in rows.class_id}
    names = {number: recorded.names.get(number) or str(number) for number in sorted(present | {*recorded.names})}
    data: dict[str, Any] = {"path": ".", "train": LABELS, "val": LABELS, "names": names}
    data |= {"video": video.path, "width": video.width, "height": video.height, "created": created}
    data[FIRST] = 1
    data |= {"fps": float(video.fps)} if recorded.fps_known else {}
    (folder / DATA).write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
    for frame, rows in recorded.frames.items():
        if len(rows):
            text = "".join(_line(rows, row, (video.width, video.height)) for row in range(len(rows)))
            (labels / f"{stem}_{frame + 1}.txt").write_text(text, encoding="utf-8", newline="\n")


def safe_stem(path: str) -> str:
    """Return a name for files, made from that of a video, which others may have chosen: it stays within its folder."""
    stem = re.sub(r"[^\w.-]+", "_", Path(path.replace("\\", "/")).stem).strip(".")
    return stem[:100] or "frame"


def _line(rows: Detections, row: int, size: tuple[int, int]) -> str:
    x1, y1, x2, y2 = (float(v) for v in rows.xyxy[row])
    width, height = size
    parts = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    numbers = " ".join(f"{part:.9f}" for part in parts)
    track_id = int(rows.track_id[row])
    ending = f" {track_id}" if track_id >= 0 else ""
    return f"{max(int(rows.class_id[row]), 0)} {numbers} {shortest_floats(rows.score[row : row + 1])[0]}{ending}\n"
