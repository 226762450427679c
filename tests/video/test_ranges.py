"""Ranges of a video, sought: the same frames as read from the start, without decoding all before them again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clips import SIZE, damage, picture, write_clip
from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Frame, VideoInfo
from mot_dinov3.video import SourceConfig, media, open_source
from mot_dinov3.video.seeked_source import VideoRanges, chunk_start

FRAMES = 120


def all_frames(path: Path) -> list[Frame]:
    with open_source(SourceConfig(source=str(path))) as frames:
        return list(frames)


def ranges_of(path: Path) -> VideoRanges:
    with open_source(SourceConfig(source=str(path), end_frame=1)) as frames:
        return VideoRanges(path, frames.info)


def assert_same(found: list[Frame], expected: list[Frame]) -> None:
    assert [(f.index, f.time) for f in found] == [(f.index, f.time) for f in expected]
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a.pixels(), b.pixels())


@pytest.mark.parametrize(("name", "codec", "times"), [
    ("b.mp4", "libx264", None),
    ("a.avi", "mpeg4", None),
    ("v.mkv", "libx264", [3 + i * 0.1 + (i > 17) * 1.5 for i in range(FRAMES)]),
    ("w.webm", "libvpx", None),
])  # fmt: skip
def test_a_range_is_what_reading_from_the_start_gives(
    tmp_path: Path, name: str, codec: str, times: list[float] | None
) -> None:
    path = write_clip(tmp_path / name, FRAMES, codec=codec, times=times)
    whole = all_frames(path)
    video = ranges_of(path)
    for start, stop in ((90, 97), (40, 41), (60, None), (0, 5), (33, 34), (119, 120)):
        with video.open(start, stop) as frames:
            assert_same(list(frames), whole[start:stop])
    video.close()
    with video.open(50, 52) as frames:  # opens the file again
        assert_same(list(frames), whole[50:52])
    with pytest.raises(VideoError, match="no frames in range"):
        video.open(FRAMES, None)


def test_frames_of_a_damaged_file_have_the_numbers_that_they_have_from_the_start(tmp_path: Path) -> None:
    path = damage(write_clip(tmp_path / "a.avi", FRAMES, codec="mjpeg", pix_fmt="yuvj420p"), [4, 7, 60])
    whole = all_frames(path)
    assert len(whole) == FRAMES - 3
    with ranges_of(path).open(50, 70) as frames:
        assert_same(list(frames), whole[50:70])


def test_a_folder_s_pictures_are_opened_where_they_are(tmp_path: Path) -> None:
    import cv2

    for i in range(40):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture(i))
    with ranges_of(tmp_path).open(36, 38) as frames:
        assert_same(list(frames), all_frames(tmp_path)[36:38])


def test_chunks_begin_at_key_frames_where_they_can() -> None:
    keys = [0, 10, 20, 30]
    assert chunk_start(keys, 0, 40, 25) == 20
    assert chunk_start(keys, 0, 40, 100) == 0
    assert chunk_start(keys, 0, 40, 8) == 32  # not even one group fits
    assert chunk_start(keys, 5, 10, 8) == 5
    assert chunk_start([], 0, 40, 8) == 32


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one item for every frame that is decoded."""
    count: list[int] = []
    real = media.decode_video

    def counting(*args: object) -> Iterator[object]:
        for frame in real(*args):  # type: ignore[arg-type]
            count.append(1)
            yield frame

    monkeypatch.setattr(media, "decode_video", counting)
    return count


def test_reading_backward_decodes_each_frame_about_twice_however_long_the_video_is(
    tmp_path: Path, decoded: list[int]
) -> None:
    path = write_clip(tmp_path / "b.mp4", 240)  # a key frame every four frames
    video = VideoRanges(path, VideoInfo(str(path), *SIZE, 10.0, 240))
    stop, numbers = 240, []
    while stop > 0:
        start = video.chunk_start(0, stop, 10)
        with video.open(start, stop) as frames:
            numbers += [f.index for f in frames][::-1]
        stop = start
    assert numbers == list(range(239, -1, -1))
    # once for the index, once to be shown, and a few where a chunk is opened; from the start each time: over 2,900
    assert len(decoded) < 2.5 * 240
