"""YOLO without Ultralytics' predictor, with the same boxes: in OpenVINO on a CPU, in half precision on a GPU."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mot_dinov3.core.class_filter import keep_classes, parse_classes
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import UsageError, first_line
from mot_dinov3.core.structures import Detections, FloatArray, Frame, IntArray, ModelInfo
from mot_dinov3.detectors import DETECTORS
from mot_dinov3.detectors.agreement import LEAST_SCORE, BoxPair, compare_boxes, is_enough
from mot_dinov3.detectors.base import Detector, DetectorConfig, DetectorRequest
from mot_dinov3.detectors.decoding import HeadLayout, candidates, least_logit, letterbox, suppress
from mot_dinov3.detectors.heads import HeadNetwork, OpenVinoHead, TorchHead
from mot_dinov3.detectors.yolo import IOU, MAX_DETECTIONS, YoloDetector, load_network, usable_rows
from mot_dinov3.models.conversion import (
    CUT,
    CheckResult,
    ConversionSpec,
    Converted,
    Samples,
    convert_cached,
    photographs,
)
from mot_dinov3.models.devices import is_gpu, plan_run
from mot_dinov3.models.openvino import MIXED, ConversionError, Normalization, OpenVinoNetwork, convert, cut_before
from mot_dinov3.models.weights import find_detector_weights

if TYPE_CHECKING:
    import torch

MAX_CANDIDATES = 30000
"""Boxes that enter suppression at most, as in Ultralytics."""

ALWAYS = 6
"""Images that the original sees in any case; of the others, those in which the checked network finds anything."""

_EXAMPLE = (64, 96)  # height × width that the network is traced with: small, and not square


class FastYolo(Detector):
    """Finds objects with a network that ends at its head's convolutions; `facts` are those of `YoloConversion.load`.

    Raises:
        ConfigError: A class that the model does not know.
    """

    def __init__(
        self, network: HeadNetwork, facts: Mapping[str, Any], config: DetectorConfig, *, info: ModelInfo
    ) -> None:
        self.names: Mapping[int, str] = {int(class_id): name for class_id, name in facts["names"].items()}
        self._network = network
        self._head = HeadLayout(tuple(facts["strides"]), facts["bins"], facts["end_to_end"])
        self._stride = facts["stride"]
        self._conf = config.threshold
        self._imgsz = config.side
        self._classes = parse_classes(config.classes, self.names)
        self.info = dataclasses.replace(
            info, details=config.reported(info.runtime, self._classes, imgsz=self._imgsz, task="detect")
        )

    @override
    def detect(self, frame: Frame) -> Detections:
        image = frame.pixels()
        fitted = letterbox((image.shape[1], image.shape[0]), self._imgsz, self._stride)
        raw = self._network.find(fitted.apply(image), least_logit(self._conf))
        rows, class_id, score = candidates(raw.logits, self._conf, each_class=self._head.end_to_end)
        if not len(rows):
            return Detections.empty()
        xyxy = self._head.decode(raw.distances[rows], raw.cells[rows], fitted.height, fitted.width)
        kept = self._keep(xyxy, class_id, score)
        return usable_rows(Detections(fitted.to_image(xyxy[kept]), score[kept], class_id[kept]))

    def _keep(self, xyxy: FloatArray, class_id: IntArray, score: FloatArray) -> IntArray:
        """Return the rows to output, best first."""
        if self._head.end_to_end:
            best = np.argsort(-score, kind="stable")[:MAX_DETECTIONS]
            return best[keep_classes(class_id[best], self._classes)]
        rows = np.flatnonzero(keep_classes(class_id, self._classes))
        if len(rows) > MAX_CANDIDATES:
            rows = rows[np.argsort(-score[rows], kind="stable")[:MAX_CANDIDATES]]
        return rows[suppress(xyxy[rows], class_id[rows], score[rows], iou=IOU)][:MAX_DETECTIONS]


class YoloConversion(ConversionSpec):
    """Conversion of an Ultralytics checkpoint, checked at an input with `imgsz` as longer side.

    The samples are images of the very source, where it can be read twice.
    """

    libraries: Sequence[str] = ("ultralytics",)

    def __init__(self, weights: Path, imgsz: int, samples: Samples, *, trust: bool) -> None:
        self.name = str(weights)
        self.files: Sequence[Path] = [weights]
        self.options: Mapping[str, Any] = {"kind": "yolo", "trust": trust}
        self.situation = f"{samples.situation} imgsz {imgsz}"
        self.sees_same_images = samples.are_fixed
        self.weights = weights
        self._imgsz = imgsz
        self._samples = samples
        self._trust = trust
        self._original: YoloDetector | None = None
        self._wanted: dict[int, Detections] = {}  # by the image's number: the same in every precision

    def load(self) -> tuple[Any, dict[str, Any]]:
        """Load the checkpoint; return its network up to the head's raw output, and the facts that decoding needs.

        Raises:
            ConversionError: Its head is of another kind.
            ModelError: It cannot be loaded.
        """
        network, names = load_network(self.weights, trust=self._trust)
        head = network.model[-1]
        if type(head).__name__ not in ("Detect", "v10Detect"):
            raise ConversionError(f"its head is {type(head).__name__}, not Detect")
        facts = {
            "names": {str(class_id): name for class_id, name in names.items()},
            "strides": [int(stride) for stride in head.stride],
            "stride": max(int(network.stride.max()), 32),
            "bins": int(head.reg_max),
            "end_to_end": bool(head.end2end),
        }
        network.model[-1] = raw_head(head)
        return network, facts

    @override
    def convert(self) -> Converted:
        network, facts = self.load()
        model = convert(network, Normalization((0.0,) * 3, (255.0,) * 3), example=_EXAMPLE, size=None)
        head = f"__module.model.{len(network.model) - 1}."  # as the converter names the operations of that layer
        return Converted(model, {**facts, CUT: cut_before(model, head)})

    @override
    def check(self, network: OpenVinoNetwork, facts: Mapping[str, Any]) -> CheckResult:
        """Compare a converted network's boxes with those of Ultralytics' own predictor."""
        return self.compare(OpenVinoHead(network), facts, "cpu")

    def compare(self, network: HeadNetwork, facts: Mapping[str, Any], device: str) -> CheckResult:
        """Compare a network's boxes with those of Ultralytics' own predictor, in fp32 on `device`."""
        config = DetectorConfig(conf=LEAST_SCORE, imgsz=self._imgsz)
        checked = FastYolo(network, facts, config, info=_info(self.weights, device, "", ""))
        pairs: list[BoxPair] = []
        for number, image in enumerate(itertools.chain(photographs(), self._samples.images())):
            frame = Frame(0, 0.0, image)
            found = checked.detect(frame)
            both = len(found) or number < ALWAYS
            wanted = self._boxes_of_original(number, frame, config, device) if both else found
            pairs.append(BoxPair(wanted, found))
            if is_enough(pairs):
                break
        return compare_boxes(pairs)

    def _boxes_of_original(self, number: int, frame: Frame, config: DetectorConfig, device: str) -> Detections:
        if self._original is None:
            self._original = YoloDetector(self.weights, config, device=device, trust=self._trust)
        if number not in self._wanted:
            self._wanted[number] = self._original.detect(frame)
        return self._wanted[number]


def to_half(
    spec: YoloConversion, config: DetectorConfig, *, device: str, precision: str, obeyed: bool
) -> tuple[FastYolo, tuple[str, ...]]:
    """Return a detector that computes in half precision in torch, and notices.

    Args:
        spec: The network.
        config: Options of the detector.
        device: Resolved device.
        precision: ``fp16`` or ``bf16``; where that gives other boxes than fp32, the head alone is kept in fp32.
        obeyed: The precision was requested by name: it is used whatever its boxes are, and they are reported.

    Raises:
        ConversionError: Its head is of another kind, it does not run so, or it does not give the same boxes.
        ConfigError: A class that the model does not know.
        ModelError: It cannot be loaded.
    """
    figures: list[str] = []
    for tried in (precision,) if obeyed else (precision, f"{precision}+fp32"):
        module, facts = spec.load()
        try:
            network = TorchHead(module, device=device, precision=tried)
            network.find(np.zeros((1, *_EXAMPLE, 3), np.uint8), 0.0)
            check = spec.compare(network, facts, device)
        except RuntimeError as error:  # an operation that this device does not have in this format, or no memory
            raise ConversionError(f"it does not run in {tried}: {first_line(error)}") from error
        figures.append(f"in {tried}, {check.figure}")
        if check.passed or obeyed or check.saw_nothing:
            notices = (f"'{spec.name}' runs as requested {figures[-1]}",) if obeyed else ()
            return FastYolo(network, facts, config, info=_info(spec.weights, device, tried, "torch")), notices
    raise ConversionError("; ".join(figures))


def open_yolo(request: DetectorRequest) -> Detector:
    """Return a YOLO detector, on the fast path where there is one.

    Raises:
        ModelError: Weights that do not exist, cannot be downloaded or loaded.
        ConfigError: A class that the model does not know.
        UsageError: The device does not exist here, or has no such precision.
    """
    detector, notices = _open(find_detector_weights(request.model, others=DETECTORS), request)
    detector.notices = (*request.device.notices(), *notices)
    return detector


def _open(weights: Path, request: DetectorRequest) -> tuple[Detector, tuple[str, ...]]:
    """Return the detector, and notices about its runtime."""
    config, device = request.config, request.device
    if weights.suffix.lower() != ".pt":  # exported: they bring their own runtime and their own number format
        if device.precision not in ("auto", "fp32"):
            raise UsageError(
                f"precision '{device.precision}' cannot be chosen for '{weights}'", remedy="valid here: auto, fp32"
            )
        exported = YoloDetector(weights, config, device=device.device)
        return exported, exported.notices
    plan = plan_run(device)
    notices = plan.notices
    spec = YoloConversion(weights, config.side, request.samples, trust=device.trust_weights)
    if plan.openvino:
        result = convert_cached(spec, with_mixed(plan.openvino), obeyed=device.precision == "bf16")
        notices += result.notices
        if result.network is not None:
            info = _info(weights, "cpu", result.precision, "openvino")
            return FastYolo(OpenVinoHead(result.network), result.facts, config, info=info), notices
    # In torch, half precision is for GPUs, and fp16 the better half: as fast as bf16, and boxes an eighth as far off.
    auto = device.precision == "auto"
    precision = ("fp16" if is_gpu(plan.device) else "fp32") if auto else device.precision
    if precision != "fp32":
        try:
            half, more = to_half(spec, config, device=plan.device, precision=precision, obeyed=not auto)
            return half, (*notices, *more)
        except ConversionError as error:
            notices += (f"'{weights}' runs in fp32: {error}",)
    return YoloDetector(weights, config, device=plan.device, trust=device.trust_weights), notices


def _info(weights: Path, device: str, precision: str, runtime: str) -> ModelInfo:
    return ModelInfo("ultralytics", str(weights), device, precision, runtime=runtime)


def with_mixed(precisions: Sequence[str]) -> tuple[str, ...]:
    """Return the precisions with the mixed one between bf16 and fp32, where both are to be tried."""
    return ("bf16", MIXED, "fp32") if tuple(precisions) == ("bf16", "fp32") else tuple(precisions)


def raw_head(head: Any) -> torch.nn.Module:
    """Return a module in a detection head's place that gives what its convolutions give: distances and logits."""
    import torch

    class RawHead(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = head
            for name in ("i", "f", "type"):  # what the network's loop reads of a layer
                setattr(self, name, getattr(head, name))

        def forward(self, features: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
            branch = head.one2one if head.end2end else head.one2many
            dtype = next(head.parameters()).dtype  # that of the network, or fp32
            raw = head.forward_head([f if f.dtype == dtype else f.to(dtype) for f in features], **branch)
            return raw["boxes"], raw["scores"]

    return RawHead()
