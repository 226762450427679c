"""Exported networks of any origin: they give their boxes, or are refused with what was expected; never silence."""

from __future__ import annotations

import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")

from graphs import BOXES, CELLS, CORNERS, SCORES, SIDE, columns, finished, save, with_objectness

from mot_dinov3.core.errors import ModelError
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.detectors.base import Detector, DetectorConfig, build_detector
from mot_dinov3.detectors.output_layout import OutputLayout, cell_counts, find_layout
from mot_dinov3.models.devices import DeviceConfig

NAMES = {0: "ship", 1: "plane"}
FRAME = Frame(0, 0.0, np.zeros((SIDE, SIDE, 3), np.uint8))


def build(weights: Path, **options: object) -> Detector:
    config = DetectorConfig(det=str(weights), **{"conf": 0.3, **options})  # type: ignore[arg-type]
    return build_detector(config, device=DeviceConfig("cpu"))


def assert_objects(found: Detections, *, classes: tuple[int, int] = (0, 1)) -> None:
    np.testing.assert_allclose(found.xyxy, np.clip(CORNERS, 0, SIDE), atol=0.01)
    np.testing.assert_allclose(found.score, SCORES, atol=1e-3)
    assert found.class_id.tolist() == list(classes)


OUTPUTS = {
    "as Ultralytics writes it": columns(),
    "transposed": columns().transpose(0, 2, 1),
    "YOLOv5": with_objectness(),
    "YOLOv5, transposed": with_objectness().transpose(0, 2, 1),
    "finished rows": finished(),
}


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS.keys())
@pytest.mark.parametrize("notes", [{}, {"task": "detect", "imgsz": [SIDE, SIDE], "batch": 1}], ids=["bare", "noted"])
def test_every_layout_gives_its_boxes(tmp_path: Path, output: np.ndarray, notes: dict[str, object]) -> None:
    """The size is in the graph: neither notes nor --imgsz need to give it."""
    detector = build(save(tmp_path / "a.onnx", output, names=NAMES, stride=32, **notes))
    for _ in range(2):
        assert_objects(detector.detect(FRAME))
    assert dict(detector.names) == NAMES
    assert detector.info.details["imgsz"] == SIDE


@pytest.mark.parametrize("key", ["as Ultralytics writes it", "YOLOv5", "YOLOv5, transposed", "finished rows"])
def test_without_class_names_classes_are_numbered(tmp_path: Path, key: str) -> None:
    detector = build(save(tmp_path / "a.onnx", OUTPUTS[key]))
    assert_objects(detector.detect(FRAME))
    assert detector.names[1] == "class1"


def test_one_class_with_an_objectness_is_not_taken_for_finished_rows(tmp_path: Path) -> None:
    """Both have six columns: x, y, w, h, objectness, class and x1, y1, x2, y2, score, class."""
    detector = build(save(tmp_path / "a.onnx", with_objectness(1), names={0: "ship"}))
    assert_objects(detector.detect(FRAME), classes=(0, 0))
    assert_objects(build(save(tmp_path / "b.onnx", with_objectness(1))).detect(FRAME), classes=(0, 0))


def test_a_picture_of_another_shape_is_fitted_in(tmp_path: Path) -> None:
    wide = Frame(0, 0.0, np.zeros((90, 160, 3), np.uint8))
    plain, turned = (
        build(save(tmp_path / f"{name}.onnx", output, names=NAMES)).detect(wide)
        for name, output in (("plain", columns()), ("v5", with_objectness()))
    )
    np.testing.assert_allclose(plain.xyxy, turned.xyxy, atol=1e-3)
    assert plain.xyxy[0, 0] == pytest.approx(36 * 160 / 64)


def test_an_input_that_is_not_square(tmp_path: Path) -> None:
    cells = 8 * 12 + 4 * 6 + 2 * 3
    weights = save(tmp_path / "a.onnx", columns(cells=cells), shape=(1, 3, 64, 96), names=NAMES)
    found = build(weights).detect(Frame(0, 0.0, np.zeros((64, 96, 3), np.uint8)))
    np.testing.assert_allclose(found.xyxy, np.clip(CORNERS, 0, 96), atol=0.01)


