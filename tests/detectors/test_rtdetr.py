"""RT-DETR through transformers: its own post-processing is the truth, the hub's troubles have remedies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError, ModelError, UnreachableModelError, UnsupportedModelError, UsageError
from mot_dinov3.core.structures import Frame
from mot_dinov3.detectors.base import DetectorConfig, DetectorRequest, build_detector
from mot_dinov3.detectors.motion import MotionDetector
from mot_dinov3.detectors.rtdetr import RtdetrDetector
from mot_dinov3.models import hub
from mot_dinov3.models.devices import DeviceConfig

CPU = DeviceConfig("cpu")


def detector(folder: Path, **options: object) -> RtdetrDetector:
    return RtdetrDetector(DetectorRequest(DetectorConfig(**options), CPU, str(folder)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def frame() -> Frame:
    return Frame(0, 0.0, np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))


def test_boxes_scores_and_classes_are_those_of_transformers(rtdetr: Path, frame: Frame) -> None:
    import torch
    import transformers

    found = detector(rtdetr, conf=0.0).detect(frame)
    processor = transformers.RTDetrImageProcessor.from_pretrained(rtdetr)
    network = transformers.RTDetrForObjectDetection.from_pretrained(rtdetr).eval()
    with torch.inference_mode():
        given = processor(images=frame.pixels()[..., ::-1].copy(), return_tensors="pt")
        raw = network(**given)
    theirs = processor.post_process_object_detection(raw, threshold=0.0, target_sizes=[(64, 64)])[0]
    best = float(theirs["scores"][0])
    assert len(found) > 0
    assert found.score[0] == pytest.approx(best, abs=1e-4)
    assert found.class_id[0] == int(theirs["labels"][0])
    np.testing.assert_allclose(found.xyxy[0], theirs["boxes"][0].numpy().clip(0, 64), atol=1e-2)


def test_boxes_by_hand(rtdetr: Path) -> None:
    made = detector(rtdetr, conf=0.5, classes="person,dog")
    logits = np.array([[0.0, 9, 2], [3, 0, 0], [-5, -5, -5], [4, 0, 0], [0, 9, -1]], np.float32)
    boxes = np.array([[50, 50, 20, 40], [10, 10, 40, 40], [50, 50, 9, 9], [120, 50, 20, 20], [5, 5, 4, 4]], np.float32)
    rows = made._decode(logits, boxes, (100, 80))
    assert rows.class_id.tolist() == [0, 2, 0]  # the car of the first row is not wanted: its second best is
    assert rows.score.tolist() == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-2)), 0.5])
    assert rows.xyxy.tolist() == [[0, 0, 30, 30], [40, 30, 60, 70], [3, 3, 7, 7]]  # beyond the picture: nothing left


def test_the_threshold_is_the_lowest_score(rtdetr: Path, frame: Frame) -> None:
    everything = detector(rtdetr, conf=0.0).detect(frame)
    middle = float(np.median(everything.score))
    some = detector(rtdetr, conf=middle).detect(frame)
    assert 0 < len(some) < len(everything)
    assert some.score.min() >= np.float32(middle)


def test_imgsz_is_the_size_that_the_model_sees(rtdetr: Path, frame: Frame) -> None:
    import torch
    import transformers

    assert detector(rtdetr).info.details["imgsz"] == 64  # the model's own
    made = detector(rtdetr, conf=0.0, imgsz=100)
    assert made.info.details["imgsz"] == 128  # in whole strides
    processor = transformers.RTDetrImageProcessor.from_pretrained(rtdetr, size={"height": 128, "width": 128})
    network = transformers.RTDetrForObjectDetection.from_pretrained(rtdetr).eval()
    with torch.inference_mode():
        raw = network(**processor(images=frame.pixels()[..., ::-1].copy(), return_tensors="pt"))
    theirs = processor.post_process_object_detection(raw, threshold=0.0, target_sizes=[(64, 64)])[0]
    found = made.detect(frame)
    assert found.score[0] == pytest.approx(float(theirs["scores"][0]), abs=1e-4)
    np.testing.assert_allclose(found.xyxy[0], theirs["boxes"][0].numpy().clip(0, 64), atol=1e-2)


def test_a_size_that_the_model_was_not_built_for_is_told(rtdetr: Path, tmp_path: Path) -> None:
    folder = with_config(rtdetr, tmp_path / "fixed", anchor_image_size=[64, 64])
    assert detector(folder, imgsz=64).info.details["imgsz"] == 64
    with pytest.raises(ConfigError, match="does not accept images of 96×96") as caught:
        detector(folder, imgsz=90)
    assert "leave --imgsz out" in caught.value.remedy


def test_an_unknown_class_is_told(rtdetr: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'person'"):
        detector(rtdetr, classes="persn")


def test_openvino_is_refused(rtdetr: Path) -> None:
    with pytest.raises(UsageError, match="torch only"):
        RtdetrDetector(DetectorRequest(DetectorConfig(), DeviceConfig("cpu", accel="openvino"), str(rtdetr)))


def test_the_factory_builds_it_from_a_folder(rtdetr: Path) -> None:
    built = build_detector(DetectorConfig(det=f"rtdetr:{rtdetr}"), device=CPU)
    assert isinstance(built, RtdetrDetector)
    assert built.names == {0: "person", 1: "car", 2: "dog"}


def with_config(rtdetr: Path, folder: Path, **changed: object) -> Path:
    shutil.copytree(rtdetr, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changed))
    return folder


def test_another_kind_of_model_is_refused_in_a_detectors_words(rtdetr: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="of type 'vit'") as caught:
        detector(with_config(rtdetr, tmp_path / "other", model_type="vit"))
    assert "--det rtdetr:" in caught.value.remedy
    with pytest.raises(UnsupportedModelError) as unknown:
        detector(with_config(rtdetr, tmp_path / "new", model_type="rt_detr_v9"))
    assert "--det rtdetr:" in unknown.value.remedy


def test_weights_that_do_not_fit_are_refused(rtdetr: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="do not fit"):
        detector(with_config(rtdetr, tmp_path / "deeper", decoder_layers=3))
    cut = with_config(rtdetr, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        detector(cut)


def test_without_a_network_the_remedy_names_the_option_and_the_fallback_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Silent(hub.HuggingFaceHub):
        def cached(self, repo: str, revision: str | None) -> Path:
            return tmp_path

        def files(self, repo: str, revision: str | None) -> list[str]:
            raise TimeoutError

    monkeypatch.setattr(hub, "HuggingFaceHub", Silent)
    config = DetectorConfig(det="rtdetr:PekingU/rtdetr_v2_r18vd", classes="person")
    with pytest.raises(UnreachableModelError) as caught:
        build_detector(config, device=CPU)
    assert "--det rtdetr:FOLDER" in caught.value.remedy
    built = build_detector(config, device=CPU, fallback_open=True)
    assert isinstance(built, MotionDetector)
    assert "rtdetr_v2_r18vd" in built.notices[0]
