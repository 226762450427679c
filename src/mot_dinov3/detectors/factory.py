"""From options to a detector: the one place that knows which one is meant."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.errors import GatedModelError, UnreachableModelError, UnsupportedModelError
from mot_dinov3.core.registry import check_members, resolve
from mot_dinov3.detectors import DETECTORS
from mot_dinov3.detectors.base import MEMBERS, Detector, DetectorConfig, DetectorRequest
from mot_dinov3.detectors.motion import MotionConfig, MotionDetector
from mot_dinov3.models.conversion import Samples
from mot_dinov3.models.devices import DeviceConfig


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
    samples: Samples | None = None,
) -> BuiltDetector:
    """Build the detector that `config` names, or a user's own class; precomputed detections win.

    Args:
        config: The detector's options.
        device: Where a model runs.
        fallback_open: Take ``motion`` for official weights, or a hub's model, that cannot be had.
        motion: Knobs of ``motion``; None for its defaults.
        samples: Pictures of the source, for checking a converted network; None for none.

    Raises:
        FormatError: Recorded detections that break their format.
        UsageError: A user's own class cannot be imported or is no detector.
        ModelError: Weights that do not exist, cannot be fetched or loaded.
        ConfigError: A class that the detector does not know.
    """
    name, model = config.chosen()
    request = DetectorRequest(config, device, model, motion, samples or Samples())
    try:
        detector: Detector = resolve("detector", DETECTORS, name)(request)
    except (GatedModelError, UnreachableModelError, UnsupportedModelError) as error:
        if not fallback_open:
            raise
        notice = f"fallback: {error.message}; the built-in 'motion' detector is used (fixed cameras only)"
        request = dataclasses.replace(request, config=dataclasses.replace(config, classes=""))
        return BuiltDetector(MotionDetector(request), (notice,))
    check_members("detector", name, detector, MEMBERS, base="mot_dinov3.detectors.base.Detector")
    return BuiltDetector(detector, detector.notices)
