"""Files of a keypoint run: frame files and tables, written live, and an earlier run's results to resume from."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from mot_dinov3.core import files
from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_FRAME, JsonLines, read_object
from mot_dinov3.core.structures import Keypoints
from mot_dinov3.formats import keypoints_csv, labelme, labelme_edits
from mot_dinov3.keypoints.job.journal import PassJournal, read_uncertainties
from mot_dinov3.keypoints.review import FrameUncertainty
from mot_dinov3.sinks.background import BackgroundWriter

SAVE_EVERY = 25  # tracked frames between two snapshots of the tracker


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
        earlier: The table of the run before, while a new one is being written.
        tracker: Snapshot of the pass under way.
        annolid: Annolid's tracking table, next to the folder.
        wide: DeepLabCut's table.
        poses: Option → file, of those written by the libraries of other programs.
    """

    def __init__(self, video: Path, folder: Path, size: tuple[int, int]) -> None:
        self.video, self.folder, self.size = video, folder, size
        self.stem = stem_of(video)
        self.table = folder / f"{self.stem}_keypoints.csv"
        self.review = folder / f"{self.stem}_review.csv"
        self.state = folder / f"{self.stem}_keypoints.state.json"
        self.passes = folder / f"{self.stem}_keypoints.passes.jsonl"
        self.uncertainties = folder / f"{self.stem}_keypoints.doubts.jsonl"
        self.earlier = folder / f".{self.stem}_keypoints.earlier.csv"
        self.tracker = folder / f".{self.stem}_keypoints.tracker"
        self.annolid = folder.parent / f"{self.stem}_tracking.csv"
        self.wide = folder / f"{self.stem}_dlc.csv"
        self.poses = {
            "dlc_h5": folder / f"{self.stem}_dlc.h5",
            "sleap_h5": folder / f"{self.stem}_sleap.analysis.h5",
            "movement_nc": folder / f"{self.stem}_movement.nc",
        }


def stem_of(video: Path) -> str:
    """Return the prefix of a video's files: its name without suffix; a folder's whole name."""
    return video.name if video.is_dir() else video.stem


@dataclasses.dataclass(frozen=True)
class GapRecord:
    """A solved gap.

    Attributes:
        first: Its first frame in the table.
        last: Its last one.
        carried: Estimates, as JSON, in the labelled frame behind it of keypoints that are not labelled there.
        doubts: Keypoints of that frame whose labels look exchanged, and the notice.
        ends: The video ends behind its last frame.
    """

    first: int
    last: int
    carried: list[dict[str, Any]] | None = None
    doubts: list[list[str]] = dataclasses.field(default_factory=list)
    ends: bool = False

    @classmethod
    def parse(cls, record: object) -> GapRecord | None:
        """Return a record of the state file; None for another value."""
        if not isinstance(record, dict) or type(record.get("first")) is not int or type(record.get("last")) is not int:
            return None
        carried, doubts = record.get("carried"), record.get("doubts")
        return cls(
            record["first"],
            record["last"],
            carried if isinstance(carried, list) else None,
            [d for d in doubts if isinstance(d, list) and all(isinstance(t, str) for t in d)]
            if isinstance(doubts, list)
            else [],
            record.get("ends") is True,
        )

    def merged(self, other: GapRecord | None) -> GapRecord:
        """Return the record of both ranges of one gap, where they touch."""
        if other is None or other.first > self.last + 1 or self.first > other.last + 1:
            return self
        carried = self.carried if self.carried is not None else other.carried
        first, last = min(self.first, other.first), max(self.last, other.last)
        ends = (self if self.last >= other.last else other).ends
        return GapRecord(first, last, carried, self.doubts or other.doubts, ends)


