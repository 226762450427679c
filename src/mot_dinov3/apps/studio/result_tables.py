"""Results of keypoint tracking: the long table by frame and by keypoint, and the list of frames to review."""

from __future__ import annotations

import csv
import dataclasses
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.structures import PointSource, PointState
from mot_dinov3.formats.keypoints_csv import LONG_COLUMNS

BINS = 1200  # of a plot over time
MAX_REVIEW = 50  # frames


@dataclasses.dataclass(frozen=True)
class _Columns:
    """The table, column by column, in the order of the frames."""

    keys: tuple[tuple[str, str], ...]
    frame: np.ndarray
    key: np.ndarray
    xy: np.ndarray
    score: np.ndarray
    state: np.ndarray
    human: np.ndarray


class ResultTable:
    """The long table of a run, read again when it changes; of a table that is being written, the whole lines are read.

    Args:
        path: The table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._columns: _Columns | None = None

    def frames(self) -> int:
        """Return the number of frames in the table."""
        columns = self._read()
        return 0 if columns is None else len(np.unique(columns.frame))

    def rows(self, number: int) -> list[dict[str, Any]]:
        """Return the points of a frame, for the page; lost ones have no coordinates."""
        columns = self._read()
        if columns is None:
            return []
        low, high = np.searchsorted(columns.frame, (number, number + 1))
        return [self._row(columns, row) for row in range(int(low), int(high))]

    def _row(self, columns: _Columns, row: int) -> dict[str, Any]:
        instance, name = columns.keys[columns.key[row]]
        place = columns.xy[row]
        return {
            "kind": "point",
            "instance": instance,
            "name": name,
            "points": [[round(float(v), 2) for v in place]] if np.isfinite(place).all() else [],
            "score": round(float(columns.score[row]), 3),
            "state": PointState(int(columns.state[row])).name.lower(),
            "source": "tracked",
            "origin": -1,
        }

    def series(self) -> dict[str, Any]:
        """Return score and state of every keypoint over time: in each of at most `BINS` spans, the worst one."""
        columns = self._read()
        if columns is None or not len(columns.frame):
            return {"first": 0, "step": 1, "rows": []}
        first, last = int(columns.frame[0]), int(columns.frame[-1])
        step = -(-(last - first + 1) // BINS)
        count = (last - first) // step + 1
        rows = []
        for number, (instance, name) in enumerate(columns.keys):
            mine = columns.key == number
            place = (columns.frame[mine] - first) // step
            score, state = np.full(count, np.inf), np.full(count, -1)
            np.minimum.at(score, place, columns.score[mine])
            np.maximum.at(state, place, columns.state[mine])
            shown = [round(float(v), 3) if np.isfinite(v) else None for v in score]
            rows.append({"instance": instance, "name": name, "score": shown, "state": state.tolist()})
        return {"first": first, "step": step, "rows": rows}

    def _read(self) -> _Columns | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        stamp = status.st_mtime_ns, status.st_size
        if stamp != self._stamp:
            self._columns, self._stamp = _read_columns(self._path), stamp
        return self._columns

    def review(self, path: Path) -> list[dict[str, Any]]:
        """Return the frames to review, the most urgent first."""
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))[:MAX_REVIEW]
            return [
                {"frame": int(row["frame"]), "urgency": float(row["urgency"]), "keypoints": row["keypoints"]}
                for row in rows
            ]
        except FileNotFoundError:
            return []
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"'{path}' is not a review list", remedy="track the points again") from error


def _read_columns(path: Path) -> _Columns:
    keys: dict[tuple[str, str], int] = {}
    whole, numbers = (array("q"), array("q"), array("q"), array("q")), (array("d"), array("d"), array("d"))
    states = {state.name.lower(): int(state) for state in PointState}
    human = PointSource.HUMAN.name.lower()
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if tuple(next(reader, ())) != LONG_COLUMNS:
            raise FormatError(f"'{path}' is not a keypoint table", remedy="track the points again")
        for row in reader:
            try:
                frame, _, instance, _, name, x, y, score, state, source = row
                found = (int(frame), states[state], int(source == human)), (float(x), float(y), float(score))
            except (ValueError, KeyError):
                break  # the line that is being written
            key = keys.setdefault((instance, name), len(keys))
            for column, value in zip(whole, (*found[0], key)):
                column.append(value)
            for real, number in zip(numbers, found[1]):
                real.append(number)
    numbered, conditions, humans, of = (np.array(column, np.int64) for column in whole)
    order = np.argsort(numbered, kind="stable")
    places = np.array(numbers, np.float64).reshape(3, -1)[:, order]
    return _Columns(tuple(keys), numbered[order], of[order], places[:2].T, places[2], conditions[order], humans[order])
