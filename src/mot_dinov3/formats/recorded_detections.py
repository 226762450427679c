"""Recorded detections: the content of a file in any format, and what a user gives where the file lacks it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.json_text import MAX_FRAME, is_number
from mot_dinov3.core.structures import BoolArray, Detections, IntArray, TrackState, VideoInfo

ASSUMED_FPS = 30.0
"""Frame rate of recorded detections where it is unknown."""


@dataclasses.dataclass(frozen=True)
class FrameSteps:
    """The frames of a video that were annotated: `count` of them, every `step`-th from `start`, as in a CVAT task.

    A `count` of 0 is unknown.
    """

    start: int = 0
    step: int = 1
    count: int = 0

    def between(self, low: int, high: int) -> range:
        """Return the annotated frames beyond `low` and before `high`."""
        first = low + 1 + (self.start - low - 1) % self.step
        return range(first, high, self.step)


@dataclasses.dataclass(frozen=True)
class RecordedDetections:
    """Detections of a whole video by frame number.

    Attributes:
        path: The file they were read from.
        frames: 0-based frame number → its detections; a frame without a record is absent.
        video: Properties of the video in the file; zeros where it has none, `fps` then `ASSUMED_FPS`.
        fps_known: The file, or the seqinfo.ini of its sequence, gives the frame rate.
        names: Class id → class name, as far as the records name them.
        header: The file's own top-level keys that a result keeps: ``video``, ``detector``, ``frames_dir``.
        times: 0-based frame number → seconds, for the frames whose records give a time.
        notices: Lines for the user: what was left out or assumed.
        first_class: Number of the first class: 1 where a file counts its classes from 1, as COCO does.
        by_number: The frames are the numbers in names of images (`frame_names`), which may be those of something else.
        annotated: Which frames of the video the file is about.
    """

    path: str
    frames: Mapping[int, Detections]
    video: VideoInfo
    fps_known: bool = False
    names: Mapping[int, str] = dataclasses.field(default_factory=dict)
    header: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    times: Mapping[int, float] = dataclasses.field(default_factory=dict)
    notices: tuple[str, ...] = ()
    by_number: bool = False
    first_class: int = 0
    annotated: FrameSteps = FrameSteps()

    @property
    def last_frame(self) -> int:
        """Highest frame number with a record, also an empty one; −1 where there is none."""
        return max(self.frames, default=-1)

    def source_info(self, fps: float | None) -> tuple[VideoInfo, str]:
        """Return the source's properties for a run without images, and a notice, empty where there is none.

        `fps` is the frame rate that the user gave, which wins; None for that of the file.
        """
        count = max(self.last_frame + 1, self.video.frame_count)
        info = dataclasses.replace(self.video, frame_count=count, fps=fps or self.video.fps)
        is_known = fps is not None or self.fps_known
        return info, "" if is_known else f"'{self.path}' has no frame rate: {ASSUMED_FPS:g} fps assumed (--fps sets it)"


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Properties that the user gives where a file may lack them, and how strictly it is read.

    Attributes:
        width: Of the images, in pixels; 0 for that of the file.
        height: Of the images, in pixels.
        names: Class number → name; empty for those of the file.
        names_file: Name, without folder, of the file that the names were given in.
        source: Address of the video that the boxes belong to.
        images: Names of the source's image files, in the order of its frames; none for a video.
        task: Id or name of the task to read of a file with several (CVAT).
        video_id: Id or name of the video to read of a file with several (COCO, TAO, YouTube-VIS, CSV).
        strict: A box that cannot be used is an error; by default it is left out and counted.
    """

    width: int = 0
    height: int = 0
    names: Mapping[int, str] = dataclasses.field(default_factory=dict)
    names_file: str = ""
    source: str = ""
    images: tuple[str, ...] = ()
    task: str = ""
    video_id: str = ""
    strict: bool = False


def recorded_states(track_id: IntArray, coasted: BoolArray) -> IntArray:
    """Return the `TrackState` of recorded rows: confirmed with a track, lost where its box was predicted."""
    tracked = np.where(coasted, int(TrackState.LOST), int(TrackState.CONFIRMED))
    return np.where(track_id >= 0, tracked, int(TrackState.NONE))


def plausible(value: object) -> float:
    """Return a number of frames, a frame rate or a size that a file gives; 0 where it is no plausible number."""
    return float(value) if is_number(value) and 0 < value <= MAX_FRAME else 0.0  # type: ignore[operator, arg-type]


def image_size(path: Path, width: int, height: int, options: ReadOptions) -> tuple[int, int]:
    """Return the size of the images, of the file or else of the user; zeros where neither gives it.

    Raises:
        FormatError: The two contradict each other.
    """
    size, given = (width, height), (options.width, options.height)
    if 0 not in size and 0 not in given and size != given:
        raise FormatError(
            f"'{path}' is for images of {width}×{height}, not {options.width}×{options.height}",
            remedy="give the video and the size of this file",
        )
    return size if 0 not in size else given


def frame_numbers(frames: Mapping[int, Detections]) -> range | list[int]:
    """Return the frames to list in a format with an entry for each: all from 0, or only those with a record.

    A number far beyond the others must not make a small file a huge one.
    """
    last = max(frames, default=-1)
    if last < 100 * (len(frames) + 10_000):
        return range(max(last + 1, 0))
    return sorted(frames)
