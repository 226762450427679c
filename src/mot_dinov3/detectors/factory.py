"""From options to a detector: the one place that knows which one is meant."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mot_dinov3.core.errors import GatedModelError, UnreachableModelError, UnsupportedModelError, UsageError
from mot_dinov3.detectors.base import Detector, DetectorConfig
from mot_dinov3.detectors.fast_yolo import FastYolo, Origin, YoloRecipe, halved
from mot_dinov3.detectors.heads import VinoRaw
from mot_dinov3.detectors.motion import MotionConfig, MotionDetector
from mot_dinov3.detectors.recorded import RecordedDetector
from mot_dinov3.detectors.rtdetr import PREFIX, RtdetrDetector
from mot_dinov3.detectors.weights import find_weights
from mot_dinov3.detectors.yolo import YoloDetector
from mot_dinov3.formats.detections import read_recorded
from mot_dinov3.models.conversion import ConversionError, obtain
from mot_dinov3.models.devices import DeviceConfig, is_gpu, plan_run
from mot_dinov3.models.sample_images import Samples


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
    """Build what `config` asks for: recorded detections, ``motion``, ``rtdetr:…``, or weights by path or official name.

    Args:
        config: The detector's options.
        device: Where a model runs.
        fallback_open: Take ``motion`` for official weights, or a hub's model, that cannot be had.
        motion: Knobs of ``motion``; None for its defaults.
        samples: Pictures of the source, for checking a converted network; None for none.

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
        if config.det.startswith(PREFIX):
            rtdetr = RtdetrDetector(config.det.removeprefix(PREFIX), config, device=device)
            return BuiltDetector(rtdetr, device.notices())
        weights = find_weights(config.det)
    except (GatedModelError, UnreachableModelError, UnsupportedModelError) as error:
        if not fallback_open:
            raise
        notice = f"fallback: {error.message}; the built-in 'motion' detector is used (fixed cameras only)"
        return BuiltDetector(MotionDetector(dataclasses.replace(config, classes=""), motion), (notice,))
    return _yolo(weights, config, device, samples or Samples())


def _yolo(weights: Path, config: DetectorConfig, device: DeviceConfig, samples: Samples) -> BuiltDetector:
    """Build a YOLO detector on the fast path where there is one."""
    notices = device.notices()
    if weights.suffix.lower() != ".pt":  # exported: they bring their own runtime and their own number format
        if device.precision not in ("auto", "fp32"):
            raise UsageError(
                f"precision '{device.precision}' cannot be chosen for '{weights}'", remedy="valid here: auto, fp32"
            )
        return BuiltDetector(YoloDetector(weights, config, device=device.device), notices)
    plan = plan_run(device)
    notices += plan.notices
    recipe = YoloRecipe(weights, config.side, samples, trust=device.trust_weights)
    if plan.openvino:
        obtained = obtain(recipe, plan.openvino)
        notices += obtained.notices
        if obtained.network is not None:
            origin = Origin(weights, "openvino", "cpu", obtained.precision)
            return BuiltDetector(FastYolo(VinoRaw(obtained.network), obtained.facts, config, origin=origin), notices)
    # In torch, half precision is for GPUs, and fp16 the better half: as fast as bf16, and boxes an eighth as far off.
    auto = device.precision == "auto"
    precision = ("fp16" if is_gpu(plan.device) else "fp32") if auto else device.precision
    if precision != "fp32":
        try:
            fast = halved(recipe, config, device=plan.device, precision=precision, checked=auto)
            return BuiltDetector(fast, notices)
        except ConversionError as error:
            notices += (f"'{weights}' runs in fp32: {error}",)
    detector = YoloDetector(weights, config, device=plan.device, trust=device.trust_weights)
    return BuiltDetector(detector, notices)
