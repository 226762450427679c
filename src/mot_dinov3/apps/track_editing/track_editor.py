"""A track file that is corrected: its edits are kept in a journal beside it, the file itself is never changed.

The journal, ``tracked.json.edits.jsonl``, has a line for every step, written before the step counts. Whoever opens the
file again, after a crash too, has all edits, and can undo them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.apps.evaluation import Scores, SequencePair, as_table, read_truth, score
from mot_dinov3.apps.track_editing.edits import Edit, parse_edit
from mot_dinov3.apps.track_editing.tracked_boxes import TrackedBoxes, recorded_of, table_of
from mot_dinov3.core.errors import FormatError, InputError, MotError, OutputError, UsageError
from mot_dinov3.core.files import check_output, file_hash, replacing
from mot_dinov3.core.json_text import JsonLines, read_object, too_deep, write_document
from mot_dinov3.core.output_lock import short_lock
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.core.timing import now_utc
from mot_dinov3.formats import format_registry, track_v1
from mot_dinov3.formats.det_v1_writer import with_time
from mot_dinov3.formats.lost_fields import lost_fields
from mot_dinov3.formats.recorded_detections import RecordedDetections, frame_numbers

JOURNAL_SUFFIX = ".edits.jsonl"
SCHEMA = "edits-v1"
SAVED_AS: Mapping[str, str] = {".json": "track-v1", ".txt": "motchallenge", ".csv": "csv"}
"""Extension of a corrected file → its format."""


@dataclasses.dataclass(frozen=True)
class EditHistory:
    """A table and the edits that made it from the original; undoing replays the others, which is exact.

    Attributes:
        original: The table of the file.
        table: The edited one.
        done: The edits, in order.
        undone: Those that `redo` does again, the next one last.
    """

    original: TrackedBoxes
    table: TrackedBoxes
    done: tuple[Edit, ...] = ()
    undone: tuple[Edit, ...] = ()

    def do(self, edit: Edit) -> EditHistory:
        """Return the history with one more edit.

        Raises:
            InputError: It does not fit the table.
        """
        return EditHistory(self.original, edit.apply(self.table), (*self.done, edit))

    def undo(self) -> EditHistory:
        """Return the history without its last edit.

        Raises:
            InputError: There is none.
        """
        if not self.done:
            raise InputError("there is nothing to undo")
        table = self.original
        for edit in self.done[:-1]:
            table = edit.apply(table)
        return EditHistory(self.original, table, self.done[:-1], (*self.undone, self.done[-1]))

    def redo(self) -> EditHistory:
        """Return the history with the edit that was undone last.

        Raises:
            InputError: There is none.
        """
        if not self.undone:
            raise InputError("there is nothing to redo")
        edit = self.undone[-1]
        return EditHistory(self.original, edit.apply(self.table), (*self.done, edit), self.undone[:-1])


class TrackEditor:
    """A track file with its edits.

    Args:
        path: Tracks in any format that has them.
        video: Size, frame rate and length of the video, where the file may lack them.

    Attributes:
        path: As given.
        recorded: The content of the file.
        history: The edits.
        reviewed: Keys of the places that were reviewed.
        saved: Name of each file that was written → its hash.
        saved_edits: The edits when a file was saved last; None before.
        revision: Number of steps so far; it grows with each.
        notices: Lines for the user.

    Raises:
        FormatError: The file has no tracks, or breaks its format, or its journal cannot be replayed.
    """

    def __init__(self, path: Path, video: VideoInfo | None = None) -> None:
        self.path = path
        self.format = format_registry.detect_format(path)
        self.recorded = _with_video(format_registry.read_any(path, name=self.format), video)
        table = table_of(self.recorded)
        if not len(table):
            raise FormatError(f"'{path}' has no tracks", remedy="give a result of track, not detections")
        self.notices = list(self.recorded.notices)
        self._hash = file_hash(path)
        self._journal: JsonLines | None = None
        self._begin(table)

    def _begin(self, table: TrackedBoxes) -> None:
        """Begin with the original, then make the steps of the journal."""
        self.history = EditHistory(table, table)
        self.reviewed: set[str] = set()
        self.saved: dict[str, str] = {}
        self.saved_edits: tuple[Edit, ...] | None = None
        self.revision = 0
        self._size = 0
        if self.journal_path.exists():
            self._resume()

    @property
    def journal_path(self) -> Path:
        """Where the edits are kept."""
        return self.path.with_name(self.path.name + JOURNAL_SUFFIX)

    @property
    def table(self) -> TrackedBoxes:
        """The edited tracks."""
        return self.history.table

    @property
    def fps(self) -> float:
        """Frame rate of the video."""
        return self.recorded.video.fps

    @property
    def is_saved(self) -> bool:
        """Whether a file holds all edits, or there are none."""
        return self.history.done == (self.saved_edits or ())

    def do(self, edit: Edit) -> None:
        """Make an edit.

        Raises:
            InputError: It does not fit the tracks; nothing is changed.
            OutputLostError: The journal cannot be written; nothing is changed.
        """
        self._step(self.history.do(edit), {"do": edit.to_json()})

    def undo(self) -> None:
        """Take back the last edit."""
        self._step(self.history.undo(), {"undo": True})

    def redo(self) -> None:
        """Make the edit again that was undone last."""
        self._step(self.history.redo(), {"redo": True})

    def mark_reviewed(self, key: str, reviewed: bool = True) -> None:
        """Keep that a place was reviewed, or is to be reviewed again."""
        self._step(self.history, {"reviewed" if reviewed else "unreviewed": key})
        (self.reviewed.add if reviewed else self.reviewed.discard)(key)

    def corrected(self) -> RecordedDetections:
        """Return the content of the file with the edited tracks."""
        return recorded_of(self.table, self.recorded)

    def target(self, suffix: str = "") -> Path:
        """Return the usual path of the corrected file, ``tracked.corrected.json``, with an extension of `SAVED_AS`."""
        own = self.path.suffix.lower()
        suffix = suffix or (own if own in SAVED_AS else ".json")
        return self.path.with_name(f"{self.path.stem}.corrected{suffix}")

    def may_write(self, target: Path) -> bool:
        """Return whether a file is new, or was written by this editor and not changed since."""
        return not target.exists() or self.saved.get(target.name) == file_hash(target)

    def save(self, target: Path, *, overwrite: bool = False) -> list[str]:
        """Write the corrected tracks, in the format of the extension: see `SAVED_AS`. Return notices on what is lost.

        A file that this editor wrote, and nothing has changed since, is replaced; another one only with `overwrite`.

        Raises:
            OutputError: It is the original itself, exists already, or cannot be written.
        """
        name = SAVED_AS.get(target.suffix.lower())
        if name is None:
            raise OutputError(f"'{target.name}' has none of the extensions {', '.join(SAVED_AS)}", remedy="add one")
        check_output(target, source=str(self.path))
        if not overwrite and not self.may_write(target):
            raise OutputError(f"'{target}' exists already", remedy="choose another name, or replace it")
        corrected = self.corrected()
        lost = lost_fields(corrected, name)
        with replacing(target) as part:
            if name == "track-v1":
                self._write_track_v1(part, corrected)
            else:
                written = format_registry.with_track_boxes(corrected)
                format_registry.FORMATS[name].write(part, written, now_utc())
        digest = file_hash(target)
        self._step(self.history, {"saved": target.name, "hash": digest})
        self.saved[target.name], self.saved_edits = digest, self.history.done
        return [f"{name} cannot store: {'; '.join(lost)}"] if lost else []

    def evaluate(self, truth: Path) -> tuple[Scores, Scores]:
        """Return the scores of the original and of the corrected tracks against a ground truth.

        Raises:
            FormatError: The ground truth breaks its format.
        """
        table = read_truth(truth)
        before, after = as_table(self.recorded.frames, self.path), as_table(self.corrected().frames, self.path)
        scores = score([SequencePair("before", table, before), SequencePair("after", table, after)])
        return scores["before"], scores["after"]

    def catch_up(self) -> None:
        """Take over the steps that another program has written to the journal since; without any, do nothing.

        Raises:
            FormatError: The journal cannot be replayed.
        """
        if self._journal_size() != self._size:
            self.close()
            self._journal = None
            self._begin(self.history.original)

    def close(self) -> None:
        """Close the journal; may be called twice."""
        if self._journal is not None and not self._journal.closed:
            self._journal.close()

    def _write_track_v1(self, path: Path, corrected: RecordedDetections) -> None:
        """Write track-v1 with the tracker of the original, and the edits under ``corrections``."""
        tracker = track_v1.tracker_block("imported", {})
        if self.format == "track-v1":
            found = read_object(self.path, odd=[]).get("tracker")
            tracker = found if isinstance(found, dict) and not too_deep(found) else tracker
        header = track_v1.track_v1_header(
            source_header=format_registry.det_header(corrected),
            created_at_utc=now_utc(),
            tracker=tracker,
            more={"corrections": [edit.to_json() for edit in self.history.done]},
        )
        empty = corrected.frames[min(corrected.frames)][:0]
        numbers = frame_numbers(corrected.frames)
        records = (track_v1.track_v1_frame(n, corrected.frames.get(n, empty), corrected.names) for n in numbers)
        timed = (with_time(r, corrected.times[r["frame"]]) if r["frame"] in corrected.times else r for r in records)
        with path.open("w", encoding="utf-8", newline="\n") as file:
            write_document(file, header, timed)

    # -- the journal ---------------------------------------------------------------------------------------------------

    def _step(self, history: EditHistory, line: Mapping[str, Any]) -> None:
        """Write a line of the journal, then take over the history that it leads to."""
        path = self.journal_path
        with short_lock(path):
            if self._journal_size() != self._size or (self._journal is not None and self._journal.closed):
                raise UsageError(f"'{path.name}' is used by another program", remedy="open the tracks again")
            if self._journal is None:
                self._journal = JsonLines(path)
                self._journal.append({"schema_version": SCHEMA, "file": self.path.name, "hash": self._hash})
            self._journal.append(line)
            self._size = path.stat().st_size
        self.history = history
        self.revision += 1

    def _journal_size(self) -> int:
        return self.journal_path.stat().st_size if self.journal_path.exists() else 0

    def _resume(self) -> None:
        """Replay the journal, or put it aside where it belongs to another content of the file."""
        journal = JsonLines(self.journal_path, resume=True)
        header = journal.read() or {}
        if header.get("schema_version") != SCHEMA or header.get("hash") != self._hash:
            journal.close()
            aside = _free_name(self.journal_path)
            self.journal_path.rename(aside)
            self.notices.append(
                f"'{self.path.name}' has changed since it was corrected: the earlier edits are kept in '{aside.name}'"
            )
            return
        while (line := journal.read()) is not None:
            try:
                self._replay(line)
            except MotError as error:
                journal.close()
                raise FormatError(
                    f"'{self.journal_path}', step {self.revision + 1}: {error.message}",
                    remedy="rename this file to begin without the earlier edits",
                ) from error
            self.revision += 1
        self._journal, self._size = journal, self.journal_path.stat().st_size

    def _replay(self, line: Mapping[str, Any]) -> None:
        history = self.history
        if "do" in line:
            self.history = history.do(parse_edit(line["do"]))
        elif "undo" in line:
            self.history = history.undo()
        elif "redo" in line:
            self.history = history.redo()
        elif "saved" in line:
            self.saved[str(line["saved"])], self.saved_edits = str(line.get("hash")), history.done
        elif "reviewed" in line:
            self.reviewed.add(str(line["reviewed"]))
        elif "unreviewed" in line:
            self.reviewed.discard(str(line["unreviewed"]))
        else:
            raise InputError(f"unknown step {', '.join(line)[:40]!r}")


def _with_video(recorded: RecordedDetections, video: VideoInfo | None) -> RecordedDetections:
    """Return the detections with what a file without a video's properties lacks of them."""
    if video is None:
        return recorded
    info, known = recorded.video, recorded.fps_known
    width, height = (info.width, info.height) if info.width and info.height else (video.width, video.height)
    fps = info.fps if known else video.fps
    return dataclasses.replace(
        recorded,
        video=dataclasses.replace(info, width=width, height=height, fps=fps),
        fps_known=True,
    )


def _free_name(path: Path) -> Path:
    """Return the first name beside `path`, with a number before its extension, that is free."""
    name: Callable[[int], Path] = lambda n: path.with_name(f"{path.stem}.{n}{path.suffix}")  # noqa: E731
    number = 1
    while name(number).exists():
        number += 1
    return name(number)
