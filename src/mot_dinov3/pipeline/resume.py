"""What a run has found out so far, kept beside its outputs, so that a killed run can go on.

Following tracks is cheap and gives the same result every time; finding boxes and embedding them is what takes hours. So
the record holds the detector's boxes and the embeddings that were computed, one line of JSON a frame, each written
whole and at once. A run that goes on reads its pictures again, takes boxes and embeddings from here as far as they
reach, and writes the very files that it would have written without the interruption.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from mot_dinov3.core import files
from mot_dinov3.core.errors import MotError, UsageError
from mot_dinov3.core.json_text import dumps
from mot_dinov3.core.structures import Detections, FloatArray, Frame, IntArray, TrackView
from mot_dinov3.pipeline.findings import Findings, packed, unpacked
from mot_dinov3.scheduler import EmbeddingPlan, EmbedRows, SchedulerStats

REMEDY = "repeat the very same command with --resume, or leave --resume out to begin anew"
_TAIL = 4096  # bytes in which the last line of a finished record lies


class NoRecord:
    """Stands in where nothing is kept: remembers nothing.

    Attributes:
        finished_bytes: Size of the video that an earlier run finished when it was interrupted, 0 where there is none.
        recalled: Frames whose findings were taken from an earlier run.
    """

    finished_bytes = 0
    recalled = 0

    @property
    def catching_up(self) -> bool:
        """Tell whether an earlier run has got farther than this one has yet."""
        return False

    def agree(self, what: str, value: object) -> None:
        """Accept any value."""

    def recall(self, frame: int) -> Findings | None:
        """Return nothing."""
        return None

    def note(self, frame: int, found: Findings) -> None:
        """Forget it."""

    def stop(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""

    def abort(self, *, keep: bool = False) -> None:
        """Nothing is open."""


class RunRecord(NoRecord):
    """The record of a run with outputs.

    Args:
        path: The file.
        run: What the run is: options and inputs, plain JSON values by name. The record of another run is refused.
        video: The video that the run writes, or None.
        resume: Go on with what is there; otherwise begin anew.

    Raises:
        UsageError: The record to go on with belongs to another run.
        OutputLostError: It cannot be written.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], *, video: Path | None = None, resume: bool = False) -> None:
        self.path = path
        self._video = video
        self._stopped = False
        self._begun = False
        self._said: dict[str, Any] = {}
        self._next: dict[str, Any] | None = None
        known = resume and path.exists()
        with files.writing(path):
            flags = os.O_RDWR | (0 if known else os.O_CREAT | os.O_TRUNC) | getattr(os, "O_NOFOLLOW", 0)
            self._file: IO[bytes] = os.fdopen(os.open(path, flags, 0o600), "r+b")
            self._last = _last_line(self._file)
        self.finished_bytes = int(self._last.get("stopped", 0))
        self._advance()
        if self._next is not None and "run" not in self._said:
            raise UsageError(f"'{path}' is no record of a run", remedy="leave --resume out to begin anew")
        self._check(run)

    def _check(self, run: Mapping[str, Any]) -> None:
        known = self._said.get("run")
        plain = json.loads(dumps(run))
        if known is None:
            self._write({"run": plain})
            return
        for name in [*plain, *known]:
            if plain.get(name) != known.get(name):
                raise UsageError(
                    f"'{self.path}' belongs to another run: {name} was {_brief(known.get(name))}, "
                    f"now it is {_brief(plain.get(name))}",
                    remedy=REMEDY,
                )

    def agree(self, what: str, value: object) -> None:
        """Make sure that `value`, known only after loading, is what it was when the run began."""
        plain = json.loads(dumps(value))
        if what not in self._said:
            self._said[what] = plain
            if self._next is None:
                self._write({what: plain})
        elif self._said[what] != plain:
            raise UsageError(
                f"'{self.path}' belongs to another run: {what} were {_brief(self._said[what])}, "
                f"now they are {_brief(plain)}",
                remedy=REMEDY,
            )

    def recall(self, frame: int) -> Findings | None:
        """Return what an earlier run found out about a frame, None from the first frame on that it did not finish."""
        if self._next is None:
            return None
        if self._next["frame"] != frame:
            raise UsageError(
                f"'{self.path}' goes on with frame {self._next['frame']}, the source with frame {frame}",
                remedy="the source is not what it was; leave --resume out to begin anew",
            )
        try:
            found = unpacked(self._next)
        except (KeyError, TypeError, ValueError, MotError) as error:
            raise UsageError(
                f"'{self.path}', frame {frame}: is not what a run writes ({type(error).__name__})",
                remedy="leave --resume out to begin anew",
            ) from error
        self._advance()
        self.recalled += 1
        return found

    @property
    def catching_up(self) -> bool:
        """Tell whether an earlier run has got farther than this one has yet."""
        return self._next is not None

    def _advance(self) -> None:
        """Read the next frame's line; where there is none, cut off what is broken and go on writing there."""
        self._next = None
        start = self._file.tell()
        for line in iter(self._file.readline, b""):
            value = _parsed(line)
            if value is None:
                break
            start += len(line)
            if "frame" in value:
                self._next, self._begun = value, True
                return
            self._said |= value
        with files.writing(self.path):
            self._file.seek(start)
            self._file.truncate()

    def note(self, frame: int, found: Findings) -> None:
        """Append what was found out about a frame that could not be recalled."""
        self._begun = True
        self._write(packed(frame, found))

    def _write(self, value: Mapping[str, Any]) -> None:
        with files.writing(self.path):
            self._file.write(dumps(value).encode() + b"\n")
            self._file.flush()

    def stop(self) -> None:
        """Keep the record when it is closed: the run has been interrupted."""
        self._stopped = True

    def close(self) -> None:
        """Remove the record of a run that came to its end; call it when all outputs are in their places."""
        if self._stopped:
            there = self._video is not None and self._video.exists()
            self._write({"stopped": self._video.stat().st_size if there and self._video else 0})
        with files.writing(self.path):
            self._file.close()
            if not self._stopped:
                self.path.unlink(missing_ok=True)

    def abort(self, *, keep: bool = False) -> None:
        """Leave the record, to go on from; one without a frame is removed.

        Args:
            keep: Leave that one, too: an output could not be written, and were the record gone, outputs of an earlier
                run would pass for those of this one.
        """
        if self._file.closed:
            return
        with contextlib.suppress(OSError):  # a full disk, told already
            self._file.close()
        if not self._begun and not keep:
            self.path.unlink(missing_ok=True)


