"""Sources of variable rate: their files say when each frame is shown, and what is made of these files knows it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from clips import write_clip
from mot_dinov3.cli import main
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.formats.det_v1 import read_det_v1
from mot_dinov3.formats.track_v1 import read_track_v1
from mot_dinov3.sinks.files import JsonSink
from mot_dinov3.video import SourceConfig, open_source
from mot_dinov3.video.source import RecordedClock

VARIABLE = [0.0, 0.016, 0.05, 0.1, 0.3, 0.35, 0.9, 0.916, 1.5, 1.6, 2.4, 3.339]
KINDS = [("a.webm", "libvpx"), ("a.mkv", "libx264"), ("a.mp4", "libx264")]


def without_rate(path: Path) -> Path:
    """Make a WebM one as browsers record it: no frame rate, only times."""
    data = bytearray(path.read_bytes())
    at = data.index(b"\x23\xe3\x83\x84")  # DefaultDuration becomes an element that is skipped
    data[at : at + 8] = b"\xec\x86" + bytes(6)
    path.write_bytes(data)
    return path


def write_dets(path: Path, frames: int = len(VARIABLE)) -> Path:
    path.write_text("".join(f"{i + 1},-1,{10 + i},10,20,30,0.9,-1,-1,-1\n" for i in range(frames)))
    return path


def track(folder: Path, name: str, *words: str) -> tuple[dict, list[float]]:
    """Run `track` and return its JSON, and the times in its CSV."""
    json_path, csv_path = folder / f"{name}.json", folder / f"{name}.csv"
    options = ["--embedder", "none", "--no-video", "--no-progress", "--save-json", str(json_path)]
    assert main(["track", *words, *options, "--save-csv", str(csv_path)]) == 0
    with csv_path.open() as file:
        return json.loads(json_path.read_text()), [float(row["time_s"]) for row in csv.DictReader(file)]


def times_of(document: dict) -> list[float]:
    return [frame["time"] for frame in document["frames"]]


@pytest.mark.parametrize(("name", "codec"), KINDS)
def test_every_frame_has_its_time_and_the_header_the_mean_rate(tmp_path: Path, name: str, codec: str) -> None:
    video = write_clip(tmp_path / name, len(VARIABLE), codec=codec, times=VARIABLE)
    words = ["--source", str(video), "--dets", str(write_dets(tmp_path / "d.txt"))]
    dets = tmp_path / "again.json"
    document, table = track(tmp_path, "t", *words, "--save-dets", str(dets))
    np.testing.assert_allclose(times_of(document), VARIABLE, atol=1e-3)
    np.testing.assert_allclose(table, VARIABLE[-len(table) :], atol=1e-3)
    assert document["video"]["fps"] == pytest.approx((len(VARIABLE) - 1) / VARIABLE[-1], rel=1e-3)
    saved = json.loads(dets.read_text())
    assert times_of(saved) == times_of(document)
    assert saved["video"]["fps"] == document["video"]["fps"]


@pytest.mark.parametrize(("name", "codec"), KINDS)
@pytest.mark.parametrize("to", ["file", "stdout"])
def test_detect_writes_them_too(
    tmp_path: Path, name: str, codec: str, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_clip(tmp_path / name, len(VARIABLE), codec=codec, times=VARIABLE)
    video = without_rate(clip) if codec == "libvpx" else clip
    words = ["detect", "--source", str(video), "--det", "motion", "--no-progress"]
    assert main([*words, "--json", str(tmp_path / "d.json")] if to == "file" else words) == 0
    document = json.loads((tmp_path / "d.json").read_text() if to == "file" else capsys.readouterr().out)
    fps = document["video"]["fps"]
    found = [frame.get("time", frame["frame"] / fps) for frame in document["frames"]]
    np.testing.assert_allclose(found, VARIABLE, atol=0.1 / fps)
    assert found[-1] == pytest.approx(VARIABLE[-1], abs=1e-3)
    if to == "file" or name == "a.webm":
        assert fps == pytest.approx((len(VARIABLE) - 1) / VARIABLE[-1], rel=1e-3)
    assert not list(tmp_path.glob("*.part*"))


def test_what_is_tracked_from_the_file_alone_has_the_same_times(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "a.mkv", len(VARIABLE), times=VARIABLE)
    words = ["--source", str(video), "--dets", str(write_dets(tmp_path / "d.txt"))]
    document, table = track(tmp_path, "t", *words, "--save-dets", str(tmp_path / "d.json"))
    again, same = track(tmp_path, "u", "--dets", str(tmp_path / "d.json"))
    assert (same, times_of(again), again["video"]["fps"]) == (table, times_of(document), document["video"]["fps"])
    other, steps = track(tmp_path, "v", "--dets", str(tmp_path / "d.json"), "--fps", "10")
    np.testing.assert_allclose(np.diff(steps), 0.1, atol=1e-9)
    assert other["video"]["fps"] == 10
    part, _ = track(tmp_path, "w", "--dets", str(tmp_path / "d.json"), "--start-frame", "8")
    assert times_of(part) == times_of(document)[8:]


def test_gallery_and_convert_keep_them(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "a.mkv", len(VARIABLE), times=VARIABLE)
    words = ["--source", str(video), "--dets", str(write_dets(tmp_path / "d.txt"))]
    document, _ = track(tmp_path, "t", *words, "--save-dets", str(tmp_path / "d.json"))
    words = ["gallery", "--dets-json", str(tmp_path / "d.json"), "--video", str(video)]
    assert main([*words, "--out-dir", str(tmp_path / "g"), "--json", "--no-progress"]) == 0
    (written,) = (tmp_path / "g").rglob("*.json")
    assert times_of(json.loads(written.read_text())) == times_of(document)
    words = ["convert", str(tmp_path / "t.json")]
    assert main([*words, str(tmp_path / "c.json"), "--to", "track-v1"]) == 0
    assert list(read_track_v1(tmp_path / "c.json").times.values()) == times_of(document)
    assert main([*words, str(tmp_path / "c.csv")]) == 0
    with (tmp_path / "c.csv").open() as file:
        found = {int(row["frame"]): float(row["time_s"]) for row in csv.DictReader(file)}
    assert len(found) > 3
    assert found == {index: times_of(document)[index] for index in found}


def test_gallery_gives_frames_of_an_older_file_the_times_of_the_video(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "a.mkv", len(VARIABLE), times=VARIABLE)
    header = {"path": "a.mkv", "fps": 59.94, "frame_count": 0, "width": 96, "height": 64}
    frames = [{"frame": i, "detections": []} for i in range(len(VARIABLE))]
    (tmp_path / "d.json").write_text(json.dumps({"schema_version": "det-v1", "video": header, "frames": frames}))
    words = ["gallery", "--dets-json", str(tmp_path / "d.json"), "--video", str(video)]
    assert main([*words, "--out-dir", str(tmp_path / "g"), "--json", "--frames", "--no-progress"]) == 0
    (written,) = (tmp_path / "g").rglob("*.json")
    found = [frame.get("time", frame["frame"] / 59.94) for frame in json.loads(written.read_text())["frames"]]
    np.testing.assert_allclose(found, VARIABLE, atol=2e-3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_a_constant_rate_needs_no_times(tmp_path: Path, name: str) -> None:
    video = write_clip(tmp_path / name, codec="mpeg4" if name == "a.avi" else "libx264")
    document, _ = track(tmp_path, "t", "--source", str(video), "--dets", str(write_dets(tmp_path / "d.txt")))
    assert document["video"]["fps"] == 10
    assert not any("time" in frame for frame in document["frames"])


def test_a_wrong_rate_in_the_header_of_detections_is_corrected_by_the_video(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "a.mp4")
    header = {"path": "a.mp4", "fps": 59.94, "frame_count": 12, "width": 96, "height": 64}
    frames = [{"frame": i, "detections": []} for i in range(12)]
    (tmp_path / "d.json").write_text(json.dumps({"schema_version": "det-v1", "video": header, "frames": frames}))
    document, _ = track(tmp_path, "t", "--source", str(video), "--dets", str(tmp_path / "d.json"))
    assert document["video"] == {**header, "fps": 10.0}
    np.testing.assert_allclose(times_of(document), np.arange(12) / 10)


def test_the_rate_of_a_browsers_recording_is_measured(tmp_path: Path) -> None:
    """It has no average rate, and FFmpeg's guess is the finest clock."""
    video = without_rate(write_clip(tmp_path / "a.webm", len(VARIABLE), codec="libvpx", times=VARIABLE))
    with open_source(SourceConfig(source=str(video))) as source:
        guess = source.info.fps
    assert guess == pytest.approx((len(VARIABLE) - 1) / VARIABLE[-1], rel=1e-3)


