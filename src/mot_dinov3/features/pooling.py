"""Networks of transformers, reduced to one vector a picture. Imports torch: only what loads a network imports this."""

from __future__ import annotations

from typing import Any

import torch


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


class Pooled(torch.nn.Module):
    """Picks the pooled features."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return ``(n, d)`` for ``(n, 3, h, w)``."""
        return self.network(pixel_values=pixels).pooler_output.flatten(1)
