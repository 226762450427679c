"""What runs a YOLO network up to its head's raw output: OpenVINO, or torch in any number format.

In half precision torch must not go further: between 512 and 1024 pixels, bf16 knows every fourth, fp16 every half one.
What follows, `decoding` does in fp32.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mot_dinov3.core.structures import FloatArray, Image, IntArray
from mot_dinov3.models.devices import torch_dtype
from mot_dinov3.models.openvino import OpenVinoNetwork

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True)
class HeadOutput:
    """What a head's convolutions give for the cells that may hold something.

    Attributes:
        cells: ``(k,)`` their numbers, level after level, row after row.
        distances: ``(k, 4 · bins)``: left, top, right, bottom.
        logits: ``(classes, k)``.
    """

    cells: IntArray
    distances: FloatArray
    logits: FloatArray


class HeadNetwork(Protocol):
    """Runs a network."""

    def find(self, picture: Image, least: float) -> HeadOutput:
        """Return what is found in a ``(1, h, w, 3)`` uint8 BGR picture, in cells with a logit above `least`."""
        ...


class OpenVinoHead:
    """A converted network.

    Args:
        network: It; it gives raw distances ``(n, 4 · bins, cells)`` and class logits ``(n, classes, cells)``.
    """

    def __init__(self, network: OpenVinoNetwork) -> None:
        self._network = network

    def find(self, picture: Image, least: float) -> HeadOutput:
        """Return what is found in a ``(1, h, w, 3)`` uint8 BGR picture, in cells with a logit above `least`."""
        distances, logits = self._network.run(picture)
        cells = np.flatnonzero(logits[0].max(axis=0) > least)
        return HeadOutput(cells, distances[0].T[cells], logits[0][:, cells])


class TorchHead:
    """A network in torch, its weights stored in the number format that it computes in.

    Args:
        network: As `OpenVinoHead` describes it, for normalised ``(n, 3, h, w)`` RGB; it is changed in place.
        device: ``cpu``, ``mps`` or ``cuda:N``.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """

    def __init__(self, network: torch.nn.Module, *, device: str, precision: str) -> None:
        import torch

        self._device = torch.device(device)
        self._dtype = torch_dtype(precision)
        module = network.eval().to(self._device, self._dtype)
        self._network = module.to(memory_format=torch.channels_last)

    def find(self, picture: Image, least: float) -> HeadOutput:
        """Return what is found in a ``(1, h, w, 3)`` uint8 BGR picture, in cells with a logit above `least`.

        Only those cells leave the device, and the picture goes there as bytes.
        """
        import torch

        from mot_dinov3.models.devices import upload

        with torch.inference_mode():
            pixels = upload(picture, self._device).flip(-1).permute(0, 3, 1, 2)
            distances, logits = self._network(pixels.to(self._dtype, memory_format=torch.channels_last) / 255)
            cells = (logits[0].amax(0).float() > least).nonzero()[:, 0]
            found = (cells, distances[0].T[cells].float(), logits[0][:, cells].float())
            return HeadOutput(*(tensor.cpu().numpy() for tensor in found))
