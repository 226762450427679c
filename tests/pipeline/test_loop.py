"""Embedding rows of a frame: what is asked for, in order, and done when it returns."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.errors import MotError
from mot_dinov3.core.structures import Detections, FloatArray, Frame, Image, ModelInfo
from mot_dinov3.pipeline.loop import embeds_rows

DETECTIONS = Detections(np.arange(12, dtype=np.float32).reshape(3, 4).cumsum(axis=1))


class Late:
    """An embedder whose device runs ahead: rows are there only once it has been waited for."""

    info, dim, same_floor = ModelInfo("late"), 4, 0.5

    def __init__(self) -> None:
        self.queued = 0

    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        self.queued += len(xyxy)
        return xyxy / np.linalg.norm(xyxy, axis=1, keepdims=True)

    def embed_images(self, pictures: object) -> FloatArray:
        raise NotImplementedError

    def synchronize(self) -> None:
        self.queued = 0


def test_each_call_returns_when_the_device_has_finished() -> None:
    embedder = Late()
    embed = embeds_rows(embedder, Frame(0, 0.0, np.zeros((20, 20, 3), np.uint8)), DETECTIONS)
    for rows in ([2, 0], [1]):
        found = embed(np.array(rows))
        assert embedder.queued == 0
        wanted = DETECTIONS.xyxy[rows]
        np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True))


def test_a_picture_is_needed_only_where_a_row_is_embedded() -> None:
    embed = embeds_rows(Late(), Frame(7, 0.0), DETECTIONS)
    with pytest.raises(MotError, match="frame 7 has no image"):
        embed(np.array([0]))
