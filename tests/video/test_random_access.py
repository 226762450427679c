"""Frames of a video in any order, in ranges and one by one: the same as read from the start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clips import SIZE, damage, number, orient, picture, write_clip
from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Frame, VideoInfo
from mot_dinov3.video import SourceConfig, media, open_source
from mot_dinov3.video.frame_index import FrameIndex
from mot_dinov3.video.random_access import SeekableVideo, VideoRanges, open_random_access
from mot_dinov3.video.source import image_cache

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
    index = FrameIndex()
    for time in range(40):
        index.add_frame(time, is_key=time % 10 == 0)
    assert index.chunk_start(0, 40, 25) == 20
    assert index.chunk_start(0, 40, 100) == 0
    assert index.chunk_start(0, 40, 8) == 32  # not even one group fits
    assert index.chunk_start(5, 10, 8) == 5
    assert FrameIndex().chunk_start(0, 40, 8) == 32


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


def test_an_index_numbers_frames_in_the_order_they_are_shown() -> None:
    index = FrameIndex()
    for pts, dts, key in [(0, -2, True), (3, -1, False), (1, 0, False), (2, 1, False), (6, 2, True), (5, 3, False)]:
        index.add_packet(pts, dts, is_key=key)
    assert index.times == [0, 1, 2, 3]  # 4 may still come
    index.add_packet(4, 4, is_key=False)
    index.finish()
    assert index.times == [0, 1, 2, 3, 4, 5, 6]
    assert [index.key_before(t) for t in (-1, 0, 5, 6, 9)] == [None, 0, 0, 6, 6]
    assert index.number_of(4) == 4


def test_timestamps_that_go_back_make_an_index_unusable() -> None:
    index = FrameIndex()
    for stamp in (0, 1, 1):
        index.add_packet(stamp, stamp, is_key=True)
    assert not index.usable


def test_a_cache_stays_within_its_budget_and_drops_the_oldest() -> None:
    one = np.zeros((10, 10, 3), np.uint8)
    cache = image_cache(3 * one.nbytes)
    for i in range(3):
        cache.put(i, one)
    cache.get(0)
    cache.put(3, one)
    assert [i for i in range(4) if cache.get(i) is not None] == [0, 2, 3]
    cache.put(4, np.zeros((100, 100, 3), np.uint8))  # too large for the budget, and still to be shown
    assert cache.get(4) is not None
    assert cache.get(3) is None


@pytest.mark.parametrize(("name", "codec", "times"), [
    ("b.mp4", "libx264", None),
    ("a.avi", "mpeg4", None),
    ("v.mkv", "libx264", [i * 0.1 + (i > 17) * 1.5 for i in range(40)]),
])  # fmt: skip
def test_any_frame_in_any_order(tmp_path: Path, name: str, codec: str, times: list[float] | None) -> None:
    frames = open_random_access(write_clip(tmp_path / name, 40, codec=codec, times=times))
    order = [0, 39, 5, 4, 3, 30, 12, 13, 14, 2, 38, 0]
    assert [number(frames.image(i)) for i in order] == order
    assert frames.complete
    assert frames.info.frame_count == 40
    if times:
        assert frames.time(20) == pytest.approx(times[20])
    frames.close()


def test_frames_without_timestamps_are_counted(tmp_path: Path) -> None:
    frames = open_random_access(write_clip(tmp_path / "raw.h264", 20))  # nor can such a file be sought
    assert [number(frames.image(i)) for i in (0, 19, 5, 4, 6)] == [0, 19, 5, 4, 6]


def test_a_turned_video_is_upright_and_the_same_as_the_pipeline_sees(tmp_path: Path) -> None:
    path = orient(write_clip(tmp_path / "turned.mp4", 6, turned=1), 0, 1, -1, 0)
    frames = open_random_access(path)
    with open_source(SourceConfig(source=str(path))) as source:
        for frame in source:
            np.testing.assert_array_equal(frames.image(frame.index), frame.pixels())
    assert (frames.info.width, frames.info.height) == (source.info.width, source.info.height)


def test_a_folder_of_images_is_a_video(tmp_path: Path) -> None:
    import cv2

    for i in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"img{i}.png"), picture(i))
    frames = open_random_access(tmp_path)
    assert [number(frames.image(i)) for i in (2, 0, 1)] == [10, 1, 2]
    assert (frames.info.width, frames.info.height) == SIZE
    with pytest.raises(VideoError, match="no frame 3"):
        frames.image(3)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        open_random_access(tmp_path / "none.mp4")
    frames = open_random_access(write_clip(tmp_path / "c.mp4", 5))
    for wrong in (-1, 5, 10**9):
        with pytest.raises(VideoError, match="has no frame"):
            frames.image(wrong)


def test_memory_stays_bounded(tmp_path: Path) -> None:
    one = SIZE[0] * SIZE[1] * 3
    frames = SeekableVideo(write_clip(tmp_path / "c.mp4", 60), cache_bytes=10 * one)
    for i in (*range(60), *reversed(range(60))):
        assert number(frames.image(i)) == i
        assert len(frames._cache) <= 10
