"""The lowest_safe_precision number format in which a network on a GPU still gives the same embeddings.

The weights are stored in it, so that none is converted while a frame waits, as autocast would do. What that costs a
network is not known beforehand (OSNet turns by 0.002 in bf16, a large activation is infinite in fp16), so it is tried.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from mot_dinov3.core.structures import FloatArray
from mot_dinov3.core.structures.arrays import unit_rows
from mot_dinov3.features.network import TorchRuntime

LEAST_COSINE = 0.999
"""Between what a network makes of a crop as its weights are, and after it was converted or shortened."""

log = logging.getLogger(__name__)


def lowest_safe_precision(
    whole: TorchRuntime, precisions: Sequence[str], pixels: FloatArray
) -> tuple[TorchRuntime, str]:
    """Return a network in the first precision whose embeddings are those of fp32, and that precision.

    Args:
        whole: The network in fp32.
        precisions: To be tried, best first; where none passes, it stays in fp32.
        pixels: ``(n, 3, h, w)`` preprocessed crops to compare on.
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
