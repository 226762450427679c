"""From options to a detector: the one place that knows which one is meant."""

from __future__ import annotations

import dataclasses

from mot_dinov3.detectors.base import Detector, DetectorConfig
from mot_dinov3.detectors.motion import MotionConfig, MotionDetector
from mot_dinov3.detectors.recorded import RecordedDetector
from mot_dinov3.detectors.weights import find_weights
from mot_dinov3.detectors.yolo import YoloDetector
from mot_dinov3.devices import DeviceConfig
from mot_dinov3.errors import UnreachableModelError
from mot_dinov3.formats.detections import read_recorded


@dataclasses.dataclass(frozen=True)
class BuiltDetector:
    """A detector ready to run.

    Attributes:
        detector: It.
        notices: What the user should be told, a line each: fallbacks taken.
    """

    detector: Detector
    notices: tuple[str, ...] = ()


def build_detector(
    config: DetectorConfig,
    *,
    device: DeviceConfig,
    fallback_open: bool = False,
    motion: MotionConfig | None = None,
) -> BuiltDetector:
    """Build what `config` asks for: recorded detections, ``motion``, or weights by path or official name.

    Args:
        config: The detector's options.
        device: Where a model runs.
        fallback_open: Take ``motion`` for official weights that cannot be fetched.
        motion: Knobs of ``motion``; None for its defaults.

    Raises:
        FormatError: Recorded detections that break their format.
        ModelError: Weights that do not exist, cannot be fetched or loaded.
        ConfigError: A class that the detector does not know.
    """
    if config.dets is not None:
        return BuiltDetector(RecordedDetector(read_recorded(config.dets), config))
    if config.det == "motion":
        return BuiltDetector(MotionDetector(config, motion))
    try:
        weights = find_weights(config.det)
    except UnreachableModelError as error:
        if not fallback_open:
            raise
        notice = f"fallback: {error.message}; the built-in 'motion' detector is used (fixed cameras only)"
        return BuiltDetector(MotionDetector(dataclasses.replace(config, classes=""), motion), (notice,))
    detector = YoloDetector(weights, config, device=device.device, trust=device.trust_weights)
    return BuiltDetector(detector, device.notices())
