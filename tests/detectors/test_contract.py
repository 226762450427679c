"""Every registered detector keeps the contract, and every name of the registry can be given on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.cli import main
from mot_dinov3.core.errors import ConfigError, UsageError
from mot_dinov3.core.structures import Frame
from mot_dinov3.detectors import DETECTORS
from mot_dinov3.detectors.base import DEFAULT_MODELS, Detector, DetectorConfig, DetectorRequest, build_detector
from mot_dinov3.detectors.recorded import RecordedDetector
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.weights import ultralytics_module
from mot_dinov3.testing import check_detector, sample_clip

CPU = DeviceConfig("cpu", precision="fp32", accel="torch")
OWN = """
import numpy as np
from mot_dinov3.core.structures import Detections, ModelInfo
from mot_dinov3.detectors.base import Detector

class Half(Detector):
    def __init__(self, request):
        self.info, self.names = ModelInfo("half", request.model), {0: "half"}

    def detect(self, frame):
        height, width = frame.pixels().shape[:2]
        return Detections(np.array([[0, 0, width / 2, height]], np.float32), np.array([0.9]), np.array([0]))

class Nothing:
    def __init__(self, request):
        pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a detector of a user's own, where the program is run."""
    (tmp_path / "own_detectors.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Precomputed boxes of `sample_clip`'s rectangle."""
    path = tmp_path / "det.txt"
    path.write_text("".join(f"{i + 1},-1,{5 * i},30,25,60,0.9\n" for i in range(20)))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """`sample_clip` as a folder of images."""
    import cv2

    folder = tmp_path / "clip"
    folder.mkdir()
    for frame in sample_clip():
        cv2.imwrite(str(folder / f"{frame.index:06d}.png"), frame.pixels())
    return folder


def model_of(name: str, request: pytest.FixtureRequest) -> str:
    return {
        "yolo": lambda: str(request.getfixturevalue("shared") / "models/yolov8n.pt"),
        "rtdetr": lambda: str(request.getfixturevalue("rtdetr")),
        "recorded": lambda: str(request.getfixturevalue("recording")),
        "motion": lambda: "",
    }[name]()


@pytest.mark.parametrize("name", DETECTORS)
def test_every_registered_detector_keeps_the_contract(name: str, request: pytest.FixtureRequest) -> None:
    model = model_of(name, request)
    check_detector(name, model=model, config=DetectorConfig(conf=0.01, imgsz=160))


@pytest.mark.parametrize("name", ["motion", "rtdetr", "recorded"])
def test_the_sample_clip_is_not_empty_to_them(name: str, request: pytest.FixtureRequest) -> None:
    det = {"det": name} if name == "motion" else {"det": f"rtdetr:{model_of(name, request)}"}
    config = DetectorConfig(conf=0.01, dets=model_of(name, request) if name == "recorded" else None, **det)
    detector = build_detector(config, device=CPU)
    assert sum(len(detector.detect(frame)) for frame in sample_clip()) > 0


@pytest.mark.parametrize("name", DETECTORS)
def test_every_listed_name_can_be_typed(
    name: str, clip: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    assert main(["--list-detectors"]) == 0
    assert name in capsys.readouterr().out.split()
    monkeypatch.setitem(DEFAULT_MODELS, name, model_of(name, request))
    argv = ["detect", "--source", str(clip), "--det", name, "--cpu", "--accel", "torch", "--imgsz", "160"]
    more = ["--dets", model_of(name, request)] if name == "recorded" else []
    assert main([*argv, *more, "--json", str(clip.parent / "det.json")]) == 0
    document = json.loads((clip.parent / "det.json").read_text())
    assert len(document["frames"]) == 20


@pytest.mark.parametrize(
    ("det", "chosen"),
    [
        ("yolo", ("yolo", "yolov8n.pt")),
        ("yolo:best.pt", ("yolo", "best.pt")),
        ("best.pt", ("yolo", "best.pt")),
        ("folder/best:1.pt", ("yolo", "folder/best:1.pt")),
        ("rtdetr", ("rtdetr", DEFAULT_MODELS["rtdetr"])),
        ("rtdetr:org/name@main", ("rtdetr", "org/name@main")),
        ("motion", ("motion", "")),
        ("package.module:Class", ("package.module:Class", "")),
        ("package.module:Class:org/name:2", ("package.module:Class", "org/name:2")),
        ("motoin", ("yolo", "motoin")),
    ],
)
def test_a_name_says_detector_and_model(det: str, chosen: tuple[str, str]) -> None:
    assert DetectorConfig(det=det).chosen() == chosen
    assert DetectorConfig(det=det, dets="boxes.json").chosen() == ("recorded", "boxes.json")


def test_a_file_whose_name_has_a_colon_is_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine:best").touch()
    monkeypatch.chdir(tmp_path)
    assert DetectorConfig(det="mine:best").chosen() == ("yolo", "mine:best")


def test_recorded_needs_a_file_and_motion_has_no_model() -> None:
    with pytest.raises(ConfigError, match="needs the file of detections") as caught:
        DetectorConfig(det="recorded")
    assert caught.value.remedy == "give it with --dets FILE"
    with pytest.raises(ConfigError, match="'motion' has no model to choose"):
        DetectorConfig(det="motion:best.pt")


def test_a_users_own_detector_is_built_from_a_request(own: Path, clip: Path) -> None:
    check_detector("own_detectors:Half", model="weights.pt")
    argv = [
        "--source",
        str(clip),
        "--embedder",
        "none",
        "--no-video",
        "--cpu",
        "--det",
        "own_detectors:Half:weights.pt",
    ]
    assert main([*argv, "--save-json", "out.json"]) == 0
    document = json.loads((own / "out.json").read_text())
    assert document["detector"]["weights"] == "weights.pt"
    assert {len(frame["detections"]) for frame in document["frames"]} == {1}


def test_an_entry_point_is_a_detectors_name(own: Path) -> None:
    info = own / "own-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mot_dinov3.detector]\nhalf = own_detectors:Half\n")
    assert build_detector(DetectorConfig(det="half"), device=CPU).info.name == "half"
    assert build_detector(DetectorConfig(det="half:w.pt"), device=CPU).info.weights == "w.pt"


@pytest.mark.parametrize(
    ("det", "message"),
    [
        ("own_detectors:Nothing", "has no info, names"),
        ("own_detectors:Absent", "cannot be loaded"),
        ("absent_module:Half", "cannot be loaded"),
    ],
)
def test_what_is_no_detector_is_told(own: Path, det: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        build_detector(DetectorConfig(det=det), device=CPU)
    assert caught.value.remedy


@pytest.mark.parametrize(("name", "recorded", "stateful"), [("motion", False, True), ("recorded", True, False)])
def test_the_class_says_what_it_can_do(
    name: str, recorded: bool, stateful: bool, request: pytest.FixtureRequest
) -> None:
    dets = model_of("recorded", request) if name == "recorded" else None
    detector = build_detector(DetectorConfig(det=name, dets=dets), device=CPU)
    assert (detector.is_recorded, detector.is_stateful) == (recorded, stateful)
    assert (Detector.is_recorded, Detector.is_stateful) == (False, False)
    assert RecordedDetector.is_recorded


def test_yolo_finds_people_in_a_photograph(shared: Path) -> None:
    import cv2

    from mot_dinov3.detectors.fast_yolo import open_yolo

    image = cv2.imread(str(Path(str(ultralytics_module().__file__)).parent / "assets/bus.jpg"))
    config = DetectorConfig(conf=0.5, imgsz=640, classes="person")
    detector = open_yolo(DetectorRequest(config, CPU, str(shared / "models/yolov8n.pt")))
    assert len(detector.detect(Frame(0, 0.0, np.asarray(image, np.uint8)))) >= 3
