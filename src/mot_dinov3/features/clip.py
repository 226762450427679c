"""CLIP's picture embeddings. Imports torch: loaded only when this embedder is used."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from mot_dinov3.devices import resolve_device, resolve_precision
from mot_dinov3.features.base import CropEmbedder, EmbedderRequest
from mot_dinov3.features.network import NetworkExtractor, TorchRuntime
from mot_dinov3.features.vision import fit_to_patches, load_weights, read_config, read_preprocessing
from mot_dinov3.structures import ModelInfo

FAMILIES = ("clip", "clip_vision_model")
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

# CLIP's picture embeddings lie in a narrow cone: hardly two photographs fall below this. Not measured on tracks.
SAME_FLOOR = 0.5


class ClipEmbedder(CropEmbedder):
    """Embeds with CLIP's vision tower, projected into the space it shares with text.

    Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, 2021.

    Args:
        request: Of which `pooling` does not matter.

    Raises:
        ModelError: The model cannot be had or does not fit.
    """

    def __init__(self, request: EmbedderRequest) -> None:
        folder = request.locate(request.model)
        import transformers  # seconds: only once the model is known to be at hand

        whole = read_config(folder, request.model, FAMILIES)
        config = whole
        if whole.model_type == "clip":
            config = whole.vision_config
            config.projection_dim = whole.projection_dim  # the two may differ on paper; the weights follow this one
        network = load_weights(transformers.CLIPVisionModelWithProjection, config, folder, request.model)
        preprocessing = read_preprocessing(folder, side=int(config.image_size), mean=MEAN, std=STD)
        height, width = fit_to_patches(preprocessing, request.size, int(config.patch_size))
        device = resolve_device(request.device.device)
        precision = resolve_precision(request.device.precision, device)
        super().__init__(
            NetworkExtractor(
                request.model,
                dataclasses.replace(preprocessing, height=height, width=width),
                TorchRuntime(ImageEmbeds(network), device=device, precision=precision),
            ),
            request,
            info=ModelInfo("clip", request.model, device, precision, {"size": [height, width]}),
            same_floor=SAME_FLOOR,
            square=True,
        )


class ImageEmbeds(torch.nn.Module):
    """Picks the projected embedding; position embeddings are interpolated where the input's size asks for it."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return ``(n, d)`` for ``(n, 3, h, w)``."""
        side = self.network.config.image_size
        other = tuple(pixels.shape[2:]) != (side, side)
        return self.network(pixel_values=pixels, interpolate_pos_encoding=other).image_embeds
