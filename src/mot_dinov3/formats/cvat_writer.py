"""Writing CVAT for video 1.1, to correct tracks in CVAT; `cvat` describes the format."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from mot_dinov3.core.json_text import printable, shortest_floats
from mot_dinov3.core.structures import Detections
from mot_dinov3.formats.class_names import labels_of
from mot_dinov3.formats.cvat import COASTED, GALLERY, OURS, SCORE, TRACK
from mot_dinov3.formats.cvat_keyframes import BoxPosition, count_lost_scores, keyframes, segments
from mot_dinov3.formats.recorded_detections import FrameSteps, RecordedDetections
from mot_dinov3.formats.shape_keys import attributes_of, is_occluded, obb_of, upright

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_ATTRIBUTES = ((TRACK, False), (SCORE, True), (GALLERY, True), (COASTED, True))
"""Name, and whether it may differ from frame to frame."""


def write_cvat(path: Path, recorded: RecordedDetections, created: str, *, only_keyframes: bool = False) -> None:
    """Write every box of `Detections.xyxy` as a keyframe of its track; one without a track becomes a track of its own.

    What was read from a task with a frame step is written as that task: CVAT refuses boxes in frames that it lacks.
    With `only_keyframes`, boxes that interpolation gives within half a pixel are left out. `created` is the time of
    writing, ISO 8601.
    """
    tracks = _tracks(recorded.frames)
    classes = [_class_counts(recorded.frames, positions).most_common(1)[0][0] for _, positions in tracks]
    labels = labels_of(classes, recorded.names)
    steps = _task_frames(recorded)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_head(recorded, labels, steps, created))
        for (number, positions), class_id in zip(tracks, classes):
            file.write(f'  <track id="{number}" label={_quoted(labels[class_id])} source="file">\n')
            file.writelines(_boxes(recorded.frames, positions, steps, only_keyframes=only_keyframes))
            file.write("  </track>\n")
        file.write("</annotations>\n")


def _task_frames(recorded: RecordedDetections) -> FrameSteps:
    """Return the frames of the task: all of the video, or those that were annotated."""
    steps = recorded.annotated
    is_whole = (steps.start, steps.step) == (0, 1)
    least = (recorded.last_frame - steps.start) // steps.step + 1
    return dataclasses.replace(steps, count=max(least, recorded.video.frame_count if is_whole else steps.count))


def count_lost_classes(frames: Mapping[int, Detections]) -> int:
    """Return the number of boxes with another class than their track, which has only one in CVAT."""
    counts = (_class_counts(frames, positions) for _, positions in _tracks(frames))
    return sum(count.total() - max(count.values()) for count in counts)


def count_clashing_attributes(frames: Mapping[int, Detections]) -> int:
    """Return the number of boxes with an attribute of their own that is called like one of ours."""
    return sum(not attributes_of(extra).keys().isdisjoint(OURS) for rows in frames.values() for extra in rows.extra)


def count_interpolated_scores(recorded: RecordedDetections) -> int:
    """Return the number of boxes whose score is lost where only keyframes are written."""
    frames, step = recorded.frames, recorded.annotated.step
    return sum(count_lost_scores(frames, positions, step) for _, positions in _tracks(frames))


def _tracks(frames: Mapping[int, Detections]) -> list[tuple[int, list[BoxPosition]]]:
    """Return number and boxes of each track, then of each box without a track, numbered after them."""
    tracks: dict[int, list[BoxPosition]] = {}
    untracked: list[BoxPosition] = []
    for frame, rows in sorted(frames.items()):
        for row, track_id in enumerate(rows.track_id.tolist()):
            (tracks.setdefault(track_id, []) if track_id >= 0 else untracked).append((frame, row))
    singles = enumerate(untracked, max(tracks, default=-1) + 1)
    return [*sorted(tracks.items()), *((number, [position]) for number, position in singles)]


def _class_counts(frames: Mapping[int, Detections], positions: list[BoxPosition]) -> Counter[int]:
    return Counter(int(frames[frame].class_id[row]) for frame, row in positions)


def _head(recorded: RecordedDetections, labels: Mapping[int, str], steps: FrameSteps, created: str) -> Iterator[str]:
    video = recorded.video
    name = _escaped(Path(video.path).name or video.path)
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n'
    yield f"      <name>{name}</name>\n      <size>{steps.count}</size>\n      <mode>interpolation</mode>\n"
    yield f"      <overlap>0</overlap>\n      <start_frame>{steps.start}</start_frame>\n"
    yield f"      <stop_frame>{steps.start + steps.step * max(steps.count - 1, 0)}</stop_frame>\n"
    if steps.step > 1:
        yield f"      <frame_filter>step={steps.step}</frame_filter>\n"
    if recorded.fps_known:
        yield f"      <frame_rate>{video.fps!r}</frame_rate>\n"
    own = _own_attributes(recorded.frames)
    yield "      <labels>\n"
    for class_id, label in labels.items():
        # CVAT does not read the numbers of classes: they are for other readers of the file
        yield f"        <label>\n          <name>{_escaped(label)}</name>\n          <class_id>{class_id}</class_id>\n"
        yield "          <type>rectangle</type>\n          <attributes>\n"
        for attribute, mutable in (*_ATTRIBUTES, *((name, True) for name in own)):
            yield f"            <attribute><name>{_escaped(attribute)}</name><mutable>{mutable}</mutable>"
            yield "<input_type>text</input_type><default_value></default_value><values></values></attribute>\n"
        yield "          </attributes>\n        </label>\n"
    yield "      </labels>\n"
    if video.width and video.height:
        yield f"      <original_size>\n        <width>{video.width}</width>\n        <height>{video.height}</height>\n"
        yield "      </original_size>\n"
    yield f"    </task>\n    <dumped>{_escaped(created)}</dumped>\n    <source>{name}</source>\n  </meta>\n"


def _own_attributes(frames: Mapping[int, Detections]) -> list[str]:
    """Return the names of the boxes' own attributes."""
    names = {name: None for _, rows in sorted(frames.items()) for extra in rows.extra for name in attributes_of(extra)}
    return [name for name in names if name not in OURS]


