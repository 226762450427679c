"""What is written comes back: pictures, times and sound; and nothing earlier is lost."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from clips import numbers, picture, tone_start, write_clip
from mot_dinov3.core import files
from mot_dinov3.core.errors import MotError, OutputLostError
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.video import SourceConfig, VideoWriter, open_source
from mot_dinov3.video.audio import video_origin

VFR = [0.0, 0.04, 0.1, 0.3, 0.35, 0.5, 0.8, 0.81, 1.0, 1.2, 1.5, 2.0]


def info(size: tuple[int, int] = (96, 64), fps: float = 10.0) -> VideoInfo:
    return VideoInfo("clip", *size, fps)


def write(path: Path, times: list[float], size: tuple[int, int] = (96, 64)) -> None:
    with VideoWriter(path, info=info(size)) as writer:
        for index, time in enumerate(times):
            writer.write(picture(index, size), time)


def read(path: Path) -> tuple[list[int], list[float]]:
    with open_source(SourceConfig(source=str(path))) as source:
        frames = list(source)
    return numbers([f.pixels() for f in frames]), [f.time for f in frames]


def boxes(path: Path) -> list[str]:
    """Return the outermost boxes of an MP4."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode("ascii"))
        at += int.from_bytes(data[at : at + 4], "big")
    return names


