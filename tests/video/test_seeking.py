"""Frames by number, in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clips import SIZE, number, orient, picture, write_clip
from mot_dinov3.core.errors import VideoError
from mot_dinov3.video import SourceConfig, open_source
from mot_dinov3.video.picture_cache import PictureCache
from mot_dinov3.video.seekable_video import FrameTable
from mot_dinov3.video.seeking import open_seekable


def test_a_table_numbers_frames_in_the_order_they_are_shown() -> None:
    table = FrameTable()
    for pts, dts, key in [(0, -2, True), (3, -1, False), (1, 0, False), (2, 1, False), (6, 2, True), (5, 3, False)]:
        table.add(pts, dts, is_key=key)
    assert table.times == [0, 1, 2, 3]  # 4 may still come
    table.add(4, 4, is_key=False)
    table.end()
    assert table.times == [0, 1, 2, 3, 4, 5, 6]
    assert [table.key_before(t) for t in (-1, 0, 5, 6, 9)] == [None, 0, 0, 6, 6]
    assert table.number_of(4) == 4


def test_timestamps_that_go_back_make_a_table_useless() -> None:
    table = FrameTable()
    for stamp in (0, 1, 1):
        table.add(stamp, stamp, is_key=True)
    assert not table.usable


def test_a_cache_stays_within_its_budget_and_drops_the_oldest() -> None:
    one = np.zeros((10, 10, 3), np.uint8)
    cache = PictureCache(3 * one.nbytes)
    for i in range(3):
        cache.put(i, one)
    cache.get(0)
    cache.put(3, one)
    assert [i for i in range(4) if cache.get(i) is not None] == [0, 2, 3]
    assert cache.bytes == 3 * one.nbytes
    cache.put(4, np.zeros((100, 100, 3), np.uint8))  # too large for the budget, and still to be shown
    assert cache.get(4) is not None
    assert cache.get(3) is None


@pytest.mark.parametrize(("name", "codec", "times"), [
    ("b.mp4", "libx264", None),
    ("a.avi", "mpeg4", None),
    ("v.mkv", "libx264", [i * 0.1 + (i > 17) * 1.5 for i in range(40)]),
])  # fmt: skip
def test_any_frame_in_any_order(tmp_path: Path, name: str, codec: str, times: list[float] | None) -> None:
    frames = open_seekable(write_clip(tmp_path / name, 40, codec=codec, times=times))
    order = [0, 39, 5, 4, 3, 30, 12, 13, 14, 2, 38, 0]
    assert [number(frames.picture(i)) for i in order] == order
    assert frames.complete
    assert frames.info.frame_count == 40
    if times:
        assert frames.time(20) == pytest.approx(times[20])
    frames.close()


def test_a_turned_video_is_upright_and_the_same_as_the_pipeline_sees(tmp_path: Path) -> None:
    path = orient(write_clip(tmp_path / "turned.mp4", 6, turned=1), 0, 1, -1, 0)
    frames = open_seekable(path)
    with open_source(SourceConfig(source=str(path))) as source:
        for frame in source:
            np.testing.assert_array_equal(frames.picture(frame.index), frame.pixels())
    assert (frames.info.width, frames.info.height) == (source.info.width, source.info.height)


def test_a_folder_of_images_is_a_video(tmp_path: Path) -> None:
    import cv2

    for i in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"img{i}.png"), picture(i))
    frames = open_seekable(tmp_path)
    assert [number(frames.picture(i)) for i in (2, 0, 1)] == [10, 1, 2]
    assert (frames.info.width, frames.info.height) == SIZE
    with pytest.raises(VideoError, match="no frame 3"):
        frames.picture(3)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        open_seekable(tmp_path / "none.mp4")
    frames = open_seekable(write_clip(tmp_path / "c.mp4", 5))
    for wrong in (-1, 5, 10**9):
        with pytest.raises(VideoError, match="has no frame"):
            frames.picture(wrong)


def test_memory_stays_bounded(tmp_path: Path) -> None:
    from mot_dinov3.video.seekable_video import SeekableVideo

    one = SIZE[0] * SIZE[1] * 3
    frames = SeekableVideo(write_clip(tmp_path / "c.mp4", 60), budget=10 * one)
    for i in (*range(60), *reversed(range(60))):
        assert number(frames.picture(i)) == i
        assert frames._cache.bytes <= 10 * one
