"""ResNet's pooled features. Imports torch: loaded only when this embedder is used."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from mot_dinov3.devices import resolve_device, resolve_precision
from mot_dinov3.features.base import CropEmbedder, EmbedderRequest
from mot_dinov3.features.network import NetworkExtractor, TorchRuntime
from mot_dinov3.features.vision import load_weights, read_config, read_preprocessing
from mot_dinov3.structures import ModelInfo

SIDE = 224

# Features after a ReLU are never negative, so that any two pictures are fairly alike. Not measured on tracks.
SAME_FLOOR = 0.5


class ResnetEmbedder(CropEmbedder):
    """Embeds with the average-pooled last map of a ResNet.

    He et al.: Deep Residual Learning for Image Recognition, CVPR 2016.

    Args:
        request: Of which `pooling` does not matter.

    Raises:
        ModelError: The model cannot be had or does not fit.
    """

    def __init__(self, request: EmbedderRequest) -> None:
        folder = request.locate(request.model)
        import transformers  # seconds: only once the model is known to be at hand

        config = read_config(folder, request.model, ("resnet",))
        network = load_weights(transformers.ResNetModel, config, folder, request.model)
        preprocessing = read_preprocessing(folder, side=SIDE)
        height, width = request.size or (preprocessing.height, preprocessing.width)
        device = resolve_device(request.device.device)
        precision = resolve_precision(request.device.precision, device)
        super().__init__(
            NetworkExtractor(
                request.model,
                dataclasses.replace(preprocessing, height=height, width=width),
                TorchRuntime(Pooled(network), device=device, precision=precision, channels_last=True),
            ),
            request,
            info=ModelInfo("resnet", request.model, device, precision, {"size": [height, width]}),
            same_floor=SAME_FLOOR,
            square=True,
        )


class Pooled(torch.nn.Module):
    """Picks the pooled features."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return ``(n, d)`` for ``(n, 3, h, w)``."""
        return self.network(pixel_values=pixels).pooler_output.flatten(1)