class KeypointFiles:
    """Writes a run's results, and returns those that an earlier run has finished.

    Args:
        paths: Their paths.
        fingerprint: Digest of the options and the video; results with another one are not reused.
        protected: Frames with hand-made files: never written.
        labelled: Frame → outlines by instance, of the frames whose labels are used.
        annolid: Write Annolid's table, too.

    Attributes:
        paths: Paths of the files.
        passes: Journal of the passes through an unfinished gap.
        uncertainties: Frame → uncertainty, as the earlier run noted it.
    """

    def __init__(
        self,
        paths: KeypointPaths,
        *,
        fingerprint: str,
        protected: Sequence[int],
        labelled: Mapping[int, Mapping[str, Any]],
        annolid: bool = False,
    ) -> None:
        self.paths, self.fingerprint, self._labelled = paths, fingerprint, labelled
        self._protected = frozenset(protected)
        self._present: frozenset[int] = frozenset()
        self._with_annolid = annolid
        self._old: dict[str, GapRecord] = {}
        self._done: dict[str, GapRecord] = {}
        self._rows: dict[int, Row] = {}
        self._table: keypoints_csv.LongTable | None = None
        self._annolid: TextIO | None = None
        self._last = -1
        self._range = range(0)
        self._background = BackgroundWriter()
        self.passes = PassJournal(paths.passes)
        self.uncertainties: dict[int, FrameUncertainty] = {}
        self._uncertainties: JsonLines | None = None

    def begin(self, first: int = 0, stop: int | None = None) -> None:
        """Read the results of an earlier run, then begin the tables anew with its frames before `first`.

        Args:
            first: First frame that this run solves.
            stop: Exclusive end, or None for the end of the video.
        """
        paths = self.paths
        self._range = range(first, MAX_FRAME if stop is None else stop)
        self._present = frozenset(labelme.frame_files(paths.folder, paths.stem))
        with files.writing(paths.table):
            self._read_earlier()
            self._uncertainties = JsonLines(paths.uncertainties)
            if self._rows:
                with files.replacing(paths.earlier) as part:
                    keypoints_csv.write_table(part, (self._rows[frame] for frame in sorted(self._rows)))
            self._table = keypoints_csv.LongTable(paths.table)
            if self._with_annolid:
                self._annolid = paths.annolid.open("w", encoding="utf-8", newline="")
                csv.writer(self._annolid, lineterminator="\n").writerow(keypoints_csv.ANNOLID_COLUMNS)
        self._done = {s: r for s, r in self._old.items() if r.last < first or r.first >= self._range.stop}
        self._save()  # what was done within the range is not, until its rows are in the new table
        self._keep_rows(lambda frame: frame < first)

    def _read_earlier(self) -> None:
        """Read what an earlier run left; of a broken file nothing is reused."""
        paths = self.paths
        self.uncertainties = read_uncertainties(paths.uncertainties)
        with contextlib.suppress(FormatError):
            state = read_object(paths.state) if paths.state.is_file() else {}
            done = state.get("done")
            items = done.items() if isinstance(done, dict) else ()
            records = ((signature, GapRecord.parse(record)) for signature, record in items)
            self._old = {signature: record for signature, record in records if record is not None}
        for path in (paths.earlier, paths.table):  # the second one is newer, where a run was killed
            with contextlib.suppress(FormatError):
                for row in keypoints_csv.read_long(path) if path.is_file() else ():
                    self._rows[row[0]] = row

    def _keep_rows(self, wanted: Callable[[int], bool]) -> None:
        """Write the earlier rows of frames outside of this run's range, with their uncertainties."""
        for frame in sorted(frame for frame in self._rows if wanted(frame)):
            if frame in self.uncertainties:
                self.note_uncertainty(self.uncertainties[frame])
            self._write(*self._rows[frame])

    def kept_uncertainties(self) -> dict[int, FrameUncertainty]:
        """Return those of the earlier run's frames outside of this run's range."""
        return {f: u for f, u in self.uncertainties.items() if f not in self._range and f in self._rows}

    def reusable(self, first: int, stop: int | None, signature: str, *, exact: bool) -> list[Row] | None:
        """Return the frames of a gap that an earlier run solved with the same signature, or None.

        With `exact`, a longer range of the gap does not count: its ends are treated differently.
        """
        done = self._old.get(signature)
        if done is None or first < done.first:
            return None
        if not done.ends and (stop is None or stop - 1 > done.last):  # also where nobody knows the number of frames
            return None
        last = done.last if stop is None else min(stop - 1, done.last)
        return None if exact and (first, last) != (done.first, done.last) else self.rows_of(first, last)

    def rows_of(self, first: int, last: int) -> list[Row] | None:
        """Return the earlier run's rows of frames `first` to `last`; None where one, or a frame's file, is missing."""
        frames = range(first, last + 1)
        return [self._rows[frame] for frame in frames] if self._is_complete(frames) else None

    def _is_complete(self, frames: range) -> bool:
        """Return whether an earlier run's rows of all frames are there, with the files of the frames."""
        return all(frame in self._rows and (frame in self._protected or frame in self._present) for frame in frames)

    def record(self, signature: str) -> GapRecord | None:
        """Return what an earlier run noted of a gap, or None."""
        return self._old.get(signature)

    def finished(self, first: int, signature: str, record: GapRecord | None = None) -> None:
        """Save that a gap is solved, up to the last frame written; `record` has what it hands on."""
        if self._last >= first:
            now = GapRecord(first, self._last) if record is None else record
            self._done[signature] = dataclasses.replace(now, first=first, last=self._last).merged(
                self._old.get(signature) if self._is_partial() else None
            )
        self.passes.forget(signature)
        self._save()

    def _is_partial(self) -> bool:
        return any(frame not in self._range for frame in self._rows)

    @property
    def last(self) -> int:
        """The last frame written; −1 before the first one."""
        return self._last

    def note_uncertainty(self, uncertainty: FrameUncertainty) -> None:
        """Append a frame's uncertainty to its journal."""
        if self._uncertainties is not None:
            self._uncertainties.append(dataclasses.asdict(uncertainty))

    def write_rows(self, frame: int, time: float, keypoints: Keypoints) -> None:
        """Append a frame to the tables."""
        self._last = frame
        self._write(frame, time, keypoints)

    def _write(self, frame: int, time: float, keypoints: Keypoints) -> None:
        with files.writing(self.paths.table):
            if self._table is not None:
                self._table.write(frame, time, keypoints)
            if self._annolid is not None:
                shown = dataclasses.replace(keypoints, outlines=keypoints.outlines or self.outlines(frame))
                rows = keypoints_csv.annolid_rows(frame, shown, self.paths.size)
                csv.writer(self._annolid, lineterminator="\n").writerows(rows)

    def write_frame(self, frame: int, keypoints: Keypoints) -> None:
        """Write a frame's LabelMe file, unless it is hand-made; delete an earlier prediction of a labelled frame."""
        paths = self.paths
        path = labelme.frame_path(paths.folder, paths.stem, frame)
        if frame in self._protected:
            if path.is_file() and labelme_edits.is_generated(read_object(path)):
                path.unlink()
            return
        self._background.do(functools.partial(_write_frame, path, frame, keypoints, paths.size))

    def outlines(self, frame: int) -> dict[str, Any]:
        """Return the outlines in a frame: the labelled ones, else those in the file that this program wrote."""
        if frame in self._labelled:
            return dict(self._labelled[frame])
        self._background.drain()
        return labelme.read_outlines(labelme.frame_path(self.paths.folder, self.paths.stem, frame))

    def drain(self) -> None:
        """Wait until all frame files are on disk."""
        self._background.drain()

    def end(self, *, complete: bool) -> None:
        """Close the tables and save the progress; `complete` where nothing is left to resume."""
        try:
            self._background.drain()
            self._keep_rows(lambda frame: frame >= self._range.stop)
            self._save()
            self.passes.close(complete=complete)
        finally:
            self._background.close()
            for file in (self._table, self._annolid, self._uncertainties):
                if file is not None:
                    file.close()
        if self._last < 0 and self.paths.earlier.is_file():  # nothing was solved: the old table stays
            self.paths.earlier.replace(self.paths.table)
        self.paths.earlier.unlink(missing_ok=True)
        if complete:
            self.paths.tracker.unlink(missing_ok=True)
            kept = {self.carried_path(signature) for signature in self._done}
            for path in self.paths.folder.glob(self.carried_path("*").name):
                if path not in kept:
                    path.unlink(missing_ok=True)

    def carried_path(self, signature: str) -> Path:
        """Return the path of the snapshot of the trackers that leave a gap."""
        return self.paths.folder / f".{self.paths.stem}_keypoints.{signature[:16]}.tracker"

    def _save(self) -> None:
        self._background.drain()  # what is saved as done is on disk
        done = {signature: dataclasses.asdict(record) for signature, record in self._done.items()}
        _replace(self.paths.state, json.dumps({"done": done}, indent=1))


def _write_frame(path: Path, frame: int, keypoints: Keypoints, size: tuple[int, int]) -> None:
    document = labelme.frame_document(keypoints, frame=frame, image=f"{path.stem}.png", size=size)
    _replace(path, json.dumps(document, allow_nan=False))  # not indented: that costs more than all the rest


def _replace(path: Path, text: str) -> None:
    with files.replacing(path) as part:
        part.write_text(text, encoding="utf-8")