class RecordSink:
    """Closes the record after all outputs: put it behind their sinks."""

    def __init__(self, record: NoRecord) -> None:
        self._record = record

    def write(self, frame: Frame, detections: Detections) -> None:
        """Do nothing: the stages note what they find themselves."""

    def close(self) -> None:
        """Close the record."""
        self._record.close()

    def abort(self) -> None:
        """Leave the record."""
        self._record.abort()


class Scheduling(Protocol):
    """What is asked of an embedding scheduler."""

    @property
    def stats(self) -> SchedulerStats:
        """Sums over the run."""
        ...

    def plan(self, detections: Detections, view: TrackView, frame_index: int) -> EmbeddingPlan:
        """Decide what a frame needs."""
        ...

    def run(self, plan: EmbeddingPlan, detections: Detections, view: TrackView, embed: EmbedRows) -> Detections:
        """Embed and reuse."""
        ...

    def repeat(
        self, plan: EmbeddingPlan, detections: Detections, view: TrackView, computed: tuple[IntArray, FloatArray]
    ) -> Detections:
        """Do again what was done in an earlier run."""
        ...


def record_path(path: Path) -> Path:
    """Return where the record lies of a run whose first output is `path`."""
    return path.with_name(path.name + ".part.record")


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return a whole line's value, None for a broken one."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and line.endswith(b"\n") else None


def _last_line(file: IO[bytes]) -> dict[str, Any]:
    """Return the last line's value, empty where it is long or broken; the file stands at its start afterwards."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - _TAIL))
    lines = file.readlines()
    file.seek(0)
    return (_parsed(lines[-1]) if lines else None) or {}


def _brief(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
