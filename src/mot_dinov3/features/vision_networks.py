"""Torch modules that give one vector per image, or a feature per place: patch tokens, a convnet's layers.

Imports torch: only what loads a network imports this.
"""

from __future__ import annotations

import dataclasses
import itertools
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize as unit

from mot_dinov3.core.errors import ConfigError, ModelError, UnsupportedModelError
from mot_dinov3.features.base import PARTS
from mot_dinov3.models.checkpoints import open_checkpoint
from mot_dinov3.models.hub import locate
from mot_dinov3.models.pretrained import IMAGENET_MEAN, IMAGENET_STD, load_weights, read_config, read_preprocessing

PATCH_FAMILIES = ("dinov3_vit", "dinov2", "dinov2_with_registers")


class Reduced(torch.nn.Module):
    """Reduces the outputs of a transformers network to one ``(d,)`` vector per image, with the function `reduce`."""

    def __init__(self, network: Any, reduce: Callable[[Any, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.network = network
        self._reduce = reduce

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return ``(n, d)`` for ``(n, 3, h, w)``."""
        return self._reduce(self.network, pixels)


def pool_tokens(whole: torch.Tensor, patches: torch.Tensor, *, pooling: str, rows: int) -> torch.Tensor:
    """Return one vector per image, pooled from the tokens of a network.

    ``cls`` is the image's own token and ``mean`` the mean of the patch tokens, both ``(n, d)``. ``parts4`` is four
    vectors in one, ``(n, 4 d)``: the mean of each horizontal stripe, of length 1, so that the cosine of two images is
    the mean of the cosines of their stripes. ``cls+parts4``, ``(n, 5 d)``, is the image's token of length 1 beside it:
    the cosine is the mean of the cosine by ``cls`` and of that by ``parts4``.

    Stripes: Sun et al.: Beyond Part Models: Person Retrieval with Refined Part Pooling, ECCV 2018.

    Args:
        whole: ``(n, d)`` token of the whole image.
        patches: ``(n, rows · columns, d)`` tokens of its patches, row by row.
        pooling: One of `POOLINGS`.
        rows: Rows of patches, at least as many as stripes.
    """
    if pooling == "cls":
        return whole
    if pooling == "mean":
        return patches.float().mean(1)
    grid = torch.unflatten(patches.float(), 1, (rows, -1))
    bounds = [rows * part // PARTS for part in range(PARTS + 1)]
    stripes = [unit(grid[:, low:high].mean((1, 2))) for low, high in itertools.pairwise(bounds)]
    parts = torch.cat(stripes, 1) / PARTS**0.5
    return parts if pooling == f"parts{PARTS}" else torch.cat([unit(whole.float()), parts], 1)


def fix_positions(embeddings: Any, config: Any, height: int, width: int) -> None:
    """Interpolate a transformer's position embeddings for one size of its input, in place.

    Its forward pass does that for every batch, and once converted it would do it slightly differently.

    Args:
        embeddings: Module that adds position embeddings to the tokens.
        config: The transformer's.
        height: Of all inputs to come, in whole patches.
        width: Likewise.
    """
    patches = (height // config.patch_size) * (width // config.patch_size)
    with torch.no_grad():
        tokens = torch.zeros(1, 1 + patches, config.hidden_size)
        positions = embeddings.interpolate_pos_encoding(tokens, height, width)
    embeddings.register_buffer("fixed_positions", positions.clone(), persistent=False)
    embeddings.interpolate_pos_encoding = types.MethodType(_fixed_positions, embeddings)


def _fixed_positions(embeddings: Any, tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    found: torch.Tensor = embeddings.fixed_positions
    return found


def check_rows(pooling: str, rows: int, model: str) -> None:
    """Raise `ConfigError` where an input of so few rows of patches cannot be divided into stripes."""
    if "parts" in pooling and rows < PARTS:
        raise ConfigError(
            f"pooling {pooling} requires {PARTS} rows of patches, and the input of '{model}' has {rows}",
            remedy="give a larger --crop-size, or another --pooling",
        )


@dataclasses.dataclass(frozen=True)
class PatchNetwork:
    """A vision transformer whose patch tokens are wanted.

    Attributes:
        module: The network.
        norm: Its last layer, which normalises the tokens.
        depth: Number of its blocks.
        patch: Pixels of a patch.
        skip: Number of tokens before those of the patches.
        mean: Of its input per channel (RGB), of pixels in 0…1.
        std: Likewise.
    """

    module: Any
    norm: Any
    depth: int
    patch: int
    skip: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def grids(self, pixels: torch.Tensor, blocks: Sequence[int]) -> list[torch.Tensor]:
        """Return the ``(n, gh, gw, d)`` patch tokens of ``(n, 3, h, w)`` normalised images after each of the `blocks`.

        Blocks count from 1; h and w are whole patches. All tokens pass through the last layer, as those of the last
        block do: without it the few channels of large values would decide every cosine.
        """
        inner = any(block < self.depth for block in blocks)
        found = self.module(pixel_values=pixels, output_hidden_states=inner)
        size = pixels.shape[2] // self.patch, pixels.shape[3] // self.patch
        layers = (
            found.last_hidden_state if block == self.depth else self.norm(found.hidden_states[block])
            for block in blocks
        )
        return [tokens[:, self.skip :].unflatten(1, size) for tokens in layers]


def load_patches(model: str) -> PatchNetwork:
    """Load a DINO vision transformer from a folder or the hub.

    Raises:
        ModelError: The model is not available or is of another kind.
    """
    folder = locate(model)
    import transformers

    config = read_config(folder, model, PATCH_FAMILIES)
    module = load_weights(transformers.AutoModel, config, folder, model).eval().requires_grad_(False)
    declared = read_preprocessing(folder, side=224)
    skip = 1 + int(getattr(config, "num_register_tokens", 0))
    norm = module.norm if hasattr(module, "norm") else module.layernorm  # DINOv3's name, and DINOv2's
    depth = int(config.num_hidden_layers)
    return PatchNetwork(module, norm, depth, int(config.patch_size), skip, declared.mean, declared.std)


class LayerOutputs(torch.nn.Module):
    """Runs a detector's layers one after another and returns what each gives.

    Args:
        layers: Modules that know their inputs as Ultralytics' do: ``f``, an index or several, −1 for the one before.
    """

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Return the output of every layer but the head."""
        outputs: list[torch.Tensor] = []
        value: Any = pixels
        for layer in self.layers:
            if layer.f != -1:
                chosen = [layer.f] if isinstance(layer.f, int) else layer.f
                picked = [value if i == -1 else outputs[i] for i in chosen]
                value = picked[0] if isinstance(layer.f, int) else picked
            value = layer(value)
            outputs.append(value)
        return outputs


class SequenceOutputs(torch.nn.Module):
    """Runs the blocks of a plain network, trained on ImageNet, one after another and returns what each gives."""

    def __init__(self, blocks: Any) -> None:
        super().__init__()
        self.blocks = blocks
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Return the output of every block."""
        outputs = []
        value = (pixels - self.mean) / self.std  # type: ignore[operator]
        for block in self.blocks:
            value = block(value)
            outputs.append(value)
        return outputs


def is_plain(path: Path) -> bool:
    """Tell whether a file contains nothing but tensors in a dict: a state dict, not an Ultralytics model."""
    try:
        return isinstance(open_checkpoint(path), dict)
    except ModelError:
        return False


def load_mobilenet(path: Path) -> SequenceOutputs:
    """Load MobileNetV2's feature blocks from a state dict in torchvision's naming.

    Raises:
        ModelError: The file has another content.
    """
    import torchvision

    state = open_checkpoint(path)
    network = torchvision.models.mobilenet_v2(weights=None).features
    plain = {k.removeprefix("module.").removeprefix("features."): v for k, v in dict(state).items()}
    wanted = network.state_dict()
    if not wanted.keys() <= plain.keys():
        raise UnsupportedModelError(
            f"'{path}' is neither a detector nor a MobileNetV2",
            remedy="give Ultralytics weights (yolov8n.pt) or MobileNetV2's",
        )
    try:
        network.load_state_dict({k: plain[k] for k in wanted})
    except RuntimeError as error:
        raise ModelError(f"'{path}' does not fit MobileNetV2", remedy="give other weights") from error
    return SequenceOutputs(network.eval())
