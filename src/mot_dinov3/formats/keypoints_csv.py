"""Keypoints as CSV tables: a long one of this program, Annolid's tracking table, and DeepLabCut's wide table.

The long table has one row per keypoint and frame. Annolid: https://github.com/healthonrails/annolid; DeepLabCut:
https://deeplabcut.github.io/DeepLabCut (``scorer``, ``individuals``, ``bodyparts``, ``coords``).
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import Keypoints, PointSource, PointState

LONG_COLUMNS = ("frame", "time_s", "instance", "group_id", "keypoint", "x", "y", "score", "state", "source")
ANNOLID_COLUMNS = (
    "frame_number", "x1", "y1", "x2", "y2", "cx", "cy", "instance_name", "class_score", "segmentation", "tracking_id",
)  # fmt: skip
TRUTH_COLUMNS = ("frame", "instance", "keypoint", "x", "y")
SCORER = "mot-dinov3"


def long_rows(frame: int, time: float, keypoints: Keypoints) -> Iterator[tuple[str, ...]]:
    """Yield a row of `LONG_COLUMNS` for every keypoint of a frame; the coordinates of lost ones are NaN."""
    for row, name in enumerate(keypoints.name):
        x, y = keypoints.xy[row]
        yield (
            str(frame),
            f"{time:.6f}",
            keypoints.instance[row],
            str(int(keypoints.group_id[row])),
            name,
            f"{x:.3f}" if np.isfinite(x) else "NaN",
            f"{y:.3f}" if np.isfinite(y) else "NaN",
            f"{keypoints.score[row]:.4f}",
            PointState(int(keypoints.state[row])).name.lower(),
            PointSource(int(keypoints.source[row])).name.lower(),
        )


class LongTable:
    """Writes a long table in place of an earlier one; every frame is on disk as soon as it is written."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(LONG_COLUMNS)
        self._file.flush()

    def write(self, frame: int, time: float, keypoints: Keypoints) -> None:
        """Append the rows of a frame."""
        self._writer.writerows(long_rows(frame, time, keypoints))
        self._file.flush()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()


def write_table(path: Path, rows: Iterable[tuple[int, float, Keypoints]]) -> None:
    """Write a long table of frames, times and keypoints."""
    table = LongTable(path)
    try:
        for frame, time, keypoints in rows:
            table.write(frame, time, keypoints)
    finally:
        table.close()


def read_long(path: Path) -> Iterator[tuple[int, float, Keypoints]]:
    """Yield frame, time and keypoints of a long table, in its order.

    Raises:
        FormatError: It is not such a table; the message names the line.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if tuple(next(reader, ())) != LONG_COLUMNS:
            raise FormatError(f"'{path}' is not a keypoint table", remedy="delete it to start from the beginning")
        for _, group in itertools.groupby(reader, key=lambda row: row[:1]):
            rows = list(group)
            yield _frame_of(path, reader.line_num, rows)


def _frame_of(path: Path, line: int, rows: Sequence[Sequence[str]]) -> tuple[int, float, Keypoints]:
    try:
        columns = list(zip(*rows, strict=True))
        frame, time, instance, group, name, x, y, score, state, source = columns
        keypoints = Keypoints(
            instance=instance,
            group_id=np.array(group, np.int64),
            name=name,
            xy=np.array([x, y], np.float64).T,
            score=np.array(score, np.float64),
            state=np.array([PointState[s.upper()] for s in state], np.int64),
            source=np.array([PointSource[s.upper()] for s in source], np.int64),
        )
        return int(frame[0]), float(time[0]), keypoints
    except (ValueError, KeyError) as error:
        raise FormatError(
            f"'{path}', before line {line}: cannot be read", remedy="delete it to start from the beginning"
        ) from error


def read_truth(path: Path) -> Iterator[tuple[int, str, str, float, float]]:
    """Yield frame, instance, keypoint, x and y of a table with these columns; points without a place are left out.

    Raises:
        FormatError: It is not such a table; the message names the line.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in TRUTH_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise FormatError(
                f"'{path}' has no column {', '.join(missing)}", remedy="columns: " + ",".join(TRUTH_COLUMNS)
            )
        for row in reader:
            try:
                frame, x, y = int(row["frame"]), float(row["x"] or "nan"), float(row["y"] or "nan")
            except (TypeError, ValueError) as error:
                raise FormatError(f"'{path}', line {reader.line_num}: cannot be read") from error
            if np.isfinite((x, y)).all():
                yield frame, row["instance"], row["keypoint"], x, y


