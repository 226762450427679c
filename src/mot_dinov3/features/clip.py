"""CLIP's image embeddings."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mot_dinov3.features.base import CropEmbedder, EmbedderRequest
from mot_dinov3.features.loading import LoadedNetwork, open_folder
from mot_dinov3.models.pretrained import load_weights, read_config, read_preprocessing

if TYPE_CHECKING:
    import torch

FAMILIES = ("clip", "clip_vision_model")
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

# CLIP's image embeddings lie in a narrow cone: hardly two photographs fall below this. Not measured on tracks.


class ClipEmbedder(CropEmbedder):
    """Embeds with CLIP's vision tower, its tokens projected into the space it shares with text.

    Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, 2021.

    Raises:
        ModelError: The model is not available or does not fit.
    """

    def __init__(self, request: EmbedderRequest) -> None:
        opened = open_folder("clip", request, _load, pooling=request.pooling)
        super().__init__(opened.extractor, request, info=opened.info, square=opened.is_square)
        self.notices = opened.notices


def _load(folder: Path, request: EmbedderRequest) -> LoadedNetwork:
    import transformers  # seconds: only once the model is known to be available, and only where it must be loaded

    from mot_dinov3.features.vision_networks import Reduced, check_rows, fix_positions, pool_tokens

    whole = read_config(folder, request.model, FAMILIES)
    config = whole
    if whole.model_type == "clip":
        config = whole.vision_config
        config.projection_dim = whole.projection_dim  # the two may differ on paper; the weights follow this one
    network = load_weights(transformers.CLIPVisionModelWithProjection, config, folder, request.model)
    preprocessing = read_preprocessing(folder, side=int(config.image_size), mean=MEAN, std=STD)
    preprocessing = preprocessing.resized(request.size, int(config.patch_size))
    height, width = preprocessing.height, preprocessing.width
    rows = height // int(config.patch_size)
    check_rows(request.pooling, rows, request.model)
    # The position embeddings belong to the size that it was trained with.
    interpolated = (height, width) != (config.image_size, config.image_size)

    def pooled(network: Any, pixels: torch.Tensor) -> torch.Tensor:
        found = network(pixel_values=pixels, interpolate_pos_encoding=interpolated)
        if request.pooling == "cls":
            return found.image_embeds
        patches = network.visual_projection(network.vision_model.post_layernorm(found.last_hidden_state[:, 1:]))
        return pool_tokens(found.image_embeds, patches, pooling=request.pooling, rows=rows)

    fix_size = functools.partial(fix_positions, network.vision_model.embeddings, config, height, width)
    return LoadedNetwork(Reduced(network, pooled), preprocessing, whole.model_type, fix_size=fix_size)
