"""Where results go. A sink writes while the run goes on and becomes final only when closed.

Video and JSON show every frame as it is known in that moment; other files wait, see `retrospective`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from mot_dinov3.core import files
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.files import journal_path
from mot_dinov3.core.json_text import dumps, write_document
from mot_dinov3.core.options import StageConfig, option
from mot_dinov3.core.structures import Detections, Frame, Image
from mot_dinov3.core.timing import StageTimer

Header = Callable[[], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class OutputConfig(StageConfig):
    """What is written where."""

    group = "output"

    output: str = option("outputs/tracked.mp4", "the tracked video (H.264 MP4)", metavar="PATH")
    video: bool = option(True, "write the tracked video")
    save_json: str | None = option(None, "tracks as track-v1 JSON", metavar="FILE")
    save_mot: str | None = option(None, "tracks as MOTChallenge text", metavar="FILE")
    save_csv: str | None = option(None, "tracks as a CSV table", metavar="FILE")
    save_dets: str | None = option(None, "detections as det-v1 JSON, to track again without a detector", metavar="FILE")
    save_counts: str | None = option(None, "what --line and --zone counted, as a CSV table", metavar="FILE")
    save_summary: str | None = option(None, "the summary's numbers as JSON", metavar="FILE")
    report: str | None = option(None, "the run as one HTML page with charts, to open in a browser", metavar="FILE")
    resume: bool = option(False, "go on where the same command was killed or interrupted; begin where it was not")
    record: bool = option(True, "keep what --resume needs beside the first output while the run goes on")

    @override
    def check(self) -> None:
        if self.resume and not self.record:
            raise ConfigError("--resume goes on from the record, and --no-record keeps none")

    def files(self) -> list[Path]:
        """Return every file the run is going to write."""
        texts = (
            self.save_json,
            self.save_mot,
            self.save_csv,
            self.save_dets,
            self.save_counts,
            self.save_summary,
            self.report,
        )
        return [Path(f) for f in ((self.output if self.video else None), *texts) if f]


class Sink(Protocol):
    """Takes every frame of a run in order."""

    def write(self, frame: Frame, detections: Detections) -> None:
        """Take one frame's finished rows."""
        ...

    def close(self) -> None:
        """Finish and put the file in its place."""
        ...

    def abort(self) -> None:
        """Stop without touching an earlier result."""
        ...


class Writer(Protocol):
    """What a video sink writes to."""

    def write(self, image: Image | None, time: float) -> None:
        """Append a picture shown at `time` seconds; None stands for one that an earlier run has written."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...

    def leave(self) -> None:
        """Stop; what was written stays under its temporary name."""
        ...


class VideoSink:
    """Draws every frame and writes it to a video.

    Args:
        writer: The video.
        draw: Returns the picture to write for a frame and its rows.
        timer: Counts drawing, and waiting for the writer, which counts its own work.
        kept: First pictures that an earlier run has written and the writer takes over.
        skip: Is told of those instead of `draw`.
    """

    def __init__(
        self,
        writer: Writer,
        draw: Callable[[Frame, Detections], Image],
        timer: StageTimer,
        *,
        kept: int = 0,
        skip: Callable[[Frame, Detections], None] = lambda frame, detections: None,
    ) -> None:
        self._writer = writer
        self._draw = draw
        self._timer = timer
        self._kept = kept
        self._skip = skip

    def write(self, frame: Frame, detections: Detections) -> None:
        """Draw one frame and hand it to the writer."""
        image = None
        if self._kept > 0:
            self._kept -= 1
            self._skip(frame, detections)
        else:
            with self._timer.stage("draw"):
                image = self._draw(frame, detections)
        with self._timer.stage("wait"):
            self._writer.write(image, frame.time)

    def close(self) -> None:
        """Finish the video."""
        with self._timer.stage("wait"):
            self._writer.close()

    def abort(self) -> None:
        """Leave the unfinished video under its temporary name: it plays, and a later run can go on with it."""
        self._writer.leave()


class TextSink:
    """Writes lines to a file that appears under its name when the run is over.

    Args:
        path: The file.
        lines: Turns a frame and its rows into the lines to append.
        head: Lines before the first frame.
    """

    def __init__(
        self, path: Path, lines: Callable[[Frame, Detections], Iterable[str]], *, head: Sequence[str] = ()
    ) -> None:
        self.path = path
        self._lines = lines
        self._part = files.part_path(path)
        with files.writing(path):
            self._file: IO[str] = files.private(self._part).open("w", encoding="utf-8", newline="\n")
            self._file.writelines(head)

    def write(self, frame: Frame, detections: Detections) -> None:
        """Append one frame's lines; a killed run leaves them in the part file."""
        with files.writing(self.path):
            self._file.writelines(self._lines(frame, detections))
            self._file.flush()

    def close(self) -> None:
        """Put the file in its place."""
        with files.writing(self.path):
            self._file.close()
            files.publish(self._part, self.path)

    def abort(self) -> None:
        """Leave the lines so far in the part file: they may be all that a long run has to show."""
        with contextlib.suppress(OSError):  # a full disk, told already
            self._file.close()


class EndSink:
    """Writes a text file of what is known when the run is over.

    Args:
        path: The file.
        lines: Returns its lines.
    """

    def __init__(self, path: Path, lines: Callable[[], Iterable[str]]) -> None:
        self.path = path
        self._lines = lines

    def write(self, frame: Frame, detections: Detections) -> None:
        """Wait."""

    def close(self) -> None:
        """Write the file and put it in its place."""
        with files.replacing(self.path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(self._lines())

    def abort(self) -> None:
        """Leave an earlier file as it is."""


class JsonSink:
    """Writes a JSON document whose ``frames`` grow while the run goes on.

    Every frame is one line of ``FILE.part.jsonl``, so memory stays bounded and a killed run leaves its frames; closing
    assembles the document, whose header may then say what only the end of a run knows.

    Args:
        path: The document.
        record: Turns a frame and its rows into the frame's JSON object.
        header: Returns the document's other keys, in order, when the run is over.
    """

    def __init__(self, path: Path, record: Callable[[Frame, Detections], Mapping[str, Any]], header: Header) -> None:
        self.path = path
        self._record = record
        self._header = header
        self._lines = journal_path(path)
        with files.writing(path):
            self._file = files.private(self._lines).open("w", encoding="utf-8")

    def write(self, frame: Frame, detections: Detections) -> None:
        """Append one frame."""
        with files.writing(self.path):
            self._file.write(dumps(self._record(frame, detections)) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Assemble the document and put it in its place."""
        with files.writing(self.path):
            self._file.close()
        with (
            files.replacing(self.path) as part,
            part.open("w", encoding="utf-8") as document,
            self._lines.open(encoding="utf-8") as lines,
        ):
            write_document(document, self._header(), map(json.loads, lines))
        self._lines.unlink()

    def abort(self) -> None:
        """Leave the frames so far in ``FILE.part.jsonl``: they may be all that a long run has to show."""
        with contextlib.suppress(OSError):
            self._file.close()


class Several:
    """Hands everything to several sinks, in their order.

    Args:
        sinks: They.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def write(self, frame: Frame, detections: Detections) -> None:
        """Hand the frame to each."""
        for sink in self._sinks:
            sink.write(frame, detections)

    def close(self) -> None:
        """Close each."""
        for sink in self._sinks:
            sink.close()

    def abort(self) -> None:
        """Abort each."""
        for sink in self._sinks:
            sink.abort()
