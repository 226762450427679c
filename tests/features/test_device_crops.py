"""Crops made on the network's device, tried on the CPU, are those that OpenCV makes; half precision is tried first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mot_dinov3.core.errors import ModelError
from mot_dinov3.core.structures.arrays import unit_rows
from mot_dinov3.features import loading
from mot_dinov3.features.base import (
    CropEmbedder,
    Embedder,
    EmbedderRequest,
    crop_windows,
    cut,
    prepare,
)
from mot_dinov3.features.device_crops import DeviceExtractor, resample, taps
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.features.histogram import HistogramEmbedder
from mot_dinov3.features.network import NetworkExtractor, TorchRuntime, lowest_safe_precision
from mot_dinov3.models.devices import DeviceConfig, upload
from mot_dinov3.models.pretrained import Preprocessing, resize_into
from mot_dinov3.testing import check_embedder
from mot_dinov3.video import SourceConfig, open_source

CASES = [("osnet", "osnet.pt"), ("dino", "dinov3_vit")]
BOXES = np.array([[5, 5, 35, 80], [40, 10, 70, 85], [70, 0, 119, 40], [-20, 60, 140, 100], [2, 2, 30, 30]], np.float32)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the CPU for a GPU: the same code runs on either."""
    monkeypatch.setattr(loading, "is_gpu", lambda device: True)
    monkeypatch.setattr(loading, "gpu_precisions", lambda device: ("bf16", "fp16", "fp32"))


def build(case: tuple[str, str], checkpoints: Path, *, precision: str = "fp32", batch: int = 32) -> Embedder:
    size = "64x32" if case[0] == "osnet" else None
    config = EmbedderConfig(embedder=case[0], embed_model=str(checkpoints / case[1]), crop_size=size, embed_batch=batch)
    return build_embedder(config, device=DeviceConfig("cpu", precision=precision, accel="torch"))


def weights_of(length: int, outputs: int, *, averaged: bool) -> np.ndarray:
    """Return the ``(outputs, length)`` matrix that resizing one axis multiplies with."""
    cell, weight = taps(torch.tensor([length]), outputs, torch.tensor([averaged]), 4)
    matrix = np.zeros((outputs, length))
    np.add.at(matrix, (np.arange(outputs)[:, None], cell[0].numpy()), weight[0].numpy())
    return matrix


def test_averaging_weighs_pixels_by_what_of_them_is_covered() -> None:
    np.testing.assert_allclose(weights_of(4, 2, averaged=True), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    np.testing.assert_allclose(weights_of(3, 2, averaged=True), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]], atol=1e-6)


def test_linear_interpolation_repeats_the_edge() -> None:
    wanted = [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    np.testing.assert_allclose(weights_of(2, 4, averaged=False), wanted)


@pytest.mark.parametrize("square", [False, True])
def test_crops_are_those_of_opencv(square: bool) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (90, 240, 3), dtype=np.uint8)
    corner, size = rng.uniform(-30, 220, (60, 2)), rng.uniform(0, 200, (60, 2))
    windows = crop_windows(np.concatenate([corner, corner + size], axis=1), 240, 90, pad=0.12, square=square)
    found = resample(upload(picture, torch.device("cpu")), windows, (32, 24))
    difference = np.abs(found.numpy() - resize_into(cut(picture, windows), 32, 24))
    assert difference.max() < 1
    assert difference.mean() < 0.3  # what rounding to whole grey values costs: a quarter of one


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[1])
def test_embeddings_are_those_of_crops_cut_by_opencv(
    case: tuple[str, str], checkpoints: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = build(case, checkpoints)
    assert isinstance(there, CropEmbedder)
    assert isinstance(there.extractor, DeviceExtractor)
    monkeypatch.undo()
    here = build(case, checkpoints)
    assert isinstance(here, CropEmbedder)
    assert not isinstance(here.extractor, DeviceExtractor)
    cosine = np.einsum("nd,nd->n", there.embed(picture, BOXES), here.embed(picture, BOXES))
    assert cosine.min() > 0.9999


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[1])
def test_the_contract_of_embedders_holds(case: tuple[str, str], checkpoints: Path) -> None:
    check_embedder(case[0], model=str(checkpoints / case[1]), size=(64, 32) if case[0] == "osnet" else None)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_picture_is_uploaded_once_for_all_calls(checkpoints: Path, picture: np.ndarray) -> None:
    embedder = build(CASES[0], checkpoints, batch=2)
    wanted = embedder.embed(picture, BOXES)
    changing = picture.copy()
    embed = prepare(embedder, changing)
    np.testing.assert_array_equal(embed(BOXES), wanted)
    changing[:] = 0
    np.testing.assert_allclose(embed(BOXES[3:]), wanted[3:], atol=1e-5)
    assert np.abs(prepare(embedder, changing)(BOXES[:1]) - wanted[:1]).max() > 1e-3


