"""YOLO in half precision in torch, as a GPU runs it, tried on the CPU: the boxes stay those of fp32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.detectors import agreement, fast_yolo
from mot_dinov3.detectors.agreement import compare_boxes
from mot_dinov3.detectors.base import Detector, DetectorConfig, build_detector
from mot_dinov3.detectors.heads import TorchHead
from mot_dinov3.models.conversion import CheckResult, photographs
from mot_dinov3.models.devices import DeviceConfig

FRAMES = [Frame(0, 0.0, picture) for picture in photographs()]


def build(weights: Path, precision: str, **options: object) -> Detector:
    config = DetectorConfig(det=str(weights), **{"conf": 0.25, "imgsz": 320, **options})  # type: ignore[arg-type]
    return build_detector(config, device=DeviceConfig("cpu", precision=precision, accel="torch"))


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the CPU for a GPU: the same code runs on either."""
    monkeypatch.setattr(fast_yolo, "is_gpu", lambda device: True)


@pytest.fixture(scope="module")
def original(shared: Path) -> list[Detections]:
    built = build(shared / "models/yolov8n.pt", "fp32")
    assert built.info.details["backend"] == "ultralytics"
    return [built.detect(frame) for frame in FRAMES]


def assert_near(found: Detections, wanted: Detections, pixels: float) -> None:
    """Every confident box is there again, none of its sides off by more than `pixels`."""
    sure = wanted[wanted.score >= 0.5]
    assert len(sure) > 1
    apart = np.abs(sure.xyxy[:, None] - found.xyxy[None]).max(axis=2)
    apart[sure.class_id[:, None] != found.class_id[None]] = np.inf
    assert apart.min(axis=1).max() <= pixels


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_gpu_takes_fp16_once_it_gave_the_same_boxes(shared: Path, original: list[Detections]) -> None:
    built = build(shared / "models/yolov8n.pt", "auto")
    info = built.info
    assert (info.name, info.precision, info.details["backend"]) == ("ultralytics", "fp16", "torch")
    assert built.notices == ()
    for frame, wanted in zip(FRAMES, original):
        assert_near(built.detect(frame), wanted, 0.5)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_what_gives_other_boxes_runs_in_fp32_and_says_so(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "LEAST_MEDIAN", 1.0)  # more than fp16 can keep
    built = build(shared / "models/yolov8n.pt", "auto")
    assert (built.info.precision, built.info.details["backend"]) == ("fp32", "ultralytics")
    (notice,) = built.notices
    assert "runs in fp32: in fp16, " in notice
    assert "; in fp16+fp32, " in notice
    assert "have an IoU of 0.9 or more" in notice


@pytest.mark.usefixtures("as_on_a_gpu")
def test_where_fp16_fails_the_head_is_kept_in_fp32(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [CheckResult(False, "the boxes differ"), CheckResult(True, "the same")]
    monkeypatch.setattr(fast_yolo, "compare_boxes", lambda pairs: outcomes.pop(0))
    built = build(shared / "models/yolov8n.pt", "auto")
    assert (built.info.precision, built.info.details["backend"]) == ("fp16+fp32", "torch")
    assert len(built.detect(FRAMES[0])) > 1


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_check_without_an_object_is_no_failure(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_yolo, "compare_boxes", lambda pairs: compare_boxes([]))
    built = build(shared / "models/yolov8n.pt", "auto")
    assert (built.info.precision, built.notices) == ("fp16", ())


def test_bf16_is_used_where_it_is_asked_for_and_boxes_are_not_computed_in_it(shared: Path) -> None:
    weights, frame = shared / "models/yolov8n.pt", FRAMES[0]
    built = build(weights, "bf16", imgsz=960)
    assert (built.info.precision, built.info.details["backend"]) == ("bf16", "torch")
    (notice,) = built.notices
    assert "runs as requested in bf16, " in notice
    wanted = build(weights, "fp32", imgsz=960).detect(frame)
    assert_near(built.detect(frame), wanted, 1)  # boxes that are computed in bf16, too, are off by 4


def test_a_cpu_keeps_fp32(shared: Path) -> None:
    built = build(shared / "models/yolov8n.pt", "auto")
    assert built.info.precision == "fp32"


def test_a_network_that_cannot_be_halved_runs_in_fp32_and_says_so(segmenter: Path) -> None:
    built = build(segmenter, "bf16", imgsz=64)
    assert built.info.precision == "fp32"
    assert any("its head is Segment" in notice for notice in built.notices)


def test_only_cells_above_the_threshold_leave_the_device() -> None:
    import torch

    class Cells(torch.nn.Module):
        """Gives four cells of two classes, and distances that tell the cell and the mean of each channel."""

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            means = pixels.mean((2, 3))
            distances = torch.cat([means, torch.zeros(1, 1)], 1)[..., None] + torch.arange(4.0)
            return distances, torch.tensor([[[-5.0, 1.0, -2.0, 0.5], [-5.0, -4.0, 3.0, -9.0]]])

    picture = np.zeros((1, 32, 32, 3), np.uint8)
    picture[..., 2] = 255  # red, which comes first in what a network is given
    raw = TorchHead(Cells(), device="cpu", precision="fp32").find(picture, 0.75)
    assert raw.cells.tolist() == [1, 2]
    np.testing.assert_allclose(raw.distances, [[2, 1, 1, 1], [3, 2, 2, 2]])
    np.testing.assert_allclose(raw.logits, [[1, -2], [-4, 3]])
