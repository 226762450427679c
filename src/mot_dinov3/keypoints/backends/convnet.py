"""Dense descriptors from the middle layers of a convolutional network. Imports torch: loaded only when used."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ModelError
from mot_dinov3.core.structures import FloatArray, Image, ModelInfo
from mot_dinov3.keypoints.backends.base import DenseBackend, DenseRequest
from mot_dinov3.keypoints.descriptor_maps import DenseMap, unit
from mot_dinov3.models.devices import resolve_device

STRIDES = (8, 16)  # layers of these strides distinguish body parts; finer ones only edges, coarser ones only animals
PATCH = 8


class ConvnetBackend(DenseBackend):
    """Describes each position by several layers of a network, each centred on the image's mean and of equal weight.

    The layers are the last one before each change of resolution, as far as they step by 8 or 16 pixels: in a
    detector the backbone's and the neck's. (Hypercolumns: Hariharan et al., CVPR 2015.)

    Args:
        request: `weights`, `device` and `load_convnet` are used.

    Raises:
        ModelError: There are no weights, or the network has no such layers.
    """

    patch = float(PATCH)
    unit_patch = float(PATCH)
    unrelated = 0.2
    same = 0.7
    key_every = 2

    def __init__(self, request: DenseRequest) -> None:
        if request.weights is None:
            raise ModelError("the convnet backend has no weights", remedy="--weights FILE, for example yolov8n.pt")
        self._device = torch.device(resolve_device(request.device))
        self._network: Any = request.load_convnet(str(request.weights))
        self._network.to(self._device)
        self._layers = self._choose_layers()
        if not self._layers:
            raise ModelError(
                f"'{request.weights}' has no layers with a stride of 8 or 16 pixels",
                remedy="give weights of a detector or of an ImageNet network",
            )
        details = {"layers": list(self._layers)}
        self.info = ModelInfo("convnet", str(request.weights), str(self._device), "fp32", details)

    @override
    def describe(self, image: Image) -> DenseMap:
        height, width = image.shape[0] // PATCH, image.shape[1] // PATCH
        outputs = self._outputs(image)
        parts = [_centred(outputs[i], (height, width)) for i in self._layers]
        return DenseMap(unit(np.concatenate(parts, 2)), self.patch)

    def _outputs(self, image: Image) -> list[torch.Tensor]:
        rgb = np.ascontiguousarray(image[..., ::-1])
        with torch.inference_mode():
            pixels = torch.from_numpy(rgb).to(self._device).permute(2, 0, 1)[None].float() / 255
            outputs: list[torch.Tensor] = self._network(pixels)
        return outputs

    def _choose_layers(self) -> tuple[int, ...]:
        side = 128
        steps = [side // o.shape[-1] if o.ndim == 4 else 0 for o in self._outputs(np.zeros((side, side, 3), np.uint8))]
        last = [i for i, step in enumerate(steps) if i + 1 == len(steps) or steps[i + 1] != step]
        return tuple(i for i in last if steps[i] in STRIDES)


def _centred(output: torch.Tensor, size: tuple[int, int]) -> FloatArray:
    """Return ``(gh, gw, d)`` unit rows of a ``(1, d, h, w)`` layer, their mean subtracted."""
    rows = output[0].float()
    rows = rows - rows.mean((1, 2), keepdim=True)
    rows = torch.nn.functional.normalize(rows, dim=0)
    if rows.shape[1:] != size:
        rows = torch.nn.functional.interpolate(rows[None], size, mode="bilinear", align_corners=False)[0]
    return rows.permute(1, 2, 0).cpu().numpy()
