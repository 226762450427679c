"""Pipes: every frame of what is sent, once, whatever the container; and an end when the user wants one."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from clips import numbers, picture, write_clip
from mot_dinov3.cli import main
from mot_dinov3.core.errors import VideoError
from mot_dinov3.video import SourceConfig, open_source
from mot_dinov3.video.opening import is_live
from mot_dinov3.video.pipe import needs_seeking
from mot_dinov3.video.random_access import open_random_access
from mot_dinov3.video.threads import PrefetchSource

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
COUNT = 30


def gif(path: Path, kind: str) -> Path:
    first, *rest = (Image.fromarray(np.ascontiguousarray(picture(i)[:, :, ::-1])) for i in range(COUNT))
    first.save(path, kind, save_all=True, append_images=rest, **({} if kind == "TIFF" else {"duration": 100}))
    return path


KINDS = {
    "ts": lambda d: write_clip(d / "a.ts", COUNT),
    "ts with sound": lambda d: write_clip(d / "a.ts", COUNT, sound="aac"),
    "mp4, index first": lambda d: write_clip(d / "a.mp4", COUNT, sound="aac"),
    "mp4, index last": lambda d: write_clip(d / "a.mp4", COUNT, sound="aac", movflags=""),
    "mp4 in fragments": lambda d: write_clip(d / "a.mp4", COUNT, movflags="frag_keyframe+empty_moov"),
    "mov, index last": lambda d: write_clip(d / "a.mov", COUNT),
    "mkv": lambda d: write_clip(d / "a.mkv", COUNT),
    "webm": lambda d: write_clip(d / "a.webm", COUNT, codec="libvpx"),
    "avi": lambda d: write_clip(d / "a.avi", COUNT, codec="mpeg4"),
    "mpg": lambda d: write_clip(d / "a.flv", COUNT),
    "gif": lambda d: gif(d / "a.gif", "GIF"),
    "png": lambda d: gif(d / "a.png", "PNG"),
    "webp": lambda d: gif(d / "a.webp", "WEBP"),
    "tiff": lambda d: gif(d / "a.tif", "TIFF"),
}


@contextlib.contextmanager
def sent(data: bytes, fifo: Path) -> Iterator[Path]:
    """Send bytes through a named pipe, as ``cat file > fifo &`` does."""
    os.mkfifo(fifo)

    def send() -> None:
        with contextlib.suppress(BrokenPipeError), fifo.open("wb") as pipe:
            pipe.write(data)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    yield fifo
    sender.join(5)
    assert not sender.is_alive()


@pytest.mark.parametrize("kind", KINDS)
def test_no_frame_is_lost(tmp_path: Path, kind: str) -> None:
    path = KINDS[kind](tmp_path)
    with open_source(SourceConfig(source=str(path))) as source:
        times = [frame.time for frame in source]
    with (
        sent(path.read_bytes(), tmp_path / "pipe") as fifo,
        PrefetchSource(open_source(SourceConfig(source=str(fifo)))) as source,
    ):
        frames = list(source)
        assert source.info.path == str(fifo)
    assert numbers([f.pixels() for f in frames]) == list(range(COUNT))
    np.testing.assert_allclose([f.time for f in frames], times, atol=2e-3)
    assert not any("/proc/" in notice for notice in source.notices)


def test_a_range_of_a_pipe(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", COUNT)
    with sent(path.read_bytes(), tmp_path / "pipe") as fifo:
        config = SourceConfig(source=str(fifo), start_frame=10, end_frame=13)
        with PrefetchSource(open_source(config)) as source:
            assert [f.index for f in source] == [10, 11, 12]


def test_deep_grey_from_a_pipe_has_the_range_of_its_first_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "gray16le"
        for index in range(COUNT):
            grey = 28_000 + (picture(index)[..., 0].astype(np.uint16) if index else np.full((64, 96), 40, np.uint16))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(grey.astype(np.uint16)), format="gray16le")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with sent(path.read_bytes(), tmp_path / "pipe") as fifo, open_source(SourceConfig(source=str(fifo))) as source:
        frames = list(source)
    assert len(frames) == COUNT
    assert {int(level) for f in frames[1:] for level in np.unique(f.pixels())} == {11, 243}


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "nothing was sent"), (b"hello\n" * 100, "cannot be opened"), (bytes(5000), "cannot be opened")],
)
def test_what_is_no_video_is_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    with (
        sent(data, tmp_path / "pipe") as fifo,
        pytest.raises(VideoError, match=says) as caught,
    ):
        open_source(SourceConfig(source=str(fifo)))
    assert "\n" not in caught.value.message


def test_closing_does_not_wait_for_a_sender_that_is_silent(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    data = write_clip(tmp_path / "a.ts", 200).read_bytes()  # more than FFmpeg reads ahead
    done = threading.Event()

    def send() -> None:
        with fifo.open("wb", buffering=0) as pipe:
            pipe.write(data[: len(data) * 2 // 3])
            done.wait(10)

    threading.Thread(target=send, daemon=True).start()
    source = PrefetchSource(open_source(SourceConfig(source=str(fifo))))
    assert next(iter(source)).index == 0
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 3
    done.set()


def test_an_index_last_mp4_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    assert needs_seeking(write_clip(tmp_path / "a.mp4", movflags="").read_bytes()[:4096])
    for movflags in ("faststart", "frag_keyframe+empty_moov"):
        assert not needs_seeking(write_clip(tmp_path / "b.mp4", movflags=movflags).read_bytes()[:4096])
    assert not needs_seeking(write_clip(tmp_path / "a.mkv").read_bytes()[:4096])


def test_what_reads_a_source_twice_refuses_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fifo = str(tmp_path / "pipe")
    os.mkfifo(fifo)
    assert is_live(fifo)
    assert not is_live(str(write_clip(tmp_path / "a.mp4")))
    track = ["track", "--source", fifo, "--det", "motion", "--embedder", "none", "--output", str(tmp_path / "o.mp4")]
    assert main([*track, "--link"]) == 2
    assert "--link reads the source twice" in capsys.readouterr().err
    assert main([*track, "--resume"]) == 2
    assert "--resume reads the source again" in capsys.readouterr().err
    assert main(["keypoints", "--video", fifo]) == 2
    assert "reads the video several times" in capsys.readouterr().err
    heat = ["similarity", "--video", fifo, "--point", "3,3", "--output", str(tmp_path / "h.mp4")]
    assert main(heat) == 2
    assert "reads the video several times" in capsys.readouterr().err
    with pytest.raises(VideoError):
        open_random_access(Path(fifo))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "pipe"]
