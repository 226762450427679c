"""Ultralytics models: YOLO and RT-DETR, in every format that the package loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.class_filter import parse_classes
from mot_dinov3.core.compat import SCRIPTS_GO, override, silence
from mot_dinov3.core.errors import ModelError, first_line
from mot_dinov3.core.structures import Detections, Frame, ModelInfo
from mot_dinov3.detectors.base import Detector, DetectorConfig
from mot_dinov3.detectors.checkpoint import opened_as_data
from mot_dinov3.models.checkpoints import DAMAGE
from mot_dinov3.models.devices import resolve_device
from mot_dinov3.models.weights import ultralytics_module

_TASKS_WITH_BOXES = ("detect", "segment", "pose", "obb")
IOU = 0.7
"""Overlap above which the weaker of two boxes of one class is dropped; Ultralytics' own default."""
MAX_DETECTIONS = 300


class YoloDetector(Detector):
    """Runs an Ultralytics model on one image at a time, in fp32.

    `weights` are a file or folder (``.pt``, ``.onnx``, ``.torchscript``, ``…_openvino_model/``, …).

    Raises:
        ModelError: The weights are corrupt, of another kind, or their format needs a package that is not installed.
        ConfigError: A class that the model does not know.
    """

    def __init__(self, weights: Path, config: DetectorConfig, *, device: str = "auto", trust: bool = False) -> None:
        self._device = resolve_device(device)
        self.names: Mapping[int, str]
        self._model, self.names = _load(weights, self._device, trust)
        if self._model.task not in _TASKS_WITH_BOXES:
            raise ModelError(
                f"detector weights '{weights}' are for the task '{self._model.task}', which has no boxes",
                remedy=f"give weights for one of: {', '.join(_TASKS_WITH_BOXES)}",
            )
        self._classes = parse_classes(config.classes, self.names)
        self._conf = config.threshold
        self._imgsz = config.side
        details = config.reported("ultralytics", self._classes, imgsz=self._imgsz, task=self._model.task)
        runtime = "torch" if weights.suffix == ".pt" else ""  # an exported file has its own
        self.info = ModelInfo("ultralytics", str(weights), self._device, "fp32", details, runtime)

    @override
    def detect(self, frame: Frame) -> Detections:
        result = self._model.predict(
            frame.pixels(),
            conf=self._conf,
            iou=IOU,
            imgsz=self._imgsz,
            classes=None if self._classes is None else list(self._classes),
            max_det=MAX_DETECTIONS,
            device=self._device,
            verbose=False,
            save=False,
        )[0]
        found = result.obb if result.obb is not None else result.boxes
        if found is None or not len(found):
            return Detections.empty()
        xyxy, score, class_id = (t.float().cpu().numpy() for t in (found.xyxy, found.conf, found.cls))
        return usable_rows(Detections(xyxy, np.clip(score, 0, 1), class_id.astype(np.int64)))


def usable_rows(found: Detections) -> Detections:
    """Return the boxes of which something is left: they are cut off at the image's edge."""
    usable = boxes.usable(found.xyxy)
    return found if usable.all() else found[usable]


def load_network(weights: Path, *, trust: bool) -> tuple[Any, dict[int, str]]:
    """Return a PyTorch model's network on the CPU, ready to run, its normalisations folded, and its class names.

    `trust` opens a checkpoint even if it is more than data.

    Raises:
        ModelError: The weights cannot be loaded, or are not PyTorch's.
    """
    model, names = _load(weights, "cpu", trust)
    if getattr(model.model, "model", None) is None:
        raise ModelError(f"'{weights}' is not a PyTorch model", remedy="give weights with the extension .pt")
    network = model.model.eval().float()
    from ultralytics.utils import DEFAULT_CFG

    if "nms" in vars(DEFAULT_CFG) and hasattr(network, "end2end"):
        network.end2end = False  # as the predictor has it where `nms` is left at its default
    return network.fuse(verbose=False), names


def _load(weights: Path, device: str, trust: bool) -> tuple[Any, dict[int, str]]:
    """Return the loaded model and its class names."""
    yolo = ultralytics_module().YOLO
    try:
        with opened_as_data(trust=trust):
            model = yolo(str(weights))
        if model.task in _TASKS_WITH_BOXES:
            model.overrides["device"] = device  # exported formats are only opened when something asks, like the names
            silence(SCRIPTS_GO)  # it opens them again with the first image
            return model, {int(class_id): str(name) for class_id, name in model.names.items()}
        return model, {}
    except ImportError as error:
        raise ModelError(
            f"detector weights '{weights}' need a package that is not installed: {error.name or error}",
            remedy="install it, or give the weights in another format (.pt, .onnx)",
        ) from error
    except _load_errors(weights) as error:
        raise ModelError(
            f"detector weights '{weights}' cannot be loaded: {first_line(error)}",
            remedy="they may be truncated, or not an Ultralytics model: download or export them again",
        ) from error


def _load_errors(weights: Path) -> tuple[type[Exception], ...]:
    """Return what the loaders raise for broken files: each format has its own ways."""
    errors: tuple[type[Exception], ...] = (*DAMAGE, SyntaxError)
    if weights.suffix.lower() == ".onnx":
        # ONNX Runtime's errors derive from nothing more special than Exception.
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        errors += tuple(v for v in vars(state).values() if isinstance(v, type) and issubclass(v, Exception))
    return errors
