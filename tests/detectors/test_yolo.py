"""The real loading code, with a tiny randomly initialised YOLO made offline."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError, ModelError
from mot_dinov3.core.structures import Frame
from mot_dinov3.detectors.base import DetectorConfig
from mot_dinov3.detectors.yolo import YoloDetector
from mot_dinov3.models.weights import ultralytics_module

TINY = """
nc: 3
kpt_shape: [5, 3]
scales: {n: [0.33, 0.125, 64]}
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
head:
  - [%s, 1, %s]
"""


def tiny_model(folder: Path, head: str = "Detect, [nc]", *, suffix: str = "", task: str = "detect") -> Path:
    """Save a random model of three classes and return its weights file."""
    import torch

    yaml = folder / f"tiny{suffix}.yaml"
    places = "-1" if head.startswith("Classify") else "[-1]"  # a detection head has several levels
    yaml.write_text(TINY % (places, head))
    torch.manual_seed(0)
    model = ultralytics_module().YOLO(str(yaml), task=task)
    weights = folder / f"tiny{suffix}.pt"
    model.save(str(weights))
    return weights


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def frame() -> Frame:
    image = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    return Frame(0, 0.0, image)


def config(**values: object) -> DetectorConfig:
    return DetectorConfig(**{"conf": 0.0, "imgsz": 64, **values})  # type: ignore[arg-type]


def test_finds_boxes_inside_the_picture_best_first(tiny: Path, frame: Frame) -> None:
    found = YoloDetector(tiny, config(), device="cpu").detect(frame)
    assert len(found) > 0
    assert (found.xyxy >= 0).all()
    assert (found.xyxy <= [160, 90, 160, 90]).all()
    assert (np.diff(found.score) <= 0).all()


def test_keeps_only_the_wanted_classes(tiny: Path, frame: Frame) -> None:
    everything = YoloDetector(tiny, config(), device="cpu").detect(frame)
    one = int(everything.class_id[0])
    assert set(YoloDetector(tiny, config(classes=str(one)), device="cpu").detect(frame).class_id) == {one}


def test_conf_is_a_lower_limit(tiny: Path, frame: Frame) -> None:
    scores = YoloDetector(tiny, config(), device="cpu").detect(frame).score
    middle = float(np.median(scores))
    kept = YoloDetector(tiny, config(conf=middle), device="cpu").detect(frame).score
    assert 0 < len(kept) < len(scores)
    assert kept.min() >= np.float32(middle)


def test_class_names_come_from_the_model(tiny: Path) -> None:
    detector = YoloDetector(tiny, config(), device="cpu")
    assert sorted(detector.names) == [0, 1, 2]
    with pytest.raises(ConfigError, match="unknown class '3'"):
        YoloDetector(tiny, config(classes="3"), device="cpu")


def test_info_tells_what_is_loaded(tiny: Path) -> None:
    info = YoloDetector(tiny, config(classes="1"), device="cpu").info
    assert (info.name, info.weights, info.device) == ("ultralytics", str(tiny), "cpu")
    assert info.details["imgsz"] == 64
    assert info.details["classes"] == [1]


@pytest.mark.parametrize(
    ("head", "task", "key", "length"),
    [
        ("OBB, [nc, 1]", "obb", "obb", 5),
        ("Pose, [nc, kpt_shape]", "pose", "keypoints", 5),
        ("Segment, [nc, 8, 16]", "segment", "segments", None),
    ],
)
def test_more_than_boxes_is_kept_beside_them(
    tmp_path: Path, frame: Frame, head: str, task: str, key: str, length: int | None
) -> None:
    weights = tiny_model(tmp_path, head, suffix=f"-{task}", task=task)
    detector = YoloDetector(weights, config(), device="cpu")
    found = detector.detect(frame)
    assert len(found) > 0
    assert all(list(row) == [key] for row in found.extra)
    assert {len(row[key]) for row in found.extra} == {length} or length is None
    assert detector.info.details["task"] == task


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut off", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("suffix", [".pt", ".torchscript", ".onnx", ".xyz"])
def test_broken_weights_are_one_clear_line(tmp_path: Path, content: bytes, suffix: str) -> None:
    weights = tmp_path / f"broken{suffix}"
    weights.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        YoloDetector(weights, config(), device="cpu")
    assert weights.name in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_folder_without_a_model(tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "x_openvino_model"
    folder.mkdir()
    if content:
        pytest.importorskip("openvino", reason="the extra 'fast' is not installed")
        (folder / "x.xml").write_text(content)
    with pytest.raises(ModelError, match="x_openvino_model"):
        YoloDetector(folder, config(), device="cpu")


def test_cut_off_weights(tiny: Path, tmp_path: Path) -> None:
    weights = tmp_path / "cut.pt"
    weights.write_bytes(tiny.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"cut\.pt"):
        YoloDetector(weights, config(), device="cpu")


def test_a_classifier_is_of_the_wrong_kind(tmp_path: Path) -> None:
    weights = tiny_model(tmp_path, "Classify, [nc]", suffix="-cls", task="classify")
    with pytest.raises(ModelError, match="task 'classify'"):
        YoloDetector(weights, config(), device="cpu")


def test_nothing_is_written_and_nothing_reported(
    tiny: Path, frame: Frame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    YoloDetector(tiny, config(), device="cpu").detect(frame)
    from ultralytics.utils import AUTOINSTALL, ONLINE
    from ultralytics.utils.events import events

    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert (AUTOINSTALL, ONLINE, events.enabled) == (False, False, False)
    assert os.environ["YOLO_OFFLINE"] == "True"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["torchscript", "onnx", "openvino"])
def test_exported_formats_find_the_same(tiny: Path, frame: Frame, form: str) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(form, form if form == "openvino" else "torch"))
    exported = ultralytics_module().YOLO(str(tiny)).export(format=form, imgsz=(64, 64), verbose=False)
    square = Frame(0, 0.0, np.ascontiguousarray(np.pad(frame.pixels(), ((35, 35), (0, 0), (0, 0)))))
    # An exported model keeps its own picture size, whatever --imgsz says.
    found = YoloDetector(tiny, config(), device="cpu").detect(square)
    same = YoloDetector(Path(exported), config(imgsz=320), device="cpu").detect(square)
    np.testing.assert_allclose(same.score[:5], found.score[:5], rtol=1e-3)
    np.testing.assert_allclose(same.xyxy[0], found.xyxy[0], atol=0.5)
