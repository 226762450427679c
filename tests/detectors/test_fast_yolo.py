"""YOLO in OpenVINO gives the boxes that Ultralytics' own predictor gives."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openvino", reason="the extra 'fast' is not installed")

from mot_dinov3.core.structures import Frame, VideoInfo
from mot_dinov3.detectors import fast_yolo
from mot_dinov3.detectors.agreement import BoxPair, compare_boxes
from mot_dinov3.detectors.base import Detector, DetectorConfig, build_detector
from mot_dinov3.detectors.fast_yolo import YoloConversion
from mot_dinov3.models import devices
from mot_dinov3.models.conversion import CUT, CheckResult, Samples, photographs
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.openvino import MIXED, split
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


def tiny(folder: Path, bias: float) -> Path:
    """Save a network whose every cell has a logit of about `bias`: it sees objects everywhere, or none."""
    import torch

    (folder / "tiny.yaml").write_text(
        "nc: 2\nscales: {n: [0.33, 0.125, 64]}\n"
        "backbone:\n  - [-1, 1, Conv, [16, 3, 2]]\n  - [-1, 1, Conv, [32, 3, 2]]\n  - [-1, 1, Conv, [64, 3, 2]]\n"
        "head:\n  - [[1, 2], 1, Detect, [nc]]\n"
    )
    torch.manual_seed(0)
    model = ultralytics_module().YOLO(str(folder / "tiny.yaml"), task="detect")
    for branch in model.model.model[-1].cv3:
        torch.nn.init.constant_(branch[-1].bias, bias)
    weights = folder / f"tiny{bias:g}.pt"
    model.save(str(weights))
    return weights


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty store of converted networks, and a processor that computes in bf16."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(devices, "_has_bf16", lambda: True)


@pytest.mark.usefixtures("own_cache")
def test_a_check_without_an_object_is_no_failure_and_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tiny(tmp_path, -20)
    checks: list[CheckResult] = []
    compare = YoloConversion.compare

    def counted(*given: Any) -> CheckResult:
        checks.append(compare(*given))
        return checks[-1]

    monkeypatch.setattr(YoloConversion, "compare", counted)
    samples = Samples(lambda: [np.zeros((48, 64, 3), np.uint8)] * 8, "64x48")
    config = DetectorConfig(det=str(weights), conf=0.1, imgsz=64)
    for start in (1, 2):
        built = build_detector(config, device=DeviceConfig("cpu"), samples=samples)
        assert (built.info.details["backend"], built.info.precision) == ("openvino", "fp32")
        (notice,) = built.notices
        assert "no object was detected in the 10 images" in notice
        assert len(checks) == start
    # of a source that is read only once, the photographs are all there is: one check is enough
    for _ in range(2):
        built = build_detector(config, device=DeviceConfig("cpu"))
        assert built.info.details["backend"] == "openvino"
        assert len(checks) == 3


@pytest.mark.usefixtures("own_cache")
def test_where_bf16_fails_the_head_is_kept_in_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tiny(tmp_path, 3)
    figures: list[CheckResult] = []
    monkeypatch.setattr(fast_yolo, "compare_boxes", lambda pairs: figures.pop(0))
    frame = Frame(0, 0.0, photographs()[0])
    bad, good = CheckResult(False, "the boxes differ"), CheckResult(True, "the same")
    found = {}
    for number, (outcomes, precision) in enumerate(
        [((good,), "bf16"), ((bad, good), MIXED), ((bad, bad, good), "fp32")]
    ):
        figures[:] = outcomes
        samples = Samples(tuple, f"situation {number}")
        config = DetectorConfig(det=str(weights), conf=0.1, imgsz=64)
        built = build_detector(config, device=DeviceConfig("cpu"), samples=samples)
        assert (built.info.details["backend"], built.info.precision) == ("openvino", precision)
        assert len(built.notices) == len(outcomes) - 1
        found[precision] = built.detect(frame).score
    assert np.abs(found[MIXED] - found["fp32"]).max() < 0.01
    assert not np.array_equal(found[MIXED], found["fp32"])


@pytest.mark.usefixtures("own_cache")
def test_a_precision_requested_by_name_is_obeyed_and_its_figure_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tiny(tmp_path, 3)
    monkeypatch.setattr(fast_yolo, "compare_boxes", lambda pairs: CheckResult(False, "3 of 9 boxes"))
    for _ in range(2):  # the second time from the cache
        built = build(weights, "auto", precision="bf16", imgsz=64)
        assert (built.info.details["backend"], built.info.precision) == ("openvino", "bf16")
        assert built.notices == (f"'{weights}' runs in OpenVINO's bf16 as requested: 3 of 9 boxes",)


def test_the_network_is_cut_where_its_head_begins(tmp_path: Path) -> None:
    converted = YoloConversion(tiny(tmp_path, 3), 64, Samples(), trust=False).convert()
    cut = converted.facts[CUT]
    assert len(cut) == 2  # one a level
    first, rest = split(converted.model, cut)
    assert len(first.outputs) == len(rest.inputs) == 2
    assert [output.get_partial_shape()[1].get_length() for output in rest.outputs] == [64, 2]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_the_same_boxes_in_a_real_video(shared: Path, precision: str) -> None:
    video = shared / "data/tracking/vtest.avi"
    samples = sample_source(SourceConfig(source=str(video)), VideoInfo(str(video), 768, 576, 10.0))
    weights = shared / "models/yolov8n.pt"
    config = DetectorConfig(det=str(weights), conf=0.1, imgsz=640)
    built = build_detector(config, device=DeviceConfig("cpu", precision=precision, accel="openvino"), samples=samples)
    assert built.info.details["backend"] == "openvino"
    original = build(weights, "torch", imgsz=640)
    pairs = []
    with open_source(SourceConfig(source=str(video), end_frame=200)) as frames:
        for frame in itertools.islice(frames, 7, None, 16):  # none of those that the check looked at
            pairs.append(BoxPair(original.detect(frame), built.detect(frame)))
    check = compare_boxes(pairs)
    assert check.count > 50
    assert check.passed, check.figure


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
