"""Counts and remembers what a backend describes."""

from __future__ import annotations

import collections
import hashlib
import time
from collections.abc import Callable

import numpy as np

from mot_dinov3.core.structures import Image, ModelInfo
from mot_dinov3.keypoints.backends import DenseBackend
from mot_dinov3.keypoints.descriptor_maps import DenseMap

REMEMBERED = 4  # maps; one of 56×56 cells with 400 numbers takes 5 MB


class CountedBackend:
    """A backend that does not describe the same picture twice in a row, and says what it cost.

    Args:
        backend: What describes.
        clock: Seconds from any fixed point; a test passes its own.

    Attributes:
        calls: Pictures described.
        seconds: Time spent on them.
    """

    def __init__(self, backend: DenseBackend, clock: Callable[[], float] = time.perf_counter) -> None:
        self._backend = backend
        self._clock = clock
        self._maps: collections.OrderedDict[tuple[str, tuple[int, ...]], DenseMap] = collections.OrderedDict()
        self.patch, self.unit_patch, self.key_every = backend.patch, backend.unit_patch, backend.key_every
        self.unrelated, self.same = backend.unrelated, backend.same
        self.info: ModelInfo = backend.info
        self.calls, self.seconds = 0, 0.0

    def describe(self, image: Image) -> DenseMap:
        """Return the descriptors of a ``(h, w, 3)`` uint8 BGR picture."""
        key = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest(), image.shape
        if key not in self._maps:
            start = self._clock()
            self._maps[key] = self._backend.describe(image)
            self.calls += 1
            self.seconds += self._clock() - start
            if len(self._maps) > REMEMBERED:
                self._maps.popitem(last=False)
        return self._maps[key]
