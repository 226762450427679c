"""Reading CVAT for video 1.1: tracks of boxes as XML, frames from 0 (https://docs.cvat.ai/docs/manual/advanced/xml_format).

``<track id label>`` holds ``<box frame outside occluded keyframe xtl ytl xbr ybr>``; between two boxes of a track the
corners move linearly, and a box with ``outside="1"`` ends a segment: CVAT's own meaning (its `TrackManager`). CVAT
exports every frame; in a file with keyframes only, from another program, a track ends with its last box.

CVAT renumbers tracks, so our number of a track is stored as an attribute (``track``), as are score, known identity and
the mark of a predicted box; CVAT keeps the attributes that the task's labels define, and drops the others.

The parser is the standard library's expat, used directly: a document type declaration is refused, and with it entity
bombs and external entities, which is all that defusedxml would add; and unlike ElementTree it gives the line of a
defect.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_BYTES, MAX_FRAME, check_file, printable, reading
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.formats.class_names import names_of, number_labels
from mot_dinov3.formats.recorded_detections import ASSUMED_FPS, ReadOptions, RecordedDetections, plausible
from mot_dinov3.formats.rows import (
    BOX_REMEDY,
    Corners,
    LeftOut,
    Row,
    RowCollector,
    UnusableRowError,
    check_box,
    parse_number,
    parse_whole,
)
from mot_dinov3.formats.shape_keys import rotated

log = logging.getLogger(__name__)

TRACK, SCORE, GALLERY, COASTED = "track", "score", "gallery_id", "coasted"
"""Attributes of a box for fields that CVAT itself does not have."""

MAX_GAP = 100_000  # frames from one box of a track to the next; more are a broken number
MAX_DEPTH = 64
_SHAPES = ("polygon", "polyline", "points", "cuboid", "ellipse", "mask", "skeleton")
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_IN_TRACK, _IN_BOX = "annotations/track", "annotations/track/box"
_META_KEYS = {
    ("original_size", "width"): "width",
    ("original_size", "height"): "height",
    ("task", "size"): "size",
    ("job", "size"): "size",
    ("task", "frame_rate"): "frame_rate",
    ("task", "name"): "task",
    ("meta", "source"): "source",
}
"""Elements of the file's head that are read: the parent's name and the own one → the key they are stored under."""


@dataclasses.dataclass
class _Box:
    line: int
    frame: int
    box: Corners
    outside: bool
    rotation: float = 0.0  # degrees, clockwise around the centre
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class _Track:
    line: int
    number: int | None
    label: str
    boxes: list[_Box] = dataclasses.field(default_factory=list)


def read_cvat(path: Path, options: ReadOptions) -> RecordedDetections:
    """Read tracks of boxes; other shapes are skipped and counted. A box that cannot be used ends its segment.

    Raises:
        FormatError: It is no such file or breaks the format; the message names the line.
    """
    reader = _Reader(path, LeftOut(path, strict=options.strict))
    reader.read()
    try:
        numbers = number_labels(reader.labels, options.names)
    except ValueError as error:
        raise FormatError(f"'{path}': {error}", remedy="give the class names of this file") from error
    rows = RowCollector()
    ids = _track_ids(path, reader.tracks)
    for track, track_id in zip(reader.tracks, ids):
        for frame, line, row in _rows(path, track, numbers[track.label], track_id):
            with reader.left_out.checked(f"'{path}', line {line}"):
                rows.add(frame, row)
    fps = reader.meta_number("frame_rate")  # CVAT itself writes none
    width, height, count = (int(reader.meta_number(key)) for key in ("width", "height", "size"))
    video = VideoInfo(reader.source(), width, height, fps or ASSUMED_FPS, count)
    notices = reader.left_out.notices()
    return RecordedDetections(str(path), rows.frames(), video, fps > 0, names_of(numbers), notices=notices)


class _Reader:
    """Handler of expat's events that collects tracks, labels and the file's head."""

    def __init__(self, path: Path, left_out: LeftOut) -> None:
        self.path = path
        self.left_out = left_out
        self.tracks: list[_Track] = []
        self.labels: dict[str, int | None] = {}
        self._meta: dict[str, str] = {}
        self._open: list[str] = []
        self._text: list[str] = []
        self._attribute = ""
        self._label = ""
        self._listed = False
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype

    def read(self) -> None:
        """Read the file."""
        check_file(self.path)
        size = self.path.stat().st_size
        if size > MAX_BYTES:
            raise FormatError(f"'{self.path}' is {size / 1e6:.0f} MB large, more than the limit")
        try:
            with reading(self.path), self.path.open("rb") as file:
                self._parser.ParseFile(file)
        except expat.ExpatError as error:
            problem = expat.errors.messages.get(error.code, "broken")
            raise FormatError(
                f"'{self.path}' is not valid XML: line {error.lineno}, column {error.offset + 1}: {problem}",
                remedy="export it again: it may have been cut off",
            ) from error

    def meta_number(self, key: str) -> float:
        """Return a number in the file's head, whole unless it is the frame rate; 0 where there is none."""
        parse = parse_number if key == "frame_rate" else parse_whole
        try:
            return plausible(parse(self._meta.get(key) or "0", key))
        except ValueError as error:
            raise FormatError(f"'{self.path}', <meta>: {error}") from error

    def source(self) -> str:
        """Return the name of the video."""
        return printable(self._meta.get("source") or self._meta.get("task") or str(self.path))

    def _fail(self, message: str, remedy: str = "") -> NoReturn:
        raise FormatError(f"'{self.path}', line {self._parser.CurrentLineNumber}: {message}", remedy=remedy)

    def _refuse_doctype(self, *_: object) -> NoReturn:
        self._fail("has a document type declaration, which CVAT never writes", "remove it; entities are not expanded")

    def _start(self, tag: str, given: dict[str, str]) -> None:
        self._text.clear()
        if not self._open and tag != "annotations":
            self._fail(f"the file begins with <{tag}>, not <annotations>: it is not from CVAT")
        if len(self._open) >= MAX_DEPTH:
            self._fail("is nested too deeply to be from CVAT")
        place = "/".join(self._open)
        self._open.append(tag)
        if place == "annotations":
            if tag == "track":
                self._begin_track(given)
            elif tag == "image":
                self._fail("has <image>: it is CVAT for images", "export the task as 'CVAT for video 1.1'")
        elif place == _IN_TRACK and tag == "box":
            self._begin_box(given)
        elif place == _IN_TRACK and tag in _SHAPES:
            self.left_out.field(f"shapes that are no boxes ({tag})")
        elif place == _IN_BOX and tag == "attribute":
            self._attribute = given.get("name", "")

    def _end(self, tag: str) -> None:
        self._open.pop()
        text = "".join(self._text).strip()
        self._text.clear()
        parent = self._open[-1] if self._open else ""
        if "meta" in self._open:
            self._store_meta(tag, parent, text)
        elif tag == "attribute" and "/".join(self._open) == _IN_BOX:
            self.tracks[-1].boxes[-1].attributes[self._attribute] = text

    def _store_meta(self, tag: str, parent: str, text: str) -> None:
        """Store an element of the head; the labels of skeletons' parts, which lie inside others, are no classes."""
        if parent == "label" and "label" not in self._open[:-1]:
            if tag == "name":
                self._label, self._listed = text, True
                self.labels.setdefault(text, None)
            elif tag == "class_id":
                self.labels[self._label] = self._number(text, "class_id", low=-1)
        elif (parent, tag) in _META_KEYS:
            self._meta[_META_KEYS[parent, tag]] = text

    def _begin_track(self, given: Mapping[str, str]) -> None:
        label = self._get(given, "label", "track").strip()
        if label not in self.labels:
            if self._listed:
                listed = ", ".join(sorted(self.labels))
                self._fail(f"the label '{label}' is not listed in <meta>", f"listed there: {listed}")
            self.labels[label] = None
        number = self._number(given["id"], "id") if given.get("id") else None
        self.tracks.append(_Track(self._parser.CurrentLineNumber, number, label))

    def _begin_box(self, given: Mapping[str, str]) -> None:
        frame = self._number(self._get(given, "frame", "box"), "frame")
        if frame > MAX_FRAME:
            self._fail(f"the frame {frame} is beyond any video")
        line, outside, turned = self._parser.CurrentLineNumber, True, 0.0  # so is a box that cannot be used
        corners = (math.nan,) * 4
        with self.left_out.checked(f"'{self.path}', line {line}"):
            if missing := [name for name in _CORNERS if name not in given]:
                raise UnusableRowError(f"<box> has no '{missing[0]}'")
            x1, y1, x2, y2 = (parse_number(given[name], name) for name in _CORNERS)
            corners = (x1, y1, x2, y2)
            turned = parse_number(given.get("rotation") or "0", "rotation")
            if given.get("outside", "0") != "1":
                check_box(corners)
                outside = False
        self.tracks[-1].boxes.append(_Box(line, frame, corners, outside, turned % 360))

    def _get(self, given: Mapping[str, str], name: str, tag: str) -> str:
        if name not in given:
            self._fail(f"<{tag}> has no '{name}'", "export it as 'CVAT for video 1.1'")
        return given[name]

    def _number(self, text: str, name: str, *, low: int = 0) -> int:
        try:
            return parse_whole(text, name, low=low)
        except ValueError as error:
            self._fail(str(error))


