"""Files of a keypoint run: frame files and tables, written live, and an earlier run's results to resume from."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from mot_dinov3.core import files
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import JsonLines, read_object
from mot_dinov3.core.structures import Keypoints
from mot_dinov3.formats import keypoints_csv, labelme
from mot_dinov3.keypoints.job.journal import PassJournal, read_uncertainties
from mot_dinov3.keypoints.review import FrameUncertainty
from mot_dinov3.sinks.background import BackgroundWriter

SAVE_EVERY = 25  # frames between two saves of the progress in an open gap

Row = tuple[int, float, Keypoints]


class KeypointPaths:
    """Paths of a video's keypoint files.

    Args:
        video: The video, as the user named it.
        folder: Its result folder.
        size: Width and height of its frames.

    Attributes:
        stem: Prefix of all file names: the video's name.
        table: The long table.
        review: The review list.
        state: The finished gaps.
        passes: Journal of the passes through an unfinished gap.
        uncertainties: Journal of each frame's uncertainty.
        annolid: Annolid's tracking table, next to the folder.
        wide: DeepLabCut's table.
    """

    def __init__(self, video: Path, folder: Path, size: tuple[int, int]) -> None:
        self.video, self.folder, self.size = video, folder, size
        self.stem = stem_of(video)
        self.table = folder / f"{self.stem}_keypoints.csv"
        self.review = folder / f"{self.stem}_review.csv"
        self.state = folder / f"{self.stem}_keypoints.state.json"
        self.passes = folder / f"{self.stem}_keypoints.passes.jsonl"
        self.uncertainties = folder / f"{self.stem}_keypoints.doubts.jsonl"
        self.annolid = folder.parent / f"{self.stem}_tracking.csv"
        self.wide = folder / f"{self.stem}_dlc.csv"


def stem_of(video: Path) -> str:
    """Return the prefix of a video's files: its name without suffix; a folder's whole name."""
    return video.name if video.is_dir() else video.stem


class KeypointFiles:
    """Writes a run's results, and returns those that an earlier run has finished.

    Args:
        paths: Their paths.
        fingerprint: Digest of the options and the video; results with another one are not reused.
        protected: Frames with hand-made files: never written.
        annolid: Write Annolid's table, too.

    Attributes:
        paths: Paths of the files.
        passes: Journal of the passes through an unfinished gap.
        uncertainties: Frame → uncertainty, as the earlier run noted it.
    """

    def __init__(
        self, paths: KeypointPaths, *, fingerprint: str, protected: Sequence[int], annolid: bool = False
    ) -> None:
        self.paths, self.fingerprint = paths, fingerprint
        self._protected = frozenset(protected)
        self._with_annolid = annolid
        self._done: dict[str, Any] = {}
        self._open: dict[str, Any] = {}
        self._old: dict[str, Any] = {}
        self._rows: dict[int, Row] = {}
        self._table: keypoints_csv.LongTable | None = None
        self._annolid: TextIO | None = None
        self._last = -1
        self._background = BackgroundWriter()
        self.passes = PassJournal(paths.passes)
        self.uncertainties: dict[int, FrameUncertainty] = {}
        self._uncertainties: JsonLines | None = None

    def begin(self) -> None:
        """Read the results of an earlier run, then begin the tables anew."""
        paths = self.paths
        with files.writing(paths.table):
            self._read_earlier()
            self._uncertainties = JsonLines(paths.uncertainties)
            self._table = keypoints_csv.LongTable(paths.table)
            if self._with_annolid:
                self._annolid = paths.annolid.open("w", encoding="utf-8", newline="")
                csv.writer(self._annolid, lineterminator="\n").writerow(keypoints_csv.ANNOLID_COLUMNS)

    def _read_earlier(self) -> None:
        """Read what an earlier run left; of a broken file nothing is reused."""
        paths = self.paths
        self.uncertainties = read_uncertainties(paths.uncertainties)
        with contextlib.suppress(FormatError):
            self._old = read_object(paths.state) if paths.state.is_file() else {}
            if self._old and paths.table.is_file():
                self._rows = {row[0]: row for row in list(keypoints_csv.read_long(paths.table))}

    def reusable(self, first: int, stop: int | None, signature: str) -> list[Row] | None:
        """Return the frames of a gap that an earlier run solved with the same signature, or None."""
        done = self._old.get("done", {}).get(signature)
        if not isinstance(done, dict) or done.get("first") != first:
            return None
        last = done.get("last")
        if not isinstance(last, int) or (stop is not None and last != stop - 1):
            return None
        return self._span(first, last)

    def resumable(self, first: int, signature: str) -> list[Row] | None:
        """Return the frames of this gap that an earlier run solved before it was interrupted, or None."""
        note = self._old.get("open", {})
        if note.get("signature") != signature or note.get("first") != first or not isinstance(note.get("frame"), int):
            return None
        return self._span(first, note["frame"]) or None

    def _span(self, first: int, last: int) -> list[Row] | None:
        frames = range(first, last + 1)
        return [self._rows[frame] for frame in frames] if all(frame in self._rows for frame in frames) else None

    def carry_over(self, signature: str) -> list[dict[str, Any]] | None:
        """Return the points that an earlier run tracked out of a gap, not labelled where it ends, or None."""
        record = self._old.get("done", {}).get(signature, {}).get("carried")
        return record if isinstance(record, list) else None

    def finished(self, first: int, signature: str, carry_over: list[dict[str, Any]] | None = None) -> None:
        """Save that a gap is solved, up to the last frame written, and the points tracked out of it."""
        if self._last >= first:
            self._done[signature] = {"first": first, "last": self._last, "carried": carry_over}
        self._open = {}
        self._save()

    def progressed(self, first: int, frame: int, signature: str) -> None:
        """Save the progress in an open gap."""
        self._open = {"first": first, "frame": frame, "signature": signature}
        if frame % SAVE_EVERY == 0:
            self._save()

    def note_uncertainty(self, uncertainty: FrameUncertainty) -> None:
        """Append a frame's uncertainty to its journal."""
        if self._uncertainties is not None:
            self._uncertainties.append(dataclasses.asdict(uncertainty))

    def write_rows(self, frame: int, time: float, keypoints: Keypoints) -> None:
        """Append a frame to the tables."""
        self._last = frame
        with files.writing(self.paths.table):
            if self._table is not None:
                self._table.write(frame, time, keypoints)
            if self._annolid is not None:
                outlined = keypoints
                if not keypoints.outlines:
                    outlined = dataclasses.replace(keypoints, outlines=self.outlines(frame))
                rows = keypoints_csv.annolid_rows(frame, outlined, self.paths.size)
                csv.writer(self._annolid, lineterminator="\n").writerows(rows)

    def write_frame(self, frame: int, keypoints: Keypoints) -> None:
        """Write a frame's LabelMe file, unless it is hand-made."""
        if frame in self._protected:
            return
        paths = self.paths
        path = labelme.frame_path(paths.folder, paths.stem, frame)
        self._background.do(functools.partial(_write_frame, path, frame, keypoints, paths.size))

    def outlines(self, frame: int) -> dict[str, Any]:
        """Return the outlines in the frame's file, unless it is hand-made."""
        self._background.drain()
        return labelme.read_outlines(labelme.frame_path(self.paths.folder, self.paths.stem, frame))

    def end(self, *, complete: bool) -> None:
        """Close the tables and save the progress; `complete` where nothing is left to resume."""
        try:
            self._background.drain()
            self._save()
            self.passes.close(complete=complete)
        finally:
            self._background.close()
            for file in (self._table, self._annolid, self._uncertainties):
                if file is not None:
                    file.close()

    def _save(self) -> None:
        self._background.drain()  # what is saved as done is on disk
        _replace(self.paths.state, json.dumps({"done": self._done, "open": self._open}, indent=1))


def _write_frame(path: Path, frame: int, keypoints: Keypoints, size: tuple[int, int]) -> None:
    document = labelme.frame_document(keypoints, frame=frame, image=f"{path.stem}.png", size=size)
    _replace(path, json.dumps(document, allow_nan=False))  # not indented: that costs more than all the rest


def _replace(path: Path, text: str) -> None:
    with files.replacing(path) as part:
        part.write_text(text, encoding="utf-8")
