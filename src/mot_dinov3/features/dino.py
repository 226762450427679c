"""DINOv3 and DINOv2 embeddings."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mot_dinov3.features.base import CropEmbedder, EmbedderRequest
from mot_dinov3.features.loading import LoadedNetwork, open_folder
from mot_dinov3.models.pretrained import Preprocessing, load_weights, read_config, read_json, read_preprocessing

if TYPE_CHECKING:
    import torch

CONVNEXT = "dinov3_convnext"
FAMILIES = ("dinov3_vit", CONVNEXT, "dinov2", "dinov2_with_registers")
SIDE = 224  # input where no processor is declared; DINOv2's config names the 518 of its last training phase
CONVNEXT_PATCH = 32  # pixels of the input for one of its last map

# Self-supervised features of two people are far apart from zero: both are people. Without weights to measure with,
# this only refuses what can be no match at all; the tracker's own gate decides the rest.


class DinoEmbedder(CropEmbedder):
    """Embeds with the CLS token, the patch tokens, or both, of a DINO network.

    Siméoni et al.: DINOv3, 2025; Oquab et al.: DINOv2, 2023; Darcet et al.: Vision Transformers Need Registers, 2023.

    Raises:
        ModelError: The model is not available or does not fit.
    """

    def __init__(self, request: EmbedderRequest) -> None:
        opened = open_folder("dino", request, _load, _size, pooling=request.pooling)
        super().__init__(opened.extractor, request, info=opened.info, square=opened.is_square)
        self.notices = opened.notices


def _load(folder: Path, request: EmbedderRequest) -> LoadedNetwork:
    import transformers  # seconds: only once the model is known to be available, and only where it must be loaded

    from mot_dinov3.features.vision_networks import Reduced, check_rows, fix_positions, pool_tokens

    config = read_config(folder, request.model, FAMILIES)
    network = load_weights(transformers.AutoModel, config, folder, request.model)
    patch = int(getattr(config, "patch_size", CONVNEXT_PATCH))
    preprocessing = _preprocessing(folder, request, int(getattr(config, "image_size", SIDE)), patch)
    rows = preprocessing.height // patch
    check_rows(request.pooling, rows, request.model)
    # Tokens are ordered CLS, registers, patches. (A ConvNeXt has no registers; its CLS token is its pooled map.)
    first_patch = 1 + int(getattr(config, "num_register_tokens", 0))

    def pooled(network: Any, pixels: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = network(pixel_values=pixels).last_hidden_state
        return pool_tokens(tokens[:, 0], tokens[:, first_patch:], pooling=request.pooling, rows=rows)

    height, width = preprocessing.height, preprocessing.width
    positions = getattr(network, "embeddings", None)  # DINOv3 has none to interpolate: its positions are rotations
    learned = hasattr(positions, "interpolate_pos_encoding")
    return LoadedNetwork(
        Reduced(network, pooled),
        preprocessing,
        config.model_type,
        channels_last=config.model_type == CONVNEXT,
        fix_size=functools.partial(fix_positions, positions, config, height, width) if learned else None,
    )


def _preprocessing(folder: Path, request: EmbedderRequest, image_size: int, patch: int) -> Preprocessing:
    return read_preprocessing(folder, side=min(SIDE, image_size)).resized(request.size, patch)


def _size(folder: Path, request: EmbedderRequest) -> tuple[int, int] | None:
    """Return the ``(height, width)`` of a ConvNeXt's input, None where the network is one for this size alone.

    Stripes (``parts``) are counted in rows of the last map, which tracing makes constant.
    """
    raw = read_json(folder / "config.json") or {}
    if raw.get("model_type") != CONVNEXT or "parts" in request.pooling:
        return None
    declared = raw.get("image_size")
    found = _preprocessing(folder, request, declared if isinstance(declared, int) else SIDE, CONVNEXT_PATCH)
    return found.height, found.width
