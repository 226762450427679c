"""What every registered detector promises, checked on each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core import boxes
from mot_dinov3.core.registry import resolve
from mot_dinov3.core.structures import Detections, Frame, VideoInfo
from mot_dinov3.detectors import DETECTORS
from mot_dinov3.detectors.base import Detector, DetectorConfig
from mot_dinov3.detectors.weights import ultralytics_module
from mot_dinov3.formats.recorded_detections import RecordedDetections
from mot_dinov3.models.devices import DeviceConfig

SIZE = (120, 160)


def clip() -> list[Frame]:
    rng = np.random.default_rng(3)
    frames = []
    for index in range(20):
        image = rng.normal(100, 4, (*SIZE, 3)).clip(0, 255).astype(np.uint8)
        image[30:90, 5 * index : 5 * index + 25] = 240
        frames.append(Frame(index, index / 10, image))
    return frames


def make(name: str, config: DetectorConfig, request: pytest.FixtureRequest) -> Detector:
    detector = resolve("detector", DETECTORS, name)
    if name == "yolo":
        shared: Path = request.getfixturevalue("shared")
        return detector(shared / "models/yolov8n.pt", config, device="cpu")
    if name == "rtdetr":
        return detector(str(request.getfixturevalue("rtdetr")), config, device=DeviceConfig("cpu"))
    if name == "recorded":
        boxes_of = {i: Detections(np.array([[5 * i, 30, 5 * i + 25, 90]]), class_id=np.array([0])) for i in range(20)}
        return detector(RecordedDetections("d.json", boxes_of, VideoInfo("v", 160, 120, 10.0, 20)), config)
    return detector(config)


@pytest.mark.parametrize("name", DETECTORS)
def test_boxes_are_usable_and_columns_typed(name: str, request: pytest.FixtureRequest) -> None:
    detector = make(name, DetectorConfig(conf=0.01, imgsz=160, classes="0"), request)
    found = [detector.detect(frame) for frame in clip()]
    assert sum(map(len, found)) > 0 or name == "yolo", "a model need not know a white rectangle"
    for rows in found:
        assert rows.xyxy.dtype == np.float32
        assert rows.xyxy.shape == (len(rows), 4)
        assert boxes.usable(rows.xyxy).all()
        assert ((rows.score >= 0.01) & (rows.score <= 1)).all()
        assert (rows.class_id == 0).all()
        assert (rows.track_id == -1).all()


@pytest.mark.parametrize("name", DETECTORS)
def test_says_what_it_is(name: str, request: pytest.FixtureRequest) -> None:
    detector = make(name, DetectorConfig(imgsz=160), request)
    assert detector.info.name
    assert isinstance(detector.names, dict)
    assert detector.info.device == "cpu"


@pytest.mark.parametrize("name", DETECTORS)
def test_equal_input_equal_output(name: str, request: pytest.FixtureRequest) -> None:
    first, second = (make(name, DetectorConfig(imgsz=160), request) for _ in range(2))
    for frame in clip()[:8]:
        a, b = first.detect(frame), second.detect(frame)
        np.testing.assert_array_equal(a.xyxy, b.xyxy)
        np.testing.assert_array_equal(a.score, b.score)


def test_yolo_finds_people_in_a_photograph(shared: Path) -> None:
    import cv2

    image = cv2.imread(str(Path(str(ultralytics_module().__file__)).parent / "assets/bus.jpg"))
    detector = resolve("detector", DETECTORS, "yolo")(
        shared / "models/yolov8n.pt", DetectorConfig(conf=0.5, imgsz=640, classes="person"), device="cpu"
    )
    assert len(detector.detect(Frame(0, 0.0, image))) >= 3
