"""LabelMe and Annolid annotation files of video frames, read and written, and whether a person has edited one.

The format is LabelMe's JSON (https://github.com/wkentaro/labelme) with the additions of Annolid
(https://github.com/healthonrails/annolid). A file that this program writes contains a digest of its shapes, and one of
each shape. A file without a digest, or whose shapes no longer match it, was made or edited by a person: it is input,
and never overwritten. Of an edited one, the shapes that still match their own digest are predictions, and no labels.
Predictions of Annolid itself are no labels, either: files with its marks that have no image beside them.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_FRAME, is_number, kind_of, parse_object, read_object, too_deep
from mot_dinov3.core.structures import Keypoints, PointState
from mot_dinov3.core.text_files import read_text
from mot_dinov3.formats.labelme_edits import (
    RenamedPoint,
    digest,
    given_to_the_only_instance,
    group_owners,
    is_generated,
    overrules,
    own_data,
    regrouped,
    renamed_points,
    shape_records,
)
from mot_dinov3.formats.labelme_shapes import (
    OWN_KEY,
    Points,
    Shape,
    group_number,
    is_annolid_prediction,
    outline_shapes,
    point_shapes,
    read_shape,
    shape_digest,
    touched_shape,
)

VERSION = "5.5.0"
CORRECTIONS = "corrections"  # in `OWN_KEY`: what the file does not label is as predicted, not absent
STORE_SUFFIX = "_annotations.ndjson"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclasses.dataclass(frozen=True)
class LabelledFrame:
    """Labels of a person in one frame.

    Attributes:
        path: The file.
        frame: Its number.
        shapes: Points and outlines that a person made or touched.
        notices: Shapes that could not be read.
        deleted: Instance and keypoint of predicted points that a person removed or renamed.
        renamed: Those that she renamed.
        corrections: What is not labelled here is as predicted; otherwise the file may be a whole labelling.
        predicted: Untouched predictions.
    """

    path: Path
    frame: int
    shapes: tuple[Shape, ...]
    notices: tuple[str, ...] = ()
    deleted: tuple[tuple[str, str], ...] = ()
    corrections: bool = False
    predicted: tuple[Shape, ...] = ()
    renamed: tuple[RenamedPoint, ...] = ()


@dataclasses.dataclass(frozen=True)
class FrameLabels:
    """The labelled frames of a video, and how many frame files hold predictions of Annolid only."""

    frames: list[LabelledFrame]
    annolid_predictions: int = 0


def frame_path(folder: Path, stem: str, frame: int) -> Path:
    """Return the path of a frame's file: ``<stem>_000000123.json``."""
    return folder / f"{stem}_{frame:09d}.json"


def frame_files(folder: Path, stem: str) -> dict[int, Path]:
    """Return the frame files of a video's result folder by frame number."""
    pattern = re.compile(re.escape(stem) + r"_(\d{9,})\.json")
    matches = ((pattern.fullmatch(path.name), path) for path in sorted(folder.glob("*.json")))
    return {int(match[1]): path for match, path in matches if match and int(match[1]) <= MAX_FRAME}


def files_beside(images: Mapping[int, Path]) -> dict[int, Path]:
    """Return LabelMe's files beside images by frame; of images that differ in the ending, it is that of `imagePath`."""
    frames: dict[Path, list[int]] = {}
    for frame, image in images.items():
        frames.setdefault(image.with_suffix(".json"), []).append(frame)
    found: dict[int, Path] = {}
    for path, several in frames.items():
        if path.is_file():
            name = read_object(path).get("imagePath") if len(several) > 1 else None
            named = [f for f in several if isinstance(name, str) and images[f].name == PureWindowsPath(name).name]
            found[(named or several)[0]] = path
    return found


def read_labels(folder: Path, stem: str, size: tuple[int, int]) -> list[LabelledFrame]:
    """Return the labelled frames of `read_frame_labels`."""
    return read_frame_labels(folder, stem, size).frames


