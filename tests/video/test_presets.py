"""The preset of the encoder: the smallest files that do not slow the run down."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from clips import numbers, picture
from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.structures import Image, VideoInfo
from mot_dinov3.sinks.config import OutputConfig
from mot_dinov3.video import SourceConfig, VideoWriter, open_source
from mot_dinov3.video.encoders import PRESETS
from mot_dinov3.video.presets import (
    AutoPresetWriter,
    PresetCost,
    begin_video,
    choose_preset,
    measure_preset,
    preset_writer,
)

INFO = VideoInfo("clip", 96, 64, 10.0)
COSTS = {"veryfast": PresetCost("veryfast", 12, 100), "superfast": PresetCost("superfast", 9, 200)}
COSTS["ultrafast"] = PresetCost("ultrafast", 6, 270)


@pytest.mark.parametrize(
    ("interval", "chosen", "read"),
    [(40, "veryfast", 1), (20.1, "veryfast", 1), (19, "superfast", 2), (11, "ultrafast", 3), (1, "ultrafast", 3)],
)
def test_the_first_that_keeps_up_is_chosen_and_no_other_one_measured(interval: float, chosen: str, read: int) -> None:
    measured = []

    def costs() -> Iterator[PresetCost]:
        for cost in COSTS.values():
            measured.append(cost)
            yield cost

    assert choose_preset(costs(), interval).preset == chosen
    assert len(measured) == read


def test_where_none_keeps_up_the_fastest_one_is_chosen() -> None:
    slow_last = [PresetCost("veryfast", 12, 100), PresetCost("superfast", 8, 200), PresetCost("ultrafast", 9, 300)]
    assert choose_preset(slow_last, 5).preset == "superfast"


def test_a_faster_preset_makes_a_larger_file_of_real_images() -> None:
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 255, (40, 60, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    images = [np.ascontiguousarray(wall[3 * i : 192 + 3 * i, 5 * i : 256 + 5 * i]) for i in range(8)]
    costs = [measure_preset(preset, images, 25.0) for preset in PRESETS]
    assert [cost.preset for cost in costs] == list(PRESETS)
    assert 0 < costs[0].bytes < costs[2].bytes


def measure(preset: str, images: Sequence[Image], fps: float) -> PresetCost:
    return COSTS[preset]


def automatic(path: Path, every_ms: float, target_fps: float = 0.0) -> AutoPresetWriter:
    """A writer to which a frame seems to come every `every_ms`, the second one after a whole second."""
    times = itertools.chain([0.0], (1.0 + every_ms * index / 1e3 for index in itertools.count()))
    writer = VideoWriter(path, info=INFO)
    return AutoPresetWriter(writer, 10.0, target_fps=target_fps, measure=measure, clock=lambda: next(times))


def write(writer: AutoPresetWriter | VideoWriter, frames: range) -> None:
    for index in frames:
        writer.write(picture(index), index / 10)


def profile(path: Path) -> str | None:
    """The profile of H.264: ultrafast alone needs no more than the baseline."""
    with av.open(str(path)) as container:
        return container.streams.video[0].profile


@pytest.mark.parametrize(
    ("every_ms", "target_fps", "is_baseline", "notice"),
    [
        (40, 0, False, "--preset auto: veryfast, which takes 12.0 of 40.0 ms per frame"),
        (5, 25, False, "--preset auto: veryfast, which takes 12.0 of 40.0 ms per frame"),  # more is not asked for
        (
            5,
            0,
            True,
            "--preset auto: ultrafast (6.0 ms per frame), because veryfast takes 12.0 where a frame comes every "
            "5.0 ms; the video is about 2.7 times as large",
        ),
    ],
)
def test_the_rate_of_the_first_frames_decides(
    every_ms: float, target_fps: float, is_baseline: bool, notice: str, tmp_path: Path
) -> None:
    writer = automatic(tmp_path / "a.mp4", every_ms, target_fps)
    write(writer, range(30))
    writer.close()
    assert writer.notices == [notice]
    assert ("Baseline" in (profile(tmp_path / "a.mp4") or "")) is is_baseline
    with open_source(SourceConfig(source=str(tmp_path / "a.mp4"))) as source:
        assert numbers([frame.pixels() for frame in source]) == list(range(30))


@pytest.mark.parametrize("end", ["close", "leave"])
def test_a_video_too_short_to_decide_is_written_all_the_same(end: str, tmp_path: Path) -> None:
    writer = automatic(tmp_path / "a.mp4", 5)
    write(writer, range(5))
    getattr(writer, end)()
    assert writer.notices == []
    (path,) = tmp_path.iterdir()
    assert "Baseline" not in (profile(path) or "")
    with open_source(SourceConfig(source=str(path))) as source:
        assert len(list(source)) == 5


def test_an_interrupted_video_is_continued_with_the_preset_that_it_was_begun_with(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    first = VideoWriter(path, info=INFO)
    assert begin_video(first, "ultrafast", None) == 0
    write(first, range(12))
    first.leave()
    again = VideoWriter(path, info=INFO)
    kept = begin_video(again, "auto", 0)
    assert (kept, again.preset) == (12, "ultrafast")
    for index in range(20):
        again.write(None if index < kept else picture(index), index / 10)
    again.close()
    assert "Baseline" in (profile(path) or "")
    with open_source(SourceConfig(source=str(path))) as source:
        assert numbers([frame.pixels() for frame in source]) == list(range(20))


def test_a_fixed_preset_needs_no_trial(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", info=INFO)
    assert begin_video(writer, "ultrafast", None) == 0
    assert preset_writer(writer, "ultrafast", 10.0, 0.0) is writer
    assert isinstance(preset_writer(writer, "auto", 10.0, 0.0), AutoPresetWriter)
    assert writer.preset == "veryfast"  # until it is chosen


def test_a_preset_is_refused_where_it_would_change_nothing() -> None:
    with pytest.raises(ConfigError, match=r"--preset auto is for H\.264, and 'a\.webm' is not written in it"):
        OutputConfig(output="a.webm", preset="auto")
    assert OutputConfig(output="a.webm", preset="auto", video=False).preset == "auto"
    assert OutputConfig(output="a.MOV", preset="auto").is_h264
