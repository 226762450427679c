"""Results of keypoint tracking: the long table by frame and by keypoint, and the list of frames to review."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import PointState
from mot_dinov3.formats.keypoints_csv import LONG_COLUMNS

BINS = 1200  # of a plot over time
MAX_REVIEW = 50  # frames

ROW = np.dtype([("frame", "i8"), ("key", "i8"), ("x", "f8"), ("y", "f8"), ("score", "f8"), ("state", "i8")])
"""A point in a frame; `key` is the index of its instance and keypoint."""
_Table = tuple[list[tuple[str, str]], npt.NDArray[np.void]]
"""Instance and name of every keypoint, and the `ROW` of every point in the order of the frames."""


class ResultTable:
    """The long table of a run, read again when it changes; of a table that is being written, the whole lines are read.

    Args:
        path: The table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._table: _Table = [], np.zeros(0, ROW)

    def frames(self) -> int:
        """Return the number of frames in the table."""
        return len(np.unique(self._read()[1]["frame"]))

    def rows(self, number: int) -> list[dict[str, Any]]:
        """Return the points of a frame, for the page; lost ones have no coordinates."""
        keys, rows = self._read()
        low, high = np.searchsorted(rows["frame"], (number, number + 1))
        return [
            {
                "kind": "point",
                "instance": keys[key][0],
                "name": keys[key][1],
                "points": [[round(x, 2), round(y, 2)]] if np.isfinite((x, y)).all() else [],
                "score": round(score, 3),
                "state": PointState(state).name.lower(),
                "source": "tracked",
                "origin": -1,
            }
            for _, key, x, y, score, state in rows[low:high].tolist()
        ]

    def series(self) -> dict[str, Any]:
        """Return score and state of every keypoint over time: in each of at most `BINS` spans, the worst one."""
        keys, table = self._read()
        frames = table["frame"]
        if not len(frames):
            return {"first": 0, "step": 1, "rows": []}
        first, last = int(frames[0]), int(frames[-1])
        step = -(-(last - first + 1) // BINS)
        count = (last - first) // step + 1
        rows = []
        for number, (instance, name) in enumerate(keys):
            mine = table[table["key"] == number]
            place = (mine["frame"] - first) // step
            score, state = np.full(count, np.inf), np.full(count, -1)
            np.minimum.at(score, place, mine["score"])
            np.maximum.at(state, place, mine["state"])
            shown = [round(float(v), 3) if np.isfinite(v) else None for v in score]
            rows.append({"instance": instance, "name": name, "score": shown, "state": state.tolist()})
        return {"first": first, "step": step, "rows": rows}

    def _read(self) -> _Table:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return [], np.zeros(0, ROW)
        stamp = status.st_mtime_ns, status.st_size
        if stamp != self._stamp:
            self._table, self._stamp = _read_table(self._path), stamp
        return self._table

    def review(self, path: Path) -> list[dict[str, Any]]:
        """Return the frames to review, the most urgent first."""
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))[:MAX_REVIEW]
            return [
                {**{name: row.get(name) or "" for name in ("keypoints", "why")}, "frame": int(row["frame"])}
                for row in rows
            ]
        except FileNotFoundError:
            return []
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"'{path}' is not a review list", remedy="track the points again") from error


def _read_table(path: Path) -> _Table:
    keys: dict[tuple[str, str], int] = {}
    states = {state.name.lower(): int(state) for state in PointState}

    def points(lines: Iterator[list[str]]) -> Iterator[tuple[float, ...]]:
        for line in lines:
            try:
                frame, _, instance, _, name, x, y, score, state, _ = line
                numbers = int(frame), float(x), float(y), float(score), states[state]
            except (ValueError, KeyError):
                return  # the line that is being written
            yield numbers[0], keys.setdefault((instance, name), len(keys)), *numbers[1:]

    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if tuple(next(reader, ())) != LONG_COLUMNS:
            raise FormatError(f"'{path}' is not a keypoint table", remedy="track the points again")
        rows = np.fromiter(points(reader), ROW)
    return list(keys), rows[np.argsort(rows["frame"], kind="stable")]
