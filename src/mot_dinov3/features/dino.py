"""DINOv3 and DINOv2 embeddings. Imports torch: loaded only when this embedder is used."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from mot_dinov3.devices import resolve_device, resolve_precision
from mot_dinov3.features.base import CropEmbedder, EmbedderRequest
from mot_dinov3.features.network import NetworkExtractor, TorchRuntime
from mot_dinov3.features.vision import fit_to_patches, load_weights, read_config, read_preprocessing
from mot_dinov3.structures import ModelInfo

FAMILIES = ("dinov3_vit", "dinov3_convnext", "dinov2", "dinov2_with_registers")
SIDE = 224  # input where no processor is declared; DINOv2's config names the 518 of its last training phase

# Self-supervised features of two people are far apart from zero: both are people. Without weights to measure with,
# this only refuses what can be no match at all; the tracker's own gate decides the rest.
SAME_FLOOR = 0.3


class DinoEmbedder(CropEmbedder):
    """Embeds with the CLS token, or the mean of the patch tokens, of a DINO network.

    Siméoni et al.: DINOv3, 2025; Oquab et al.: DINOv2, 2023; Darcet et al.: Vision Transformers Need Registers, 2023.

    Args:
        request: Of which all matters.

    Raises:
        ModelError: The model cannot be had or does not fit.
    """

    def __init__(self, request: EmbedderRequest) -> None:
        folder = request.locate(request.model)
        import transformers  # seconds: only once the model is known to be at hand

        config = read_config(folder, request.model, FAMILIES)
        network = load_weights(transformers.AutoModel, config, folder, request.model)
        side = min(SIDE, int(getattr(config, "image_size", SIDE)))
        preprocessing = read_preprocessing(folder, side=side)
        height, width = fit_to_patches(preprocessing, request.size, int(getattr(config, "patch_size", 32)))
        preprocessing = dataclasses.replace(preprocessing, height=height, width=width)
        device = resolve_device(request.device.device)
        precision = resolve_precision(request.device.precision, device)
        pooled = TokenPooling(network, request.pooling, registers=int(getattr(config, "num_register_tokens", 0)))
        runtime = TorchRuntime(
            pooled, device=device, precision=precision, channels_last=config.model_type == "dinov3_convnext"
        )
        details = {"kind": config.model_type, "pooling": request.pooling, "size": [height, width]}
        super().__init__(
            NetworkExtractor(request.model, preprocessing, runtime),
            request,
            info=ModelInfo("dino", request.model, device, precision, details),
            same_floor=SAME_FLOOR,
            square=True,
        )


class TokenPooling(torch.nn.Module):
    """Reduces a network's tokens, ordered CLS, registers, patches, to one vector.

    Args:
        network: Gives ``last_hidden_state`` of shape ``(n, 1 + registers + patches, d)``.
        pooling: ``cls`` or ``mean``, the latter of the patch tokens alone.
        registers: Number of register tokens. (A ConvNeXt has none; its CLS token is its pooled map.)
    """

    def __init__(self, network: Any, pooling: str, *, registers: int) -> None:
        super().__init__()
        self.network = network
        self._mean = pooling == "mean"
        self._first_patch = 1 + registers

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return ``(n, d)`` for ``(n, 3, h, w)``."""
        tokens: torch.Tensor = self.network(pixel_values=pixels).last_hidden_state
        return tokens[:, self._first_patch :].float().mean(1) if self._mean else tokens[:, 0]
