"""Dense descriptors from the patch tokens of a DINO network. Imports torch: loaded only when used."""

from __future__ import annotations

import numpy as np
import torch

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Image, ModelInfo
from mot_dinov3.keypoints.backends.base import DenseBackend, DenseRequest
from mot_dinov3.keypoints.descriptor_maps import DenseMap, unit
from mot_dinov3.models.devices import resolve_device


class DinoBackend(DenseBackend):
    """Describes each patch by its token; CLS and register tokens stay out.

    Siméoni et al., DINOv3, 2025; Oquab et al., DINOv2, 2023.

    Args:
        request: `model`, `device` and `load_patches` are used.

    Raises:
        ModelError: The model is not available.
    """

    key_every = 5
    unrelated = 0.3
    same = 0.75

    def __init__(self, request: DenseRequest) -> None:
        self._network = request.load_patches(request.model)
        self._device = torch.device(resolve_device(request.device))
        self._network.module.to(self._device)
        self.patch = self.unit_patch = float(self._network.patch)
        self._mean = torch.tensor(self._network.mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(self._network.std, device=self._device).view(3, 1, 1)
        self.info = ModelInfo("dino", request.model, str(self._device), "fp32", {"patch": self._network.patch})

    @override
    def describe(self, image: Image) -> DenseMap:
        patch = self._network.patch
        missing = [-side % patch for side in image.shape[:2]]  # an incomplete last patch is padded
        whole = np.pad(image[..., ::-1], ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(whole)).to(self._device).permute(2, 0, 1).float() / 255
            grid = self._network.grid(((pixels - self._mean) / self._std)[None])
        return DenseMap(unit(grid.float().cpu().numpy()), self.patch)
