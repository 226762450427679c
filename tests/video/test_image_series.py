"""Still images as videos: folders of mixed sizes, files that hold several, and grey of more than 8 bits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image, features

from clips import numbers, picture
from mot_dinov3.cli import main
from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Frame, VideoInfo
from mot_dinov3.video import SourceConfig, open_source
from mot_dinov3.video.grey_levels import GreyLevels
from mot_dinov3.video.image_files import read_image
from mot_dinov3.video.media import count_frames, read_header
from mot_dinov3.video.random_access import VideoRanges, open_random_access

COUNT = 8
MS = [100, 200, 100, 50, 100, 100, 40, 100]
TIMES = [0.0, 0.1, 0.3, 0.4, 0.45, 0.55, 0.65, 0.69]


def rgb(index: int) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(picture(index)[:, :, ::-1]))


def animation(path: Path, count: int = COUNT, **options: object) -> Path:
    first, *rest = map(rgb, range(count))
    first.save(path, save_all=True, append_images=rest, **options)
    return path


ANIMATIONS: dict[str, Callable[[Path], Path]] = {
    "gif": lambda d: animation(d / "a.gif", duration=MS),
    "webp": lambda d: animation(d / "a.webp", duration=MS, lossless=True),
    "webp, lossy": lambda d: animation(d / "a.webp", duration=MS),
    "png": lambda d: animation(d / "a.png", duration=MS),
    "apng": lambda d: animation(d / "a.png", duration=MS).rename(d / "a.apng"),
    "avif": lambda d: animation(d / "a.avif", duration=MS),
    "webp under another name": lambda d: animation(d / "a.webp", duration=MS).rename(d / "a.img"),
}


def read(path: Path, **options: object) -> tuple[list[Frame], VideoInfo, list[str]]:
    with open_source(SourceConfig(source=str(path), **options)) as source:  # type: ignore[arg-type]
        return list(source), source.info, source.notices


@pytest.mark.parametrize("kind", ANIMATIONS)
def test_an_animated_image_is_a_sequence_with_its_own_times(tmp_path: Path, kind: str) -> None:
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this Pillow cannot write AVIF")
    path = ANIMATIONS[kind](tmp_path)
    frames, info, notices = read(path)
    assert numbers([f.pixels() for f in frames]) == list(range(COUNT))
    np.testing.assert_allclose([f.time for f in frames], TIMES, atol=1e-3)
    assert (info.width, info.height, notices) == (96, 64, [])
    assert 8 < info.fps < 13


@pytest.mark.parametrize("kind", ANIMATIONS)
def test_frames_of_an_animated_image_in_any_order(tmp_path: Path, kind: str) -> None:
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this Pillow cannot write AVIF")
    path = ANIMATIONS[kind](tmp_path)
    if kind in ("gif", "png", "apng"):  # sought through their index, as videos are
        assert [f.index for f in read(path, start_frame=5)[0]] == [5, 6, 7]
        return
    video = open_random_access(path)
    order = [3, 7, 0, 5]
    assert numbers([video.image(i) for i in order]) == order
    np.testing.assert_allclose([video.time(i) for i in order], [TIMES[i] for i in order], atol=1e-3)
    video.close()


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_the_pages_of_a_tiff_are_frames(tmp_path: Path, compression: str | None) -> None:
    path = animation(tmp_path / "a.tif", 20, compression=compression)
    frames, info, notices = read(path)
    assert numbers([f.pixels() for f in frames]) == list(range(20))
    assert (info.frame_count, info.fps) == (20, 30)
    assert any("--fps" in notice for notice in notices)
    assert numbers([f.pixels() for f in read(path, start_frame=11, end_frame=14)[0]]) == [11, 12, 13]
    video = open_random_access(path)
    assert numbers([video.image(i) for i in (19, 2, 10)]) == [19, 2, 10]
    video.close()
    ranges = VideoRanges(path, info)
    with ranges.open(15, 18) as part:
        assert numbers([f.pixels() for f in part]) == [15, 16, 17]
    ranges.close()
    assert (count_frames(str(path)), read_header(str(path))) == (20, info)


def page_span(path: Path, page: int) -> tuple[int, int]:
    """Where the pixels of a TIFF's page start and end in the file."""
    with Image.open(path) as image:
        image.seek(page)
        (start,), (size,) = image.tag_v2[273], image.tag_v2[279]
    return start, start + size


