"""Reading CVAT for video 1.1: tracks of boxes as XML, frames from 0 (https://docs.cvat.ai/docs/manual/advanced/xml_format).

``<track id label>`` holds ``<box frame outside occluded keyframe xtl ytl xbr ybr>``; between two boxes of a track the
corners move linearly, and a box with ``outside="1"`` ends a segment: CVAT's own meaning (its `TrackManager`). CVAT
exports every frame of the task; in a file with keyframes only, a track ends with its last box. Frames are those of the
video: a task with a frame step (``frame_filter``) has only every so many of them, from its ``start_frame``.

CVAT renumbers tracks, so our number of a track is stored as an attribute (``track``), as are score, known identity and
the mark of a predicted box; CVAT keeps the attributes that the task's labels define, and drops the others. A label
that defines attributes, but not all four of ours, has its own: one of them may well be called ``score``.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import FormatError, UsageError
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.formats.class_names import names_of, number_labels
from mot_dinov3.formats.cvat_file import EXPORT, CvatBox, CvatFile, CvatHead, CvatTrack
from mot_dinov3.formats.recorded_detections import ASSUMED_FPS, FrameSteps, ReadOptions, RecordedDetections
from mot_dinov3.formats.rows import BOX_REMEDY, LeftOut, Row, RowCollector, check_box, parse_number, parse_whole
from mot_dinov3.formats.shape_keys import ATTRIBUTES, OBB, OCCLUDED, rotated

log = logging.getLogger(__name__)

TRACK, SCORE, GALLERY, COASTED = OURS = ("track", "score", "gallery_id", "coasted")
"""Attributes of a box for fields that CVAT itself does not have."""

MAX_GAP = 100_000  # frames from one box of a track to the next; more are a broken number


def read_cvat(path: Path, options: ReadOptions) -> RecordedDetections:
    """Read tracks of boxes; other shapes are skipped and counted. A box that cannot be used ends its segment.

    Raises:
        FormatError: It is no such file or breaks the format; the message names the line.
        UsageError: It has no task of the id or name that was chosen.
    """
    file = CvatFile(path, LeftOut(path, strict=options.strict))
    try:
        numbers = number_labels(file.labels, options.names)
    except ValueError as error:
        raise FormatError(f"'{path}': {error}", remedy="give the class names of this file") from error
    head, tracks = _task(file, options.task)
    video, fps_known, frames = _video(file, head)
    rows = RowCollector()
    for track, track_id in zip(tracks, _track_ids(file, tracks)):
        for frame, line, row in _rows(file, track, (numbers[track.label], track_id), frames):
            with file.left_out.checked(f"'{path}', line {line}"):
                rows.add(frame, row)
    notices = file.left_out.notices()
    names = names_of(numbers)
    return RecordedDetections(str(path), rows.frames(), video, fps_known, names, notices=notices, annotated=frames)


def _task(file: CvatFile, wanted: str) -> tuple[CvatHead, list[CvatTrack]]:
    """Return the head and the tracks of the wanted task, given by id or name; of the only one by default."""
    if len(file.tasks) < 2 and not wanted:
        return file.head(*file.tasks or [CvatHead()]), file.tracks
    listed = ", ".join(f"{task.get('id', '')} ('{task.get('name', '')}')" for task in file.tasks) or "none"
    if not wanted:
        raise FormatError(
            f"'{file.path}' has {len(file.tasks)} tasks", remedy=f"choose one with --task of convert: {listed}"
        )
    chosen = [task for task in file.tasks if task.get("id") == wanted]
    chosen = chosen or [task for task in file.tasks if task.get("name") == wanted]
    if len(chosen) != 1:
        raise UsageError(f"'{file.path}' has no single task '{wanted}'", remedy=f"its tasks are {listed}")
    if len(file.tasks) == 1:
        return file.head(chosen[0]), file.tracks
    for track in file.tracks:
        if not track.task:
            raise FormatError(f"'{file.path}', line {track.line}: <track> has no 'task_id'", remedy="export one task")
    return file.head(chosen[0]), [track for track in file.tracks if track.task == chosen[0].get("id")]


def _video(file: CvatFile, head: CvatHead) -> tuple[VideoInfo, bool, FrameSteps]:
    """Return the video's properties, whether the frame rate is among them, and the task's frames."""
    try:
        fps = head.number("frame_rate")  # CVAT itself writes none
        width, height, count, start = (int(head.number(key)) for key in ("width", "height", "size", "start_frame"))
        frames = FrameSteps(start, head.frame_step, count)
    except ValueError as error:
        raise FormatError(f"'{file.path}', <meta>: {error}", remedy=EXPORT) from error
    is_whole = (frames.start, frames.step) == (0, 1)  # else the size is that of the task, not of the video
    return VideoInfo(file.source(head), width, height, fps or ASSUMED_FPS, count if is_whole else 0), fps > 0, frames


def _track_ids(file: CvatFile, tracks: list[CvatTrack]) -> list[int]:
    """Return a number for each track: the one in its boxes' attributes, else the file's own.

    Where any track has an attribute, a track without one was drawn by hand, and the second one with the same number was
    split off the first: both get new numbers.
    """
    # a file without attributes: the numbers that CVAT gave
    stored = [_stored_id(track, _ours_of(file, track.label)) for track in tracks]
    if all(number is None for number in stored):
        return _file_ids(file.path, tracks)
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
        log.warning("'%s': %d tracks were drawn or split off, and got new IDs up to %d", file.path, new, fresh)
    return ids


def _ours_of(file: CvatFile, label: str) -> frozenset[str]:
    """Return which attributes of a label's boxes are ours: all four, or none where the label has its own."""
    defined = file.defined.get(label)
    return frozenset(OURS) if not defined or defined.issuperset(OURS) else frozenset()


