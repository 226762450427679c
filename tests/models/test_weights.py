"""Looking weights up and fetching them, against a real server on the loopback interface."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from loopback import serving
from mot_dinov3.core.errors import FormatError, ModelError, UnreachableModelError
from mot_dinov3.core.files import cache_dir
from mot_dinov3.detectors.base import DetectorConfig, build_detector
from mot_dinov3.models import weights
from mot_dinov3.models.devices import DeviceConfig

CPU = DeviceConfig(device="cpu")
PUBLISHED = dict(weights.PUBLISHED)
DIGEST = hashlib.sha256(b"0123456789").hexdigest()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and an empty cache; nothing reaches the real host."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "ASSETS_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(weights, "LISTING_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(weights, "PUBLISHED", {"yolov8n.pt": DIGEST})


def assets(request: BaseHTTPRequestHandler) -> None:
    """Answer as the place does that the weights are published at."""
    if "yolov8s" in request.path:
        request.send_error(404)
        return
    body, length = b"0123456789", 99 if "yolov8m" in request.path else 10
    if request.path == "/listing":
        listed = [
            {"name": "yolo11n.pt", "digest": f"sha256:{DIGEST}"},
            {"name": "yolo11s.pt", "digest": "sha256:0"},
        ]
        body = json.dumps({"assets": [*listed, {"name": "yolo11m.pt", "digest": None}]}).encode()
        length = len(body)
    request.send_response(200)
    request.send_header("Content-Length", str(length))
    request.end_headers()
    request.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with serving(assets) as host:
        monkeypatch.setattr(weights, "ASSETS_URL", f"http://{host}")
        monkeypatch.setattr(weights, "LISTING_URL", f"http://{host}/listing")
        yield


def test_cache_is_the_users() -> None:
    assert cache_dir().name == "mot-dinov3"
    assert weights.weights_cache().is_relative_to(cache_dir())


def test_a_relative_xdg_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert cache_dir() == Path("~/.cache/mot-dinov3").expanduser()


def test_local_files_come_first() -> None:
    weights.weights_cache().mkdir(parents=True)
    (weights.weights_cache() / "a.pt").touch()
    assert weights.find_detector_weights("a.pt") == weights.weights_cache() / "a.pt"
    Path("models").mkdir()
    Path("models/a.pt").touch()
    assert weights.find_detector_weights("a.pt") == Path("models/a.pt")
    Path("a.pt").touch()
    assert weights.find_detector_weights("a.pt") == Path("a.pt")


@pytest.mark.parametrize("name", ["models/yolov8n.pt", "./yolov8n.pt", "/nowhere/yolov8n.pt"])
def test_a_path_that_does_not_exist_never_falls_back(name: str) -> None:
    with pytest.raises(ModelError, match="do not exist") as caught:
        build_detector(DetectorConfig(det=name), device=CPU, fallback_open=True)
    assert not isinstance(caught.value, UnreachableModelError)


def test_a_name_that_is_no_official_model() -> None:
    with pytest.raises(ModelError, match=r"did you mean 'yolov8n\.pt'"):
        build_detector(DetectorConfig(det="yolo8n.pt"), device=CPU, fallback_open=True)


def test_official_weights_are_fetched_into_the_cache(server: None) -> None:
    path = weights.find_detector_weights("yolov8n.pt")
    assert path == weights.weights_cache() / "yolov8n.pt"
    assert path.read_bytes() == b"0123456789"
    assert list(path.parent.iterdir()) == [path]
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(("name", "reason"), [("yolov8s.pt", "Not Found"), ("yolov8m.pt", "10 of 99 bytes")])
def test_a_failed_download_leaves_nothing(server: None, name: str, reason: str) -> None:
    with pytest.raises(UnreachableModelError, match=reason):
        weights.find_detector_weights(name)
    assert list(weights.weights_cache().iterdir()) == []


def test_weights_are_those_that_were_published(server: None, caplog: pytest.LogCaptureFixture) -> None:
    """By the digest we know (yolov8n), by the release's listing (yolo11n), or not at all, which is said."""
    with caplog.at_level(logging.WARNING):
        assert weights.find_detector_weights("yolov8n.pt").exists()
        assert weights.find_detector_weights("yolo11n.pt").exists()
        assert caplog.records == []
        assert weights.find_detector_weights("yolo11m.pt").exists()
    assert "'yolo11m.pt'" in caplog.text
    assert "not verified" in caplog.text


