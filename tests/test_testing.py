"""The contract that authors of plug-ins run finds what is broken, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import FloatArray, Image
from mot_dinov3.features.base import EmbedderRequest
from mot_dinov3.features.histogram import HistogramEmbedder
from mot_dinov3.testing import check_embedder


class Double(HistogramEmbedder):
    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        return super().embed(image, xyxy).astype(np.float64)  # type: ignore[return-value]


class Long(HistogramEmbedder):
    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        return super().embed(image, xyxy) * 2


class Blind(HistogramEmbedder):
    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        return np.full((len(xyxy), self.dim), self.dim**-0.5, np.float32)


class Painter(HistogramEmbedder):
    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        rows = super().embed(image, xyxy)
        image[:] = 0
        return rows


class Shuffler(HistogramEmbedder):
    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        return super().embed(image, xyxy[np.argsort(xyxy[:, 0])])


class Batchwise(HistogramEmbedder):
    def __init__(self, request: EmbedderRequest) -> None:
        super().__init__(request)
        self._turn = request.batch

    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        return np.roll(super().embed(image, xyxy), self._turn, axis=1)


class Careless(HistogramEmbedder):
    def embed_pictures(self, pictures: Sequence[Image]) -> FloatArray:
        return super().embed_pictures([p if p.size else np.zeros((1, 1, 3), np.uint8) for p in pictures])


def test_a_sound_embedder_passes_by_name_by_reference_and_as_a_class() -> None:
    check_embedder("histogram")
    check_embedder("mot_dinov3.features.histogram:HistogramEmbedder")
    check_embedder(HistogramEmbedder)


@pytest.mark.parametrize(
    ("embedder", "promise"),
    [
        (Double, "float32"),
        (Long, "length 1"),
        (Blind, "that differ"),
        (Painter, "leave the picture"),
        (Shuffler, "order of the boxes|odd boxes"),
        (Batchwise, "batch size"),
        (Careless, "without pixels"),
        (lambda request: object(), "must have 'info'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_promise_is_named(embedder: type[HistogramEmbedder], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_embedder(embedder)


def test_what_cannot_be_imported_is_told() -> None:
    with pytest.raises(UsageError, match="no_such_module:Mine"):
        check_embedder("no_such_module:Mine")
