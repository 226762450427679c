"""Running a network on crops: preprocessing as its weights want it, and the runtimes that execute it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mot_dinov3.core.errors import ModelError, first_line
from mot_dinov3.core.structures import FloatArray, Image
from mot_dinov3.models.devices import torch_dtype
from mot_dinov3.models.pretrained import Preprocessing

if TYPE_CHECKING:
    import torch


class Runtime(Protocol):
    """Executes a network."""

    def run(self, batch: FloatArray) -> FloatArray:
        """Return ``(n, d)`` float32 features of a preprocessed ``(n, 3, h, w)`` batch."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has finished."""
        ...


class NetworkExtractor:
    """An `Extractor` made of preprocessing and a runtime.

    Args:
        name: The model, for messages.
        preprocessing: What its input looks like.
        runtime: What executes it.

    Attributes:
        preprocessing: As given.
        runtime: As given.

    Raises:
        ModelError: At construction: the network does not accept its input, or does not give finite ``(n, d)`` rows.
    """

    def __init__(self, name: str, preprocessing: Preprocessing, runtime: Runtime) -> None:
        self.preprocessing = preprocessing
        self.runtime = runtime
        size = f"{preprocessing.height}×{preprocessing.width}"
        try:
            rows = self.extract([np.full((64, 32, 3), 128, np.uint8)])
        except (RuntimeError, ValueError, IndexError) as error:
            raise ModelError(f"model '{name}' does not run on {size} input: {first_line(error)}") from error
        if rows.ndim != 2 or len(rows) != 1 or not np.isfinite(rows).all():
            raise ModelError(
                f"model '{name}' returns no usable embedding for {size} input (shape {rows.shape}, "
                f"{'finite' if np.isfinite(rows).all() else 'not finite'})",
                remedy="the weights are damaged, or they are not an embedding network",
            )

    def extract(self, crops: Sequence[Image]) -> FloatArray:
        """Return ``(n, d)`` float32 features of BGR crops."""
        return self.runtime.run(self.preprocessing.batch(crops))

    def synchronize(self) -> None:
        """Wait until the device has finished."""
        self.runtime.synchronize()


class TorchRuntime:
    """Executes a torch module.

    Args:
        module: Maps ``(n, 3, h, w)`` to ``(n, d)``.
        device: ``cpu``, ``mps`` or ``cuda:N``.
        precision: ``fp32``, ``bf16`` or ``fp16``: the weights' and the input's number format.
        channels_last: Memory layout that convolutions run faster in.

    Attributes:
        module: The module, in place, in the number format and layout asked for.
        device: Where it is.
    """

    def __init__(self, module: torch.nn.Module, *, device: str, precision: str, channels_last: bool = False) -> None:
        import torch

        self._dtype = torch_dtype(precision)
        self.device = torch.device(device)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        module = module.eval().to(self.device, self._dtype)
        self.module = module.to(memory_format=self._format)

    def copy_in(self, precision: str) -> TorchRuntime:
        """Return a copy that computes in another precision."""
        import torch

        channels_last = self._format == torch.channels_last
        module = copy.deepcopy(self.module)
        return TorchRuntime(module, device=str(self.device), precision=precision, channels_last=channels_last)

    def run(self, batch: FloatArray) -> FloatArray:
        """Return ``(n, d)`` float32 features of a preprocessed ``(n, 3, h, w)`` batch."""
        import torch

        with torch.inference_mode():
            return self.features(torch.from_numpy(batch)).cpu().numpy()

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return ``(n, d)`` float32 features of a preprocessed ``(n, 3, h, w)`` tensor, on the runtime's device.

        On a GPU they are queued, not ready: what reads them waits.
        """
        found: torch.Tensor = self.module(pixels.to(self.device, self._dtype, memory_format=self._format))
        return found.float()

    def synchronize(self) -> None:
        """Wait until the device has finished."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
