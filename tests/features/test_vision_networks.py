"""DINO, CLIP and ResNet against values computed straight from transformers, and checkpoints that must not load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError, ModelError, UnsupportedModelError
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.pretrained import IMAGENET_MEAN, IMAGENET_STD

MEAN, STD = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
CLIP_MEAN, CLIP_STD = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])


def build(name: str, folder: Path, **options: Any) -> Embedder:
    config = EmbedderConfig(embedder=name, embed_model=str(folder), **options)
    return build_embedder(config, device=DeviceConfig("cpu", precision="fp32", accel="torch"))


def noise(height: int, width: int) -> np.ndarray:
    """A picture that already has the network's input size, so that no resizing blurs the comparison."""
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tensor(picture: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Any:
    import torch

    rgb = (picture[..., ::-1].astype(np.float64) / 255 - mean) / std
    return torch.from_numpy(rgb.transpose(2, 0, 1)[None].astype(np.float32))


def reference(network: Any, pixels: Any, **options: Any) -> Any:
    import torch

    with torch.no_grad():
        return network.eval()(pixel_values=pixels, **options)


def assert_same_direction(row: np.ndarray, wanted: Any) -> None:
    wanted = wanted.numpy().ravel()
    np.testing.assert_allclose(row[0], wanted / np.linalg.norm(wanted), atol=2e-5)


@pytest.mark.parametrize(
    ("folder", "side", "first_patch"),
    [("dinov2", 28, 1), ("dinov2_registers", 28, 4), ("dinov3_vit", 32, 5), ("dinov3_convnext", 64, 1)],
)
def test_dino_takes_the_cls_token_or_the_mean_of_patches_alone(
    checkpoints: Path, folder: str, side: int, first_patch: int
) -> None:
    import transformers

    picture = noise(side, side)
    network = transformers.AutoModel.from_pretrained(checkpoints / folder)
    tokens = reference(network, tensor(picture, MEAN, STD)).last_hidden_state
    assert tokens.shape[1] >= first_patch + 1
    by_cls = build("dino", checkpoints / folder, crop_size=f"{side}x{side}")
    assert_same_direction(by_cls.embed_images([picture]), tokens[:, 0])
    by_mean = build("dino", checkpoints / folder, pooling="mean", crop_size=f"{side}x{side}")
    assert_same_direction(by_mean.embed_images([picture]), tokens[:, first_patch:].mean(1))


def test_clip_gives_the_projected_picture_embedding(checkpoints: Path) -> None:
    import transformers

    picture = noise(32, 32)
    network = transformers.CLIPModel.from_pretrained(checkpoints / "clip")
    tower = reference(network.vision_model, tensor(picture, CLIP_MEAN, CLIP_STD)).pooler_output
    wanted = network.visual_projection(tower).detach()
    embedder = build("clip", checkpoints / "clip", crop_size="32x32")
    assert embedder.dim == 24
    assert_same_direction(embedder.embed_images([picture]), wanted)


def test_resnet_gives_pooled_features_of_what_its_processor_makes(checkpoints: Path) -> None:
    import transformers

    picture = noise(64, 64)
    processor = transformers.AutoImageProcessor.from_pretrained(checkpoints / "resnet")
    pixels = processor(picture[..., ::-1].copy(), do_resize=False, return_tensors="pt")["pixel_values"]
    assert tuple(pixels.shape) == (1, 3, 64, 64)
    network = transformers.ResNetModel.from_pretrained(checkpoints / "resnet")
    assert_same_direction(
        build("resnet", checkpoints / "resnet").embed_images([picture]), reference(network, pixels).pooler_output
    )


@pytest.mark.parametrize(("name", "folder"), [("dino", "dinov2"), ("dino", "dinov3_vit"), ("clip", "clip")])
def test_person_shaped_input_interpolates_position_embeddings(checkpoints: Path, name: str, folder: str) -> None:
    import transformers

    patch = 14 if folder == "dinov2" else 16
    picture = noise(4 * patch, 2 * patch)
    embedder = build(name, checkpoints / folder, crop_size=f"{4 * patch}x{2 * patch}")
    if name == "clip":
        network = transformers.CLIPModel.from_pretrained(checkpoints / folder)
        pixels = tensor(picture, CLIP_MEAN, CLIP_STD)
        tower = reference(network.vision_model, pixels, interpolate_pos_encoding=True).pooler_output
        wanted = network.visual_projection(tower).detach()
    else:
        network = transformers.AutoModel.from_pretrained(checkpoints / folder)
        wanted = reference(network, tensor(picture, MEAN, STD)).last_hidden_state[:, 0]
    assert_same_direction(embedder.embed_images([picture]), wanted)


def test_a_size_between_patches_is_brought_to_whole_ones_and_noticed(checkpoints: Path) -> None:
    embedder = build("dino", checkpoints / "dinov2", crop_size="50x30")
    assert embedder.info.details["size"] == [56, 28]
    (notice,) = embedder.notices
    assert "crop_size 50x30" in notice
    assert notice.endswith("its input is 56x28")
    assert build("dino", checkpoints / "dinov2", crop_size="56x28").notices == ()


@pytest.mark.parametrize(
    ("name", "folder", "size"),
    [
        ("dino", "dinov2", [252, 126]),
        ("dino", "dinov2_registers", [252, 126]),
        ("dino", "dinov3_vit", [256, 128]),
        ("dino", "dinov3_convnext", [64, 64]),
        ("clip", "clip", [256, 128]),
        ("resnet", "resnet", [64, 64]),
    ],
)
def test_transformers_take_the_crop_of_a_person_and_others_their_own(
    checkpoints: Path, name: str, folder: str, size: list[int]
) -> None:
    embedder = build(name, checkpoints / folder)
    assert embedder.info.details["size"] == size
    assert embedder.notices == ()


def test_the_default_input_interpolates_as_one_that_is_given(checkpoints: Path, picture: np.ndarray) -> None:
    for name, folder, size in (("dino", "dinov2", "252x126"), ("clip", "clip", "256x128")):
        rows = [build(name, checkpoints / folder, crop_size=s).embed_images([picture]) for s in (None, size)]
        np.testing.assert_array_equal(*rows)


def stripes(patches: Any, bounds: list[tuple[int, int]]) -> list[np.ndarray]:
    """Return the normalised means of rows of ``(rows, columns, d)`` patches."""
    means = [patches[low:high].reshape(-1, patches.shape[-1]).mean(0) for low, high in bounds]
    return [mean / np.linalg.norm(mean) for mean in means]


def unit(row: np.ndarray) -> np.ndarray:
    return row / np.linalg.norm(row)


def dino_tokens(folder: Path, picture: np.ndarray, first_patch: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    import transformers

    network = transformers.AutoModel.from_pretrained(folder)
    tokens = reference(network, tensor(picture, MEAN, STD)).last_hidden_state[0].numpy().astype(np.float64)
    return tokens[0], tokens[first_patch:].reshape(rows, -1, tokens.shape[-1])


def clip_tokens(folder: Path, picture: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    import torch
    import transformers

    network = transformers.CLIPModel.from_pretrained(folder).eval()
    with torch.no_grad():
        pixels = tensor(picture, CLIP_MEAN, CLIP_STD)
        found = network.vision_model(pixel_values=pixels, interpolate_pos_encoding=True)
        tokens = network.visual_projection(network.vision_model.post_layernorm(found.last_hidden_state))[0]
    values = tokens.numpy().astype(np.float64)
    return values[0], values[1:].reshape(rows, -1, values.shape[-1])


@pytest.mark.parametrize(
    ("name", "folder", "side", "rows", "bounds"),
    [
        ("dino", "dinov2_registers", 14, 4, [(0, 1), (1, 2), (2, 3), (3, 4)]),
        ("dino", "dinov3_vit", 16, 9, [(0, 2), (2, 4), (4, 6), (6, 9)]),
        ("dino", "dinov3_convnext", 32, 5, [(0, 1), (1, 2), (2, 3), (3, 5)]),
        ("clip", "clip", 16, 6, [(0, 1), (1, 3), (3, 4), (4, 6)]),
    ],
)
def test_stripes_are_four_vectors_in_one(
    checkpoints: Path, name: str, folder: str, side: int, rows: int, bounds: list[tuple[int, int]]
) -> None:
    picture, size = noise(rows * side, 2 * side), f"{rows * side}x{2 * side}"
    first = {"dinov2_registers": 4, "dinov3_vit": 5, "dinov3_convnext": 1}.get(folder, 1)
    if name == "clip":
        whole, patches = clip_tokens(checkpoints / folder, picture, rows)
    else:
        whole, patches = dino_tokens(checkpoints / folder, picture, first, rows)
    parts = np.concatenate(stripes(patches, bounds)) / 2
    found = {
        pooling: build(name, checkpoints / folder, crop_size=size, pooling=pooling).embed_images([picture])[0]
        for pooling in ("cls", "mean", "parts4", "cls+parts4")
    }
    assert {pooling: len(row) // len(whole) for pooling, row in found.items()} == {
        "cls": 1, "mean": 1, "parts4": 4, "cls+parts4": 5,
    }  # fmt: skip
    np.testing.assert_allclose(found["cls"], unit(whole), atol=2e-5)
    np.testing.assert_allclose(found["mean"], unit(patches.reshape(-1, len(whole)).mean(0)), atol=2e-5)
    np.testing.assert_allclose(found["parts4"], parts, atol=2e-5)
    np.testing.assert_allclose(found["cls+parts4"], np.concatenate([unit(whole), parts]) / 2**0.5, atol=2e-5)


def test_the_cosine_of_stripes_is_the_mean_of_theirs_and_the_token_weighs_as_much(checkpoints: Path) -> None:
    pictures = [noise(128, 64), noise(128, 64)[::-1] // 2]
    rows = {
        pooling: build("dino", checkpoints / "dinov3_vit", crop_size="128x64", pooling=pooling).embed_images(pictures)
        for pooling in ("cls", "parts4", "cls+parts4")
    }
    cosine = {pooling: float(one @ other) for pooling, (one, other) in rows.items()}
    one, other = (part.reshape(4, -1) for part in rows["parts4"])
    by_part = np.einsum("pd,pd->p", one, other) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosine["parts4"] == pytest.approx(by_part.mean(), abs=1e-5)
    assert cosine["cls+parts4"] == pytest.approx((cosine["cls"] + cosine["parts4"]) / 2, abs=1e-5)
    assert abs(cosine["cls"] - cosine["parts4"]) > 0.01


@pytest.mark.parametrize(("name", "folder"), [("dino", "dinov3_vit"), ("clip", "clip")])
def test_an_input_of_too_few_patches_has_no_stripes(checkpoints: Path, name: str, folder: str) -> None:
    with pytest.raises(ConfigError, match=r"parts4 requires 4 rows of patches, and the input of .* has 3") as e:
        build(name, checkpoints / folder, crop_size="48x32", pooling="parts4")
    assert "--crop-size" in e.value.remedy


def test_pooling_that_does_not_apply_is_noticed() -> None:
    device = DeviceConfig("cpu")
    built = build_embedder(EmbedderConfig(embedder="histogram", pooling="parts4"), device=device)
    assert built.notices == ("pooling parts4 is ignored: the histogram embedder has no tokens to pool",)
    assert build_embedder(EmbedderConfig(embedder="histogram"), device=device).notices == ()


def test_weights_that_do_not_apply_are_noticed() -> None:
    for name in ("histogram", "none"):
        built = build_embedder(EmbedderConfig(embedder=name, embed_model="a.pt"), device=DeviceConfig("cpu"))
        assert built.notices == (f"'a.pt' is not used: the {name} embedder has no weights",)


def test_a_declared_processor_is_obeyed(checkpoints: Path, tmp_path: Path) -> None:
    import transformers

    shutil.copytree(checkpoints / "dinov3_vit", tmp_path / "m")
    declared = {
        "size": {"height": 48, "width": 64},
        "do_rescale": True,
        "rescale_factor": 1 / 127.5,
        "do_normalize": True,
        "image_mean": [1.0, 1.0, 1.0],
        "image_std": [1.0, 0.5, 0.25],
    }
    (tmp_path / "m/preprocessor_config.json").write_text(json.dumps(declared))
    picture = noise(48, 64)
    pixels = tensor(picture, np.full(3, 0.5), np.array([0.5, 0.25, 0.125]))
    network = transformers.AutoModel.from_pretrained(tmp_path / "m")
    wanted = reference(network, pixels).last_hidden_state[:, 0]
    assert_same_direction(build("dino", tmp_path / "m").embed_images([picture]), wanted)


@pytest.mark.parametrize(
    ("size", "asked", "is_square"),
    [
        (None, None, False),
        ("28x28", None, True),
        ("28x28", False, False),
        ("56x28", None, False),
        ("56x28", True, True),
    ],
)
def test_crops_are_square_where_the_input_is_unless_told_otherwise(
    checkpoints: Path, picture: np.ndarray, size: str | None, asked: bool | None, is_square: bool
) -> None:
    tall = np.array([[40, 10, 60, 70]], np.float32)
    square = np.array([[20, 10, 80, 70]], np.float32)
    built = build("dino", checkpoints / "dinov2", crop_pad=0.0, crop_size=size, crop_square=asked)
    window = picture[10:70, 20:80] if is_square else picture[10:70, 40:60]
    np.testing.assert_array_equal(built.embed(picture, tall), built.embed_images([window]))
    assert np.array_equal(built.embed(picture, tall), built.embed(picture, square)) is is_square


def edited(checkpoints: Path, target: Path, name: str, edit: Any) -> Path:
    """Copy a checkpoint and let `edit` change its tensors in place."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(checkpoints / name, target)
    tensors = load_file(target / "model.safetensors")
    edit(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.mark.parametrize(("name", "folder"), [("dino", "dinov3_vit"), ("clip", "clip"), ("resnet", "resnet")])
def test_a_tensor_that_is_missing_is_never_left_at_random(
    checkpoints: Path, tmp_path: Path, name: str, folder: str
) -> None:
    def drop(tensors: dict[str, Any]) -> None:
        victims = [key for key in tensors if "text" not in key and key.endswith(("weight", "weight_v"))]
        del tensors[next(key for key in victims if "classifier" not in key)]

    with pytest.raises(ModelError, match="1 tensors missing or wrong"):
        build(name, edited(checkpoints, tmp_path / "m", folder, drop))


def test_a_tensor_of_another_shape_is_an_error(checkpoints: Path, tmp_path: Path) -> None:
    def cut_norm(tensors: dict[str, Any]) -> None:
        tensors["layernorm.weight"] = tensors["layernorm.weight"][:16].clone()

    with pytest.raises(ModelError, match="weights of model"):
        build("dino", edited(checkpoints, tmp_path / "m", "dinov2", cut_norm))


def test_weights_that_are_not_numbers_are_an_error(checkpoints: Path, tmp_path: Path) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        tensors["layernorm.weight"].fill_(float("nan"))

    with pytest.raises(ModelError, match="not finite"):
        build("dino", edited(checkpoints, tmp_path / "m", "dinov2", spoil))


@pytest.mark.parametrize("damage", ["cut", "empty", "absent"])
def test_damaged_weights_are_an_error(checkpoints: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(checkpoints / "dinov2", tmp_path / "m")
    weights = tmp_path / "m/model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    if damage != "absent":
        weights.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        build("dino", tmp_path / "m")
    assert "\n" not in caught.value.message


def test_pickled_weights_load_as_data_only(checkpoints: Path, tmp_path: Path, picture: np.ndarray) -> None:
    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "m"
    shutil.copytree(checkpoints / "dinov2", folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    rows = build("dino", folder).embed_images([picture])
    np.testing.assert_allclose(rows, build("dino", checkpoints / "dinov2").embed_images([picture]), atol=1e-6)
    torch.save({"layernorm.weight": Malicious(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be read as plain tensors"):
        build("dino", folder)
    assert not (tmp_path / "ran").exists()


class Malicious:
    """Unpickled without care, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, (str(self.path),)


def test_an_architecture_unknown_to_transformers_is_unsupported(checkpoints: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoints / "dinov3_vit", tmp_path / "m")
    config = json.loads((tmp_path / "m/config.json").read_text())
    (tmp_path / "m/config.json").write_text(json.dumps(config | {"model_type": "dinov9_vit"}))
    with pytest.raises(UnsupportedModelError, match="dinov9_vit") as caught:
        build("dino", tmp_path / "m")
    for way in ("pip install -U transformers huggingface_hub", "--dinov3-edge", "--dinov3 facebook/dinov2-base"):
        assert way in caught.value.remedy


def test_a_model_of_another_kind_is_named(checkpoints: Path) -> None:
    with pytest.raises(ModelError, match="of type 'clip'"):
        build("dino", checkpoints / "clip")
    with pytest.raises(ModelError, match="of type 'dinov2'"):
        build("resnet", checkpoints / "dinov2")


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_a_missing_or_damaged_config_is_one_line(checkpoints: Path, tmp_path: Path, content: str | None) -> None:
    shutil.copytree(checkpoints / "dinov2", tmp_path / "m")
    (tmp_path / "m/config.json").unlink()
    if content is not None:
        (tmp_path / "m/config.json").write_text(content)
    with pytest.raises(ModelError) as caught:
        build("dino", tmp_path / "m")
    assert "\n" not in caught.value.message


def test_a_damaged_processor_config_is_named(checkpoints: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoints / "dinov2", tmp_path / "m")
    (tmp_path / "m/preprocessor_config.json").write_text('{"size": "big"}')
    with pytest.raises(ModelError, match=r"preprocessor_config\.json"):
        build("dino", tmp_path / "m")
