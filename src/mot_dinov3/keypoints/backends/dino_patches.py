"""Dense descriptors from the patch tokens of a DINO network. Imports torch: loaded only when used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.lru import LruCache
from mot_dinov3.core.structures import Image, ModelInfo
from mot_dinov3.keypoints.backends.base import DenseBackend, DenseRequest
from mot_dinov3.keypoints.descriptor_maps import DenseMap, unit
from mot_dinov3.models.devices import resolve_device

INNER_SHARE = 0.75  # of the depth: the block that is compared beside the last one
RANDOM_IMAGES = 8  # that tokens of a place are averaged over
GRAIN = 4  # pixels from one random colour to the next: patches have content, no two places the same
SIZES = 4  # of images, whose tokens of places are kept


class DinoBackend(DenseBackend):
    """Describes each patch by its tokens after several blocks; CLS and register tokens stay out.

    Siméoni et al., DINOv3, 2025; Oquab et al., DINOv2, 2023. The cosine of two patches is the mean of the cosines of
    their tokens: the last block knows what a part is, those at about three quarters of the depth also where on the body
    it is (Amir et al., Deep ViT Features as Dense Visual Descriptors, 2021); not measured here, without weights. A crop
    of any animal is scaled to one size, so that the animal spans as many patches whatever its size.

    `debias` subtracts the part of the tokens that depends on the place in the image alone, which makes two patches
    similar for lying at the same place. (Yang et al., Denoising Vision Transformers, ECCV 2024, find that this part
    does not depend on the content, and learn it per image. Here it is the mean over random images, without training.)

    Args:
        request: `model`, `blocks`, `debias`, `device` and `load_patches` are used.

    Raises:
        ModelError: The model is not available.
        ConfigError: It has no such block.
    """

    key_every = 5
    unrelated = 0.3
    same = 0.75
    enlarge = np.inf

    def __init__(self, request: DenseRequest) -> None:
        network = self._network = request.load_patches(request.model)
        self._blocks = request.blocks or suitable_blocks(network.depth)
        if max(self._blocks) > network.depth:
            raise ConfigError(
                f"'{request.model}' has {network.depth} blocks, so none with number {max(self._blocks)}",
                remedy=f"give --dino-blocks from 1 to {network.depth}",
            )
        self._device = torch.device(resolve_device(request.device))
        network.module.to(self._device)
        self.patch = self.unit_patch = float(network.patch)
        self._mean = torch.tensor(network.mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(network.std, device=self._device).view(3, 1, 1)
        self._debias = request.debias
        self._of_places: LruCache[tuple[int, ...], list[torch.Tensor]] = LruCache(SIZES)
        details = {"patch": network.patch, "blocks": list(self._blocks), "debias": self._debias}
        self.info = ModelInfo("dino", request.model, str(self._device), "fp32", details)

    @override
    def describe(self, image: Image) -> DenseMap:
        patch = self._network.patch
        missing = [-side % patch for side in image.shape[:2]]  # an incomplete last patch is padded
        whole = np.pad(image[..., ::-1], ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(whole)).to(self._device).permute(2, 0, 1).float() / 255
            grids = [grid[0].float() for grid in self._tokens(((pixels - self._mean) / self._std)[None])]
            if self._debias:
                size = pixels.shape[1:]
                biases = self._of_places.get(tuple(size)) or self._of_places.put(tuple(size), self._biases(*size))
                grids = [grid - bias for grid, bias in zip(grids, biases)]
            rows = torch.cat([torch.nn.functional.normalize(grid, dim=2) for grid in grids], 2)
        return DenseMap(unit(rows.cpu().numpy()), self.patch)

    def _tokens(self, pixels: torch.Tensor) -> Sequence[torch.Tensor]:
        found: Sequence[torch.Tensor] = self._network.grids(pixels, self._blocks)
        return found

    def _biases(self, height: int, width: int) -> list[torch.Tensor]:
        """Return for each block the ``(gh, gw, d)`` part of the tokens that depends on the place alone, of mean 0."""
        colours = np.random.default_rng(0).standard_normal((RANDOM_IMAGES, 3, -(-height // GRAIN), -(-width // GRAIN)))
        sums: list[torch.Tensor] = []
        for one in torch.from_numpy(colours.astype(np.float32)).to(self._device):  # one by one: memory of one image
            image = torch.nn.functional.interpolate(one[None], size=(height, width), mode="bilinear")
            grids = [grid[0].float() for grid in self._tokens(image)]
            sums = [total + grid for total, grid in zip(sums, grids)] if sums else grids
        means = [total / RANDOM_IMAGES for total in sums]
        return [mean - mean.mean((0, 1)) for mean in means]


def suitable_blocks(depth: int) -> tuple[int, ...]:
    """Return the blocks to compare in a network of so many: the last one, and one at three quarters of the depth."""
    return tuple(sorted({max(int(INNER_SHARE * depth), 1), depth}))
