"""YOLO in OpenVINO gives the boxes that Ultralytics' own predictor gives."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino", reason="the extra 'fast' is not installed")

from mot_dinov3.core.structures import Detections, Frame, VideoInfo
from mot_dinov3.detectors.base import Detector, DetectorConfig, build_detector
from mot_dinov3.detectors.fast_yolo import matched_boxes
from mot_dinov3.models.conversion import photographs
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.weights import ultralytics_module
from mot_dinov3.pipeline.inputs import sample_source
from mot_dinov3.video import SourceConfig, open_source

SIZES = [None, (500, 300), (97, 640)]  # of the photograph as it is, and of others: one network takes them all


def build(weights: Path, accel: str, *, precision: str = "fp32", **options: object) -> Detector:
    config = DetectorConfig(det=str(weights), **{"conf": 0.1, "imgsz": 320, **options})  # type: ignore[arg-type]
    return build_detector(config, device=DeviceConfig("cpu", precision=precision, accel=accel))


@pytest.fixture(scope="module")
def fast(shared: Path) -> Detector:
    return build(shared / "models/yolov8n.pt", "openvino")


@pytest.fixture(scope="module")
def original(shared: Path) -> Detector:
    return build(shared / "models/yolov8n.pt", "torch")


@pytest.mark.parametrize("size", SIZES)
def test_the_same_boxes_in_pictures_of_any_size(
    fast: Detector, original: Detector, size: tuple[int, int] | None
) -> None:
    import cv2

    picture = photographs()[0]
    frame = Frame(0, 0.0, picture if size is None else np.asarray(cv2.resize(picture, size), np.uint8))
    wanted, found = original.detect(frame), fast.detect(frame)
    assert len(found) == len(wanted) > 0
    np.testing.assert_allclose(found.xyxy, wanted.xyxy, atol=0.05)
    np.testing.assert_allclose(found.score, wanted.score, atol=1e-3)
    np.testing.assert_array_equal(found.class_id, wanted.class_id)


def test_a_picture_without_objects_gives_no_rows(fast: Detector) -> None:
    assert len(fast.detect(Frame(0, 0.0, np.zeros((90, 120, 3), np.uint8)))) == 0


def test_only_the_wanted_classes(shared: Path, fast: Detector) -> None:
    frame = Frame(0, 0.0, photographs()[0])
    people = build(shared / "models/yolov8n.pt", "auto", classes="person")
    everything = fast.detect(frame)
    assert len(set(everything.class_id.tolist())) > 1
    np.testing.assert_array_equal(people.detect(frame).xyxy, everything.xyxy[everything.class_id == 0])


def test_it_says_what_it_is(fast: Detector) -> None:
    info = fast.info
    assert (info.name, info.device, info.precision, info.details["backend"]) == (
        "ultralytics",
        "cpu",
        "fp32",
        "openvino",
    )
    assert fast.names[0] == "person"
    assert fast.notices == ()


def test_a_network_without_a_fast_path_runs_in_torch_and_says_so(segmenter: Path) -> None:
    built = build(segmenter, "auto", imgsz=64)
    assert built.info.details["backend"] == "ultralytics"
    assert any("its head is Segment" in notice for notice in built.notices)


def test_without_openvino_torch_runs_and_says_how_to_go_faster(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    built = build(shared / "models/yolov8n.pt", "auto")
    assert built.info.details["backend"] == "ultralytics"
    assert any("mot-dinov3[fast]" in notice for notice in built.notices)


def test_found_again_means_near_and_of_the_same_class() -> None:
    sure = Detections(np.array([[0, 0, 10, 10]] * 4, np.float32) + 20 * np.arange(4)[:, None], class_id=np.arange(4))
    there = Detections(sure.xyxy + np.array([[0.9], [1.1], [0.0], [-1.0]], np.float32), class_id=np.array([0, 1, 7, 3]))
    assert matched_boxes(sure, there).tolist() == [True, False, False, True]
    assert matched_boxes(sure, there[:0]).tolist() == [False] * 4


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "share"), [("fp32", 1.0), ("bf16", 0.99)])
def test_the_same_boxes_in_a_real_video(shared: Path, precision: str, share: float) -> None:
    video = shared / "data/tracking/vtest.avi"
    samples = sample_source(SourceConfig(source=str(video)), VideoInfo(str(video), 768, 576, 10.0))
    weights = shared / "models/yolov8n.pt"
    config = DetectorConfig(det=str(weights), conf=0.1, imgsz=960)
    built = build_detector(config, device=DeviceConfig("cpu", precision=precision, accel="openvino"), samples=samples)
    if precision == "bf16" and built.info.details["backend"] != "openvino":
        assert any("bf16" in notice for notice in built.notices)
        pytest.skip("this CPU's bf16 does not pass its check, which was said")
    original = build(weights, "torch", imgsz=960)
    total = found = 0
    with open_source(SourceConfig(source=str(video), end_frame=200)) as frames:
        for frame in itertools.islice(frames, 7, None, 16):  # none of those that the check looked at
            sure = original.detect(frame)
            sure = sure[sure.score >= 0.5]
            total += len(sure)
            found += int(matched_boxes(sure, built.detect(frame)).sum())
    assert total > 50
    assert found >= share * total


@pytest.mark.slow
def test_a_head_that_needs_no_suppression(shared: Path, tmp_path: Path) -> None:
    """The real network, told that its head is of the kind that gives each object one box: every candidate stays."""
    model = ultralytics_module().YOLO(str(shared / "models/yolov8n.pt"))
    head = model.model.model[-1]
    head.one2one_cv2, head.one2one_cv3 = head.cv2, head.cv3
    head.cv2 = head.cv3 = None
    weights = tmp_path / "model.pt"
    model.save(str(weights))
    frame = Frame(0, 0.0, photographs()[1])
    fast, original = (build(weights, accel) for accel in ("openvino", "torch"))
    assert (fast.info.details["backend"], original.info.details["backend"]) == ("openvino", "ultralytics")
    wanted, found = original.detect(frame), fast.detect(frame)
    assert len(found) == len(wanted) > 10
    np.testing.assert_allclose(found.score, wanted.score, atol=1e-3)
    np.testing.assert_allclose(np.sort(found.xyxy, axis=0), np.sort(wanted.xyxy, axis=0), atol=0.1)
