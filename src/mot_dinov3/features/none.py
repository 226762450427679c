"""The embedder that embeds nothing: motion alone decides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mot_dinov3.core.structures import FloatArray, Image, ModelInfo
from mot_dinov3.features.base import EmbedderRequest


class NoEmbedder:
    """Gives ``(n, 0)`` rows.

    Args:
        request: Of which nothing matters.
    """

    def __init__(self, request: EmbedderRequest) -> None:
        self.info = ModelInfo("none")
        self.dim = 0
        self.same_floor = 0.0

    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        """Return ``(n, 0)`` float32."""
        return np.zeros((len(xyxy), 0), np.float32)

    def embed_images(self, pictures: Sequence[Image]) -> FloatArray:
        """Return ``(n, 0)`` float32."""
        return np.zeros((len(pictures), 0), np.float32)

    def synchronize(self) -> None:
        """Do nothing."""