def read_frame_labels(
    folder: Path, stem: str, size: tuple[int, int], images: Mapping[int, Path] | None = None
) -> FrameLabels:
    """Return the frames of a video that a person has labelled, in order; files of predictions are skipped.

    Reads the frame files, ``<stem>_annotations.ndjson`` and LabelMe's files beside the images of a folder; a frame file
    wins over the same frame there, unless it is a prediction of this program and a person has labelled the frame since.

    Args:
        folder: The video's result folder.
        stem: The video's name without ending.
        size: Width and height of the video's frames.
        images: Frame → image, of a folder of images.

    Raises:
        FormatError: A file cannot be read, or is for another image size.
    """
    found: dict[int, tuple[Path, dict[str, Any]]] = {}
    for frame, beside in files_beside(images or {}).items():
        found[frame] = beside, _shallow(read_object(beside), f"'{beside}'")
    found |= {frame: (path, content) for frame, path, content in _stored_lines(folder / f"{stem}{STORE_SUFFIX}")}
    for frame, path in frame_files(folder, stem).items():
        content = _shallow(read_object(path), f"'{path}'")
        elsewhere = found.get(frame)
        if elsewhere is not None and "shapes" not in content:  # Annolid leaves files that only point to its store
            continue
        if elsewhere is None or not is_overruled(content, frame, *elsewhere):
            found[frame] = path, content
    human, predictions = [], 0
    for frame, (path, content) in sorted(found.items()):
        if is_annolid_frame(content, path, frame):
            predictions += 1
        elif not is_generated(content):
            human.append(read_frame(path, frame, content, size))
    return FrameLabels(human, predictions)


def _has_image(path: Path, frame: int) -> bool:
    """Return whether an image lies beside the file of a frame, or beside where it would be if `path` is a store."""
    if path.suffix != ".json":
        path = frame_path(path.parent, path.name.removesuffix(STORE_SUFFIX), frame)
    return any(path.with_suffix(suffix).exists() for suffix in IMAGE_SUFFIXES)


def is_annolid_frame(content: Mapping[str, Any], path: Path, frame: int) -> bool:
    """Return whether a frame holds predictions of Annolid only: all shapes have its marks, and no image is beside.

    Annolid itself takes the image as the sign that a person labelled the frame.
    """
    shapes = content.get("shapes")
    if not isinstance(shapes, list) or not shapes or _has_image(path, frame):
        return False
    points = [s for s in shapes if isinstance(s, dict) and s.get("shape_type") == "point"]
    return all(is_annolid_prediction(raw) for raw in points or shapes)


def is_overruled(content: Mapping[str, Any], frame: int, path: Path, other: Mapping[str, Any]) -> bool:
    """Return whether a frame's file is a prediction, and `other`, of `path`, has a person's labels of that frame."""
    return not is_annolid_frame(other, path, frame) and overrules(other, content, frame)


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
            raise FormatError(
                f"'{path}', line {number}: no frame number", remedy='each line has a whole number "frame", from 0'
            )
        yield frame, path, content


