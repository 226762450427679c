"""HDR videos become the SDR images that a camera without HDR would have made."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mot_dinov3.cli import main
from mot_dinov3.video import SourceConfig, open_source
from mot_dinov3.video.random_access import open_random_access
from mot_dinov3.video.tone_mapping import ToneMap

PQ, HLG, BT709, BT2020, P3 = 16, 18, 1, 9, 12
# Patches as sRGB, 0…1: greys of 2, 18 and 90 %, primaries, skin, foliage, sky.
PATCHES = np.array(
    [
        [0.149, 0.149, 0.149], [0.461, 0.461, 0.461], [0.955, 0.955, 0.955], [0.9, 0.1, 0.1],
        [0.2, 0.8, 0.2], [0.15, 0.2, 0.85], [0.76, 0.59, 0.51], [0.36, 0.43, 0.27],
    ]
)  # fmt: skip
FROM_BT709 = {
    BT709: np.eye(3),
    BT2020: np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]),
    P3: np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]]),
}


def light_of(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def pq_code(light: np.ndarray) -> np.ndarray:
    """PQ of light in multiples of 203 cd/m²."""
    power = (light * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_code(light: np.ndarray) -> np.ndarray:
    """HLG of light in multiples of what has 75 % of the signal."""
    scene = light * 0.26496
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 0.1)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


def hdr_image(transfer: int, primaries: int, light: np.ndarray) -> np.ndarray:
    """An ``(64, 256, 3)`` image of RGB codes, 0…1, with a field for each of eight lights of BT.709."""
    code = (pq_code if transfer == PQ else hlg_code)(np.maximum(light @ FROM_BT709[primaries].T, 0))
    return np.repeat(np.repeat(code[None], 64, axis=0), 32, axis=1)


def write_hdr(path: Path, codes: np.ndarray, transfer: int, primaries: int = BT2020, matrix: int = 9) -> Path:
    """A 10-bit video of three equal frames, tagged as HDR."""
    red, green, blue = np.moveaxis(codes, 2, 0)
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    planes = [luma * 876 + 64, (blue - luma) / 1.8814 * 896 + 512, (red - luma) / 1.4746 * 896 + 512]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = codes.shape[1], codes.shape[0], "yuv444p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = (
            transfer,
            primaries,
            matrix,
            1,
        )
        for index in range(3):
            frame = av.VideoFrame(codes.shape[1], codes.shape[0], "yuv444p10le")
            for plane, values in zip(frame.planes, planes):
                rows = np.zeros((codes.shape[0], plane.line_size // 2), np.uint16)
                rows[:, : codes.shape[1]] = np.rint(values)
                plane.update(rows.tobytes())
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def fields(image: np.ndarray) -> np.ndarray:
    """The RGB of the eight fields of a BGR image."""
    return image[32, 16::32, ::-1].astype(int)


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize(("primaries", "matrix"), [(BT2020, 9), (BT709, 9), (P3, 9), (BT2020, 2)])
def test_what_is_no_brighter_than_white_paper_gets_the_levels_of_sdr(
    tmp_path: Path, transfer: int, primaries: int, matrix: int
) -> None:
    codes = hdr_image(transfer, primaries, light_of(PATCHES))
    path = write_hdr(tmp_path / "a.mkv", codes, transfer, primaries, matrix)
    with open_source(SourceConfig(source=str(path))) as source:
        frames = list(source)
        (notice,) = source.notices
    assert {PQ: "HDR (PQ)", HLG: "HDR (HLG)"}[transfer] in notice
    assert len(frames) == 3
    for frame in frames:
        assert np.abs(fields(frame.pixels()) - PATCHES * 255).max() <= 5
    video = open_random_access(path)
    np.testing.assert_array_equal(video.image(1), frames[1].pixels())
    video.close()


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_highlights_keep_their_order_and_no_grey_gets_a_tint(tmp_path: Path, transfer: int) -> None:
    light = np.repeat(np.array([0.5, 0.9, 1.0, 1.2, 1.5, 2.0, 2.8, 3.7])[:, None], 3, axis=1)
    path = write_hdr(tmp_path / "a.mkv", hdr_image(transfer, BT2020, light), transfer)
    with open_source(SourceConfig(source=str(path))) as source:
        found = fields(next(iter(source)).pixels())
    assert np.ptp(found, axis=1).max() <= 1
    levels = found[:, 0]
    assert (np.diff(levels) >= 0).all()
    assert len(set(levels.tolist())) >= 6
    assert levels[2] >= 245
    assert levels[-1] >= 253


def test_sdr_is_left_as_it_is(tmp_path: Path) -> None:
    path = write_hdr(tmp_path / "a.mkv", hdr_image(PQ, BT2020, light_of(PATCHES)), transfer=14)  # SDR of BT.2020
    with open_source(SourceConfig(source=str(path))) as source:
        found = fields(next(iter(source)).pixels())
        assert source.notices == []
    assert np.abs(found[:3, 0] - 255 * pq_code(light_of(PATCHES[:3, 0]))).max() <= 2


def test_the_written_video_is_sdr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_hdr(tmp_path / "a.mkv", hdr_image(PQ, BT2020, light_of(PATCHES)), PQ)
    words = ["track", "--source", str(path), "--det", "motion", "--embedder", "none", "--no-progress"]
    assert main([*words, "--output", str(tmp_path / "o.mp4")]) == 0
    assert "HDR (PQ)" in capsys.readouterr().err
    with open_source(SourceConfig(source=str(tmp_path / "o.mp4"))) as source:
        assert np.abs(fields(next(iter(source)).pixels()) - PATCHES * 255).max() <= 14
        assert source.notices == []


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_tables_do_what_the_formulas_say(transfer: int) -> None:
    """Every code of a grey ramp, without a video between."""
    light = np.linspace(0, 0.9, 500)
    code = (pq_code if transfer == PQ else hlg_code)(light)
    ramp = np.repeat(np.rint(code * 65535).astype(np.uint16)[None, :, None], 3, axis=2)
    shown = ToneMap(transfer, BT709).apply(ramp)[0, :, 0]
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(shown - 255 * srgb).max() <= 1