@pytest.mark.parametrize("times", [[i / 10 for i in range(60)], [i * 1001 / 30000 for i in range(60)], VFR])
def test_pictures_and_times_come_back(tmp_path: Path, times: list[float]) -> None:
    write(tmp_path / "a.mp4", times)
    found, found_times = read(tmp_path / "a.mp4")
    assert found == list(range(len(times)))
    np.testing.assert_allclose(found_times, times, atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_the_file_is_one_that_browsers_play(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", VFR)
    assert boxes(tmp_path / "a.mp4") == ["ftyp", "free", "mdat", "moov"]  # one index, no fragments
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.start_time == 0
        assert stream.frames == len(VFR)


def test_the_output_of_a_range_starts_at_zero_and_times_never_go_back(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", [5.0, 5.1, 5.1, 5.05, 5.5])
    found, times = read(tmp_path / "a.mp4")
    assert found == list(range(5))
    np.testing.assert_allclose(times, [0, 0.1, 0.1, 0.1, 0.5], atol=1e-4)
    assert (np.diff(times) > 0).all()


@pytest.mark.parametrize("size", [(1, 1), (97, 64), (96, 63), (97, 63)])
def test_odd_sizes_grow_by_an_edge_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    write(tmp_path / "a.mp4", [0.0, 0.1], size)
    with open_source(SourceConfig(source=str(tmp_path / "a.mp4"), start_frame=1)) as source:
        assert (source.info.width, source.info.height) == (width + width % 2, height + height % 2)
        image = next(iter(source)).pixels()
    assert np.abs(image[:height, :width].astype(int) - picture(1, size)).mean() < 6


def test_colours_come_back(tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [40, 160, 90]], np.uint8)
    image = np.ascontiguousarray(np.repeat(np.repeat(colours[None], 64, 0), 16, 1))
    with VideoWriter(tmp_path / "a.mp4", info=info()) as writer:
        writer.write(image, 0.0)
    with open_source(SourceConfig(source=str(tmp_path / "a.mp4"))) as source:
        found = next(iter(source)).pixels()
    assert np.abs(found[:, 8::16].astype(int) - image[:, 8::16]).max() < 12


def test_a_picture_may_be_changed_after_it_was_written(tmp_path: Path) -> None:
    canvas = picture(0)
    with VideoWriter(tmp_path / "a.mp4", info=info()) as writer:
        for index in range(40):
            canvas[:] = picture(index)
            writer.write(canvas, index / 10)
            canvas[:] = 0
    assert read(tmp_path / "a.mp4")[0] == list(range(40))


@pytest.mark.parametrize(
    ("name", "codec", "written", "notice"),
    [
        ("a.mp4", "aac", "aac", False),
        ("a.mkv", "flac", "flac", False),
        ("a.mkv", "libopus", "opus", False),
        ("a.avi", "libmp3lame", "mp3", False),
        ("a.mkv", "pcm_s16le", "aac", True),
        ("a.avi", "adpcm_ms", "aac", True),
        ("a.ts", "aac", "aac", True),
    ],
)
@pytest.mark.parametrize("start", [0, 3])
def test_sound_goes_over_in_step(tmp_path: Path, name: str, codec: str, written: str, notice: bool, start: int) -> None:
    video = "mpeg4" if name.endswith("avi") else "libx264"
    path = write_clip(tmp_path / name, 15, codec=video, sound=codec)
    target = tmp_path / "out.mp4"
    with open_source(SourceConfig(source=str(path), start_frame=start)) as source:
        assert source.audio_from is not None
        with VideoWriter(target, info=source.info, audio_from=source.audio_from) as writer:
            frames = list(source)
            for frame in frames:
                writer.write(frame.pixels(), frame.time)
    assert any("AAC" in text for text in writer.notices) is notice
    assert read(target)[0] == list(range(start, 15))
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == written
    origin = video_origin(str(path))  # a transport stream does not begin at 0
    assert tone_start(target) == pytest.approx(tone_start(path) - origin - frames[0].time, abs=0.03)


def test_sound_ends_with_the_last_picture(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 30, sound="aac")
    with (
        open_source(SourceConfig(source=str(path), end_frame=10)) as source,
        VideoWriter(tmp_path / "out.mp4", info=source.info, audio_from=source.audio_from) as writer,
    ):
        for frame in source:
            writer.write(frame.pixels(), frame.time)
    with av.open(str(tmp_path / "out.mp4")) as container:
        last = max(float((p.pts + p.duration) * p.time_base) for p in container.demux(audio=0) if p.size)
    assert last == pytest.approx(1.0, abs=0.03)


def test_a_source_without_sound_and_one_that_is_gone_give_a_silent_video(tmp_path: Path) -> None:
    silent = write_clip(tmp_path / "a.mp4")
    for source, told in ((silent, False), (tmp_path / "gone.mp4", True)):
        with VideoWriter(tmp_path / "out.mp4", info=info(), audio_from=str(source)) as writer:
            writer.write(picture(1), 0.0)
        assert any("sound is dropped" in n for n in writer.notices) is told
        assert read(tmp_path / "out.mp4")[0] == [1]


def test_a_failed_run_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"earlier")
    with pytest.raises(KeyError), VideoWriter(path, info=info()) as writer:
        writer.write(picture(0), 0.0)
        assert files.part_path(path).exists()
        raise KeyError
    assert path.read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_run_without_pictures_writes_nothing(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", info=info()):
        pass
    assert list(tmp_path.iterdir()) == []


def test_another_size_and_a_closed_writer_are_the_callers_mistakes(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", info=info())
    writer.write(picture(0), 0.0)
    with pytest.raises(MotError, match=r"shape \(64, 96, 3\), got \(64, 64, 3\)"):
        writer.write(picture(0, (64, 64)), 0.1)
    writer.close()
    writer.close()
    writer.abort()
    assert read(tmp_path / "a.mp4")[0] == [0]
    with pytest.raises(MotError, match="closed"):
        writer.write(picture(0), 0.2)


def test_a_full_disk_is_told_and_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"earlier")
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = VideoWriter(path, info=info((128, 128)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(OutputLostError, match=r"a\.mp4' could not be written") as caught:
            for index in range(200):
                writer.write(np.roll(noise, index, 0), index / 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "disk space" in caught.value.remedy
    assert path.read_bytes() == b"earlier"
    writer.leave()
    writer.abort()
    assert path.read_bytes() == b"earlier"
    with open_source(SourceConfig(source=str(files.part_path(path)))) as source:
        assert sum(1 for _ in source) >= 10, "what the disk could hold plays"


def test_a_folder_that_vanishes_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    writer = VideoWriter(folder / "a.mp4", info=info())
    writer.write(picture(0), 0.0)
    files.part_path(folder / "a.mp4").unlink()
    folder.rmdir()
    with pytest.raises(OutputLostError, match="No such file"):
        writer.close()


def test_what_h264_cannot_hold_is_told(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", info=info())
    with pytest.raises(OutputLostError, match=r"40000×2\) could not be encoded") as caught:
        writer.write(np.zeros((2, 40_000, 3), np.uint8), 0.0)
    assert "--no-video" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from clips import picture
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.video import VideoWriter
writer = VideoWriter(Path(sys.argv[1]), info=VideoInfo("clip", 96, 64, 10.0), audio_from=sys.argv[2])
for index in range(100):
    writer.write(picture(index), index / 10)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_leaves_a_part_that_plays(tmp_path: Path) -> None:
    sound = write_clip(tmp_path / "sound.mp4", 120, sound="aac")
    path = tmp_path / "a.mp4"
    path.write_bytes(b"earlier")
    command = [sys.executable, "-c", KILLED, str(path), str(sound)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()
    assert path.read_bytes() == b"earlier"
    found, times = read(files.part_path(path))
    assert found == list(range(len(found)))
    assert len(found) >= 60  # at most a key frame's distance (2 s) and the encoder's look-ahead are lost
    np.testing.assert_allclose(times, np.arange(len(found)) / 10, atol=1e-5)
    assert tone_start(files.part_path(path)) == pytest.approx(0.5, abs=0.03)
