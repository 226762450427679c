"""An embedder whose pictures tell by their colour who is in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mot_dinov3.core.structures import FloatArray, Image, ModelInfo


class ColourEmbedder:
    """Embeds a picture as its mean colour, scaled to length 1.

    Attributes:
        batches: Sizes of the batches it was given.
    """

    same_floor = 0.5
    dim = 3

    def __init__(self) -> None:
        self.info = ModelInfo("colour")
        self.batches: list[int] = []

    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        boxes = np.clip(xyxy, 0, None).astype(int)
        return self.embed_images([image[y1:y2, x1:x2] for x1, y1, x2, y2 in boxes])

    def embed_images(self, pictures: Sequence[Image]) -> FloatArray:
        self.batches.append(len(pictures))
        mean = np.array([p.reshape(-1, 3).mean(axis=0) + 1e-3 for p in pictures], np.float32)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def synchronize(self) -> None:
        pass


def write_picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 20)) -> None:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).integers(0, 3, (*size, 3))
    cv2.imwrite(str(path), (np.array(colour) // 2 + noise).astype(np.uint8))