def _track_ids(path: Path, tracks: list[_Track]) -> list[int]:
    """Return a number for each track: the one in its boxes' attributes, else the file's own.

    Where any track has an attribute, a track without one was drawn by hand, and the second one with the same number was
    split off the first: both get new numbers.
    """
    # a file without attributes: the numbers that CVAT gave
    stored = [_stored_id(track) for track in tracks]
    if all(number is None for number in stored):
        return _file_ids(path, tracks)
    # else the stored ones, each once; the other tracks are numbered after the highest
    fresh = max((number for number in stored if number is not None), default=0)
    taken: set[int] = set()
    ids, new = [], 0
    for number in stored:
        if number is None or (number >= 0 and number in taken):
            fresh, new = max(fresh, 0) + 1, new + 1
            number = fresh
        taken.add(number)
        ids.append(number)
    if new:
        log.warning("'%s': %d tracks were drawn or split off, and got new IDs up to %d", path, new, fresh)
    return ids


def _stored_id(track: _Track) -> int | None:
    """Return the number in the attributes of all boxes of a track, −1 for boxes without a track, or None."""
    found = {box.attributes.get(TRACK, "") for box in track.boxes}
    try:
        return parse_whole(found.pop(), TRACK, low=-1) if len(found) == 1 else None
    except ValueError:  # left empty, or written by hand
        return None


