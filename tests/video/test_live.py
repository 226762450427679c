"""Cameras and network streams."""

from __future__ import annotations

import json
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from clips import numbers, picture, write_clip
from loopback import serving
from mot_dinov3.cli import main
from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Detections, Frame, ModelInfo
from mot_dinov3.detectors.base import Detector
from mot_dinov3.video import SourceConfig, media, open_source
from mot_dinov3.video.camera import CameraSource


class ScriptedCamera:
    """Gives numbered pictures, then fails, as an unplugged camera does."""

    def __init__(self, pictures: int, fps: float = 15.0) -> None:
        self.pictures, self.left = pictures, list(range(pictures))
        self.fps = fps
        self.released = False
        self.unplugged = threading.Event()
        self.awaited: threading.Event | None = None  # before the second picture

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.awaited is not None and len(self.left) < self.pictures:
            self.awaited.wait()
        if not self.left:
            self.unplugged.set()
        return (True, picture(self.left.pop(0))) if self.left else (False, None)

    def get(self, propId: int) -> float:  # noqa: N803
        return self.fps

    def release(self) -> None:
        self.released = True


def test_camera_frames_carry_the_moment_they_came() -> None:
    ticks = iter([100.0, 100.1, 100.35, 100.4, 100.5])
    camera = ScriptedCamera(5)
    with CameraSource(SourceConfig(source="0", start_frame=1), camera, clock=lambda: next(ticks)) as source:
        frames = list(source)
        assert (source.info.width, source.info.height, source.info.fps, source.frame_total) == (96, 64, 15.0, 0)
    assert [f.index for f in frames] == numbers([f.pixels() for f in frames]) == [1, 2, 3, 4]
    np.testing.assert_allclose([f.time for f in frames], [0.1, 0.35, 0.4, 0.5])
    assert source.notices == ["camera 0 stopped after 5 frames"]
    assert camera.released


def test_a_camera_that_names_no_rate_has_thirty() -> None:
    assert CameraSource(SourceConfig(source="0"), ScriptedCamera(1, fps=0.0)).info.fps == 30


def test_a_camera_without_a_picture_is_an_error() -> None:
    camera = ScriptedCamera(0)
    with pytest.raises(VideoError, match="camera 3 delivers no image"):
        CameraSource(SourceConfig(source="3"), camera)
    assert camera.released


class BusyDetector(Detector):
    """Is busy with its first frame until the camera has given its last one."""

    info, names = ModelInfo("busy"), {0: "thing"}

    def __init__(self, camera: ScriptedCamera) -> None:
        self.camera = camera
        self.begun = threading.Event()
        self.seen: list[int] = []

    def detect(self, frame: Frame) -> Detections:
        self.begun.set()
        self.camera.unplugged.wait()
        self.seen += numbers([frame.pixels()])
        return Detections.empty()


@pytest.mark.parametrize(
    ("options", "seen"),
    [((), list(range(12))), (("--drop-frames",), [0, 11]), (("--drop-frames", "--realtime"), [0, 11])],
)
def test_frames_of_a_camera_are_dropped_only_where_that_is_asked_for(
    options: tuple[str, ...],
    seen: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    camera = ScriptedCamera(12)
    busy = BusyDetector(camera)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mot_dinov3.video.camera.open_camera", lambda index: camera)
    monkeypatch.setitem(sys.modules, "busy", types.SimpleNamespace(Busy=lambda request: busy))
    if options:
        camera.awaited = busy.begun  # or frame 0 might be dropped, too
    else:
        camera.unplugged.set()  # it waits, and so would its detector
    words = ["--source", "0", "--det", "busy:Busy", "--embedder", "none", "--no-video", "--save-json", "t.json"]
    assert main([*words, "--no-progress", *options]) == 0
    assert busy.seen == seen
    assert [frame["frame"] for frame in json.loads(Path("t.json").read_text())["frames"]] == list(range(len(seen)))
    told = capsys.readouterr()
    assert ("10 of 12 frames were dropped" in told.out + told.err) == bool(options)


def test_of_a_file_no_frame_is_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "a.mp4", 5)
    words = ["--source", str(clip), "--det", "motion", "--embedder", "none", "--no-video"]
    assert main([*words, "--save-json", str(tmp_path / "t.json"), "--drop-frames"]) == 2
    assert "--drop-frames is for live sources" in capsys.readouterr().err


@contextmanager
def sending(data: bytes, *, stall_at: int | None = None) -> Iterator[str]:
    """Serve `data` on the loopback, sending nothing more from byte `stall_at` on."""
    released = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data[:stall_at])
        request.wfile.flush()
        if stall_at is not None:
            released.wait(20)

    with serving(answer) as host:
        try:
            yield f"http://user:secret@{host}/clip"
        finally:
            released.set()


def test_a_stream_over_http(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.mp4", sound="aac").read_bytes()
    with sending(data) as address, open_source(SourceConfig(source=address, end_frame=5)) as source:
        assert numbers([f.pixels() for f in source]) == [0, 1, 2, 3, 4]
        assert source.audio_from is None
        assert "secret" not in source.info.path


def once(address: str) -> SourceConfig:
    """A stream that is not opened again when it is lost."""
    return SourceConfig(source=address, reconnect_seconds=0)


def test_a_stream_that_stalls_is_told_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "TIMEOUT_S", (2.0, 0.2))
    data = write_clip(tmp_path / "a.ts", 200, codec="mpeg2video").read_bytes()
    with sending(data, stall_at=len(data) - 1000) as address, open_source(once(address)) as source:
        frames = iter(source)
        assert next(frames).index == 0
        with pytest.raises(VideoError, match="stalled") as caught:
            list(frames)
    assert "secret" not in str(caught.value)


def test_nobody_listening_is_told_without_the_password() -> None:
    with pytest.raises(VideoError, match=r"rtsp://user:\*\*\*@127\.0\.0\.1:9/x' cannot be opened") as caught:
        open_source(SourceConfig(source="rtsp://user:secret@127.0.0.1:9/x"))
    assert "check the address" in caught.value.remedy
