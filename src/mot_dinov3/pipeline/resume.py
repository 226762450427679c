"""Resume journal: boxes and embeddings of the frames so far, kept next to the outputs until a run is complete.

Tracking is cheap and gives the same result every time; detecting and embedding take hours. So the journal holds the
detector's boxes and the embeddings that were computed, one line of JSON a frame. A resumed run reads its frames again,
takes boxes and embeddings from the journal as far as it reaches, and writes the very files that it would have written
without the interruption.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import MotError, OutputLostError, UsageError
from mot_dinov3.core.json_text import JsonLines, dumps
from mot_dinov3.core.run_mark import brief, difference, mark_outputs
from mot_dinov3.core.structures import Detections, FloatArray, IntArray, Reason
from mot_dinov3.pipeline.detection_scheduler import DetectionReason
from mot_dinov3.scheduler import CRITICAL
from mot_dinov3.sinks.base import Sink

REMEDY = "repeat the same command with --resume, or omit --resume to start from the beginning"
BEGIN_ANEW = "omit --resume to start from the beginning"


_NO_ROWS, _NO_EMBEDDING = np.zeros(0, np.int64), np.zeros((0, 0), np.float32)


@dataclasses.dataclass(frozen=True)
class FrameRecord:
    """Boxes and embeddings of one frame.

    Attributes:
        boxes: The detector's boxes; None where the detector has to run again.
        rows: ``(k,)`` rows whose embedding was computed.
        embedding: ``(k, d)`` float32.
        detection: Why the detector ran, or did not; None where that was not decided frame by frame.
    """

    boxes: Detections | None = None
    rows: IntArray = dataclasses.field(default_factory=lambda: _NO_ROWS)
    embedding: FloatArray = dataclasses.field(default_factory=lambda: _NO_EMBEDDING)
    detection: DetectionReason | None = None

    @classmethod
    def of(cls, boxes: Detections | None, done: Detections, detection: DetectionReason | None = None) -> FrameRecord:
        """Return the record of a frame whose rows `done` have been embedded; `boxes` None: they are not kept."""
        if done.embedding is None:
            return cls(boxes, detection=detection)
        rows = np.flatnonzero(np.isin(done.reason, (*CRITICAL, Reason.REFRESH)))  # also those that cannot be used
        return cls(boxes, rows, done.embedding[rows], detection)


class ResumeJournal:
    """The journal of a run with outputs.

    Args:
        path: The file.
        run: Identity of the run: options and inputs, plain JSON values by name. Another run's journal is refused.
        outputs: The files that the run writes, which are marked when they are complete.
        video: The video among them, or None.
        resume: Continue the journal that is there; otherwise begin anew.

    Attributes:
        finished_bytes: Size of the video that an earlier run finished when it was interrupted, 0 where there is none.
        resumed_frames: Frames whose record was taken from an earlier run.

    Raises:
        UsageError: The journal to resume belongs to another run.
        OutputLostError: It cannot be written.
    """

    def __init__(
        self,
        path: Path,
        run: Mapping[str, Any],
        *,
        outputs: Sequence[Path] = (),
        video: Path | None = None,
        resume: bool = False,
    ) -> None:
        self.path = path
        self._run = run
        self._outputs = outputs
        self.resumed_frames = 0
        self._video = video
        self._stopped = False
        self._begun = False
        self._facts: dict[str, Any] = {}  # of the run: its options and inputs, its models
        self._next: dict[str, Any] | None = None
        self._lines = JsonLines(path, resume=resume)
        self.finished_bytes = int(self._lines.last().get("stopped", 0))
        self._advance()
        if self._next is not None and "run" not in self._facts:
            raise UsageError(f"'{path}' is not a resume journal", remedy=BEGIN_ANEW)
        self._check_run(json.loads(dumps(run)))

    def _check_run(self, run: dict[str, Any]) -> None:
        known = self._facts.get("run")
        if known is None:
            self._lines.append({"run": run})
            return
        if found := difference(known, run):
            raise self._another_run(found)

    def _another_run(self, difference: str) -> UsageError:
        return UsageError(f"'{self.path}' belongs to another run: {difference}", remedy=REMEDY)

    def check_same(self, what: str, value: object) -> None:
        """Make sure that `value`, known only after loading, is what it was when the run began.

        Raises:
            UsageError: It is not.
        """
        plain = json.loads(dumps(value))
        if what not in self._facts:
            self._facts[what] = plain
            if self._next is None:
                self._lines.append({what: plain})
        elif self._facts[what] != plain:
            raise self._another_run(f"{what} were {brief(self._facts[what])}, now they are {brief(plain)}")

    @property
    def is_behind(self) -> bool:
        """True while an earlier run has finished more frames than this one has yet."""
        return self._next is not None

    def read(self, frame: int) -> FrameRecord | None:
        """Return an earlier run's record of a frame; None from the first frame on that it did not finish.

        Raises:
            UsageError: The journal continues with another frame, or holds what no run writes.
        """
        if self._next is None:
            return None
        if self._next["frame"] != frame:
            raise UsageError(
                f"'{self.path}' continues with frame {self._next['frame']}, the source with frame {frame}",
                remedy=f"the source is not what it was; {BEGIN_ANEW}",
            )
        try:
            record = unpacked(self._next)
        except (KeyError, TypeError, ValueError, MotError) as error:
            raise UsageError(
                f"'{self.path}', frame {frame}: is not a valid record ({type(error).__name__})", remedy=BEGIN_ANEW
            ) from error
        self._advance()
        self.resumed_frames += 1
        return record

    def _advance(self) -> None:
        """Read on to the next frame's line."""
        for value in iter(self._lines.read, None):
            if "frame" in value:
                self._next, self._begun = value, True
                return
            self._facts |= value
        self._next = None

    def write(self, frame: int, record: FrameRecord) -> None:
        """Append the record of a frame that no earlier run has finished."""
        self._begun = True
        self._lines.append(packed(frame, record))

    def stop(self) -> None:
        """Keep the journal when it is closed: the run has been interrupted."""
        self._stopped = True

    def close(self) -> None:
        """Delete the journal of a complete run; call it when all outputs are in their places."""
        if not self._stopped:
            self.mark(*self._outputs)
            self._lines.remove()
            return
        size = self._video.stat().st_size if self._video is not None and self._video.exists() else 0
        self._lines.append({"stopped": size})
        self._lines.close()

    def mark(self, *outputs: Path) -> None:
        """Mark outputs as complete results of this run, unless it was interrupted."""
        if not self._stopped:
            mark_outputs(outputs, self._run)

    def abort(self, *, keep: bool = False) -> None:
        """Leave the journal for a resumed run; one without a frame is deleted.

        Args:
            keep: Leave that one, too: an output could not be written, and without the journal, outputs of an earlier
                run would pass for those of this one.
        """
        if self._lines.closed:
            return
        with contextlib.suppress(OutputLostError):  # a full disk, reported already
            self._lines.close()
        if not self._begun and not keep:
            self.path.unlink(missing_ok=True)


