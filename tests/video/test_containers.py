"""The extension of a video decides its container: what is written is what its name says, or it is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from clips import numbers, picture, tone_start, write_clip
from mot_dinov3.core import files
from mot_dinov3.core.errors import OutputError, OutputLostError
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.video import SourceConfig, VideoWriter, open_source
from mot_dinov3.video.encoders import CONTAINERS, container_of
from mot_dinov3.video.partial_video import PartialVideo

VFR = [0.0, 0.04, 0.1, 0.3, 0.35, 0.5, 0.8, 0.81, 1.0, 1.2, 1.5, 2.0]
WRITTEN = {
    ".mp4": ("mp4", "iso5", "h264"),
    ".m4v": ("mp4", "iso5", "h264"),
    ".mov": ("mp4", "qt  ", "h264"),
    ".mkv": ("matroska", None, "h264"),
    ".webm": ("matroska", None, "vp9"),
}
INFO = VideoInfo("clip", 96, 64, 10.0)


def write(path: Path, times: list[float]) -> None:
    with VideoWriter(path, info=INFO) as writer:
        for index, time in enumerate(times):
            writer.write(picture(index), time)


def read(path: Path) -> tuple[list[int], list[float]]:
    with open_source(SourceConfig(source=str(path))) as source:
        frames = list(source)
    return numbers([f.pixels() for f in frames]), [f.time for f in frames]


def test_every_container_is_tried() -> None:
    assert WRITTEN.keys() == CONTAINERS.keys()


@pytest.mark.parametrize("suffix", [*WRITTEN, ".MKV"])
def test_a_container_holds_the_frames_and_their_times(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, VFR)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    found, times = read(path)
    assert found == list(range(len(VFR)))
    np.testing.assert_allclose(times, VFR, atol=1e-3)
    kind, brand, codec = WRITTEN[suffix.lower()]
    with av.open(str(path)) as container:
        assert kind in container.format.name
        assert container.metadata.get("major_brand") == brand
        assert container.streams.video[0].codec_context.name.removeprefix("lib").startswith(codec)
    if suffix == ".webm":
        assert b"webm" in path.read_bytes()[:64]


@pytest.mark.parametrize("name", ["a.avi", "a.gif", "a.png", "a.txt", "a", "a.mp5", ".mp4"])
def test_what_cannot_be_written_is_refused_with_what_can(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="cannot be written") as caught:
        VideoWriter(tmp_path / name, info=INFO)
    assert caught.value.remedy == "use the extension .mp4, .m4v, .mov, .mkv, .webm"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("codec", "suffix", "written"),
    [
        ("aac", ".mov", "aac"),
        ("aac", ".mkv", "aac"),
        ("aac", ".webm", "opus"),
        ("libopus", ".webm", "opus"),
        ("libopus", ".mov", "aac"),
        ("flac", ".mkv", "flac"),
    ],
)
def test_sound_goes_over_in_step(tmp_path: Path, codec: str, suffix: str, written: str) -> None:
    path, target = write_clip(tmp_path / "a.mkv", 15, sound=codec), tmp_path / f"out{suffix}"
    with (
        open_source(SourceConfig(source=str(path), start_frame=3)) as source,
        VideoWriter(target, info=source.info, audio_from=source.audio_from) as writer,
    ):
        frames = list(source)
        for frame in frames:
            writer.write(frame.pixels(), frame.time)
    assert any("is converted to" in text for text in writer.notices) is (not codec.endswith(written))
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == written
    assert tone_start(target) == pytest.approx(tone_start(path) - frames[0].time, abs=0.03)


KILLED = """
import os, signal, sys
from pathlib import Path
from clips import picture
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.video import VideoWriter
writer = VideoWriter(Path(sys.argv[1]), info=VideoInfo("clip", 96, 64, 10.0))
for index in range(100):
    writer.write(picture(index), index / 10)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".webm"])
def test_a_killed_run_leaves_a_part_that_plays_and_is_continued(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], cwd=Path(__file__).parents[1], capture_output=True, check=False
    )
    assert done.returncode == -9, done.stderr.decode()
    found, _ = read(files.part_path(path))
    assert found == list(range(len(found)))
    assert len(found) >= 50
    part = PartialVideo(files.part_path(path))
    kept_before, count = [bytes(next(part)) for _ in range(5)], part.frame_count
    part.close()
    with VideoWriter(path, info=INFO) as writer:
        kept = writer.continue_from()
        assert kept == count >= 50
        for index in range(100):
            writer.write(None if index < kept else picture(index), index / 10)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    found, times = read(path)
    assert found == list(range(100))
    np.testing.assert_allclose(times, np.arange(100) / 10, atol=1e-3)
    whole = PartialVideo(path)
    assert [bytes(next(whole)) for _ in range(5)] == kept_before, "frames are copied, not encoded again"
    whole.close()


@pytest.mark.parametrize("name", ["pipe", "pipe.mp4", "pipe.mkv", "pipe.webm"])
def test_a_pipe_gets_the_frames_as_they_come(tmp_path: Path, name: str) -> None:
    path, got = tmp_path / name, tmp_path / "got"
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.write_bytes(path.read_bytes()))
    reader.start()
    writer = VideoWriter(path, info=INFO, audio_from=str(write_clip(tmp_path / "s.mkv", 12, sound="aac")))
    assert writer.continue_from() == 0
    for index, time in enumerate(VFR):
        writer.write(picture(index), time)
    writer.close()
    reader.join()
    assert path.is_fifo()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["got", name, "s.mkv"])
    found, times = read(got)
    assert found == list(range(len(VFR)))
    np.testing.assert_allclose(times, VFR, atol=1e-3)


def test_a_pipe_whose_run_fails_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for leave in (VideoWriter.abort, VideoWriter.leave):
        reader = threading.Thread(target=path.read_bytes)
        reader.start()
        writer = VideoWriter(path, info=INFO)
        writer.write(picture(0), 0.0)
        leave(writer)
        reader.join()
        assert path.is_fifo()
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_a_pipe_without_frames_ends(tmp_path: Path) -> None:
    path, got = tmp_path / "pipe", list[bytes]()
    os.mkfifo(path)
    for end in (VideoWriter.close, VideoWriter.leave, VideoWriter.abort):
        reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
        reader.start()
        end(VideoWriter(path, info=INFO))
        reader.join()
    assert got == [b""] * 3


def test_a_pipe_whose_reader_goes_is_a_lost_output(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = VideoWriter(path, info=INFO)
    os.close(reading)
    with pytest.raises(OutputLostError, match=r"pipe' could not be written: Broken pipe"):
        for index in range(100):
            writer.write(picture(index), index / 10)
        writer.close()
    writer.leave()
    assert path.is_fifo()


def test_a_device_without_extension_gets_mp4() -> None:
    assert container_of(Path(os.devnull)) is CONTAINERS[".mp4"]
