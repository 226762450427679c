"""YOLO labels: one text file per frame, ``class cx cy w h [score] [track]``, relative to the image size.

The format of Ultralytics' ``save_txt`` (https://docs.ultralytics.com/datasets/detect): ``labels/<stem>_<frame>.txt``,
frames from 1, and no file for a frame without boxes. ``data.yaml`` beside ``labels/`` names the classes; one that this
program writes also gives size, frame rate and the number of the first frame, which Ultralytics does not read; the
frames of other folders follow `frame_names`. `yolo_folders` knows the folders of other programs, `yolo_lines` the
lines: outlines and keypoints are read with their boxes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_FRAME, printable, shortest_floats
from mot_dinov3.core.structures import Detections, VideoInfo
from mot_dinov3.formats.recorded_detections import ASSUMED_FPS, ReadOptions, RecordedDetections, image_size, plausible
from mot_dinov3.formats.rows import LeftOut, RowCollector
from mot_dinov3.formats.yolo_folders import DATA, FIRST, LABELS, description, frames_of, label_files
from mot_dinov3.formats.yolo_lines import label_lines, line_layout, row_of

_NUMBERED = re.compile(r"(?:.*[^0-9])?([0-9]{1,9})\.txt")


def read_yolo(folder: Path, options: ReadOptions) -> RecordedDetections:
    """Read a folder of labels, or one that has them in ``labels/``.

    Raises:
        FormatError: It is no such folder, a line breaks the format, or the size of the images is unknown; the message
            names file and line.
    """
    files = label_files(folder)
    data = description(folder, files)
    # all lines first: only together do they tell what some numbers are
    lines = [label_lines(path) for path in files]
    named = frames_of(folder, files, data, options)
    width, height = image_size(folder, _whole(data, "width"), _whole(data, "height"), options)
    if files and not (width and height):
        raise FormatError(
            f"'{folder}' does not give the size of the images, to which its boxes are relative",
            remedy="give --size WxH or --source FILE to: mot-dinov3 convert",
        )
    layout = line_layout(lines, data)
    rows, left_out = RowCollector(), LeftOut(folder, strict=options.strict)
    for frame, of_frame in sorted(zip(named.numbers, lines), key=lambda pair: pair[0]):
        rows.add_frame(frame)
        for line in of_frame:
            with left_out.checked(f"'{line.path}', line {line.number}"):
                rows.add(frame, row_of(line.fields, layout, (width, height)))
    fps, name = plausible(data.get("fps")), data.get("video")
    video = VideoInfo(printable(name) if isinstance(name, str) else str(folder), width, height, fps or ASSUMED_FPS)
    names = dict(options.names) or data["names"]
    notices = (*filter(None, [named.notice]), *left_out.notices())
    return RecordedDetections(
        str(folder), rows.frames(), video, fps > 0, names, notices=notices, by_number=named.by_number
    )


def is_member(inner: Path) -> bool:
    """Return whether `write_yolo` writes a file of this path in its folder."""
    return inner == Path(DATA) or (inner.parent == Path(LABELS) and _NUMBERED.fullmatch(inner.name) is not None)


def _whole(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    return value if type(value) is int and 0 < value <= MAX_FRAME else 0


def write_yolo(folder: Path, recorded: RecordedDetections, created: str) -> None:
    """Write the boxes of `Detections.xyxy` into ``labels/`` in an empty folder, with a ``data.yaml``.

    It names all classes from 0 to the highest, which Ultralytics and supervision demand. Scores are left out where all
    are 1, so that annotations without tracks can be trained on as they are. `created` is the time of writing, ISO 8601.

    Raises:
        FormatError: The size of the images is unknown.
    """
    import yaml

    video = recorded.video
    if not video.width or not video.height:
        raise FormatError(
            f"'{recorded.path}' does not give the size of the images, to which YOLO's boxes are relative",
            remedy="give --size WxH or --source FILE",
        )
    labels = folder / LABELS
    labels.mkdir()
    stem = safe_stem(video.path)
    names = _all_names(recorded)
    # without 'path': Ultralytics takes the folder of this file then, else it would be the current one
    data: dict[str, Any] = {"train": LABELS, "val": LABELS, "names": names}
    data |= {"video": video.path, "width": video.width, "height": video.height, "created": created}
    data[FIRST] = 1
    data |= {"fps": float(video.fps)} if recorded.fps_known else {}
    (folder / DATA).write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
    scored = any((rows.score != 1).any() for rows in recorded.frames.values())
    for frame, rows in recorded.frames.items():
        if len(rows):
            numbered = rows.replace(class_id=np.maximum(rows.class_id - recorded.first_class, 0))
            size = (video.width, video.height)
            text = "".join(_line(numbered, row, size, scored=scored) for row in range(len(rows)))
            (labels / f"{stem}_{frame + 1}.txt").write_text(text, encoding="utf-8", newline="\n")


def _all_names(recorded: RecordedDetections) -> dict[int, str]:
    """Return the names of all classes from 0 to the highest; one that is not known is called by its number."""
    first = recorded.first_class
    known = {number - first: name for number, name in recorded.names.items() if number >= first and name}
    present = (max(int(c) - first, 0) for rows in recorded.frames.values() for c in np.unique(rows.class_id))
    return {number: known.get(number, str(number)) for number in range(max((*present, *known, -1)) + 1)}


def safe_stem(path: str) -> str:
    """Return a name for files, made from that of a video, which others may have chosen: it stays within its folder."""
    stem = re.sub(r"[^\w.-]+", "_", Path(path.replace("\\", "/")).stem).strip(".")
    return stem[:100] or "frame"


def _line(rows: Detections, row: int, size: tuple[int, int], *, scored: bool) -> str:
    x1, y1, x2, y2 = (float(v) for v in rows.xyxy[row])
    width, height = size
    parts = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    numbers = [str(rows.class_id[row]), *(f"{part:.9f}" for part in parts)]
    numbers += [str(shortest_floats(rows.score[row : row + 1])[0])] if scored else []
    numbers += [str(rows.track_id[row])] if rows.track_id[row] >= 0 else []
    return " ".join(numbers) + "\n"
