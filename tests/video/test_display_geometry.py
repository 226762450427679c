"""Frames as their file wants them shown: rotated, in the right shape, and as many as there are."""

from __future__ import annotations

import io
import itertools
import json
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from clips import numbers, orient, picture, write_clip
from mot_dinov3.cli import main
from mot_dinov3.video import SourceConfig, open_source
from scenes import Scene

ORIENTATION = 0x112  # EXIF
TURNED = {  # what EXIF's orientations 1 to 8 make of a stored picture
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}


def with_exif(index: int, orientation: int = 1, kind: str = "JPEG") -> bytes:
    """A picture in a file with EXIF data."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x10F] = orientation, "a camera"
    file = io.BytesIO()
    Image.fromarray(picture(index)[:, :, ::-1]).save(file, kind, exif=exif)
    return file.getvalue()


def write_jpegs(path: Path, jpegs: Sequence[bytes], times: Sequence[int]) -> Path:
    """A file of JPEGs as they are, each at a multiple of 0.1 s; AVI fills gaps with chunks without content."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for jpeg, time in zip(jpegs, times):
            packet = av.Packet(jpeg)
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts = packet.dts = time
            packet.is_keyframe = True
            container.mux(packet)
    return path


def track(source: Path, folder: Path, *options: str) -> dict:
    output = folder / "o.json"
    words = ["track", "--source", str(source), "--det", "motion", "--embedder", "none", "--no-progress"]
    assert main([*words, "--save-json", str(output), *options]) == 0
    return json.loads(output.read_text())


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "JPEG"), ("a.png", "PNG"), ("a.webp", "WEBP"), ("a.tif", "TIFF")])
def test_a_photograph_with_exif_data_is_one_frame(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(with_exif(178, kind=kind))
    with open_source(SourceConfig(source=str(tmp_path / name))) as source:
        assert numbers([f.pixels() for f in source]) == [178]


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "JPEG"), ("a.png", "PNG"), ("a.webp", "WEBP"), ("a.tif", "TIFF")])
def test_a_photograph_is_turned_as_its_exif_data_say(tmp_path: Path, name: str, kind: str, orientation: int) -> None:
    (tmp_path / name).write_bytes(with_exif(178, orientation, kind))
    with open_source(SourceConfig(source=str(tmp_path / name))) as source:
        image = next(iter(source)).pixels()
    wanted = TURNED[orientation](picture(178))
    assert image.shape == wanted.shape
    assert np.abs(image.astype(int) - wanted).mean() < 12


def test_a_camera_that_writes_exif_data_into_every_frame(tmp_path: Path) -> None:
    path = write_jpegs(tmp_path / "a.avi", [with_exif(i) for i in range(8)], range(8))
    with open_source(SourceConfig(source=str(path))) as source:
        assert numbers([f.pixels() for f in source]) == list(range(8))
    assert len(track(path, tmp_path, "--no-video")["frames"]) == 8


DROPPED = [0, 1, 2, 5, 6, 8, 9, 10, 11]


def test_dropped_frames_of_an_avi_are_gaps_and_no_damage(tmp_path: Path) -> None:
    path = write_jpegs(tmp_path / "a.avi", [with_exif(i) for i in DROPPED], DROPPED)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 12  # the header counts the empty chunks, too
    with open_source(SourceConfig(source=str(path))) as source:
        frames = list(source)
        assert (source.info.frame_count, source.frame_total, source.notices) == (9, 9, [])
    assert numbers([f.pixels() for f in frames]) == DROPPED
    np.testing.assert_allclose([f.time for f in frames], np.array(DROPPED) / 10)
    written = track(path, tmp_path, "--no-video")
    assert (written["video"]["frame_count"], written["notices"]) == (9, [])


def test_frames_outside_an_edit_list_are_not_counted(tmp_path: Path) -> None:
    """A phone trims a video by an edit list: the frames before the cut stay in the file and are not shown."""
    path = write_clip(tmp_path / "a.mp4", 75)
    with av.open(str(path)) as container:
        ticks = 1 / container.streams.video[0].time_base
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    (duration,) = struct.unpack(">I", data[at : at + 4])
    data[at : at + 8] = struct.pack(">Ii", duration - 1300, round(1.3 * ticks))
    path.write_bytes(data)
    with open_source(SourceConfig(source=str(path))) as source:
        frames = list(source)
        assert (source.info.frame_count, source.frame_total, source.notices) == (62, 62, [])
    assert numbers([f.pixels() for f in frames]) == list(range(13, 75))
    assert frames[0].time == 0


