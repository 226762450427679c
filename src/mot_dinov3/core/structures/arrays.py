"""Names for the types of arrays, and rows of unit length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]


def unit_rows(rows: FloatArray) -> FloatArray:
    """Return the rows scaled to length 1; one that has no direction, being zero or not finite, becomes zero."""
    rows = np.asarray(rows, np.float32)
    norm = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))[:, None]
    good = np.isfinite(norm) & (norm > 1e-12)
    with np.errstate(invalid="ignore"):
        return np.where(good, rows / np.where(good, norm, 1), 0).astype(np.float32)