def write_json(path: Path, times: Sequence[float], fps: float) -> dict:
    sink = JsonSink(path, lambda i, _: {"frame": i, "detections": []}, lambda: {"video": {"fps": fps}}, fps=fps)
    for index, time in enumerate(times):
        sink.write(Frame(index, time), Detections.empty())
    sink.close()
    return json.loads(path.read_text())


@pytest.mark.parametrize("jitter", [0.0, 0.0005, 0.003])
def test_milliseconds_are_no_variable_rate(tmp_path: Path, jitter: float) -> None:
    times = np.arange(30) / 30 + jitter * (np.arange(30) % 2)
    written = write_json(tmp_path / "t.json", times.tolist(), 30.0)
    assert written["video"]["fps"] == 30
    assert not any("time" in frame for frame in written["frames"])


def test_a_rate_that_is_a_little_wrong_is_corrected(tmp_path: Path) -> None:
    written = write_json(tmp_path / "t.json", (np.arange(300) / 29.5).tolist(), 30.0)
    assert written["video"]["fps"] == pytest.approx(29.5, abs=1e-4)
    assert times_of(written)[-1] == pytest.approx(299 / 29.5, abs=1e-6)


def test_times_of_another_kind_in_a_file_are_ignored(tmp_path: Path) -> None:
    frames = [{"frame": i, "time": f"12:00:0{i}", "detections": []} for i in range(3)]
    (tmp_path / "d.json").write_text(json.dumps({"schema_version": "det-v1", "frames": frames}))
    assert read_det_v1(tmp_path / "d.json").times == {}


def test_recorded_times_rise_whatever_a_file_says() -> None:
    clock = RecordedClock(10.0)
    found = [clock.time_of(i, t) for i, t in enumerate([None, 0.5, None, 0.55, 0.4, None, 2.0])]
    np.testing.assert_allclose(found, [0, 0.5, 0.6, 0.7, 0.8, 0.9, 2.0])
    assert RecordedClock(10.0).time_of(7, None) == 0.7
