"""LabelMe and Annolid annotation files of video frames, read and written, and whether a person has edited one.

The format is LabelMe's JSON (https://github.com/wkentaro/labelme) with the additions of Annolid
(https://github.com/healthonrails/annolid). A file that this program writes contains a digest of its shapes. One without
a digest, or whose shapes no longer match it, was made or edited by a person: it is input, and never overwritten.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_FRAME, is_number, kind_of, parse_object, read_object, read_text, too_deep
from mot_dinov3.core.structures import Keypoints
from mot_dinov3.formats.labelme_shapes import Points, Shape, outline_shapes, point_shapes, read_shape

VERSION = "5.5.0"
OWN_KEY = "mot_dinov3"  # in `otherData`


@dataclasses.dataclass(frozen=True)
class LabelledFrame:
    """Labels of a person in one frame: points and outlines; `notices` name shapes that could not be read."""

    path: Path
    frame: int
    shapes: tuple[Shape, ...]
    notices: tuple[str, ...] = ()


def frame_path(folder: Path, stem: str, frame: int) -> Path:
    """Return the path of a frame's file: ``<stem>_000000123.json``."""
    return folder / f"{stem}_{frame:09d}.json"


def frame_files(folder: Path, stem: str) -> dict[int, Path]:
    """Return the frame files of a video's result folder by frame number."""
    pattern = re.compile(re.escape(stem) + r"_(\d{9,})\.json")
    matches = ((pattern.fullmatch(path.name), path) for path in sorted(folder.glob("*.json")))
    return {int(match[1]): path for match, path in matches if match and int(match[1]) <= MAX_FRAME}


def read_labels(folder: Path, stem: str, size: tuple[int, int]) -> list[LabelledFrame]:
    """Return the frames of a video that a person has labelled, in order; generated files are skipped.

    Reads the frame files and ``<stem>_annotations.ndjson``; a frame file wins over the same frame there.

    Args:
        folder: The video's result folder.
        stem: The video's name without ending.
        size: Width and height of the video's frames.

    Raises:
        FormatError: A file cannot be read, or is for another image size.
    """
    found = {frame: (path, content) for frame, path, content in _stored_lines(folder / f"{stem}_annotations.ndjson")}
    for frame, path in frame_files(folder, stem).items():
        found[frame] = path, _shallow(read_object(path), f"'{path}'")
    return [
        read_frame(path, frame, content, size)
        for frame, (path, content) in sorted(found.items())
        if not is_generated(content)
    ]


def read_outlines(path: Path) -> dict[str, tuple[Points, ...]]:
    """Return the outlines in a generated frame file, by instance; empty where it was edited or does not exist."""
    if not path.is_file():
        return {}
    content = _shallow(read_object(path), f"'{path}'")
    shapes = content.get("shapes") if is_generated(content) else None
    found: dict[str, tuple[Points, ...]] = {}
    for raw in shapes if isinstance(shapes, list) else ():
        shape = read_shape(raw)
        if isinstance(shape, Shape) and raw.get("shape_type") == "polygon":
            found[shape.instance] = (*found.get(shape.instance, ()), shape.points)
    return found


def _shallow(content: dict[str, Any], where: str) -> dict[str, Any]:
    """Return `content`; raise `FormatError` where it is nested so deeply that walking it could exhaust the stack."""
    if too_deep(content):
        raise FormatError(f"{where} is nested too deeply")
    return content


def is_generated(content: Mapping[str, Any]) -> bool:
    """Return whether a frame file is unchanged since this program wrote it."""
    other = content.get("otherData")
    signed = other.get(OWN_KEY) if isinstance(other, dict) else None
    written = signed.get("digest") if isinstance(signed, dict) else None
    return bool(written) and written == digest(content.get("shapes"))


def digest(shapes: object) -> str:
    """Return a digest of a file's shapes that does not depend on its formatting; empty for values never written."""
    try:
        text = json.dumps(_plain(shapes), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    except OverflowError:  # a whole number too large for a float: this program writes none
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: object) -> object:
    """Return `value` without the changes of saving it again: number types, and the empty fields that LabelMe adds."""
    if type(value) in (float, int):  # first and by exact type: an outline holds hundreds of them
        return round(float(value), 3)  # type: ignore[arg-type]
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None and v != {} and v != ""}
    return value


def _stored_lines(path: Path) -> Iterator[tuple[int, Path, dict[str, Any]]]:
    if not path.exists():
        return
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"'{path}', line {number},"
        content = _shallow(parse_object(line, where), where)
        frame = content.get("frame")
        if type(frame) is not int or not 0 <= frame <= MAX_FRAME:
            raise FormatError(f"'{path}', line {number}: no frame number")
        yield frame, path, content


def read_frame(path: Path, frame: int, content: Mapping[str, Any], size: tuple[int, int]) -> LabelledFrame:
    """Return the labels in the `content` of a person's frame file; `size` is that of the video's frames.

    Raises:
        FormatError: It is for another image size.
    """
    written = content.get("imageWidth"), content.get("imageHeight")
    if all(is_number(v) for v in written) and written != size:
        raise FormatError(
            f"'{path}' (frame {frame}) is for images of {written[0]}×{written[1]}, the video has {size[0]}×{size[1]}",
            remedy="the labels belong to another video, or to a resized copy of it",
        )
    shapes = content.get("shapes", [])
    if not isinstance(shapes, list):
        raise FormatError(f"'{path}': shapes must be a list, got a {kind_of(shapes)}")
    read, notices = [], []
    for number, raw in enumerate(shapes):
        shape = read_shape(raw)
        if isinstance(shape, str):
            notices.append(f"'{path.name}', shape {number}: {shape}; skipped")
            continue
        x, y = shape.points[0]
        if shape.is_point and not (0 <= x <= size[0] and 0 <= y <= size[1]):
            notices.append(f"'{path.name}', shape {number}: point '{shape.label}' ({x:g}, {y:g}) is outside the frame")
            continue
        if re.search(r"[/\\]", shape.label + shape.instance):
            kept = f"label '{shape.label}' contains a path separator; kept as text"
            notices.append(f"'{path.name}', shape {number}: {kept}")
        read.append(shape)
    return LabelledFrame(path, frame, tuple(read), tuple(notices))


def frame_document(keypoints: Keypoints, *, frame: int, image: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return the LabelMe document of a tracked frame, digest included; lost points have no shape."""
    shapes = [*outline_shapes(keypoints), *point_shapes(keypoints)]
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None,
        "imageHeight": size[1],
        "imageWidth": size[0],
        "otherData": {OWN_KEY: {"digest": digest(shapes), "frame": frame}},
    }
