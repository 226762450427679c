"""Detections that were made before, handed out frame by frame."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.errors import ConfigError, FormatError
from mot_dinov3.core.structures import Detections, Frame, ModelInfo, VideoInfo
from mot_dinov3.detectors.base import DetectorConfig
from mot_dinov3.detectors.classes import keep_classes, parse_classes
from mot_dinov3.formats.recorded_detections import RecordedDetections


class RecordedDetector:
    """Looks frames up by their number.

    Args:
        recorded: What the file holds.
        config: `conf` filters only when it was given: two-stage association wants scores from 0.1.

    Raises:
        ConfigError: A class name that no detection of the file has, or a file that tells no classes.
    """

    def __init__(self, recorded: RecordedDetections, config: DetectorConfig) -> None:
        self.recorded = recorded
        self.names = recorded.names
        self._classes = _classes_of(recorded, config.classes)
        self._conf = config.conf or 0.0
        self.info = ModelInfo(
            "recorded",
            recorded.path,
            details={"classes": None if self._classes is None else list(self._classes), "conf_thresh": self._conf},
        )

    def detect(self, frame: Frame) -> Detections:
        """Return the rows recorded under the number of `frame`, in recorded order."""
        found = self.recorded.frames.get(frame.index)
        if found is None:
            return Detections.empty()
        keep = keep_classes(found.class_id, self._classes) & (found.score >= np.float32(self._conf))
        return found if keep.all() else found[keep]

    def check_against(self, video: VideoInfo, frames_read: int | None) -> str:
        """Make sure that the detections belong to `video`; return a notice, empty where there is nothing to say.

        Args:
            video: The source as opened; its frame count may be a wrong header's, so it is only compared for a notice.
            frames_read: How many frames the source really has, known when it was read to its end; None before.

        Raises:
            FormatError: Another picture size, or a record beyond the last frame.
        """
        said, last = self.recorded.video, self.recorded.last_frame
        remedy = "give the detections of this very video"
        if 0 not in (said.width, said.height, video.width, video.height):
            ours, theirs = (said.width, said.height), (video.width, video.height)
            if ours != theirs:
                raise FormatError(
                    f"'{self.recorded.path}' is for pictures of {ours[0]}×{ours[1]}, '{video.path}' has "
                    f"{theirs[0]}×{theirs[1]}",
                    remedy=remedy,
                )
        if frames_read is not None and last >= frames_read:
            raise FormatError(
                f"'{self.recorded.path}' has a record for frame {last}, but the last frame of '{video.path}' is "
                f"{frames_read - 1}",
                remedy=remedy,
            )
        if frames_read is None and said.frame_count and video.frame_count and said.frame_count != video.frame_count:
            return f"'{self.recorded.path}' speaks of {said.frame_count} frames, '{video.path}' of {video.frame_count}"
        return ""


def _classes_of(recorded: RecordedDetections, wanted: str) -> tuple[int, ...] | None:
    """Return the class ids to keep, or None for all."""
    present = {int(c) for rows in recorded.frames.values() for c in np.unique(rows.class_id)} if wanted else set()
    if present == {-1}:
        raise ConfigError(
            f"classes '{wanted}': '{recorded.path}' does not tell the class of any detection",
            remedy="leave out --classes",
        )
    # A file only tells the classes that it has, so that an id it lacks is no mistake: there was nobody to detect.
    if all(entry.strip().isdigit() for entry in wanted.split(",") if entry.strip()):
        return parse_classes(wanted, {})
    return parse_classes(wanted, {c: recorded.names.get(c, str(c)) for c in present})
