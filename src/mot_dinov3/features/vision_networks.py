"""Torch modules that give one vector per image, or a feature per place: patch tokens, a convnet's layers.

Imports torch: only what loads a network imports this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mot_dinov3.core.errors import ModelError, UnsupportedModelError
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


@dataclasses.dataclass(frozen=True)
class PatchNetwork:
    """A vision transformer whose patch tokens are wanted: patches of `patch` pixels, after `skip` other tokens.

    `mean` and `std` are those of its input per channel (RGB), of pixels in 0…1.
    """

    module: Any
    patch: int
    skip: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def grid(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the ``(gh, gw, d)`` patch tokens of a ``(1, 3, h, w)`` normalised image; h, w whole patches."""
        tokens = self.module(pixel_values=pixels).last_hidden_state[0, self.skip :]
        return tokens.reshape(pixels.shape[2] // self.patch, pixels.shape[3] // self.patch, -1)


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
    return PatchNetwork(module, int(config.patch_size), skip, declared.mean, declared.std)


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
