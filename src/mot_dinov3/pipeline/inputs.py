"""Inputs of a run: source and detector, which are all that `detect` runs."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import InputError, UsageError
from mot_dinov3.core.structures import Detections, Frame, Image, VideoInfo
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.detectors.base import Detector, DetectorConfig, DetectorRequest, build_detector
from mot_dinov3.detectors.recorded import RecordedDetector, open_recorded
from mot_dinov3.formats import det_v1, det_v1_writer
from mot_dinov3.formats.recorded_detections import ReadOptions
from mot_dinov3.models.conversion import Samples
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.pipeline.config import DetectConfig, TrackConfig
from mot_dinov3.video import FrameSource, SourceConfig, open_source
from mot_dinov3.video.image_files import image_names
from mot_dinov3.video.media import count_frames
from mot_dinov3.video.source import FramelessSource
from mot_dinov3.video.threads import PrefetchSource

log = logging.getLogger(__name__)

SAMPLES = (*range(0, 100, 5), *range(100, 600, 25))
"""Frames of a source on which a converted network is checked, at most: the later ones in case of an empty start."""


@dataclasses.dataclass(frozen=True)
class DetectionRun:
    """A detector over a source, ready to go.

    Attributes:
        source: Frames.
        detector: Frame → boxes.
        notices: Messages for the user.
        check_end: Gets the number of frames of a source that was read to its end, and may still refuse them.
    """

    source: FrameSource
    detector: Detector
    notices: tuple[str, ...]
    check_end: Callable[[int], None] | None = None

    def header(self) -> Mapping[str, Any]:
        """Return the det-v1 header."""
        return detection_header(self.detector, self.source.info)

    @property
    def fps(self) -> float:
        """Frame rate in the header."""
        return header_fps(self.header(), self.source.info)

    def frames(self) -> Iterator[tuple[Frame, Detections]]:
        """Yield each frame with its boxes."""
        with self.source as frames:
            for frame in frames:
                yield frame, self.detector.detect(frame)

    def record(self, index: int, detections: Detections) -> Mapping[str, Any]:
        """Return the det-v1 record of a frame."""
        return det_v1_writer.det_v1_frame(index, detections, self.detector.names)


def open_ahead(config: SourceConfig, timer: StageTimer, *, drop: bool = False) -> FrameSource:
    """Open a source that is decoded on a background thread, whose work is the stage ``read``.

    With `drop`, frames that come while the caller is behind are left out.
    """
    return PrefetchSource(open_source(config), busy=functools.partial(timer.stage, "read"), drop=drop)


def build_detection(
    config: TrackConfig | DetectConfig,
    *,
    fallback_open: bool | None = False,
    timer: StageTimer | None = None,
    check: Callable[[VideoInfo], None] = lambda _: None,
) -> DetectionRun:
    """Open source and detector; precomputed detections alone make a source without images.

    Args:
        config: Options of source and detector.
        fallback_open: See `build_detector`.
        timer: Counts decoding.
        check: May refuse the source before weights are loaded.

    Raises:
        MotError: Source, detector or detections cannot be used.
    """
    source = config.source
    if source.source is None:
        run = _without_images(source, config.detector, config.device)
        check(run.source.info)
        return run
    drop = isinstance(config, TrackConfig) and config.interval.drop_frames
    frames = open_ahead(source, timer or StageTimer(), drop=drop)
    try:
        check(frames.info)
        detector: Detector
        if config.detector.dets is not None:
            detector = _recorded_detector(config.detector, config.device, source, frames.info)
        else:
            detector = build_detector(
                config.detector,
                device=config.device,
                fallback_open=fallback_open,
                motion=config.motion,
                samples=sample_source(source, frames.info),
            )
        notice = detector.check_against(frames.info, None)
    except BaseException:
        frames.close()
        raise

    def check_end(frames_read: int) -> None:
        if source.end_frame is None:
            detector.check_against(frames.info, frames_read)

    return DetectionRun(frames, detector, (*detector.notices, *filter(None, [notice])), check_end)


def sample_source(config: SourceConfig, info: VideoInfo) -> Samples:
    """Return samples of a source that can be read twice; of one that cannot, none."""
    name = config.source
    if name is None or not (Path(name).is_file() or Path(name).is_dir()):
        return Samples()

    def images() -> Iterator[Image]:
        try:
            with open_source(config) as frames:
                for number, frame in enumerate(itertools.islice(frames, SAMPLES[-1] + 1)):
                    if number in SAMPLES:
                        yield frame.pixels()
        except InputError as error:  # the run itself will reach and report it
            log.debug("no more samples: %s", error.message)

    return Samples(images, f"{info.width}x{info.height}")


def _recorded_detector(
    detector: DetectorConfig, device: DeviceConfig, source: SourceConfig, info: VideoInfo
) -> RecordedDetector:
    """Return the precomputed detections of a source.

    Raises:
        FormatError: They break their format, or lie beyond the end of the source.
    """
    name = source.source or ""
    known = ReadOptions(info.width, info.height, source=name, images=image_names(name))
    recorded = open_recorded(DetectorRequest(detector, device, detector.dets or "", source=known))
    # a header's number of frames may be wrong: where it tells of boxes beyond the end, the frames are counted; boxes
    # behind a given end are not asked for
    if (
        source.end_frame is None
        and recorded.recorded.last_frame >= info.frame_count
        and (Path(name).is_file() or known.images)
    ):
        recorded.check_against(info, count_frames(name))
    return recorded


def _without_images(source: SourceConfig, detector: DetectorConfig, device: DeviceConfig) -> DetectionRun:
    if detector.dets is None:
        raise UsageError("no input: neither a source nor precomputed detections", remedy="give --source or --dets")
    recorded = open_recorded(DetectorRequest(detector, device, detector.dets))
    info, notice = recorded.recorded.source_info(source.fps)
    frames = FramelessSource(info, source, list(filter(None, [notice])), recorded.recorded.times)
    return DetectionRun(frames, recorded, recorded.notices)


def header_fps(header: Mapping[str, Any], info: VideoInfo) -> float:
    """Return the frame rate in a det-v1 header, that of the source where it has none."""
    fps = (header.get("video") or {}).get("fps")
    return float(fps) if isinstance(fps, (int, float)) and fps > 0 else info.fps


def detection_header(detector: Detector, info: VideoInfo) -> Mapping[str, Any]:
    """Return the det-v1 header of a detector's boxes; precomputed ones have their own."""
    if detector.header:
        return {"schema_version": det_v1.SCHEMA, **detector.header}
    return det_v1_writer.det_v1_header(info, detector.info)