def write_wide(path: Path, aspect: Fraction, frames: int = 6) -> Path:
    """A clip whose pixels are `aspect` times as wide as high."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index), format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown_aspect(path: Path) -> Fraction:
    """Width divided by height of a video as players show it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return Fraction(stream.width, stream.height) * (stream.sample_aspect_ratio or 1)


@pytest.mark.parametrize("aspect", [Fraction(16, 11), Fraction(8, 9), Fraction(4, 3)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_the_output_has_the_aspect_of_a_source_whose_pixels_are_not_square(
    tmp_path: Path, aspect: Fraction, suffix: str
) -> None:
    path = write_wide(tmp_path / f"a{suffix}", aspect)
    with open_source(SourceConfig(source=str(path))) as source:
        assert (source.info.width, source.info.height, source.pixel_aspect) == (96, 64, aspect)
    track(path, tmp_path, "--output", str(tmp_path / "o.mp4"))
    assert shown_aspect(tmp_path / "o.mp4") == shown_aspect(path) == Fraction(96, 64) * aspect


def test_a_quarter_turn_turns_the_pixels_too(tmp_path: Path) -> None:
    path = orient(write_wide(tmp_path / "a.mp4", Fraction(4, 3)), 0, 1, -1, 0)
    with open_source(SourceConfig(source=str(path))) as source:
        assert (source.info.width, source.info.height, source.pixel_aspect) == (64, 96, Fraction(3, 4))
    track(path, tmp_path, "--output", str(tmp_path / "o.mp4"))
    assert shown_aspect(tmp_path / "o.mp4") == 1 / (Fraction(96, 64) * Fraction(4, 3))


def test_a_resumed_video_has_the_aspect_throughout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of an interrupted run is continued only where the pixels have the same shape."""
    from mot_dinov3.core.structures import VideoInfo
    from mot_dinov3.video import VideoWriter

    info = VideoInfo("", 96, 64, 10.0)
    for aspect in (Fraction(4, 3), Fraction(1)):
        first = VideoWriter(tmp_path / "o.mp4", info=info, pixel_aspect=Fraction(4, 3))
        for index in range(4):
            first.write(picture(index), index / 10)
        first.leave()
        again = VideoWriter(tmp_path / "o.mp4", info=info, pixel_aspect=aspect)
        assert again.continue_from() == (4 if aspect != 1 else 0)
        for index in range(6):
            again.write(None if aspect != 1 and index < 4 else picture(index), index / 10)
        again.close()
        assert shown_aspect(tmp_path / "o.mp4") == Fraction(96, 64) * aspect


def test_gallery_keeps_the_aspect(tmp_path: Path, scene: Scene) -> None:
    path = write_wide(tmp_path / "a.mp4", Fraction(4, 3))
    dets = {"schema_version": "det-v1", "frames": [{"frame": i, "detections": []} for i in range(6)]}
    (tmp_path / "d.json").write_text(json.dumps(dets))
    words = ["gallery", "--dets-json", str(tmp_path / "d.json"), "--video", str(path), "--out-dir", str(tmp_path)]
    assert main([*words, "--save-video", "g.mp4", "--no-progress"]) == 0
    (written,) = tmp_path.rglob("g.mp4")
    assert shown_aspect(written) == shown_aspect(path)


def test_times_of_all_these_rise(tmp_path: Path) -> None:
    path = write_jpegs(tmp_path / "a.avi", [with_exif(i) for i in DROPPED], DROPPED)
    with open_source(SourceConfig(source=str(path))) as source:
        times = [frame.time for frame in source]
    assert len(times) == len(DROPPED)
    assert all(a < b for a, b in itertools.pairwise(times))


def test_a_truncated_matroska_file_is_told(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", 40)
    with open_source(SourceConfig(source=str(path))) as source:
        assert (len(list(source)), source.notices) == (40, [])
    with open_source(SourceConfig(source=str(path), end_frame=10)) as source:
        assert (len(list(source)), source.notices) == (10, [])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with open_source(SourceConfig(source=str(path))) as source:
        frames = list(source)
        assert 0 < len(frames) < 35
        assert source.notices[-1] == f"'{path}' ends early: at {frames[-1].time:.1f} s of 4.0 s (truncated?)"
