"""What a file of detections holds, whichever format it came in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mot_dinov3.core.structures import Detections, VideoInfo

ASSUMED_FPS = 30.0
"""Frame rate of recorded detections where nothing says another."""


@dataclasses.dataclass(frozen=True)
class RecordedDetections:
    """The detections of a whole video, by frame number.

    Attributes:
        path: The file they were read from.
        frames: 0-based frame number → its detections; a frame without a record is absent.
        video: What the file says of its video; zeros where it is silent, `fps` then `ASSUMED_FPS`.
        fps_known: The file, or the seqinfo.ini of its sequence, names the frame rate.
        names: Class id → class name, as far as the records tell.
        header: The file's own top-level keys that a result carries on: ``video``, ``detector``, ``frames_dir``.
    """

    path: str
    frames: Mapping[int, Detections]
    video: VideoInfo
    fps_known: bool = False
    names: Mapping[int, str] = dataclasses.field(default_factory=dict)
    header: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def last_frame(self) -> int:
        """Highest frame number with a record, also an empty one; −1 where there is none."""
        return max(self.frames, default=-1)

    def source_info(self, fps: float | None) -> tuple[VideoInfo, str]:
        """Return what a run without pictures knows of its source, and a notice (empty: nothing to say).

        Args:
            fps: The frame rate the user gave, which wins; None for what the file says.
        """
        info = dataclasses.replace(self.video, frame_count=max(self.last_frame + 1, self.video.frame_count))
        if fps is not None:
            return dataclasses.replace(info, fps=fps), ""
        if self.fps_known:
            return info, ""
        return info, f"'{self.path}' does not tell its frame rate: {ASSUMED_FPS:g} fps assumed (--fps sets it)"