def read_frame(path: Path, frame: int, content: Mapping[str, Any], size: tuple[int, int]) -> LabelledFrame:
    """Return the labels in the `content` of a person's frame file; `size` is that of the video's frames.

    Raises:
        FormatError: It is for another image size.
    """
    shapes = _shapes_for(size, path, frame, content)
    own = own_data(content)
    records = shape_records(own)
    untouched = {record.digest for record in records}
    owners, instances = group_owners(shapes, frame, untouched), {record.instance for record in records}
    by_annolid = not _has_image(path, frame)
    read: list[tuple[dict[str, Any], Shape]] = []
    predicted: list[Shape] = []
    notices: list[str] = []
    for number, raw in enumerate(shapes):
        shape = _checked(raw, f"'{path.name}', shape {number}", size, notices)
        if shape is None:
            continue
        digest_now, mark = shape_digest(raw, frame), raw.get(OWN_KEY)
        is_own = digest_now in untouched or digest_now == mark
        if is_own or (by_annolid and is_annolid_prediction(raw)):
            predicted.append(shape)
        else:
            read.append((raw, regrouped(touched_shape(raw, shape), owners, instances)))
    labels = given_to_the_only_instance([shape for _, shape in read], predicted, instances)
    there = {(s.instance, s.label) for s in (*labels, *predicted)}
    gone = [r for r in records if r.name and (r.instance, r.name) not in there]
    return LabelledFrame(
        path,
        frame,
        labels,
        tuple(notices),
        deleted=tuple((r.instance, r.name) for r in gone),
        corrections=bool(records or predicted) or own.get(CORRECTIONS) is True,
        predicted=tuple(predicted),
        renamed=renamed_points(read, gone, frame),
    )


def _shapes_for(size: tuple[int, int], path: Path, frame: int, content: Mapping[str, Any]) -> list[Any]:
    """Return the shapes of a frame file, which must be for images of this size."""
    written = content.get("imageWidth"), content.get("imageHeight")
    if all(is_number(v) for v in written) and written != size:
        raise FormatError(
            f"'{path}' (frame {frame}) is for images of {written[0]}×{written[1]}, the video has {size[0]}×{size[1]}",
            remedy="the labels belong to another video, or to a resized copy of it",
        )
    shapes = content.get("shapes", [])
    if not isinstance(shapes, list):
        raise FormatError(f"'{path}': shapes must be a list, got a {kind_of(shapes)}")
    return shapes


def _checked(raw: object, where: str, size: tuple[int, int], notices: list[str]) -> Shape | None:
    """Return a shape, or None for one that cannot be used, with a notice."""
    shape = read_shape(raw)
    if isinstance(shape, str):
        notices.append(f"{where}: {shape}; skipped")
        return None
    x, y = shape.points[0]
    is_there = shape.state != PointState.LOST
    if shape.is_point and is_there and not (0 <= x <= size[0] and 0 <= y <= size[1]):
        beyond = f"({x:g}, {y:g}) is outside the frame of {size[0]}×{size[1]}"
        notices.append(f"{where}: point '{shape.label}' {beyond}; skipped")
        return None
    group = raw.get("group_id") if isinstance(raw, dict) else None
    if group not in (None, "") and group_number(group) is None:
        notices.append(
            f"{where}: group_id {json.dumps(group)[:40]} of '{shape.label}' is not a usable whole number; ignored"
        )
    if re.search(r"[/\\]", shape.label + shape.instance):
        notices.append(f"{where}: label '{shape.label}' contains a path separator; kept as text")
    return shape


def frame_document(keypoints: Keypoints, *, frame: int, image: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return the LabelMe document of a tracked frame, digest included; lost points have no shape."""
    shapes = [*outline_shapes(keypoints), *point_shapes(keypoints)]
    return {
        "version": VERSION,
        "flags": {},
        "shapes": [],
        "imagePath": image,
        "imageData": None,
        "imageHeight": size[1],
        "imageWidth": size[0],
        **marked_as_own(shapes, frame),
    }


def marked_as_own(shapes: Sequence[Mapping[str, Any]], frame: int) -> dict[str, Any]:
    """Return the shapes of a frame that this program predicted, and the digests by which they are recognised."""
    marked: list[dict[str, Any]] = []
    for shape in shapes:
        bare = {key: value for key, value in shape.items() if key != OWN_KEY}
        marked.append(bare | {OWN_KEY: shape_digest(bare, frame)})
    names = [s["label"] if s["shape_type"] == "point" else "" for s in marked]
    records = [[s["instance_label"], name, s[OWN_KEY]] for s, name in zip(marked, names)]
    return {
        "shapes": marked,
        "otherData": {OWN_KEY: {"digest": digest(marked), "frame": frame, "shapes": records}},
    }