def _file_ids(path: Path, tracks: list[_Track]) -> list[int]:
    seen: dict[int, int] = {}
    for track in tracks:
        if track.number is None:
            raise FormatError(f"'{path}', line {track.line}: <track> has no 'id'")
        if track.number in seen:
            raise FormatError(
                f"'{path}', line {track.line}: the track {track.number} is on line {seen[track.number]} already",
                remedy="number each track differently; of a project, export one task",
            )
        seen[track.number] = track.line
    return list(seen)


def _rows(path: Path, track: _Track, class_id: int, track_id: int) -> Iterator[tuple[int, int, Row]]:
    """Yield frame, line and row of every visible box of a track, with those between its keyframes."""
    for box in _with_interpolated(path, sorted(track.boxes, key=lambda box: box.frame)):
        try:
            score = parse_number(box.attributes.get(SCORE) or "1", SCORE)
        except ValueError as error:
            raise FormatError(f"'{path}', line {box.line}: {error}", remedy=BOX_REMEDY) from error
        name = box.attributes.get(GALLERY) or None
        coasted = box.attributes.get(COASTED) == "true"
        corners, obb = rotated(box.box, box.rotation)
        shape = ({"obb": obb}, corners) if box.rotation else (None, box.box)
        yield box.frame, box.line, Row(shape[1], score, class_id, track_id, coasted, name, shape[0])


def _with_interpolated(path: Path, boxes: Iterable[_Box]) -> Iterator[_Box]:
    """Yield the visible boxes of a track, in order, and those interpolated between them."""
    last: _Box | None = None
    for box in boxes:
        if last is not None:
            gap = box.frame - last.frame
            if gap == 0:
                raise FormatError(f"'{path}', line {box.line}: frame {box.frame} is on line {last.line} already")
            if not last.outside:
                if gap > MAX_GAP:
                    raise FormatError(
                        f"'{path}', line {box.line}: {gap} frames after the box before it, too many to fill",
                        remedy='end the segment with a box that has outside="1"',
                    )
                yield from _interpolated(last, box, gap)
        if not box.outside:
            yield box
        last = box


def _interpolated(last: _Box, box: _Box, gap: int) -> Iterator[_Box]:
    end = box.box
    if box.outside:
        try:
            check_box(end)
        except ValueError:  # it only marks the end: nothing moves towards it
            end = last.box
    turn = (box.rotation - last.rotation + 180) % 360 - 180  # the shorter way round
    for step in range(1, gap):
        x1, y1, x2, y2 = (a + (b - a) * step / gap for a, b in zip(last.box, end))
        rotation = (last.rotation + turn * step / gap) % 360
        yield dataclasses.replace(last, frame=last.frame + step, box=(x1, y1, x2, y2), line=box.line, rotation=rotation)