def test_a_size_that_cannot_be_had_is_noted(tmp_path: Path) -> None:
    weights = save(tmp_path / "a.onnx", columns(), names=NAMES)
    (notice,) = build(weights, imgsz=640).notices
    assert notice == f"--imgsz 640 is ignored: '{weights}' has a fixed input of 64×64 pixels"
    assert build(weights, imgsz=SIDE).notices == ()


def test_a_network_for_any_size_takes_the_requested_one(tmp_path: Path) -> None:
    weights = save(tmp_path / "a.onnx", columns(), shape=(1, 3, "height", "width"), names=NAMES)
    detector = build(weights, imgsz=SIDE)
    assert_objects(detector.detect(FRAME))
    assert detector.notices == ()


def test_openvino_without_notes(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="the extra 'fast' is not installed")
    folder = tmp_path / "a_openvino_model"
    folder.mkdir()
    openvino.save_model(openvino.convert_model(str(save(tmp_path / "a.onnx", with_objectness()))), folder / "a.xml")
    assert_objects(build(folder).detect(FRAME))


NO_DETECTORS = {
    "embeddings": ([np.ones((1, 512))], {}, "an output of shape (1, 512)"),
    "a classifier": ([np.ones((1, 1000))], {"names": NAMES}, "an output of shape (1, 1000)"),
    "a feature map": ([np.ones((1, 21, 8, 8))], {}, "an output of shape (1, 21, 8, 8)"),
    "a transformer's tokens": ([np.ones((1, 17, 96))], {}, "an output of shape (1, 17, 96)"),
    "DETR": ([np.ones((1, 300, 80)), np.ones((1, 300, 4))], {}, "an output of shape (1, 300, 80)"),
    "more classes than names": ([columns(5).transpose(0, 2, 1)], {"names": NAMES}, "a detector of 2 classes"),
    "YOLOX": ([with_objectness(cells=CELLS)], {"names": NAMES}, "an objectness (YOLOX)"),
    "YOLOX without names": ([with_objectness(cells=CELLS)], {}, "ambiguous without class names"),
    "raw heads": ([np.ones((1, 3, 8, 8, 7))], {}, "an output of shape (1, 3, 8, 8, 7)"),
    "rows of all images": ([np.ones((5, 7))], {}, "an output of shape (5, 7)"),
    "channels last": ([columns()], {"shape": (1, SIDE, SIDE, 3)}, "an input of shape (1, 64, 64, 3) is not an image"),
    "words": ([columns()], {"shape": (1, 77)}, "an input of shape (1, 77) is not an image"),
    "two inputs": ([columns()], {"second": (1, 2)}, "it has 2 inputs"),
    "a batch": ([columns()], {"shape": (8, 3, SIDE, SIDE)}, "take 8 images at once"),
}


@pytest.mark.parametrize(("outputs", "options", "reason"), NO_DETECTORS.values(), ids=NO_DETECTORS.keys())
def test_what_is_no_detector_is_refused(tmp_path: Path, outputs: list, options: dict, reason: str) -> None:
    weights = save(tmp_path / "a.onnx", *outputs, **options)
    with pytest.raises(ModelError) as caught:
        build(weights)
    assert "a.onnx" in caught.value.message
    assert reason in caught.value.message
    assert "export" in caught.value.remedy
    assert caught.value.exit_code == 4


def finished_in_another_order() -> np.ndarray:
    return finished()[:, :, [0, 1, 2, 3, 5, 4]]


VALUES = {
    "logits": (columns() * np.float32([1, 1, 1, 1, 5, 5])[None, :, None], "scores of their output are not probabil"),
    "shares": (columns() / np.float32([64, 64, 64, 64, 1, 1])[None, :, None], "are not in pixels"),
    "shares, finished": (finished() / np.float32([64, 64, 64, 64, 1, 1]), "are not in pixels"),
    "class before score": (finished_in_another_order(), "are not x1, y1, x2, y2, score, class"),
    "centre and size": (
        np.concatenate([finished()[:, :2, :], finished()[:, 2:]], 1)[:, :, [2, 3, 0, 1, 4, 5]],
        "x1, y1",
    ),
}


@pytest.mark.parametrize(("output", "reason"), VALUES.values(), ids=VALUES.keys())
def test_numbers_that_mean_something_else_are_refused(tmp_path: Path, output: np.ndarray, reason: str) -> None:
    """The shape fits, the values cannot: that shows with the first object at the latest."""
    weights = save(tmp_path / "a.onnx", output, names=NAMES)
    with pytest.raises(ModelError, match=reason) as caught:
        build(weights).detect(FRAME)
    assert caught.value.remedy


