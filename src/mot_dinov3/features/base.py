"""What every embedder promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mot_dinov3.structures import FloatArray, Image, ModelInfo


class Embedder(Protocol):
    """Turns crops of one frame into unit vectors whose cosine says how alike two objects look.

    Attributes:
        info: What is loaded.
        dim: Length of an embedding.
        same_floor: Cosine below which two crops are hardly ever the same object (calibrated per embedder).
    """

    info: ModelInfo
    dim: int
    same_floor: float

    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        """Return ``(n, dim)`` float32 unit rows for the ``(n, 4)`` boxes of `image`; any box is survived."""
        ...

    def embed_pictures(self, pictures: Sequence[Image]) -> FloatArray:
        """Return ``(n, dim)`` float32 unit rows for whole BGR pictures (a gallery's), without padding or squaring."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has finished, so that a clock read next is honest."""
        ...
