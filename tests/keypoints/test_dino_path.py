"""The DINO path with a small random network: no weights needed, everything else real."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from keypoints import scene
from mot_dinov3.core.errors import ConfigError, ModelError
from mot_dinov3.keypoints.backends.base import CachedBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.descriptor_maps import DenseMap
from mot_dinov3.keypoints.instance import InstanceTracker
from mot_dinov3.keypoints.job.config import BackendConfig, KeypointJobConfig, KeypointsOptions
from mot_dinov3.keypoints.job.model_loading import available_backends, build_backend
from mot_dinov3.keypoints.job.wiring import build_keypoints
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.point_flow import FlowFrame
from mot_dinov3.models.devices import DeviceConfig


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    import transformers

    torch.manual_seed(3)
    config = transformers.DINOv3ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_register_tokens=4
    )
    folder = tmp_path_factory.mktemp("dino")
    transformers.DINOv3ViTModel(config).save_pretrained(folder)
    return folder


def command(video: Path, model: str, **more: object) -> KeypointsOptions:
    job, backend = KeypointJobConfig(source=str(video)), BackendConfig(model=model, backend="dino")
    config = KeypointConfig(crop_side=96, **more)  # type: ignore[arg-type]
    return KeypointsOptions(job, backend, DeviceConfig(device="cpu"), config)


def test_the_patch_grid_skips_cls_and_registers(checkpoint: Path) -> None:
    import torch

    from mot_dinov3.features.vision_networks import load_patches

    network = load_patches(str(checkpoint))
    assert (network.patch, network.skip) == (16, 5)
    pixels = torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = network.module(pixel_values=pixels, output_hidden_states=True)
        inner, last = network.grids(pixels, (1, 2))
    tokens = found.last_hidden_state[0]
    assert inner.shape == last.shape == (1, 3, 4, 32)
    assert len(tokens) == 5 + 12
    torch.testing.assert_close(last[0, 0, 0], tokens[5])
    torch.testing.assert_close(last[0, 2, 3], tokens[-1])
    torch.testing.assert_close(inner[0, 2, 3], network.norm(found.hidden_states[1][0, -1]))


def dino(folder: Path, **options: str | bool) -> CachedBackend:
    config = BackendConfig("dino", model=str(folder), **options)  # type: ignore[arg-type]
    return build_backend(config, DeviceConfig(device="cpu")).backend


def cosines(dense: DenseMap) -> np.ndarray:
    rows = dense.cells.reshape(-1, dense.cells.shape[2])
    return rows @ rows.T


def test_several_blocks_count_alike(checkpoint: Path) -> None:
    from mot_dinov3.keypoints.backends.dino_patches import suitable_blocks

    image = np.random.default_rng(2).integers(0, 255, (64, 80, 3)).astype(np.uint8)
    first, last, both = (cosines(dino(checkpoint, dino_blocks=blocks).describe(image)) for blocks in ("1", "2", "2,1"))
    np.testing.assert_allclose(both, (first + last) / 2, atol=1e-5)
    assert np.abs(first - last).max() > 1e-3
    assert dino(checkpoint).info.details["blocks"] == [1, 2]  # by default, of two
    assert [suitable_blocks(depth) for depth in (1, 2, 12, 24)] == [(1,), (1, 2), (9, 12), (18, 24)]


def test_a_block_that_does_not_exist_is_an_error(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match="has 2 blocks, so none with number 12"):
        dino(checkpoint, dino_blocks="9,12")
    for text in ("0", "last", "1,,2", "-1"):
        with pytest.raises(ConfigError, match="dino_blocks must be numbers from 1"):
            BackendConfig(dino_blocks=text)


def test_without_the_place_patches_of_the_same_content_are_similar(tmp_path: Path) -> None:
    import torch
    import transformers

    torch.manual_seed(1)
    network = transformers.Dinov2Model(
        transformers.Dinov2Config(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=112, patch_size=14
        )
    )
    with torch.no_grad():
        network.embeddings.position_embeddings.normal_(0, 2)  # the place decides, as in a network that learnt it so
    network.save_pretrained(tmp_path)
    tile = np.random.default_rng(4).integers(0, 255, (2, 14, 14, 3)).astype(np.uint8)
    content = (np.indices((8, 8)).sum(0) // 3) % 2
    image = tile[content].transpose(0, 2, 1, 3, 4).reshape(112, 112, 3)

    same = content.reshape(-1, 1) == content.reshape(1, -1)
    apart = ~np.eye(64, dtype=bool)
    plain, free = (cosines(dino(tmp_path, dino_debias=on).describe(image)) for on in (False, True))
    assert free[same & apart].mean() > plain[same & apart].mean() + 0.2
    # The nearest other patch is one of the same content more often.
    right = [np.mean([same[i, np.where(apart[i], row, -2).argmax()] for i, row in enumerate(c)]) for c in (plain, free)]
    assert right[1] > right[0] + 0.1
    np.testing.assert_array_equal(free, cosines(dino(tmp_path, dino_debias=True).describe(image)))


def test_a_small_animal_spans_as_many_patches_as_a_large_one(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, config = dino(checkpoint), KeypointConfig(crop_side=192)
    described = []
    describe = backend.describe

    def noted(image: np.ndarray) -> DenseMap:
        described.append(image.shape[:2])
        return describe(image)

    monkeypatch.setattr(backend, "describe", noted)
    frame = FlowFrame.of(0, np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8))
    for size in (50.0, 100.0, 350.0):  # each canvas shows one and a half times as much
        points = np.array([[100.0, 100.0], [100 + size, 100 + size / 2]])
        InstanceTracker(config, backend, frame, LabelledInstance("mouse", 1, ("nose", "tail"), points))
    assert described == [(192, 192)] * 3


def test_a_run_with_dino_and_its_mask_propagation(checkpoint: Path, tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", 7)
    scene.label(tmp_path / "v", "v", 0)
    run = build_keypoints(command(video, str(checkpoint)))
    assert run.pipeline.passes.config.masks == "dino"
    run.run()
    with (tmp_path / "v" / "v_keypoints.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 7 * 4
    error = [
        np.hypot(float(r["x"]) - x, float(r["y"]) - y)
        for r in found
        for x, y in [scene.truth(int(r["frame"]))[r["keypoint"]]]
    ]
    assert np.median(error) < 2
    assert run.backend.calls >= 2
    assert str(checkpoint) in "\n".join(run.summary())


def test_a_dino_model_that_was_asked_for_and_is_missing_is_an_error(tmp_path: Path) -> None:
    video = scene.write_video(tmp_path / "v.mp4", 3)
    scene.label(tmp_path / "v", "v", 0)
    with pytest.raises(ModelError):
        build_keypoints(command(video, str(tmp_path / "nothing-here")))


def test_auto_takes_dino_where_its_folder_is_named(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DINOV3_LOCATION", str(checkpoint))
    loaded = build_backend(BackendConfig(), DeviceConfig(device="cpu"))
    assert (loaded.backend.info.name, loaded.backend.info.weights) == ("dino", str(checkpoint))
    assert loaded.notices == ()


@pytest.fixture
def nothing_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model folder, no hub, no detector's weights."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "MOT_DINOV3_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.delenv("DINOV3_LOCATION", raising=False)
    monkeypatch.setattr("mot_dinov3.models.weights.weights_cache", lambda: tmp_path / "empty")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nothing_available")
def test_auto_says_that_it_goes_on_without_weights() -> None:
    loaded = build_backend(BackendConfig(), DeviceConfig(device="cpu"))
    assert loaded.backend.info.name == "gradient"
    assert loaded.notices[0].startswith("backend gradient: DINO is not available")


@pytest.mark.usefixtures("nothing_available")
def test_a_comparison_takes_what_is_available_and_says_what_is_not(checkpoint: Path) -> None:
    cpu = DeviceConfig(device="cpu")
    found, left_out = available_backends(BackendConfig(), cpu)
    assert [one.backend for one in found] == ["gradient"]
    assert left_out[0].startswith("backend dino left out: ")
    assert left_out[1] == "backend convnet left out: no weights, and no local yolov8n.pt"
    found, left_out = available_backends(BackendConfig(model=str(checkpoint)), cpu)
    assert [one.backend for one in found] == ["dino", "gradient"]
    for asked in (BackendConfig(model="./nothing"), BackendConfig(weights="./nothing.pt"), BackendConfig("convnet")):
        with pytest.raises(ModelError):
            available_backends(asked, cpu)


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_available")
def test_auto_takes_the_layers_of_a_detector_that_is_available(shared: Path) -> None:
    shutil.copyfile(shared / "models" / "yolov8n.pt", "yolov8n.pt")
    loaded = build_backend(BackendConfig(), DeviceConfig(device="cpu"))
    assert loaded.backend.info.name == "convnet"
    assert "convnet" in loaded.notices[0]
