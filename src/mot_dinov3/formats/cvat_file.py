"""Content of a CVAT for video file, as it stands there: head, labels, and tracks with their boxes; `cvat` reads it.

The parser is the standard library's expat, used directly: a document type declaration is refused, and with it entity
bombs and external entities, which is all that defusedxml would add; and unlike ElementTree it gives the line of a
defect.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_FRAME, printable
from mot_dinov3.core.text_files import MAX_BYTES, check_file, open_plain, reading
from mot_dinov3.formats.recorded_detections import plausible
from mot_dinov3.formats.rows import Corners, LeftOut, UnusableRowError, check_box, parse_number, parse_whole

MAX_DEPTH = 64
EXPORT = "export it as 'CVAT for video 1.1'"
_SHAPES = ("polygon", "polyline", "points", "cuboid", "ellipse", "mask", "skeleton")
_TRUE = ("1", "true", "True")
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_IN_TRACK, _IN_BOX = "annotations/track", "annotations/track/box"
_UNITS = ("task", "job")
"""Elements of the head that stand for what was annotated; a project's file has one for each of its tasks."""

_META_KEYS = {
    ("original_size", "width"): "width",
    ("original_size", "height"): "height",
    ("meta", "source"): "source",
    **{
        (unit, key): key
        for unit in _UNITS
        for key in ("id", "name", "size", "frame_rate", "start_frame", "stop_frame", "frame_filter", "source")
    },
}
"""Elements of the file's head that are read: the parent's name and the own one → the key they are stored under."""


@dataclasses.dataclass
class CvatBox:
    """A box of a track; `outside` marks the end of a segment."""

    line: int
    frame: int
    box: Corners
    outside: bool
    rotation: float = 0.0  # degrees, clockwise around the centre
    occluded: bool = False
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class CvatTrack:
    """A track; `task` is the id of its task in a project's file."""

    line: int
    number: int | None
    label: str
    task: str = ""
    boxes: list[CvatBox] = dataclasses.field(default_factory=list)


class CvatHead(dict[str, str]):
    """Values of a file's head by key."""

    def number(self, key: str) -> float:
        """Return a number, whole unless it is the frame rate; 0 where there is none.

        Raises:
            ValueError: It is no number.
        """
        parse = parse_number if key == "frame_rate" else parse_whole
        return plausible(parse(self.get(key) or "0", key))

    @property
    def frame_step(self) -> int:
        """Number of the video's frames from one frame of the task to the next: ``step=N`` of ``frame_filter``.

        Raises:
            ValueError: It is not a whole number from 1.
        """
        text = self.get("frame_filter", "")
        found = re.fullmatch(r"(?:\s*step\s*=\s*([0-9]{1,9})\s*)?", text)
        if found is None or found[1] == "0" * len(found[1] or "-"):
            raise ValueError(f"frame_filter is not 'step=<frames>': {text[:40]!r}")
        return int(found[1] or 1)


class CvatFile:
    """Reader of a file, a handler of expat's events.

    Attributes:
        path: The file.
        tracks: Its tracks, in its order.
        labels: Label → the class number that it declares, or None.
        defined: Label → the names of the attributes that the head defines for it.
        tasks: Heads of its tasks.

    Raises:
        FormatError: It is no such file; the message names the line.
    """

    def __init__(self, path: Path, left_out: LeftOut) -> None:
        self.path = path
        self.left_out = left_out
        self.tracks: list[CvatTrack] = []
        self.labels: dict[str, int | None] = {}
        self.defined: dict[str, set[str]] = {}
        self.tasks: list[CvatHead] = []
        self._meta = CvatHead()
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
        self._read()

    def _read(self) -> None:
        check_file(self.path)
        size = self.path.stat().st_size
        if size > MAX_BYTES:
            raise FormatError(f"'{self.path}' is {size / 1e6:.0f} MB large, more than the limit")
        try:
            with reading(self.path), open_plain(self.path) as file:
                self._parser.ParseFile(file)
        except expat.ExpatError as error:
            problem = expat.errors.messages.get(error.code, "broken")
            raise FormatError(
                f"'{self.path}' is not valid XML: line {error.lineno}, column {error.offset + 1}: {problem}",
                remedy="export it again: it may have been cut off",
            ) from error

    def head(self, task: CvatHead) -> CvatHead:
        """Return the head of a task, with the file's own values where it has none."""
        return CvatHead(self._meta | task)

    def source(self, head: CvatHead) -> str:
        """Return the name of the video."""
        return printable(head.get("source") or head.get("name") or str(self.path))

    def _fail(self, message: str, remedy: str = EXPORT) -> NoReturn:
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
        if tag in _UNITS and place.endswith(("/meta", "/tasks")):
            self.tasks.append(CvatHead())
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
                self.defined.setdefault(text, set())
            elif tag == "class_id":
                self.labels[self._label] = self._number(text, "class_id", low=-1)
        elif (parent, tag) == ("attribute", "name") and self._open.count("label") == 1:
            self.defined.setdefault(self._label, set()).add(text)
        elif (parent, tag) in _META_KEYS:
            in_unit = any(unit in self._open for unit in _UNITS)
            (self.tasks[-1] if in_unit and self.tasks else self._meta)[_META_KEYS[parent, tag]] = text

    def _begin_track(self, given: Mapping[str, str]) -> None:
        label = self._get(given, "label", "track").strip()
        if label not in self.labels:
            if self._listed:
                listed = ", ".join(sorted(self.labels))
                self._fail(f"the label '{label}' is not listed in <meta>", f"listed there: {listed}")
            self.labels[label] = None
        number = self._number(given["id"], "id") if given.get("id") else None
        if given.get("group_id"):
            self.left_out.field("values of 'group_id'")
        self.tracks.append(CvatTrack(self._parser.CurrentLineNumber, number, label, given.get("task_id", "").strip()))

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
            if given.get("outside", "0") not in _TRUE:
                check_box(corners)
                outside = False
        occluded = given.get("occluded", "0") in _TRUE
        if given.get("z_order", "0") != "0":
            self.left_out.field("values of 'z_order'")
        self.tracks[-1].boxes.append(CvatBox(line, frame, corners, outside, turned % 360, occluded))

    def _get(self, given: Mapping[str, str], name: str, tag: str) -> str:
        if name not in given:
            self._fail(f"<{tag}> has no '{name}'", EXPORT)
        return given[name]

    def _number(self, text: str, name: str, *, low: int = 0) -> int:
        try:
            return parse_whole(text, name, low=low)
        except ValueError as error:
            self._fail(str(error))
