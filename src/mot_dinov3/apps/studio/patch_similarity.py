"""What a clicked patch resembles: descriptors of the frames looked at are kept, so that the next click is quick."""

from __future__ import annotations

import base64
import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

from mot_dinov3.keypoints.descriptor_maps import DenseMap, find_peaks, similarity_maps

CACHE_BYTES = 400_000_000


@dataclasses.dataclass(frozen=True)
class Described:
    """A frame's descriptors.

    Attributes:
        dense: The map.
        factor: ``(2,)`` working pixels per source pixel, in x and y.
    """

    dense: DenseMap
    factor: npt.NDArray[np.float64]


class FeatureCache:
    """Descriptors by what they are of, the least recently used dropped beyond a number of bytes.

    Args:
        budget: Bytes.
    """

    def __init__(self, budget: int = CACHE_BYTES) -> None:
        self._budget = budget
        self._held: OrderedDict[Hashable, Described] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Described]) -> Described:
        """Return the descriptors of `key`, made when they are not held; one at a time."""
        with self._lock:
            if key not in self._held:
                self._held[key] = make()
            self._held.move_to_end(key)
            while len(self._held) > 1 and sum(d.dense.cells.nbytes for d in self._held.values()) > self._budget:
                self._held.popitem(last=False)
            return self._held[key]


def compare(clicked: Described, target: Described, place: tuple[float, float]) -> dict[str, Any]:
    """Return how similar every cell of `target` is to a place of `clicked`, for the page.

    The map goes as little-endian float32 in base64, row by row; `cell` is the size of a cell in source pixels.
    """
    template = clicked.dense.at(np.array([place]) * clicked.factor)
    heights = similarity_maps(target.dense, template)[0]
    peaks = find_peaks(heights[None], target.dense.patch)
    best, rival = peaks.xy[0] / target.factor, peaks.rival[0] / target.factor
    return {
        "shape": list(heights.shape),
        "map": base64.b64encode(heights.astype("<f4").tobytes()).decode(),
        "cell": (target.dense.patch / target.factor).tolist(),
        "low": float(heights.min()),
        "high": float(heights.max()),
        "best": {"place": best.tolist(), "value": float(peaks.value[0])},
        "rival": {"place": rival.tolist(), "value": float(peaks.second[0])},
    }
