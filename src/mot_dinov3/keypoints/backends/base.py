"""The interface of dense backends, what they are built from, and the cache in front of them."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.lru import LruCache
from mot_dinov3.core.structures import Image, ModelInfo
from mot_dinov3.keypoints.descriptor_maps import DenseMap

CACHED = 4  # maps; one of 56×56 cells with 400 numbers takes 5 MB


class DenseBackend(Protocol):
    """Describes images densely: one descriptor per patch.

    Attributes:
        patch: Pixels of the described image from one descriptor to the next.
        unit_patch: Pixels of the patch that the options count in.
        unrelated: Typical similarity of different body parts.
        same: Similarity from which two positions show the same body part.
        key_every: Frames from one key frame to the next that suit its cost.
        enlarge: Most times that a crop of a small animal is enlarged.
        info: Model, weights and device, for the summary.
    """

    patch: float
    unit_patch: float
    unrelated: float
    same: float
    key_every: int
    enlarge: float = 2.0
    info: ModelInfo

    def describe(self, image: Image) -> DenseMap:
        """Return the descriptors of a ``(h, w, 3)`` uint8 BGR image."""
        ...


@dataclasses.dataclass(frozen=True)
class DenseRequest:
    """Everything that a backend may be built from.

    Attributes:
        model: DINO model: a folder or a hub id.
        blocks: Blocks of it whose tokens are used, from 1; none: those that suit its depth.
        debias: Subtract what its tokens say about the place in the image.
        weights: Weights of a convolutional network, or None.
        device: As the user wrote it.
        load_patches: Loads a DINO model by name; returns an object like `features.dense.PatchNetwork`.
        load_convnet: Loads a convolutional network from a file, ready to run layer by layer.
    """

    model: str
    weights: Path | None
    device: str
    load_patches: Callable[[str], Any]
    load_convnet: Callable[[str], Any]
    blocks: tuple[int, ...] = ()
    debias: bool = False


class CachedBackend(DenseBackend):
    """A backend that keeps its last maps, counts its calls and times them.

    Args:
        backend: Describes images.

    Attributes:
        calls: Images described.
        seconds: Time spent on them.
    """

    def __init__(self, backend: DenseBackend) -> None:
        self._backend = backend
        self._maps: LruCache[tuple[str, tuple[int, ...]], DenseMap] = LruCache(CACHED)
        self.patch, self.unit_patch, self.key_every = backend.patch, backend.unit_patch, backend.key_every
        self.unrelated, self.same, self.enlarge = backend.unrelated, backend.same, backend.enlarge
        self.info = backend.info
        self.calls, self.seconds = 0, 0.0

    @override
    def describe(self, image: Image) -> DenseMap:
        key = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest(), image.shape
        dense = self._maps.get(key)
        if dense is None:
            start = time.perf_counter()
            dense = self._maps.put(key, self._backend.describe(image))
            self.calls += 1
            self.seconds += time.perf_counter() - start
        return dense
