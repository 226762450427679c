"""The files of a keypoint run: frame files and tables written live, and what an earlier run left to go on from."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from mot_dinov3.core import files
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import read_object
from mot_dinov3.core.structures import Keypoints
from mot_dinov3.formats import keypoints_csv, labelme
from mot_dinov3.keypoints.job.journal import PassJournal
from mot_dinov3.keypoints.job.uncertainty import DoubtLog
from mot_dinov3.sinks.background import Behind

SAVE_EVERY = 25  # frames between two notes of how far an open gap has come

Row = tuple[int, float, Keypoints]


@dataclasses.dataclass(frozen=True)
class Resumed:
    """Where an interrupted run stopped.

    Attributes:
        frame: Last frame that it tracked.
        keypoints: Its rows.
        rows: All frames of the gap up to there.
    """

    frame: int
    keypoints: Keypoints
    rows: list[Row]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a video's keypoint files are.

    Attributes:
        video: The video, as the user named it.
        folder: Its result folder.
        size: Width and height of its frames.
    """

    video: Path
    folder: Path
    size: tuple[int, int]

    @property
    def stem(self) -> str:
        """The video's name, of which all other names are made."""
        return stem_of(self.video)

    @property
    def table(self) -> Path:
        """The long table."""
        return self.folder / f"{self.stem}_keypoints.csv"

    @property
    def review(self) -> Path:
        """The review list."""
        return self.folder / f"{self.stem}_review.csv"

    @property
    def state(self) -> Path:
        """What is finished."""
        return self.folder / f"{self.stem}_keypoints.state.json"

    @property
    def passes(self) -> Path:
        """What the passes through an unfinished gap have found."""
        return self.folder / f"{self.stem}_keypoints.passes.jsonl"

    @property
    def doubts(self) -> Path:
        """How doubtful each frame was when it was solved."""
        return self.folder / f"{self.stem}_keypoints.doubts.jsonl"

    @property
    def annolid(self) -> Path:
        """Annolid's tracking table, beside the folder."""
        return self.folder.parent / f"{self.stem}_tracking.csv"

    @property
    def wide(self) -> Path:
        """DeepLabCut's table."""
        return self.folder / f"{self.stem}_dlc.csv"


def stem_of(video: Path) -> str:
    """Return the name that a video's files begin with: without its ending; a folder's whole name."""
    return video.name if video.is_dir() else video.stem


