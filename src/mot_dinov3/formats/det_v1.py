"""Reading det-v1: detections of a video as JSON, frame by frame from 0; specified in ``docs/formats.md``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import (
    MAX_COORDINATE,
    MAX_FRAME,
    has_size,
    is_number,
    kind_of,
    printable,
    read_json,
    too_deep,
)
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.json_lists import frames_document
from mot_dinov3.formats.recorded_detections import ASSUMED_FPS, RecordedDetections, plausible
from mot_dinov3.formats.rows import ODD_NUMBERS, LeftOut, UnusableRowError, check_units, plain_score

SCHEMA = "det-v1"
SOURCE_KEYS = ("video", "detector", "frames_dir")
"""Top-level keys of a file that results made from it keep."""

_MAX_CLASS = 2**31
BOX_KEYS = frozenset(("bbox", "xyxy"))
_SCORE_KEYS = ("conf", "confidence")
NUMBER_KEYS = ("frame", "frame_index", "frame_idx", "frame_id", "frame_number")
"""Keys of a frame's number, the surest first."""

_FRAME_KEYS = frozenset((*NUMBER_KEYS, "file", "time", "detected", "detections"))
_DOCUMENT_KEYS = frozenset(
    (
        *SOURCE_KEYS,
        "schema_version",
        "frames",
        "parent_schema_version",
        "tracker",
        "created_at_utc",
        "notices",
        "counts",
    )  # of track-v1
)
_VIDEO_NUMBERS = ("fps", "frame_count", "width", "height")
_HEADER = 'correct or remove it: {"video": {"path": "in.mp4", "fps": 25.0, "frame_count": 0, "width": 0, "height": 0}}'
_LONGEST_BOX = 7  # numbers in a bbox that some programs write: score, class and track behind the corners
_DIGITS = re.compile(r"[0-9]{1,9}")


def read_det_v1(path: str | Path, *, strict: bool = False) -> RecordedDetections:
    """Read a det-v1 file; the dict of each detection is kept whole in `Detections.extra`.

    Aliases: `NUMBER_KEYS`, ``xyxy``, ``conf``, ``confidence`` and ``class``. A detection without a usable box is
    left out and counted, or an error where `strict`.

    Raises:
        FormatError: The file breaks the format; the message names file, frame and detection.
    """
    found = read_document(Path(path), SCHEMA, LeftOut(path, strict=strict))
    check_units(Path(path), found.frames)
    return found


def read_document(path: Path, schema: str, left_out: LeftOut) -> RecordedDetections:
    """Read a file laid out like det-v1 whose ``schema_version`` is `schema` (see `read_det_v1`)."""
    odd: list[str] = []
    document = frames_document(path, read_json(path, odd=odd), schema)
    header = parse_header(path, document, schema)
    frames: dict[int, Detections] = {}
    state = ParseState(left_out)
    last = -1
    times: dict[int, float] = {}
    for position, record in enumerate(_list(document, "frames", f"'{path}'")):
        last, frames[last] = parse_frame(record, f"'{path}'", position=position, last=last, state=state)
        if (time := recorded_time(record)) is not None:
            times[last] = time
        left_out.keys(record, _FRAME_KEYS, "frames' values of")
    left_out.keys(document, _DOCUMENT_KEYS, "header's values of")
    if odd:
        left_out.field(ODD_NUMBERS, len(odd))
    notices = left_out.notices()
    return dataclasses.replace(header, frames=frames, names=state.names, times=times, notices=notices)


@dataclasses.dataclass
class ParseState:
    """What was found so far while a file is read: what is left out, and the names of the classes by number."""

    left_out: LeftOut
    names: dict[int, str] = dataclasses.field(default_factory=dict)

    def number(self, label: str) -> int:
        """Return the number of a class that the file only names: that of its name, or else the lowest free one."""
        known = next((number for number, name in self.names.items() if name == label), None)
        if known is None:
            known = next(number for number in range(len(self.names) + 1) if number not in self.names)
            self.names[known] = label
        return known


