"""The embedder that embeds nothing: motion alone decides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import FloatArray, Image, ModelInfo
from mot_dinov3.features.base import Embedder, EmbedderRequest


class NoEmbedder(Embedder):
    """Gives ``(n, 0)`` rows."""

    def __init__(self, request: EmbedderRequest) -> None:
        self.info, self.dim, self.same_floor = ModelInfo("none"), 0, 0.0

    @override
    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        return np.zeros((len(xyxy), 0), np.float32)

    @override
    def embed_images(self, images: Sequence[Image]) -> FloatArray:
        return np.zeros((len(images), 0), np.float32)
