"""Dense descriptors of a picture: one per patch, from DINO tokens, a convolutional network or gradients.

A backend is made from a `DenseRequest` and describes square pictures. Names come without imports.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from mot_dinov3.core.structures import Image, ModelInfo
from mot_dinov3.keypoints.descriptor_maps import DenseMap

BACKENDS = {
    "dino": "mot_dinov3.keypoints.backends.dino:DinoBackend",
    "convnet": "mot_dinov3.keypoints.backends.convnet:ConvnetBackend",
    "gradient": "mot_dinov3.keypoints.backends.gradient:GradientBackend",
}


class DenseBackend(Protocol):
    """Describes pictures densely.

    Attributes:
        patch: Pixels of the described picture from one descriptor to the next.
        unit_patch: Pixels of the patch in which the settings count.
        unrelated: Similarity that different body parts usually have.
        same: Similarity from which two places are surely the same.
        key_every: Frames from one key frame to the next that suit its cost.
        info: What it is, for the summary.
    """

    patch: float
    unit_patch: float
    unrelated: float
    same: float
    key_every: int
    info: ModelInfo

    def describe(self, image: Image) -> DenseMap:
        """Return the descriptors of a ``(h, w, 3)`` uint8 BGR picture."""
        ...


def _nothing_to_load(_: str) -> Any:
    raise NotImplementedError("a model loader is required")


@dataclasses.dataclass(frozen=True)
class DenseRequest:
    """What a backend is made from.

    Attributes:
        model: DINO model: a folder or a hub id.
        weights: Weights of a convolutional network, or None.
        device: As the user wrote it.
        load_patches: Loads a DINO model by name; what it returns has the shape of `backends.dino.PatchNetwork`.
        load_convnet: Loads a convolutional network from a file, ready to run layer by layer.
    """

    model: str = ""
    weights: Path | None = None
    device: str = "cpu"
    load_patches: Callable[[str], Any] = _nothing_to_load
    load_convnet: Callable[[str], Any] = _nothing_to_load