class KeypointFiles:
    """Writes a run's results, and hands out what an earlier run has finished.

    Args:
        place: Where they are.
        fingerprint: Digest of the settings and the video: another one makes earlier results worthless.
        protected: Frames whose files a person made: never written.
        annolid: Write Annolid's table, too.

    Attributes:
        place: Where the files are.
        passes: What the passes through an unfinished gap have found.
        doubts: How doubtful the frames were when they were solved.
    """

    def __init__(self, place: Place, *, fingerprint: str, protected: Sequence[int], annolid: bool = False) -> None:
        self.place, self.fingerprint = place, fingerprint
        self._protected = frozenset(protected)
        self._with_annolid = annolid
        self._done: dict[str, Any] = {}
        self._open: dict[str, Any] = {}
        self._old: dict[str, Any] = {}
        self._rows: dict[int, Row] = {}
        self._table: keypoints_csv.LongTable | None = None
        self._annolid: TextIO | None = None
        self._last = -1
        self._behind = Behind()
        self.passes = PassJournal(place.passes)
        self.doubts = DoubtLog(place.doubts)

    def begin(self) -> None:
        """Read what an earlier run left, then begin the tables anew."""
        place = self.place
        with files.writing(place.table):
            self._old = self._read_state()
            if self._old and place.table.is_file():
                self._rows = {row[0]: row for row in self._read_rows()}
            self.doubts.begin()
            self._table = keypoints_csv.LongTable(place.table)
            if self._with_annolid:
                self._annolid = place.annolid.open("w", encoding="utf-8", newline="")
                csv.writer(self._annolid, lineterminator="\n").writerow(keypoints_csv.ANNOLID_COLUMNS)

    def _read_state(self) -> dict[str, Any]:
        try:
            return read_object(self.place.state) if self.place.state.is_file() else {}
        except FormatError:
            return {}  # never finished writing it: all is done again

    def _read_rows(self) -> list[Row]:
        try:
            return list(keypoints_csv.read_long(self.place.table))
        except FormatError:
            return []

    def reusable(self, first: int, stop: int | None, signature: str) -> list[Row] | None:
        """Return the frames of a gap that an earlier run solved in the same circumstances, or None."""
        done = self._old.get("done", {}).get(signature)
        if not isinstance(done, dict) or done.get("first") != first:
            return None
        last = done.get("last")
        if not isinstance(last, int) or (stop is not None and last != stop - 1):
            return None
        return self._span(first, last)

    def resumable(self, first: int, signature: str) -> Resumed | None:
        """Return where an earlier run was interrupted in this gap, or None."""
        note = self._old.get("open", {})
        if note.get("signature") != signature or note.get("first") != first or not isinstance(note.get("frame"), int):
            return None
        rows = self._span(first, note["frame"])
        return Resumed(note["frame"], rows[-1][2], rows) if rows else None

    def _span(self, first: int, last: int) -> list[Row] | None:
        span = [self._rows.get(frame) for frame in range(first, last + 1)]
        return None if not all(span) else [row for row in span if row is not None]

    def carried(self, signature: str) -> list[dict[str, Any]] | None:
        """Return what an earlier run carried out of a gap that it solved: points not labelled where it ends."""
        record = self._old.get("done", {}).get(signature, {}).get("carried")
        return record if isinstance(record, list) else None

    def finished(self, first: int, signature: str, carried: list[dict[str, Any]] | None = None) -> None:
        """Note that a gap is solved, up to the last frame written, and what is carried out of it."""
        if self._last >= first:
            self._done[signature] = {"first": first, "last": self._last, "carried": carried}
        self._open = {}
        self._save()

    def progressed(self, first: int, frame: int, signature: str) -> None:
        """Note how far an open gap has come."""
        self._open = {"first": first, "frame": frame, "signature": signature}
        if frame % SAVE_EVERY == 0:
            self._save()

    def write_rows(self, frame: int, time: float, keypoints: Keypoints) -> None:
        """Append a frame to the tables."""
        self._last = frame
        with files.writing(self.place.table):
            if self._table is not None:
                self._table.write(frame, time, keypoints)
            if self._annolid is not None:
                outlined = keypoints
                if not keypoints.outlines:
                    outlined = dataclasses.replace(keypoints, outlines=self.outlines(frame))
                rows = keypoints_csv.annolid_rows(frame, outlined, self.place.size)
                csv.writer(self._annolid, lineterminator="\n").writerows(rows)

    def write_frame(self, frame: int, keypoints: Keypoints) -> None:
        """Write a frame's LabelMe file, unless a person made it."""
        if frame in self._protected:
            return
        place = self.place
        path = labelme.frame_path(place.folder, place.stem, frame)
        self._behind.do(functools.partial(_write_frame, path, frame, keypoints, place.size))

    def outlines(self, frame: int) -> dict[str, Any]:
        """Return the outlines in the frame's file, where it is ours."""
        self._behind.drain()
        return labelme.read_outlines(labelme.frame_path(self.place.folder, self.place.stem, frame))

    def end(self, *, complete: bool) -> None:
        """Close the tables and save how far the run came; `complete` where nothing is left to go on with."""
        try:
            self._behind.drain()
            self._save()
            self.passes.close(complete=complete)
        finally:
            self._behind.close()
            for file in (self._table, self._annolid, self.doubts):
                if file is not None:
                    file.close()

    def _save(self) -> None:
        self._behind.drain()  # what is noted as done is on disk
        _replace(self.place.state, json.dumps({"done": self._done, "open": self._open}, indent=1))


def _write_frame(path: Path, frame: int, keypoints: Keypoints, size: tuple[int, int]) -> None:
    document = labelme.frame_document(keypoints, frame=frame, image=f"{path.stem}.png", size=size)
    _replace(path, json.dumps(document, allow_nan=False))  # not indented: that costs more than all the rest


def _replace(path: Path, text: str) -> None:
    with files.replacing(path) as part:
        part.write_text(text, encoding="utf-8")
