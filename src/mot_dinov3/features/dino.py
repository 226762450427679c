"""DINOv3 and DINOv2 embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mot_dinov3.features.base import CropEmbedder, EmbedderRequest
from mot_dinov3.features.loading import LoadedNetwork, open_folder
from mot_dinov3.models.pretrained import load_weights, read_config, read_preprocessing

if TYPE_CHECKING:
    import torch

FAMILIES = ("dinov3_vit", "dinov3_convnext", "dinov2", "dinov2_with_registers")
SIDE = 224  # input where no processor is declared; DINOv2's config names the 518 of its last training phase

# Self-supervised features of two people are far apart from zero: both are people. Without weights to measure with,
# this only refuses what can be no match at all; the tracker's own gate decides the rest.
SAME_FLOOR = 0.3


class DinoEmbedder(CropEmbedder):
    """Embeds with the CLS token, or the mean of the patch tokens, of a DINO network.

    Siméoni et al.: DINOv3, 2025; Oquab et al.: DINOv2, 2023; Darcet et al.: Vision Transformers Need Registers, 2023.

    Raises:
        ModelError: The model is not available or does not fit.
    """

    def __init__(self, request: EmbedderRequest) -> None:
        opened = open_folder("dino", request, _load, pooling=request.pooling)
        super().__init__(opened.extractor, request, info=opened.info, same_floor=SAME_FLOOR, square=True)
        self.notices = opened.notices


def _load(folder: Path, request: EmbedderRequest) -> LoadedNetwork:
    import transformers  # seconds: only once the model is known to be available, and only where it must be loaded

    from mot_dinov3.features.vision_networks import Reduced

    config = read_config(folder, request.model, FAMILIES)
    network = load_weights(transformers.AutoModel, config, folder, request.model)
    side = min(SIDE, int(getattr(config, "image_size", SIDE)))
    preprocessing = read_preprocessing(folder, side=side)
    # Tokens are ordered CLS, registers, patches. (A ConvNeXt has no registers; its CLS token is its pooled map.)
    first_patch = 1 + int(getattr(config, "num_register_tokens", 0))

    def pooled(network: Any, pixels: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = network(pixel_values=pixels).last_hidden_state
        return tokens[:, first_patch:].float().mean(1) if request.pooling == "mean" else tokens[:, 0]

    return LoadedNetwork(
        Reduced(network, pooled),
        preprocessing.resized(request.size, int(getattr(config, "patch_size", 32))),
        config.model_type,
        channels_last=config.model_type == "dinov3_convnext",
    )