def test_a_network_that_does_not_run_on_the_size_says_so(tmp_path: Path) -> None:
    weights = save(tmp_path / "a.onnx", columns(), shape=(1, 3, "height", "width"), names=NAMES)
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(weights))  # the graph says any size, its operations do not
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3, SIDE, SIDE), np.float32), "mask"))
    model.graph.node[0].input[0] = "masked"
    model.graph.node.insert(0, helper.make_node("Add", ["images", "mask"], ["masked"]))
    onnx.save(model, str(weights))
    with pytest.raises(ModelError, match="do not run on an image of 640×640 pixels") as caught:
        build(weights, imgsz=640)
    assert "--imgsz" in caught.value.remedy
    assert "\n" not in caught.value.message
    assert_objects(build(weights, imgsz=SIDE).detect(FRAME))


def test_a_checkpoint_of_another_repository_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    package, module = types.ModuleType("models"), types.ModuleType("models.yolo")
    exec("import torch\nclass DetectionModel(torch.nn.Module):\n    pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "models", package)
    monkeypatch.setitem(sys.modules, "models.yolo", module)
    model = module.DetectionModel()
    for name, zipped in (("new.pt", True), ("old.pt", False)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the old format stores the source of a class, which has none
            torch.save({"model": model}, tmp_path / name, _use_new_zipfile_serialization=zipped)
    monkeypatch.undo()
    for name in ("new.pt", "old.pt"):
        for trust in (False, True):
            with pytest.raises(ModelError, match=rf"{name}' are of the repository of YOLOv5") as caught:
                build_detector(
                    DetectorConfig(det=str(tmp_path / name)), device=DeviceConfig("cpu", trust_weights=trust)
                )
            assert "\n" not in caught.value.message
            assert "export.py" in caught.value.remedy


def test_cells_of_the_usual_sizes() -> None:
    assert CELLS in cell_counts(SIDE, SIDE)
    assert {8400, 25200 // 3, 2100, 34000} <= cell_counts(640, 640)
    assert 3 * 8400 not in cell_counts(640, 640)


@pytest.mark.parametrize(
    ("shape", "classes", "extra", "layout"),
    [
        ((1, 84, 8400), 80, 0, OutputLayout(80)),
        ((1, 84, 8400), None, 0, OutputLayout(80)),
        ((1, 84, 1234), 80, 0, OutputLayout(80)),  # of strides that are not usual
        ((1, 8400, 84), 80, 0, OutputLayout(80, rows=True)),
        ((1, 8400, 84), None, 0, OutputLayout(80, rows=True)),  # COCO's classes: YOLOX would have 85 columns
        ((1, 25200, 85), 80, 0, OutputLayout(80, rows=True, objectness=True)),
        ((1, 25200, 85), None, 0, OutputLayout(80, rows=True, objectness=True)),
        ((1, 25500, 85), None, 0, OutputLayout(80, rows=True, objectness=True)),  # four levels
        ((1, 25200, 117), 80, 32, OutputLayout(80, rows=True, objectness=True)),
        ((1, 25200, 6), 1, 0, OutputLayout(1, rows=True, objectness=True)),
        ((1, 300, 6), 1, 0, OutputLayout(1, rows=True, is_finished=True)),
        ((1, 300, 6), None, 0, OutputLayout(0, rows=True, is_finished=True)),
        ((1, 6, 8400), 2, 0, OutputLayout(2)),
        ((1, 8400, 6), 2, 0, OutputLayout(2, rows=True)),
        ((1, 300, 6), 2, 0, OutputLayout(2, rows=True, is_finished=True)),
        ((1, 56, 8400), 1, 51, OutputLayout(1)),
    ],
)
def test_layouts_are_told_apart_by_shape(
    shape: tuple[int, ...], classes: int | None, extra: int, layout: OutputLayout
) -> None:
    assert find_layout(shape, (640, 640), classes=classes, extra=extra) == layout


@pytest.mark.parametrize("shape", [(1, 8400), (2, 84, 8400), (1, 85, 8400), (1, 300, 84), (1, 0, 84), (1, 768, 197)])
def test_other_shapes_are_no_detectors(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"output|objectness"):
        find_layout(shape, (640, 640), classes=80)
    assert BOXES.shape == (2, 4)