def _boxes(
    frames: Mapping[int, Detections], positions: Sequence[BoxPosition], steps: FrameSteps, *, only_keyframes: bool
) -> Iterator[str]:
    """Yield the boxes of a track, and after each segment the mark of its end, unless the task ends there, too."""
    end = steps.start + steps.step * steps.count
    for segment in segments(positions, steps.step):
        for frame, row in keyframes(frames, segment, steps.step) if only_keyframes else segment:
            yield _box(frame, frames[frame], row)
        frame, row = segment[-1]
        if frame + steps.step < end:
            yield _box(frame + steps.step, frames[frame], row, outside=True)


def _box(frame: int, rows: Detections, row: int, *, outside: bool = False) -> str:
    coasted = bool(rows.coasted[row])
    extra = None if coasted else rows.extra[row]
    obb = obb_of(extra)
    sides = shortest_floats(rows.xyxy[row]) if obb is None else upright(obb)
    given = " ".join(f'{name}="{value!r}"' for name, value in zip(("xtl", "ytl", "xbr", "ybr"), sides))
    if obb is not None:
        given += f' rotation="{math.degrees(obb[4]) % 360:.4f}"'
    attributes = {
        **attributes_of(extra),
        TRACK: str(rows.track_id[row]),
        SCORE: str(shortest_floats(rows.score[row : row + 1])[0]),
        GALLERY: rows.gallery_id[row] or "",
        COASTED: "true" if coasted else "",
    }
    inner = "".join(
        f"      <attribute name={_quoted(name)}>{_escaped(str(value))}</attribute>\n"
        for name, value in attributes.items()
        if value
    )
    occluded = coasted or is_occluded(extra)
    flags = f'outside="{int(outside)}" occluded="{int(occluded)}" keyframe="1"'
    return f'    <box frame="{frame}" {flags} {given} z_order="0">\n{inner}    </box>\n'


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", printable(text))


def _escaped(text: str) -> str:
    return escape(_clean(text))


def _quoted(text: str) -> str:
    return quoteattr(_clean(text))