@pytest.mark.parametrize("name", ["yolov8n.pt", "yolo11s.pt"])
def test_other_weights_than_were_published_are_refused(
    server: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(weights, "PUBLISHED", {"yolov8n.pt": "0" * 64})
    with pytest.raises(
        ModelError, match=f"'{name}' differ from those published by Ultralytics: SHA-256 {DIGEST}"
    ) as caught:
        build_detector(DetectorConfig(det=name), device=CPU, fallback_open=True)
    assert not isinstance(caught.value, UnreachableModelError)  # never a reason to fall back in silence
    assert list(weights.weights_cache().iterdir()) == []


def test_known_digests_belong_to_official_weights() -> None:
    assert set(PUBLISHED) <= weights.official_weights()
    assert all(len(digest) == 64 and int(digest, 16) for digest in PUBLISHED.values())


@pytest.mark.parametrize(("det", "meant"), [("yolo8n.pt", "yolov8n.pt"), ("motoin", "motion"), ("rtdtr", "rtdetr")])
def test_a_misspelt_name_is_met_with_the_closest_model_or_detector(det: str, meant: str) -> None:
    with pytest.raises(ModelError, match=f"did you mean '{meant}'"):
        build_detector(DetectorConfig(det=det), device=CPU)


def test_an_unreachable_host_has_remedies() -> None:
    with pytest.raises(UnreachableModelError, match="could not be downloaded: Connection refused") as caught:
        build_detector(DetectorConfig(), device=CPU)
    assert "models/" in caught.value.remedy
    assert "--det motion" in caught.value.remedy


@pytest.mark.parametrize("fallback_open", [True, None])
def test_fallback_is_motion_with_a_notice(fallback_open: bool | None) -> None:
    built = build_detector(DetectorConfig(classes="person"), device=CPU, fallback_open=fallback_open)
    assert built.info.name == "motion"
    (notice,) = built.notices
    assert notice.startswith("the built-in detector 'motion' is used")
    assert notice.endswith("To get it: put yolov8n.pt into models/, or give its path (--det PATH)")


def test_motion_does_not_stand_in_for_a_detector_that_was_asked_for_by_name() -> None:
    with pytest.raises(UnreachableModelError, match="yolov8n"):
        build_detector(DetectorConfig(det="yolov8n.pt"), device=CPU, fallback_open=None)


def test_recorded_wins_over_det(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_text("1,-1,1,2,3,4,0.5\n")
    built = build_detector(DetectorConfig(dets=str(path), det="/nowhere.pt"), device=CPU)
    told = "--det /nowhere.pt is not used: the detections are those of --dets"
    assert (built.info.name, built.notices) == ("recorded", (told,))
    for det in (None, "recorded"):
        assert build_detector(DetectorConfig(dets=str(path), det=det), device=CPU).notices == ()
    with pytest.raises(FormatError):
        build_detector(DetectorConfig(dets=str(tmp_path)), device=CPU)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [None, "1"])
def test_ultralytics_leaves_the_numbers_of_threads_alone(limit: str | None) -> None:
    code = """
import os
import cv2
from mot_dinov3.models.devices import usable_cpus
from mot_dinov3.models.weights import ultralytics_module
before = cv2.getNumThreads(), os.environ.get("OMP_NUM_THREADS"), usable_cpus()
ultralytics_module()
import torch
from ultralytics.utils.torch_utils import select_device
assert (cv2.getNumThreads(), os.environ.get("OMP_NUM_THREADS"), usable_cpus()) == before
assert torch.get_num_threads() == usable_cpus()
select_device("cpu", verbose=False)
assert torch.get_num_threads() == usable_cpus()
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {} if limit is None else {"OMP_NUM_THREADS": limit}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