def test_input_is_prepared_in_fp32_and_lies_channels_last() -> None:
    runtime = TorchRuntime(Sums(1.0), device="cpu", precision="fp32")
    wanted = Preprocessing(8, 8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    found = DeviceExtractor("sums", wanted, runtime, batch=4).crops(
        upload(picture, runtime.device), np.array([[0, 0, 8, 8]])
    )
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(found.numpy(), wanted.batch([picture]), atol=1e-6)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_picture_may_be_a_view_that_cannot_be_written(checkpoints: Path, picture: np.ndarray) -> None:
    mirrored = picture[:, ::-1]
    mirrored.flags.writeable = False
    embedder = build(CASES[0], checkpoints)
    np.testing.assert_array_equal(embedder.embed(mirrored, BOXES), embedder.embed(mirrored.copy(), BOXES))


def test_an_own_way_to_embed_is_not_passed_by(picture: np.ndarray) -> None:
    class Constant(HistogramEmbedder):
        def embed(self, image: np.ndarray, xyxy: np.ndarray) -> np.ndarray:
            return np.eye(1, self.dim, dtype=np.float32).repeat(len(xyxy), axis=0)

    request = EmbedderRequest("", DeviceConfig("cpu"), 0.12, None, None, "cls", 32, Path)
    assert (prepare(Constant(request), picture)(BOXES)[:, 0] == 1).all()


class Sums(torch.nn.Module):
    """Gives channel sums, scaled up and down again: what overflows in between is infinite."""

    def __init__(self, factor: float, *, refused: torch.dtype | None = None) -> None:
        super().__init__()
        self.refused = refused
        self.factor = torch.nn.Parameter(torch.tensor(factor))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if pixels.dtype == self.refused:
            raise RuntimeError("not implemented for 'Half'")
        return pixels.mean((2, 3)) * self.factor


PIXELS = np.random.default_rng(0).random((6, 3, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("module", "precision"),
    [
        (Sums(1.0), "fp16"),
        (Sums(3e5), "bf16"),
        (Sums(1.0, refused=torch.float16), "bf16"),
        (Sums(1e38, refused=torch.bfloat16), "fp32"),
    ],
    ids=["fits", "overflows", "is refused", "nothing fits"],
)
def test_the_first_precision_that_gives_the_same_is_taken(module: torch.nn.Module, precision: str) -> None:
    whole = TorchRuntime(module, device="cpu", precision="fp32")
    before = whole.run(PIXELS)
    runtime, found = lowest_safe_precision(whole, ("fp16", "bf16", "fp32"), PIXELS)
    assert found == precision
    assert next(runtime.module.parameters()).dtype == {"fp16": torch.float16, "bf16": torch.bfloat16}.get(
        precision, torch.float32
    )
    np.testing.assert_array_equal(whole.run(PIXELS), before)  # the original is left as it is
    assert np.einsum("nd,nd->n", unit_rows(runtime.run(PIXELS)), unit_rows(before)).min() > 0.999


def test_what_turns_the_embeddings_is_not_taken() -> None:
    class Differences(torch.nn.Module):
        """Small differences of large numbers, which few digits do not hold."""

        def __init__(self) -> None:
            super().__init__()
            self.base = torch.nn.Parameter(torch.tensor(100.0))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return (pixels.mean((2, 3)) + self.base) - self.base

    whole = TorchRuntime(Differences(), device="cpu", precision="fp32")
    assert lowest_safe_precision(whole, ("bf16",), PIXELS)[1] == "fp32"


@pytest.mark.usefixtures("as_on_a_gpu")
def test_auto_takes_a_half_and_says_which(checkpoints: Path) -> None:
    built = build(CASES[1], checkpoints, precision="auto")
    assert built.info.precision in ("bf16", "fp16")


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_network_that_does_not_run_is_the_same_error_as_on_a_cpu() -> None:
    runtime = TorchRuntime(Sums(1.0, refused=torch.float32), device="cpu", precision="fp32")
    with pytest.raises(ModelError, match="does not run on 8×8 input"):
        NetworkExtractor("model", Preprocessing(8, 8), runtime)


def real_osnet(shared: Path) -> tuple[NetworkExtractor, TorchRuntime]:
    config = EmbedderConfig(embedder="osnet", embed_model=str(shared / "models/osnet_x0_25_msmt17.pt"))
    built = build_embedder(config, device=DeviceConfig("cpu", precision="fp32", accel="torch"))
    assert isinstance(built, CropEmbedder)
    extractor = built.extractor
    assert isinstance(extractor, NetworkExtractor)
    assert isinstance(extractor.runtime, TorchRuntime)
    return extractor, extractor.runtime


@pytest.mark.slow
def test_the_real_osnet_takes_fp16_because_bf16_turns_it(shared: Path) -> None:
    extractor, runtime = real_osnet(shared)
    crops = extractor.preprocessing.batch(loading.sample_crops())
    assert lowest_safe_precision(runtime, ("bf16", "fp16", "fp32"), crops)[1] == "fp16"


@pytest.mark.slow
def test_real_embeddings_are_those_of_crops_cut_by_opencv(shared: Path) -> None:
    extractor, runtime = real_osnet(shared)
    there = DeviceExtractor("osnet", extractor.preprocessing, runtime, batch=32)
    data = np.loadtxt(shared / "data/tracking/PETS09-S2L1/det/yolov8n_960.txt", delimiter=",")
    with open_source(SourceConfig(source=str(shared / "data/tracking/vtest.avi"), end_frame=1)) as frames:
        image = next(iter(frames)).pixels()
    corner, size = data[data[:, 0] == 1, 2:4], data[data[:, 0] == 1, 4:6]
    windows = crop_windows(np.concatenate([corner, corner + size], axis=1), 768, 576, pad=0.12, square=False)
    assert len(windows) > 3
    here = unit_rows(extractor.extract(cut(image, windows)))
    assert np.einsum("nd,nd->n", unit_rows(there.prepare(image)(windows)), here).min() > 0.999
