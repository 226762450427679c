"""Precomputed detections, returned frame by frame."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from mot_dinov3.core.class_filter import class_counts, keep_classes, parse_classes
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError, FormatError
from mot_dinov3.core.structures import Detections, Frame, ModelInfo, VideoInfo
from mot_dinov3.detectors.base import Detector, DetectorConfig, DetectorRequest
from mot_dinov3.formats.format_registry import read_recorded
from mot_dinov3.formats.frame_names import check_named_frames
from mot_dinov3.formats.recorded_detections import RecordedDetections

MOST_OUTSIDE = 0.1  # share of the boxes whose centre may lie outside of the images


def open_recorded(request: DetectorRequest) -> RecordedDetector:
    """Read the file that the request names as its model.

    Raises:
        FormatError: The file breaks its format.
        ConfigError: See `RecordedDetector`.
    """
    options = dataclasses.replace(request.source, strict=request.config.strict)
    detector = RecordedDetector(read_recorded(request.model, options), request.config)
    if request.config.det not in (None, "recorded"):
        detector.notices += (f"--det {request.config.det} is not used: the detections are those of --dets",)
    return detector


class RecordedDetector(Detector):
    """Looks frames up by their number. `conf` filters only when given: two-stage association wants scores from 0.1.

    Raises:
        ConfigError: A class name that no detection of the file has, or a file without classes.
    """

    is_recorded = True

    def __init__(self, recorded: RecordedDetections, config: DetectorConfig) -> None:
        self.recorded = recorded
        self.names = recorded.names
        self.header = recorded.header
        self.notices = recorded.notices
        self._classes = _classes_of(recorded, config.classes)
        self.notices += _nothing_left(recorded, self._classes, config.classes)
        self._conf = config.conf or 0.0
        self.notices += _all_below(recorded, self._classes, self._conf)
        self.info = ModelInfo(
            "recorded",
            recorded.path,
            details={"classes": None if self._classes is None else list(self._classes), "conf_thresh": self._conf},
        )

    @override
    def detect(self, frame: Frame) -> Detections:
        found = self.recorded.frames.get(frame.index)
        if found is None:
            return Detections.empty()
        if self._classes is None and not self._conf:
            return found
        keep = keep_classes(found.class_id, self._classes) & (found.score >= np.float32(self._conf))
        return found if keep.all() else found[keep]

    @override
    def check_against(self, video: VideoInfo, frames_read: int | None) -> str:
        said, last = self.recorded.video, self.recorded.last_frame
        remedy = "give the detections of this video"
        if 0 not in (said.width, said.height, video.width, video.height):
            ours, theirs = (said.width, said.height), (video.width, video.height)
            if ours != theirs:
                raise FormatError(
                    f"'{self.recorded.path}' is for images of {ours[0]}×{ours[1]}, '{video.path}' has "
                    f"{theirs[0]}×{theirs[1]}",
                    remedy=remedy,
                )
        if frames_read is None:
            check_named_frames(self.recorded)
        if frames_read is not None and last >= frames_read:
            raise FormatError(
                f"'{self.recorded.path}' has a record for frame {last}, but the last frame of '{video.path}' is "
                f"{frames_read - 1}",
                remedy=remedy,
            )
        if frames_read is not None:
            return ""
        counts, told = (said.frame_count, video.frame_count), [_outside(self.recorded, video)]
        if 0 not in counts and counts[0] != counts[1]:
            told.append(f"'{self.recorded.path}' has {counts[0]} frames, '{video.path}' has {counts[1]}")
        return "; ".join(filter(None, told))


def _nothing_left(recorded: RecordedDetections, classes: tuple[int, ...] | None, wanted: str) -> tuple[str, ...]:
    """Return a notice where the file has boxes and none is of the wanted classes: it says which classes there are."""
    numbers = np.concatenate([np.zeros(0, np.int64), *(rows.class_id for rows in recorded.frames.values())])
    if not len(numbers) or keep_classes(numbers, classes).any():
        return ()
    present = class_counts(Counter(numbers.tolist()), recorded.names)
    return (f"no box is of the classes '{wanted}': '{recorded.path}' has {present}",)


def _outside(recorded: RecordedDetections, video: VideoInfo) -> str:
    """Return a notice where many boxes have their centre outside of the images: they are of a larger video."""
    boxes = [rows.xyxy for rows in recorded.frames.values() if len(rows)]
    if not boxes or not video.width or not video.height:
        return ""
    xyxy = np.concatenate(boxes)
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    outside = int(np.count_nonzero(((centre < 0) | (centre > (video.width, video.height))).any(axis=1)))
    if outside <= MOST_OUTSIDE * len(xyxy):
        return ""
    size = f"{video.width}×{video.height}"
    where = f"lie outside of the images of {size}: are they of this video, in this size?"
    return f"{outside} of {len(xyxy)} boxes of '{recorded.path}' {where}"


def _all_below(recorded: RecordedDetections, classes: tuple[int, ...] | None, conf: float) -> tuple[str, ...]:
    """Return a notice where the file has boxes of the wanted classes, and the scores of all are below `conf`."""
    scores = [rows.score[keep_classes(rows.class_id, classes)] for rows in recorded.frames.values()]
    best = max((float(score.max()) for score in scores if len(score)), default=1.0)
    if best >= np.float32(conf):
        return ()
    count = sum(map(len, scores))
    return (f"none of the {count} boxes of '{recorded.path}' reaches --conf {conf:g}: the highest score is {best:.2g}",)


def _classes_of(recorded: RecordedDetections, wanted: str) -> tuple[int, ...] | None:
    """Return the class ids to keep, or None for all."""
    present = {int(c) for rows in recorded.frames.values() for c in np.unique(rows.class_id)} if wanted else set()
    if present == {-1}:
        raise ConfigError(
            f"classes '{wanted}': '{recorded.path}' does not contain the class of any detection",
            remedy="leave out --classes",
        )
    # A file only lists the classes that it has: an id that it lacks is no mistake, there was nothing to detect.
    if all(entry.strip().isdigit() for entry in wanted.split(",") if entry.strip()):
        return parse_classes(wanted, {})
    return parse_classes(wanted, {c: recorded.names.get(c, str(c)) for c in present})