def test_a_damaged_page_is_named_after_the_frames_before_it(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.tif", 6, compression="tiff_adobe_deflate")
    start, stop = page_span(path, 3)
    data = bytearray(path.read_bytes())
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    frames = []
    with (
        open_source(SourceConfig(source=str(path))) as source,
        pytest.raises(VideoError, match=r"image 3 of .*a\.tif' cannot be decoded"),
    ):
        frames += source
    assert numbers([f.pixels() for f in frames]) == [0, 1, 2]


@pytest.mark.filterwarnings("error")
def test_a_truncated_tiff_gives_the_pages_before_the_cut_and_says_so(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.tif", 6)
    path.write_bytes(path.read_bytes()[: page_span(path, 3)[1] + 20])
    frames, info, notices = read(path)
    assert numbers([f.pixels() for f in frames]) == [0, 1, 2, 3]
    assert info.frame_count == 4
    assert any("ends early: 4 images are present" in notice for notice in notices)


@pytest.mark.parametrize("depth", [np.float64, np.float32])
def test_kinds_of_tiff_that_pillow_does_not_read(tmp_path: Path, depth: type) -> None:
    values = np.repeat(np.linspace(0, 1, 96, dtype=depth)[None, :, None], 64, axis=0)
    if depth is np.float32:
        values = np.repeat(values, 3, axis=2)
    cv2.imwrite(str(tmp_path / "a.tif"), values)
    ((frame,), _, notices) = read(tmp_path / "a.tif")
    assert np.ptp(frame.pixels()) > 200
    assert len(notices) == 1


@pytest.mark.parametrize("data", [b"II*\0", b"II*\0" + bytes(100), b"RIFF\x20\0\0\0WEBPANMF\x18\0\0\0" + bytes(24)])
def test_a_file_that_only_begins_like_one_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(VideoError, match=r"a\.bin' cannot be") as caught:
        open_source(SourceConfig(source=str(tmp_path / "a.bin")))
    assert "\n" not in caught.value.message


def test_of_files_with_several_images_in_a_folder_the_first_is_used_and_told(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    for name in ("0.tif", "1.tif"):
        animation(tmp_path / "pics" / name, 3)
    frames, _, notices = read(tmp_path / "pics")
    assert numbers([f.pixels() for f in frames]) == [0, 0]
    assert any("0.tif' holds 3 images" in notice for notice in notices)


def write_folder(folder: Path, raws: Sequence[np.ndarray], suffix: str = ".png") -> Path:
    folder.mkdir()
    for index, raw in enumerate(raws):
        assert cv2.imwrite(str(folder / f"{index:03d}{suffix}"), raw)
    return folder


def test_images_of_another_size_are_scaled_like_the_frames_of_a_video(tmp_path: Path) -> None:
    sizes = [(96, 64), (96, 64), (192, 128), (48, 32), (96, 64), (100, 64)]
    path = write_folder(tmp_path / "pics", [picture(i, size) for i, size in enumerate(sizes)])
    frames, _, notices = read(path)
    assert numbers([f.pixels() for f in frames]) == list(range(6))
    assert {f.pixels().shape for f in frames} == {(64, 96, 3)}
    (notice,) = [n for n in notices if "scaled to" in n]
    assert "002.png' is 192×128: scaled to 96×64" in notice
    video = open_random_access(path)
    assert {video.image(i).shape for i in range(6)} == {(64, 96, 3)}
    video.close()
    out = tmp_path / "o.mp4"
    words = ["track", "--source", str(path), "--det", "motion", "--embedder", "none", "--no-progress"]
    assert main([*words, "--output", str(out)]) == 0
    assert len(read(out)[0]) == 6


# -- grey of more than 8 bits ------------------------------------------------------------------------------------------

CELSIUS = np.array([22.0, 24.0, 26.0, 37.0])  # ground, wall, tree, person
AS_STORED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "radiometric": lambda t: np.rint((t + 273.15) * 100).astype(np.uint16),
    "12 bits in 16": lambda t: np.rint(t * 60).astype(np.uint16),
    "float": lambda t: t.astype(np.float32),
    "float, kelvin": lambda t: (t + 273.15).astype(np.float32),
    "grey as colours": lambda t: np.repeat(np.rint(t * 60).astype(np.uint16)[..., None], 3, axis=2),
}


def thermal(count: int = 6) -> list[np.ndarray]:
    """Temperatures of a scene in which a person walks; the first image is taken through a closed shutter."""
    found = []
    for index in range(count):
        image = np.full((64, 96), CELSIUS[0])
        image[:20], image[:, 80:] = CELSIUS[1], CELSIUS[2]
        image[30:50, 10 + 8 * index : 18 + 8 * index] = CELSIUS[3]
        found.append(image)
    return [np.full((64, 96), CELSIUS[0]), *found]


def check_levels(frames: Sequence[Frame]) -> None:
    """The four temperatures are told apart, in their order and in proportion, by the same levels in all frames."""
    seen = {}
    for temperatures, frame in zip(thermal(), frames, strict=True):
        image = frame.pixels()
        assert np.ptp(image, axis=2).max() == 0
        for celsius in np.unique(temperatures).tolist():
            levels = image[temperatures == celsius]
            assert np.ptp(levels) <= 2
            assert abs(seen.setdefault(celsius, float(levels.mean())) - levels.mean()) < 2
    found = np.array([seen[celsius] for celsius in CELSIUS.tolist()])
    np.testing.assert_allclose(found, 11 + (CELSIUS - 22) / 15 * 232, atol=3)


@pytest.mark.parametrize("kind", AS_STORED)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
def test_a_thermal_folder_is_scaled_to_its_range_once(tmp_path: Path, kind: str, suffix: str) -> None:
    raws = [AS_STORED[kind](image) for image in thermal()]
    if raws[0].dtype != np.uint16 and suffix == ".png":
        pytest.skip("PNG holds no floating point")
    frames, _, notices = read(write_folder(tmp_path / "thm", raws, suffix))
    check_levels(frames)
    assert len([n for n in notices if "-bit grey values are scaled" in n]) == 1


@pytest.mark.parametrize("kind", ["radiometric", "float"])
def test_a_thermal_tiff_of_several_pages_too(tmp_path: Path, kind: str) -> None:
    first, *rest = (Image.fromarray(AS_STORED[kind](image)) for image in thermal())
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    frames, _, notices = read(tmp_path / "a.tif")
    check_levels(frames)
    assert len([n for n in notices if "-bit grey values are scaled" in n]) == 1


@pytest.mark.parametrize("pix_fmt", ["gray16le", "gray12le", "gray14le"])
@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_thermal_video_too(tmp_path: Path, pix_fmt: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    top = 1 << int(pix_fmt[4:6])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        for index, image in enumerate(thermal()):
            frame = av.VideoFrame(96, 64, pix_fmt)
            rows = np.zeros((64, frame.planes[0].line_size // 2), np.uint16)
            rows[:, :96] = np.rint(image * top / 400)  # 55…93 of 1000 steps
            frame.planes[0].update(rows.tobytes())
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames, _, notices = read(path)
    check_levels(frames)
    assert len([n for n in notices if "16-bit grey values are scaled" in n]) == 1
    video = open_random_access(path)
    np.testing.assert_array_equal(video.image(4), frames[4].pixels())
    video.close()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_a_single_thermal_image(tmp_path: Path, suffix: str) -> None:
    raw = AS_STORED["radiometric"](thermal()[3])
    cv2.imwrite(str(tmp_path / f"a{suffix}"), raw)
    ((frame,), _, notices) = read(tmp_path / f"a{suffix}")
    assert len([n for n in notices if "scaled" in n]) == 1
    assert np.ptp(frame.pixels()) > 200
    np.testing.assert_allclose(read_image(tmp_path / f"a{suffix}").astype(int), frame.pixels(), atol=1)


def test_the_same_is_detected_as_in_8_bits(tmp_path: Path) -> None:
    found = {}
    for name, cast in {"8": lambda t: np.rint(t * 6).astype(np.uint8), "16": AS_STORED["radiometric"]}.items():
        folder = write_folder(tmp_path / name, [cast(image) for image in thermal()])
        words = ["detect", "--source", str(folder), "--det", "motion", "--motion-warm-up", "2", "--no-progress"]
        assert main([*words, "--json", str(tmp_path / f"{name}.json")]) == 0
        written = json.loads((tmp_path / f"{name}.json").read_text())
        found[name] = [[d["bbox"] for d in frame["detections"]] for frame in written["frames"]]
    assert any(found["8"])
    assert found["16"] == found["8"]


def test_defective_pixels_and_missing_values_do_not_set_the_range() -> None:
    image = AS_STORED["radiometric"](thermal()[2])
    good = GreyLevels.of([image])
    bad = image.copy()
    bad[5, 7], bad[40, 60], bad[:, 33] = 0, 65535, 65535
    assert (GreyLevels.of([bad]).low, GreyLevels.of([bad]).high) == (good.low, good.high)
    values = AS_STORED["float"](thermal()[2])
    good = GreyLevels.of([values])
    values[10:20, 10:30], values[55:60] = np.nan, -3.4e38
    assert (GreyLevels.of([values]).low, GreyLevels.of([values]).high) == pytest.approx((good.low, good.high))
    assert good.apply(values).dtype == np.uint8


@pytest.mark.parametrize("value", [0, 1234])
def test_one_value_is_no_range(tmp_path: Path, value: int) -> None:
    frames, _, _ = read(write_folder(tmp_path / "flat", [np.full((32, 32), value, np.uint16)] * 3))
    assert len(frames) == 3


def test_colours_of_16_bits_and_plain_grey_keep_their_levels(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 20_000, (64, 96, 3), np.uint16)
    frames, _, notices = read(write_folder(tmp_path / "c", [colours] * 2))
    np.testing.assert_array_equal(frames[0].pixels(), colours >> 8)
    grey = np.random.default_rng(0).integers(40, 90, (64, 96), np.uint8)
    frames, _, more = read(write_folder(tmp_path / "g", [grey] * 2))
    np.testing.assert_array_equal(frames[1].pixels()[..., 0], grey)
    assert not any("scaled" in n for n in [*notices, *more])


def test_transparency_is_left_out(tmp_path: Path) -> None:
    image = np.dstack([picture(77), np.full((64, 96), 90, np.uint8)])
    frames, _, _ = read(write_folder(tmp_path / "a", [image] * 2))
    assert numbers([f.pixels() for f in frames]) == [77, 77]


def test_the_images_of_a_sequence_have_its_rate(tmp_path: Path) -> None:
    folder = tmp_path / "MOT17-02" / "img1"
    folder.mkdir(parents=True)
    for index in range(3):
        cv2.imwrite(str(folder / f"{index + 1:06}.jpg"), picture(index))
    info = folder.parent / "seqinfo.ini"
    for text, fps, told in (
        ("[Sequence]\nname=a\nimDir=img1\nframeRate=14\n", 14, f"'{folder}': 14 fps, as '{info}' says"),
        ("[Sequence]\nname=a\n", 30, "a folder of images has no frame rate: 30 assumed"),
        ("no ini", 30, "a folder of images has no frame rate: 30 assumed"),
    ):
        info.write_text(text)
        with open_source(SourceConfig(source=str(folder))) as source:
            assert (source.info.fps, len(list(source))) == (fps, 3)
            assert source.notices[0].startswith(told)
        with open_source(SourceConfig(source=str(folder), fps=5)) as source:
            assert (source.info.fps, source.notices) == (5, [])
    with pytest.raises(VideoError, match="contains no images, but a folder of them") as caught:
        open_source(SourceConfig(source=str(folder.parent)))
    assert caught.value.remedy == f"give '{folder}'"


def test_images_that_are_not_there_are_told_before_the_first_frame(tmp_path: Path) -> None:
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture(index))
    (tmp_path / "4.png").touch()
    for message in (r"4\.png' is empty", r"4\.png' cannot be read: No such file"):
        with pytest.raises(VideoError, match=message) as caught:
            open_source(SourceConfig(source=str(tmp_path)))
        assert caught.value.remedy
        with open_source(SourceConfig(source=str(tmp_path), end_frame=4)) as source:
            assert len(list(source)) == 4
        (tmp_path / "4.png").unlink()
        (tmp_path / "4.png").symlink_to("nowhere.png")