def parse_header(path: Path, document: Mapping[str, Any], schema: str) -> RecordedDetections:
    """Return a document's header: recorded detections without frames."""
    found = document.get("schema_version")
    if found != schema and not (found is None and schema == SCHEMA and "frames" in document):
        named = f"is '{found}'" if isinstance(found, str) else "is missing" if found is None else "is not a string"
        raise FormatError(f"'{path}' is not {schema}: its schema_version {named}", remedy=f"give a {schema} file")
    video, fps_known = _video(path, document.get("video"))
    header = {key: document[key] for key in SOURCE_KEYS if key in document}
    if isinstance(document.get("video"), dict):  # what results made from it keep is plausible, too
        header["video"] = {key: _plausible_entry(key, value) for key, value in document["video"].items()}
    if too_deep(header):
        raise FormatError(f"'{path}': its header is nested too deeply")
    return RecordedDetections(str(path), {}, video, fps_known, header=header)


def parse_frame(record: Any, where: str, *, position: int, last: int, state: ParseState) -> tuple[int, Detections]:
    """Return a frame record's number and its detections.

    Args:
        record: The record, any JSON value.
        where: The file, quoted, for messages.
        position: Index of the record in its list.
        last: Number of the frame before, −1 for none.
        state: Collects class names and skipped detections.

    Raises:
        FormatError: It breaks the format; the message names frame and detection.
    """
    number = _frame_number(record, f"{where}, record {position}", position)
    where = f"{where}, frame {number}"
    if number <= last:
        raise FormatError(
            f"{where}: comes {'twice' if number == last else f'after frame {last}'}",
            remedy="write each frame once, in ascending order",
        )
    if record.get("detections", ()) is None:
        return number, Detections.empty()
    return number, _frame_detections(_list(record, "detections", where), state, where)


def _video(path: Path, video: object) -> tuple[VideoInfo, bool]:
    """Return the video's properties in the header, zeros where it lacks them, and whether it gives the frame rate."""
    if video is None:
        return VideoInfo(str(path), 0, 0, ASSUMED_FPS), False
    if not isinstance(video, dict):
        raise FormatError(f"'{path}': video must be an object, not a {kind_of(video)}", remedy=_HEADER)
    numbers = {}
    for key in _VIDEO_NUMBERS:
        value = video.get(key)
        if value is not None and type(value) not in (int, float):
            problem = f"video.{key} must be a number, not a {kind_of(value)}: {_brief(value)}"
            raise FormatError(f"'{path}': {problem}", remedy=_HEADER)
        numbers[key] = plausible(value)
    name = "" if video.get("path") is None else video["path"]
    if not isinstance(name, str):
        raise FormatError(f"'{path}': video.path must be a string, not a {kind_of(name)}", remedy=_HEADER)
    width, height, count = (int(numbers[key]) for key in ("width", "height", "frame_count"))
    return VideoInfo(name, width, height, numbers["fps"] or ASSUMED_FPS, count), numbers["fps"] > 0


def _plausible_entry(key: str, value: Any) -> Any:
    """Return an entry of the header's video; 0 for a number that no video has, as a live recording's header does."""
    return value if key not in _VIDEO_NUMBERS or value is None or plausible(value) else 0


def _list(record: Mapping[str, Any], key: str, where: str) -> list[Any]:
    if key not in record:
        raise FormatError(f"{where}: has no '{key}'", remedy=f"add a list '{key}', which may be empty")
    value = record[key]
    if not isinstance(value, list):
        remedy = f"write '{key}' as a list: [{{…}}, …]"
        raise FormatError(f"{where}: '{key}' must be a list, not: {kind_of(value)}", remedy=remedy)
    return value


def _frame_number(record: object, where: str, position: int) -> int:
    """Return the number of a frame's record; where it has none, its position in the list."""
    if not isinstance(record, dict):
        raise FormatError(f"{where}: a frame must be an object, not a {kind_of(record)}")
    number = next((record[key] for key in NUMBER_KEYS if key in record), position)
    number = int(number) if type(number) is float and number.is_integer() else number
    if type(number) is not int or not 0 <= number <= MAX_FRAME:
        raise FormatError(
            f"{where}: 'frame' must be a whole number from 0, got {_brief(number)}",
            remedy="number the frames of the video from 0",
        )
    return number


