"""Lines of YOLO labels: boxes, outlines and keypoints, each with a score, a track, both or neither behind.

- A box, ``class cx cy w h``, has five to seven numbers.
- An outline, ``class x y x y …`` (also the four corners of a rotated box), has more, or seven that end in no track.
- Keypoints, ``class cx cy w h x y [v] …``, are known by ``kpt_shape`` in ``data.yaml``, or by every third of their
  numbers being a mark of visibility (0, 1, 2), and all visible ones lying in the box.

All numbers but the class are parts of the image's size. Six numbers are ambiguous: the sixth is a track where all of a
folder are whole and none comes twice in a frame, else a score.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.text_files import read_lines
from mot_dinov3.formats.class_names import MAX_CLASS
from mot_dinov3.formats.rows import Row, UnusableRowError, parse_number, parse_whole
from mot_dinov3.formats.shape_keys import KEYPOINTS, SEGMENTS

_LAYOUT = (
    "each line is: class, centre x and y, width, height, all but the class from 0 to 1; then a score, a track or both"
)
_BOX = 5  # numbers of a box with its class
_LONGEST_BOX = 7
_ROOM = 0.05  # of the image, by which keypoints may lie beyond their box
_VISIBILITY = {"0": 0.0, "1": 0.5, "2": 1.0}


@dataclasses.dataclass(frozen=True)
class LabelLine:
    """One line, its numbers as text: the meaning of some is only known when all lines have been read."""

    path: Path
    number: int
    fields: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class LineLayout:
    """Meaning of a folder's lines.

    Attributes:
        sixth_is_track: Of a line of six numbers.
        outlines_have_tracks: The last number of an outline is a track.
        points: Number of keypoints and of the numbers of each; None where ``data.yaml`` does not tell.
    """

    sixth_is_track: bool
    outlines_have_tracks: bool
    points: tuple[int, int] | None


def label_lines(path: Path) -> list[LabelLine]:
    """Return the lines of a file of labels.

    Raises:
        FormatError: A line has too few numbers, or the file is not that of one frame.
    """
    if path.stat().st_size == 0:
        return []
    lines = []
    for number, text in read_lines(path):
        line = LabelLine(path, number, tuple(text.split()))
        if "," in text and len(text.split(",")) > _BOX:
            _whole_video(path)
        if len(line.fields) < _BOX:
            message = f"has {len(line.fields)} numbers, not 5 to 7 of a box, or more of an outline or keypoints"
            raise FormatError(f"'{path}', line {number}: {message}", remedy=_LAYOUT)
        lines.append(line)
    # frame, class, box: the centre of a box is hardly ever a whole number
    is_table = len(lines) > 1 and all(len(line.fields) > _BOX and line.fields[1].isdigit() for line in lines)
    if is_table and len({line.fields[0] for line in lines}) > 1:
        _whole_video(path)
    return lines


def _whole_video(path: Path) -> NoReturn:
    raise FormatError(
        f"'{path}' has the rows of a whole video, not the labels of one frame",
        remedy="YOLO has one file per frame, <name>_<frame>.txt; give a table of all frames itself: MOTChallenge text, "
        "or CSV with a header",
    )


def line_layout(frames: Iterable[Sequence[LabelLine]], data: Mapping[str, Any]) -> LineLayout:
    """Return the meaning of the lines of a folder, frame by frame; `data` is its ``data.yaml``."""
    frames = list(frames)
    shape = data.get("kpt_shape")
    is_shape = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)
    points = (shape[0], shape[1]) if is_shape and shape[0] > 0 and shape[1] in (2, 3) else None  # type: ignore[index]
    long = [line.fields for of_frame in frames for line in of_frame if len(line.fields) > _LONGEST_BOX]
    ends = [fields[-1] for fields in long]
    tracks = bool(ends) and all(map(_is_digits, ends)) and any(int(end) > 1 for end in ends)
    return LineLayout(_sixth_is_track(frames), tracks, points)


def _sixth_is_track(frames: Sequence[Sequence[LabelLine]]) -> bool:
    """Return whether a line of six numbers ends in a track: all are whole, and no two of a frame the same."""
    if any(len(line.fields) == _LONGEST_BOX for of_frame in frames for line in of_frame):
        return False
    for of_frame in frames:
        sixth = [line.fields[5] for line in of_frame if len(line.fields) == _BOX + 1]
        if not all(map(_is_digits, sixth)) or len(set(sixth)) < len(sixth):
            return False
    return True


def _is_digits(text: str) -> bool:
    """Return whether a number is written as YOLO writes a track: without a point, as ``1.0`` is a score."""
    return text.isascii() and text.isdigit()


def row_of(fields: Sequence[str], layout: LineLayout, size: tuple[int, int]) -> Row:
    """Return the box of a line in an image of `size`, with its outline or keypoints.

    Raises:
        ValueError: A number is impossible.
    """
    class_id = parse_whole(fields[0], "the class")
    if class_id > MAX_CLASS:
        raise ValueError(f"the class {class_id} is too large")
    if (count := _point_numbers(fields, layout)) is not None:
        extras, numbers = fields[_BOX + count[0] * count[1] :], fields[1:_BOX]
        box = _box(numbers, size)
        extra: dict[str, Any] = {KEYPOINTS: list(_keypoints(fields[_BOX:], count, size))}
        score, track = _ending(extras, is_track=len(extras) == 1 and _is_digits(extras[0]))
    elif _is_outline(fields):
        with_track = layout.outlines_have_tracks
        numbers = fields[1 : len(fields) - with_track]
        extras = (*numbers[len(numbers) - len(numbers) % 2 :], *fields[len(fields) - with_track :])
        outline = _points(numbers[: len(numbers) - len(numbers) % 2], size)
        xs, ys = zip(*outline)
        box, extra = (min(xs), min(ys), max(xs), max(ys)), {SEGMENTS: [outline]}
        score, track = _ending(extras, is_track=len(extras) == 1 and with_track)
    else:
        box, extra = _box(fields[1:_BOX], size), {}
        extras = fields[_BOX:]
        score, track = _ending(extras, is_track=len(extras) == 1 and layout.sixth_is_track)
    return Row(box, score, class_id, track, extra=extra or None)


def _ending(extras: Sequence[str], *, is_track: bool) -> tuple[float, int]:
    """Return score and track behind the numbers of a shape."""
    score = parse_number(extras[0], "the score") if extras and not is_track else 1.0
    return score, parse_whole(extras[-1], "the track") if is_track or len(extras) > 1 else -1


def _is_outline(fields: Sequence[str]) -> bool:
    """Return whether a line is an outline: three points need seven numbers, of which a box ends in a track."""
    if len(fields) > _LONGEST_BOX:
        return True
    return len(fields) == _LONGEST_BOX and not _is_digits(fields[-1]) and parse_number(fields[-1], "the track") <= 1


def _point_numbers(fields: Sequence[str], layout: LineLayout) -> tuple[int, int] | None:
    """Return number and length of a line's keypoints; None where it has none."""
    behind = len(fields) - _BOX
    if layout.points is not None:
        count = layout.points[0] * layout.points[1]
        return layout.points if count <= behind <= count + 2 else None
    if behind < 3 or behind % 3 or len(fields) <= _LONGEST_BOX:
        return None
    if any(text not in _VISIBILITY for text in fields[_BOX + 2 :: 3]):
        return None
    cx, cy, w, h, *points = (parse_number(text, "a number") for text in fields[1:])
    seen = ((x, y) for x, y, v in zip(points[::3], points[1::3], points[2::3]) if v > 0)
    inside = all(abs(x - cx) <= w / 2 + _ROOM and abs(y - cy) <= h / 2 + _ROOM for x, y in seen)
    return (behind // 3, 3) if inside else None


def _box(numbers: Sequence[str], size: tuple[int, int]) -> tuple[float, float, float, float]:
    cx, cy, w, h = (parse_number(text, name) for text, name in zip(numbers, ("cx", "cy", "w", "h")))
    _check_relative((cx, cy, w, h))
    width, height = size
    return (cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height


def _points(numbers: Sequence[str], size: tuple[int, int]) -> list[list[float]]:
    values = [parse_number(text, "a point") for text in numbers]
    _check_relative(values)
    if len(values) < 6:
        raise UnusableRowError("its outline has fewer than three points")
    return [[x * size[0], y * size[1]] for x, y in zip(values[::2], values[1::2])]


def _keypoints(fields: Sequence[str], count: tuple[int, int], size: tuple[int, int]) -> Iterator[list[float]]:
    """Yield x, y and score of keypoints; a mark of visibility (0, 1, 2) is a score as in COCO."""
    number, length = count
    groups = [fields[i * length : (i + 1) * length] for i in range(number)]
    marks = length > 2 and all(float(group[2]) in (0, 1, 2) for group in groups)
    for group in groups:
        x, y = (parse_number(text, "a keypoint") for text in group[:2])
        _check_relative((x, y))
        score = float(x > 0 or y > 0) if length == 2 else parse_number(group[2], "a keypoint's score")
        yield [x * size[0], y * size[1], _VISIBILITY[f"{score:g}"] if marks else score]


def _check_relative(values: Iterable[float]) -> None:
    if max(map(abs, values)) > 10:
        raise ValueError("its box is in pixels, not relative to the image size")
