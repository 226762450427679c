"""Networks run on crops: their preprocessing, their execution in torch, and the lowest precision that is safe."""

from __future__ import annotations

import copy
import logging
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ModelError, first_line
from mot_dinov3.core.structures import FloatArray, Image
from mot_dinov3.core.structures.arrays import unit_rows
from mot_dinov3.features.base import Extractor
from mot_dinov3.models.devices import torch_dtype
from mot_dinov3.models.pretrained import Preprocessing

if TYPE_CHECKING:
    import torch

LEAST_COSINE = 0.999
"""Between the embeddings of a crop by the original network and by the converted or lower-precision one."""

log = logging.getLogger(__name__)


class Runtime(Protocol):
    """Executes a network."""

    @abstractmethod
    def run(self, batch: FloatArray) -> FloatArray:
        """Return ``(n, d)`` float32 features of a preprocessed ``(n, 3, h, w)`` batch."""

    def synchronize(self) -> None:
        """Wait until the device has finished; `run` may have done so already."""
        return


class NetworkExtractor(Extractor):
    """An `Extractor` made of preprocessing and a runtime; `name` is the model's, for messages.

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
            raise ModelError(
                f"model '{name}' does not run on {size} input: {first_line(error)}",
                remedy="give a network that returns one embedding per image, and the size it takes: --crop-size HxW",
            ) from error
        if rows.ndim != 2 or len(rows) != 1 or not np.isfinite(rows).all():
            raise ModelError(
                f"model '{name}' returns no usable embedding for {size} input (shape {rows.shape}, "
                f"{'finite' if np.isfinite(rows).all() else 'not finite'})",
                remedy="the weights are damaged, or they are not an embedding network",
            )

    @override
    def extract(self, crops: Sequence[Image]) -> FloatArray:
        return self.runtime.run(self.preprocessing.batch(crops))

    @override
    def synchronize(self) -> None:
        self.runtime.synchronize()


class TorchRuntime(Runtime):
    """Executes a torch module that maps ``(n, 3, h, w)`` to ``(n, d)``.

    The module is held in place, in the number format and the layout asked for (convolutions run faster channels last).
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

    @override
    def run(self, batch: FloatArray) -> FloatArray:
        import torch

        with torch.inference_mode():
            return self.features(torch.from_numpy(batch)).cpu().numpy()

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return ``(n, d)`` float32 features of a preprocessed ``(n, 3, h, w)`` tensor, on the runtime's device.

        On a GPU they are queued, not ready: what reads them waits.
        """
        found: torch.Tensor = self.module(pixels.to(self.device, self._dtype, memory_format=self._format))
        return found.float()

    @override
    def synchronize(self) -> None:
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def lowest_safe_precision(
    whole: TorchRuntime, precisions: Sequence[str], pixels: FloatArray
) -> tuple[TorchRuntime, str]:
    """Return a network in the first precision whose embeddings are those of fp32, and that precision.

    The weights are held in it, so that none is converted while a frame waits, as autocast would do. What that costs a
    network is not known beforehand (OSNet turns by 0.002 in bf16, a large activation is infinite in fp16), so it is
    tried. They are compared on `pixels`, ``(n, 3, h, w)`` preprocessed crops; where none passes, it stays in fp32.
    """
    wanted = unit_rows(whole.run(pixels))
    for precision in precisions:
        if precision == "fp32":
            break
        try:
            shorter = whole.copy_in(precision)
            rows = shorter.run(pixels)
        except RuntimeError as error:  # an operation that this device does not have in this format, or no memory
            log.info("the network does not run in %s: %s", precision, error)
            continue
        least = float(np.einsum("nd,nd->n", wanted, unit_rows(rows)).min())
        if np.isfinite(rows).all() and least >= LEAST_COSINE:
            return shorter, precision
        log.info("in %s the cosine to the embedding in fp32 is %.4f at minimum", precision, least)
    return whole, "fp32"
