"""What users call video codecs."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from clips import picture
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.video import VideoWriter
from mot_dinov3.video.encoders import FOURCC, encoder_of


@pytest.mark.parametrize("name", ["H264", "mp4v", "MJPG", "vp09", "libx264", "mpeg4"])
def test_each_writes_a_video_that_plays(name: str, tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    with VideoWriter(path, info=VideoInfo("", 96, 64, 10.0), encoder=encoder_of(name)) as writer:
        for index in range(3):
            writer.write(picture(index), index / 10)
    with av.open(str(path)) as video:
        assert sum(1 for _ in video.decode(video=0)) == 3


def test_every_listed_name_is_known_here() -> None:
    for name in FOURCC:
        assert encoder_of(name.upper()) == FOURCC[name]


def test_what_is_no_encoder_of_video_is_refused() -> None:
    for name in ("mp4", "aac", "", "prores"):
        with pytest.raises(UsageError, match="no such video encoder here"):
            encoder_of(name)
    with pytest.raises(UsageError, match="did you mean 'avc1'"):
        encoder_of("avc")