def _frame_detections(records: list[Any], state: ParseState, where: str) -> Detections:
    """Return the detections of one frame, in file order."""
    if not records:
        return Detections.empty()
    kept, xyxy, score, class_id = [], [], [], []
    for row, record in enumerate(records):
        with state.left_out.checked(f"{where}, detection {row}", _REMEDY):
            if not isinstance(record, dict):
                raise UnusableRowError(f"must be an object, not a {kind_of(record)}")
            columns = _box(record, state), _score(record, state), _class_id(record, state)
            if too_deep(record):
                raise UnusableRowError("is nested too deeply")
            kept.append(record)
            xyxy.append(columns[0])
            score.append(columns[1])
            class_id.append(columns[2])
    if not kept:
        return Detections.empty()
    return Detections(
        np.array(xyxy, np.float32),
        np.array(score, np.float32),
        np.array(class_id, np.int64),
        extra=np.array(kept, np.object_),
    )


_REMEDY = "correct the detection or remove it: bbox is [x1, y1, x2, y2] with x1 < x2 and y1 < y2, score is 0…1"


def _box(record: dict[str, Any], state: ParseState) -> list[float]:
    key = "bbox" if "bbox" in record else "xyxy"
    box = record.get(key)
    if type(box) is list and 4 < len(box) <= _LONGEST_BOX and all(map(is_number, box)):
        state.left_out.field("numbers after the fourth of a bbox", len(box) - 4)
        record[key] = box = box[:4]
    if type(box) is not list or len(box) != 4 or not all(map(is_number, box)):
        raise UnusableRowError(f"bbox must be four finite numbers, got {_brief(box)}")
    if max(box) > MAX_COORDINATE or min(box) < -MAX_COORDINATE:
        raise UnusableRowError(f"bbox lies beyond any image: {_brief(box)}")
    if not has_size(*box):
        raise UnusableRowError(f"bbox has no positive size: {_brief(box)}")
    return box


def _score(record: dict[str, Any], state: ParseState) -> float:
    key = "score" if "score" in record else next((key for key in _SCORE_KEYS if key in record), "")
    if not key:
        state.left_out.assumed("detections without a score are read as 1")
        return 1.0
    score = record[key]
    if not is_number(score):
        raise UnusableRowError(f"score must be a number from 0 to 1, got {_brief(score)}")
    try:
        plain = plain_score(float(score))
    except ValueError as error:
        raise ValueError(f"score must be a number from 0 to 1, got {_brief(score)}") from error
    if plain != score:
        record[key] = plain
    return plain


def _class_id(record: dict[str, Any], state: ParseState) -> int:
    """Return the class number of a record; of one that only has a name, as ``class`` or ``class_name``, the name's."""
    name = record.get("class_name")
    if name is not None and not isinstance(name, str):
        raise UnusableRowError(f"class_name must be a string, not a {kind_of(name)}")
    key = "class_id" if "class_id" in record else "class"
    if key in record and record[key] is None:  # as a missing one
        del record[key]
    class_id = record.get(key, -1)
    if isinstance(class_id, str) and not _DIGITS.fullmatch(class_id):
        record["class_name"] = name = name or class_id
        record.pop(key)
    if name and key not in record:
        return state.number(printable(name))
    if _is_whole(class_id):
        record[key] = class_id = int(class_id)
    if type(class_id) is not int or not -1 <= class_id < _MAX_CLASS:
        raise UnusableRowError(f"class_id must be a whole number from -1, got {_brief(class_id)}")
    if name is not None and class_id >= 0:
        state.left_out.name(state.names, class_id, printable(name))
    return class_id


def _is_whole(value: object) -> bool:
    """Return whether a value is a whole number that is written as ``3.0`` or as a text."""
    return (type(value) is float and value.is_integer()) or (type(value) is str and bool(_DIGITS.fullmatch(value)))


def _brief(value: object) -> str:
    """Return `value` for a message, shortened to fit a line."""
    if type(value) is int and abs(value) > 10**40:
        return "a number of more than 40 digits"
    if isinstance(value, (list, dict)) and len(value) > 8:
        return f"a {kind_of(value)} of {len(value)}"
    text = "nothing" if value is None else ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."


def recorded_time(record: Mapping[str, Any]) -> float | None:
    """Return the time in a frame's record, None where it has none; other programs may use the key for a text."""
    value = record.get("time")
    return float(value) if is_number(value) else None  # type: ignore[arg-type]