def annolid_rows(frame: int, keypoints: Keypoints, size: tuple[int, int]) -> Iterator[tuple[str, ...]]:
    """Yield a frame's rows of Annolid's tracking table: instances with box and mask first, then keypoints.

    `size` is the width and height of the video's frames.
    """
    import cv2

    for name, polygons in keypoints.outlines.items():
        rows = [i for i, instance in enumerate(keypoints.instance) if instance == name]
        score = float(np.mean(keypoints.score[rows])) if rows else 1.0
        corners = np.vstack(polygons)
        (x1, y1), (x2, y2) = corners.min(0), corners.max(0)
        mask = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillPoly(mask, [np.rint(p).astype(np.int32) for p in polygons], 1)
        ys, xs = np.nonzero(mask)
        cx, cy = (xs.mean(), ys.mean()) if len(xs) else corners.mean(0)
        box = (f"{v:.2f}" for v in (x1, y1, x2, y2, cx, cy))
        group = str(int(keypoints.group_id[rows[0]])) if rows else ""
        segmentation = json.dumps({"size": [size[1], size[0]], "counts": run_lengths(mask)})
        yield (str(frame), *box, name, f"{score:.4f}", segmentation, group)
    for row, name in enumerate(keypoints.name):
        x, y = keypoints.xy[row]
        if np.isfinite(x):
            place = (f"{x:.2f}", f"{y:.2f}")
            label = f"{keypoints.instance[row]}:{name}"
            group = str(int(keypoints.group_id[row]))
            yield (str(frame), *place, *place, *place, label, f"{keypoints.score[row]:.4f}", "", group)


def run_lengths(mask: npt.NDArray[np.bool_ | np.uint8]) -> str:
    """Return COCO's compressed run-length encoding of a ``(h, w)`` mask: by columns, the background first."""
    flat = mask.T.reshape(-1).astype(np.int8)
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], changes, [len(flat)]])).tolist()
    counts = [0, *runs] if len(flat) and flat[0] else runs
    text = []
    for i, count in enumerate(counts):
        value = int(count) - (int(counts[i - 2]) if i > 2 else 0)
        more = True
        while more:  # five bits a character, the lowest first, the sixth says that more follow
            low = value & 0x1F
            value >>= 5
            more = value != -1 if low & 0x10 else value != 0
            text.append(chr((low | 0x20 if more else low) + 48))
    return "".join(text)


def write_wide(
    file: TextIO, frames: Iterable[tuple[int, Keypoints]], points: Iterable[tuple[str, str]] | None = None
) -> None:
    """Write a DeepLabCut table: three header rows, four where there are several animals, then one row per frame.

    Every animal has the same body parts in the same order, as programs that read such tables expect; those that it has
    not, and frames from 0 on that are missing, are empty with likelihood 0.

    Args:
        file: Open text file.
        frames: Numbers and keypoints, in order.
        points: Instance and name of all keypoints; those of the first frame by default.
    """
    writer = csv.writer(file, lineterminator="\n")
    nothing, expected = ["", "", "0.0000"], 0
    columns: list[tuple[str, str]] = []
    for number, keypoints in frames:
        if not columns:
            known = list(points or zip(keypoints.instance, keypoints.name))
            animals, parts = (list(dict.fromkeys(names)) for names in zip(*known))
            columns = [(animal, part) for animal in animals for part in parts]
            writer.writerows(_wide_header(animals, parts))
        for missing in range(expected, number):
            writer.writerow([str(missing), *(nothing * len(columns))])
        rows = {pair: row for row, pair in enumerate(zip(keypoints.instance, keypoints.name))}
        cells = [_wide_cells(keypoints, rows[pair]) if pair in rows else nothing for pair in columns]
        writer.writerow([str(number), *itertools.chain.from_iterable(cells)])
        expected = number + 1


def _wide_cells(keypoints: Keypoints, row: int) -> list[str]:
    x, y = keypoints.xy[row]
    place = [f"{x:.3f}", f"{y:.3f}"] if np.isfinite(x) else ["", ""]
    return [*place, f"{keypoints.score[row]:.4f}" if np.isfinite(x) else "0.0000"]


def _wide_header(animals: Sequence[str], parts: Sequence[str]) -> Iterator[list[str]]:
    columns = [(animal, part, coord) for animal in animals for part in parts for coord in ("x", "y", "likelihood")]
    yield ["scorer", *(SCORER for _ in columns)]
    if len(animals) > 1:
        yield ["individuals", *(animal for animal, _, _ in columns)]
    yield ["bodyparts", *(part for _, part, _ in columns)]
    yield ["coords", *(coord for _, _, coord in columns)]
