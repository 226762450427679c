"""Arrays on their way to the device that computes with them. Imports torch: only what runs it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def upload(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array on a device; the copy to a GPU goes on while the caller does.

    torch keeps the page-locked memory for the next array, and hands it out again only when the copy is done.
    """
    kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
    cuda = device.type == "cuda"
    buffer = torch.empty(array.shape, dtype=kind, pin_memory=cuda)
    buffer.numpy()[...] = array
    return buffer.to(device, non_blocking=cuda)