def _stored_id(track: CvatTrack, ours: frozenset[str]) -> int | None:
    """Return the number in the attributes of all boxes of a track, −1 for boxes without a track, or None."""
    if TRACK not in ours:
        return None
    found = {box.attributes.get(TRACK, "") for box in track.boxes}
    try:
        return parse_whole(found.pop(), TRACK, low=-1) if len(found) == 1 else None
    except ValueError:  # left empty, or written by hand
        return None


def _file_ids(path: Path, tracks: list[CvatTrack]) -> list[int]:
    seen: dict[int, int] = {}
    for track in tracks:
        if track.number is None:
            raise FormatError(f"'{path}', line {track.line}: <track> has no 'id'", remedy=EXPORT)
        if track.number in seen:
            raise FormatError(
                f"'{path}', line {track.line}: the track {track.number} is on line {seen[track.number]} already",
                remedy="number each track differently; of a project, export one task",
            )
        seen[track.number] = track.line
    return list(seen)


def _rows(
    file: CvatFile, track: CvatTrack, numbers: tuple[int, int], frames: FrameSteps
) -> Iterator[tuple[int, int, Row]]:
    """Yield frame, line and row of every visible box of a track, with those between its keyframes.

    `numbers` are the class and the track.
    """
    ours = _ours_of(file, track.label)
    for box in _with_interpolated(file.path, sorted(track.boxes, key=lambda box: box.frame), frames):
        stored = {key: value for key, value in box.attributes.items() if key in ours}
        try:
            score = parse_number(stored.get(SCORE) or "1", SCORE)
        except ValueError as error:
            raise FormatError(f"'{file.path}', line {box.line}: {error}", remedy=BOX_REMEDY) from error
        coasted = stored.get(COASTED) == "true"
        corners, obb = rotated(box.box, box.rotation) if box.rotation else (box.box, None)
        extra = _extra(box, obb, ours, coasted=coasted)
        yield box.frame, box.line, Row(corners, score, *numbers, coasted, stored.get(GALLERY) or None, extra or None)


def _extra(box: CvatBox, obb: list[float] | None, ours: frozenset[str], *, coasted: bool) -> Mapping[str, Any]:
    """Return what a box has beyond our fields; a predicted box is written as an occluded one."""
    own = {key: value for key, value in box.attributes.items() if key not in ours}
    extra: dict[str, Any] = {} if obb is None else {OBB: obb}
    extra |= {OCCLUDED: True} if box.occluded and not coasted else {}
    return extra | ({ATTRIBUTES: own} if own else {})


def _with_interpolated(path: Path, boxes: Iterable[CvatBox], frames: FrameSteps) -> Iterator[CvatBox]:
    """Yield the visible boxes of a track, in order, and those interpolated between them."""
    last: CvatBox | None = None
    for box in boxes:
        if last is not None:
            gap = box.frame - last.frame
            if gap == 0:
                raise FormatError(
                    f"'{path}', line {box.line}: frame {box.frame} is on line {last.line} already",
                    remedy="keep one of the two boxes",
                )
            if not last.outside:
                if gap > MAX_GAP:
                    raise FormatError(
                        f"'{path}', line {box.line}: {gap} frames after the box before it, too many to fill",
                        remedy='end the segment with a box that has outside="1"',
                    )
                yield from _interpolated(last, box, frames)
        if not box.outside:
            yield box
        last = box


def _interpolated(last: CvatBox, box: CvatBox, frames: FrameSteps) -> Iterator[CvatBox]:
    """Yield the boxes of the task's frames between two boxes of a track."""
    end = box.box
    if box.outside:
        try:
            check_box(end)
        except ValueError:  # it only marks the end: nothing moves towards it
            end = last.box
    turn = (box.rotation - last.rotation + 180) % 360 - 180  # the shorter way round
    for frame in frames.between(last.frame, box.frame):
        part = (frame - last.frame) / (box.frame - last.frame)
        x1, y1, x2, y2 = (a + (b - a) * part for a, b in zip(last.box, end))
        rotation = (last.rotation + turn * part) % 360
        yield dataclasses.replace(last, frame=frame, box=(x1, y1, x2, y2), line=box.line, rotation=rotation)
