"""Detections frame by frame from a file of any format: det-v1 as it is read, the others from memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.text_files import open_plain, plain_suffix, reading
from mot_dinov3.formats.det_v1 import ParseState
from mot_dinov3.formats.det_v1_stream import DetectionSource, DetectionStream, RecordedFrame
from mot_dinov3.formats.det_v1_writer import detection_records
from mot_dinov3.formats.format_registry import HEAD_BYTES, read_recorded
from mot_dinov3.formats.frame_names import check_named_frames
from mot_dinov3.formats.recorded_detections import ReadOptions
from mot_dinov3.formats.rows import LeftOut

_DET_V1 = re.compile(rb'"schema_version"\s*:\s*"det-v1"|"frames"\s*:\s*\[')
_OTHER = re.compile(rb'"(?:images|annotations)"\s*:\s*\[|"schema_version"\s*:\s*"(?!det-v1")')


class RecordedStream(DetectionSource):
    """Detections that were read whole, each with a record as det-v1 has it.

    Attributes:
        notices: What the reader left out or assumed.

    Raises:
        FormatError: The file breaks its format, or its frames are none.
    """

    def __init__(self, path: str | Path, options: ReadOptions) -> None:
        self.path = Path(path)
        self._recorded = recorded = read_recorded(path, options)
        check_named_frames(recorded)
        self.last_frame = recorded.last_frame
        self.state = ParseState(LeftOut(path), dict(recorded.names))
        self.video, self.fps_known, self.header = recorded.video, recorded.fps_known, recorded.header
        self.notices = recorded.notices

    @override
    def __iter__(self) -> Iterator[RecordedFrame]:
        recorded = self._recorded
        for index, rows in sorted(recorded.frames.items()):
            extra = np.empty(len(rows), np.object_)
            extra[:] = detection_records(rows, recorded.names)
            keys = {"time": recorded.times[index]} if index in recorded.times else {}
            yield RecordedFrame(index, rows.replace(extra=extra), keys)

    @override
    def close(self) -> None:
        """Nothing is open."""


def open_detections(path: str | Path, options: ReadOptions) -> DetectionSource:
    """Return the detections of a file of any format, or of a folder of labels.

    Raises:
        FormatError: The file breaks its format, or is in none.
    """
    if is_streamed(Path(path)):
        return DetectionStream(path, strict=options.strict)
    return RecordedStream(path, options)


def is_streamed(path: Path) -> bool:
    """Return whether a file begins like det-v1, and is not compressed; what cannot be read is left to its reader."""
    if not path.is_file() or path.suffix.lower() == ".gz":
        return not path.exists()
    with reading(path), open_plain(path) as file:
        head = file.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:1] != b"{":
        return not head and plain_suffix(path) == ".json"
    return bool(_DET_V1.search(head)) and not _OTHER.search(head)
