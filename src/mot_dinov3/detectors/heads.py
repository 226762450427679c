"""YOLO networks up to their head's raw output: in OpenVINO, or in torch in any number format.

In half precision torch must not go further: between 512 and 1024 pixels, bf16 knows every fourth, fp16 every half one.
Decoding follows in fp32.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any, Protocol

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import FloatArray, Image, IntArray
from mot_dinov3.models.devices import torch_dtype, upload
from mot_dinov3.models.openvino import OpenVinoNetwork


@dataclasses.dataclass(frozen=True)
class HeadOutput:
    """Output of a head's convolutions for the cells that may contain an object.

    Attributes:
        cells: ``(k,)`` indices, level after level, row after row.
        distances: ``(k, 4 · bins)``: left, top, right, bottom.
        logits: ``(classes, k)``.
    """

    cells: IntArray
    distances: FloatArray
    logits: FloatArray


class HeadNetwork(Protocol):
    """A network up to its head's convolutions."""

    @abstractmethod
    def find(self, image: Image, least: float) -> HeadOutput:
        """Return the output for a ``(1, h, w, 3)`` uint8 BGR image, in cells with a logit above `least`."""


class OpenVinoHead(HeadNetwork):
    """A converted network: raw distances ``(n, 4 · bins, cells)`` and class logits ``(n, classes, cells)``."""

    def __init__(self, network: OpenVinoNetwork) -> None:
        self._network = network

    @override
    def find(self, image: Image, least: float) -> HeadOutput:
        distances, logits = self._network.run(image)
        cells = np.flatnonzero(logits[0].max(axis=0) > least)
        return HeadOutput(cells, distances[0].T[cells], logits[0][:, cells])


class TorchHead(HeadNetwork):
    """A network in torch, its weights held in the number format that it computes in.

    It gives what `OpenVinoHead`'s does, for normalised ``(n, 3, h, w)`` RGB, and is changed in place. A precision such
    as ``fp16+fp32`` keeps the last layer, the head, in fp32.
    """

    def __init__(self, network: Any, *, device: str, precision: str) -> None:
        import torch

        self._device = torch.device(device)
        lower, _, head = precision.partition("+")
        self._dtype = torch_dtype(lower)
        module = network.eval().to(self._device, self._dtype)
        if head:
            module.model[-1].to(torch_dtype(head))
        self._network = module.to(memory_format=torch.channels_last)

    @override
    def find(self, image: Image, least: float) -> HeadOutput:
        import torch

        # Only those cells leave the device, and the image goes there as bytes.
        with torch.inference_mode():
            pixels = upload(image, self._device).flip(-1).permute(0, 3, 1, 2)
            distances, logits = self._network(pixels.to(self._dtype, memory_format=torch.channels_last) / 255)
            cells = (logits[0].amax(0).float() > least).nonzero()[:, 0]
            found = (cells, distances[0].T[cells].float(), logits[0][:, cells].float())
            return HeadOutput(*(tensor.cpu().numpy() for tensor in found))
