"""Ultralytics models: YOLO and RT-DETR, in every format that the package loads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.class_filter import parse_classes
from mot_dinov3.core.compat import SCRIPTS_GO, override, silence
from mot_dinov3.core.errors import ModelError, first_line
from mot_dinov3.core.structures import Detections, Frame, Image, ModelInfo
from mot_dinov3.detectors.base import Detector, DetectorConfig
from mot_dinov3.detectors.checkpoint import opened_as_data
from mot_dinov3.detectors.exported import ExportedNetwork, running, runtime_errors
from mot_dinov3.detectors.object_shapes import shapes_of
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
        self._weights = weights
        self.names: Mapping[int, str]
        self._model = _load(weights, trust)
        if self._model.task not in _TASKS_WITH_BOXES:
            raise ModelError(
                f"detector weights '{weights}' are for the task '{self._model.task}', which has no boxes",
                remedy=f"give weights for one of: {', '.join(_TASKS_WITH_BOXES)}",
            )
        self._imgsz: int | list[int] = config.side
        if is_exported(weights):
            self._open_exported(config)
        else:
            self.names = _names(self._model)
        self._classes = parse_classes(config.classes, self.names)
        self._conf = config.threshold
        imgsz = self._imgsz if isinstance(self._imgsz, int) else max(self._imgsz)
        details = config.reported("ultralytics", self._classes, imgsz=imgsz, task=self._model.task)
        runtime = "" if is_exported(weights) else "torch"  # an exported file has its own
        self.info = ModelInfo("ultralytics", str(weights), self._device, "fp32", details, runtime)

    def _open_exported(self, config: DetectorConfig) -> None:
        """Read the size of an exported network's input and the layout of its output, and check that it runs."""
        silence(SCRIPTS_GO)
        with _loading(self._weights):
            exported = ExportedNetwork(self._weights, self._device, side=config.side, task=self._model.task)
        self.names = exported.names
        self._model.add_callback("on_predict_start", lambda predictor: exported.attach(predictor.model))
        if exported.size is None:
            return
        self._imgsz = list(exported.size)
        if config.imgsz is not None and config.imgsz != max(exported.size):
            height, width = exported.size
            self.notices = (
                f"--imgsz {config.imgsz} is ignored: '{self._weights}' has a fixed input of {width}×{height} pixels",
            )

    @override
    def detect(self, frame: Frame) -> Detections:
        image = frame.pixels()
        if not is_exported(self._weights):
            return rows_of(self._predict(image))
        with running(self._weights, (image.shape[0], image.shape[1])):
            return rows_of(self._predict(image))

    def _predict(self, image: Image) -> Any:
        return self._model.predict(
            image,
            conf=self._conf,
            iou=IOU,
            imgsz=self._imgsz,
            classes=None if self._classes is None else list(self._classes),
            max_det=MAX_DETECTIONS,
            device=self._device,
            verbose=False,
            save=False,
        )[0]


def is_exported(weights: Path) -> bool:
    """Tell whether weights are of another format than a PyTorch checkpoint, with a runtime of their own."""
    return weights.suffix.lower() != ".pt"


def rows_of(result: Any) -> Detections:
    """Return the rows of Ultralytics' result, with angle, keypoints and outlines in `extra` where it has them."""
    found = result.obb if result.obb is not None else result.boxes
    if found is None or not len(found):
        return Detections.empty()
    xyxy, score, class_id = (t.float().cpu().numpy() for t in (found.xyxy, found.conf, found.cls))
    rows = Detections(xyxy, np.clip(score, 0, 1), class_id.astype(np.int64))
    shapes = shapes_of(result)
    return usable_rows(rows if shapes is None else rows.replace(extra=shapes))


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
    model = _load(weights, trust)
    if getattr(model.model, "model", None) is None:
        raise ModelError(f"'{weights}' is not a PyTorch model", remedy="give weights with the extension .pt")
    network = model.model.eval().float()
    from ultralytics.utils import DEFAULT_CFG

    if "nms" in vars(DEFAULT_CFG) and hasattr(network, "end2end"):
        network.end2end = False  # as the predictor has it where `nms` is left at its default
    return network.fuse(verbose=False), _names(model)


def _load(weights: Path, trust: bool) -> Any:
    """Return the loaded model; of an exported format, which is only opened when it is needed, the shell of one."""
    yolo = ultralytics_module().YOLO
    with _loading(weights), opened_as_data(trust=trust):
        return yolo(str(weights))


def _names(model: Any) -> dict[int, str]:
    return {int(class_id): str(name) for class_id, name in model.names.items()}


@contextlib.contextmanager
def _loading(weights: Path) -> Iterator[None]:
    """Turn what loaders raise into an error that names the weights."""
    try:
        yield
    except ImportError as error:
        raise ModelError(
            f"detector weights '{weights}' need a package that is not installed: {error.name or error}",
            remedy="install it, or give the weights in another format (.pt, .onnx)",
        ) from error
    except runtime_errors(weights) as error:
        raise ModelError(
            f"detector weights '{weights}' cannot be loaded: {first_line(error)}",
            remedy="they may be truncated, or not an Ultralytics model: download or export them again",
        ) from error
