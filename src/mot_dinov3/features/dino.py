"""DINOv3 and DINOv2 embeddings."""

from __future__ import annotations

from pathlib import Path

from mot_dinov3.features.base import CropEmbedder, EmbedderRequest
from mot_dinov3.features.loading import LoadedNetwork, open_folder
from mot_dinov3.models.pretrained import load_weights, read_config, read_preprocessing

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

    from mot_dinov3.features.vision_networks import TokenPooling

    config = read_config(folder, request.model, FAMILIES)
    network = load_weights(transformers.AutoModel, config, folder, request.model)
    side = min(SIDE, int(getattr(config, "image_size", SIDE)))
    preprocessing = read_preprocessing(folder, side=side)
    return LoadedNetwork(
        TokenPooling(network, request.pooling, registers=int(getattr(config, "num_register_tokens", 0))),
        preprocessing.resized(request.size, int(getattr(config, "patch_size", 32))),
        config.model_type,
        channels_last=config.model_type == "dinov3_convnext",
    )
