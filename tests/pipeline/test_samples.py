"""Frames of a source on which a converted network is checked: the beginning, and later ones for an empty start."""

from __future__ import annotations

from pathlib import Path

from clips import numbers, write_clip
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.pipeline.inputs import sample_source
from mot_dinov3.video import SourceConfig

INFO = VideoInfo("a.mp4", 96, 64, 30.0)


def test_samples_are_spread_over_the_beginning_and_what_follows(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "a.mp4", 160)
    samples = sample_source(SourceConfig(source=str(video)), INFO)
    assert numbers(list(samples.images())) == [*range(0, 100, 5), 100, 125, 150]
    assert numbers(list(samples.images()))[0] == 0, "they can be read again"
    assert (samples.situation, samples.are_fixed) == ("96x64", False)


def test_a_source_that_cannot_be_read_twice_has_none() -> None:
    samples = sample_source(SourceConfig(source="rtsp://localhost/camera"), INFO)
    assert list(samples.images()) == []
    assert samples.are_fixed
