"""RT-DETR and its kin through transformers: permissively licensed detectors, ``--det rtdetr:org/name``."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.class_filter import keep_classes, parse_classes
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError, UsageError
from mot_dinov3.core.structures import Detections, FloatArray, Frame, ModelInfo
from mot_dinov3.detectors.base import Detector, DetectorRequest
from mot_dinov3.models.devices import resolve_device, resolve_precision, torch_dtype
from mot_dinov3.models.hub import DETECTOR, locate
from mot_dinov3.models.pretrained import Preprocessing, load_weights, read_config, read_preprocessing

FAMILIES = ("rt_detr", "rt_detr_v2", "d_fine", "rf_detr", "lw_detr", "deimv2")
"""Architectures whose head gives a score of its own to each class, and boxes as shares of the image."""

SIDE = 640  # input where no processor is declared
STRIDE = 32


class RtdetrDetector(Detector):
    """Runs an RT-DETR, RT-DETRv2, D-FINE, RF-DETR, LW-DETR or DEIMv2 model of transformers, one image at a time.

    Zhao et al.: DETRs Beat YOLOs on Real-time Object Detection, CVPR 2024; Robinson et al.: RF-DETR, 2025. No
    suppression follows: each query answers for one object, and keeps its best class among the wanted ones.

    Args:
        request: Hub id (``org/name@revision``) or folder, threshold, classes, and the input's size; None for the
            model's own.

    Raises:
        ModelError: The model is not available or does not fit.
        ConfigError: A class that the model does not know, or a size that it does not take.
        UsageError: The device does not exist here, or OpenVINO is requested.
    """

    def __init__(self, request: DetectorRequest) -> None:
        model, config, device = request.model, request.config, request.device
        if device.accel == "openvino":
            raise UsageError(f"rtdetr:{model} runs in torch only", remedy="leave --accel to auto")
        self._device = resolve_device(device.device)
        # Which queries win is decided by small differences, and boxes come out in the format computed in, bf16's of
        # which lie on a grid of several pixels: `auto` keeps fp32.
        self._precision = resolve_precision("fp32" if device.precision == "auto" else device.precision, self._device)
        self.notices = device.notices()
        folder = locate(model, advice=DETECTOR)
        raw = read_config(folder, model, FAMILIES, advice=DETECTOR)
        import transformers

        network = load_weights(transformers.AutoModelForObjectDetection, raw, folder, model)
        self._network = network.to(self._device).eval()
        self._preprocessing = read_preprocessing(folder, side=SIDE)
        if config.imgsz is not None:
            self._preprocessing = _resized(self._preprocessing, config.imgsz, _step(raw))
            self._try(model, config.imgsz)
        self.names: Mapping[int, str] = {int(key): str(name) for key, name in raw.id2label.items()}
        self._classes = parse_classes(config.classes, self.names)
        self._conf = config.threshold
        imgsz = max(self._preprocessing.height, self._preprocessing.width)
        details = config.reported("transformers", self._classes, imgsz=imgsz, task="detect")
        self.info = ModelInfo(raw.model_type, model, self._device, self._precision, details, "torch")

    @override
    def detect(self, frame: Frame) -> Detections:
        import torch

        image = frame.pixels()
        batch = torch.from_numpy(self._preprocessing.batch([image])).to(self._device)
        with torch.inference_mode(), self._number_format():
            found = self._network(pixel_values=batch)
        logits, shares = (np.asarray(t[0].float().cpu().numpy()) for t in (found.logits, found.pred_boxes))
        height, width = image.shape[:2]
        return self._decode(logits, shares * np.array([width, height, width, height], np.float32), (width, height))

    def _try(self, model: str, imgsz: int) -> None:
        """Run the network once on a image of the wanted size, which it may have been built to refuse."""
        import torch

        size = self._preprocessing.height, self._preprocessing.width
        try:
            with torch.inference_mode(), self._number_format():
                self._network(pixel_values=torch.zeros((1, 3, *size), device=self._device))
        except (RuntimeError, ValueError, AssertionError) as error:
            raise ConfigError(
                f"imgsz {imgsz}: model '{model}' does not accept images of {size[1]}×{size[0]} pixels",
                remedy="leave --imgsz out: the model has a fixed size",
            ) from error

    def _decode(self, logits: FloatArray, cxcywh: FloatArray, size: tuple[int, int]) -> Detections:
        """Return the rows for ``(q, classes)`` logits and ``(q, 4)`` boxes in pixels."""
        known = [class_id in self.names for class_id in range(logits.shape[1])]  # RF-DETR has one for nothing at all
        wanted = keep_classes(np.arange(logits.shape[1]), self._classes) & np.array(known)
        score = np.where(wanted, 1 / (1 + np.exp(-np.clip(logits, -60, 60))), -1.0)
        class_id = score.argmax(axis=1)
        best = score[np.arange(len(score)), class_id].astype(np.float32)
        half = cxcywh[:, 2:] / 2
        xyxy = np.concatenate([cxcywh[:, :2] - half, cxcywh[:, :2] + half], axis=1)
        xyxy = np.clip(xyxy, 0, [*size, *size]).astype(np.float32)
        rows = np.flatnonzero((best >= self._conf) & boxes.usable(xyxy))
        rows = rows[np.argsort(-best[rows], kind="stable")]
        return Detections(xyxy[rows], best[rows], class_id[rows])

    def _number_format(self) -> contextlib.AbstractContextManager[Any]:
        if self._precision == "fp32":
            return contextlib.nullcontext()
        import torch

        return torch.autocast(self._device.partition(":")[0], torch_dtype(self._precision))


def _step(config: Any) -> int:
    """Return of how many pixels the sides of an input are multiples: strides, or patches in windows."""
    backbone = getattr(config, "backbone_config", None)
    patch = getattr(backbone, "patch_size", None)
    if not isinstance(patch, int):
        return STRIDE
    return patch * int(getattr(backbone, "num_windows_side", None) or getattr(backbone, "num_windows", None) or 1)


def _resized(preprocessing: Preprocessing, imgsz: int, step: int) -> Preprocessing:
    """Return the preprocessing with `imgsz` as longer side, in the model's own proportions and whole steps."""
    longer = max(preprocessing.height, preprocessing.width)
    height, width = (
        max(math.ceil(side * imgsz / longer / step), 1) * step for side in (preprocessing.height, preprocessing.width)
    )
    return dataclasses.replace(preprocessing, height=height, width=width)