class ResumeSink(Sink):
    """Closes the journal after all outputs: it comes after their sinks."""

    stage = None

    def __init__(self, journal: ResumeJournal) -> None:
        self._journal = journal

    @override
    def close(self) -> None:
        self._journal.close()

    @override
    def abort(self) -> None:
        self._journal.abort()


def resume_journal_path(path: Path) -> Path:
    """Return the path of the resume journal of a run whose first output is `path`."""
    return path.with_name(path.name + ".part.record")


def packed(frame: int, record: FrameRecord) -> dict[str, Any]:
    """Return a frame's record as plain JSON values, exact to the last bit."""
    value: dict[str, Any] = {"frame": frame}
    if record.detection is not None:
        value["detection"] = record.detection.name
    if record.boxes is not None:
        value |= {
            "xyxy": _text(record.boxes.xyxy),
            "score": _text(record.boxes.score),
            "class_id": record.boxes.class_id.tolist(),
        }
        if any(one is not None for one in record.boxes.extra):
            value["extra"] = list(record.boxes.extra)
    if len(record.rows):
        value |= {"rows": record.rows.tolist(), "embedding": _text(record.embedding)}
    return value


def unpacked(value: Mapping[str, Any]) -> FrameRecord:
    """Return the record that `packed` was given.

    Raises:
        KeyError, TypeError, ValueError, MotError: It is not what `packed` gives.
    """
    boxes = None
    if "xyxy" in value:
        xyxy = _array(value["xyxy"]).reshape(-1, 4)
        extra = np.full(len(xyxy), None, np.object_)
        extra[:] = value.get("extra", [None] * len(xyxy))
        class_id = np.array(value["class_id"], np.int64)
        boxes = Detections(xyxy, score=_array(value["score"]), class_id=class_id, extra=extra)
    detection = DetectionReason[value["detection"]] if "detection" in value else None
    if "rows" not in value:
        return FrameRecord(boxes, detection=detection)
    rows = np.array(value["rows"], np.int64)
    return FrameRecord(boxes, rows, _array(value["embedding"]).reshape(len(rows), -1), detection)


def _text(values: npt.NDArray[np.float32]) -> str:
    """Return float32 values as text, exact to the last bit."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _array(text: str) -> FloatArray:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
