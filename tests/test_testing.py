"""The contracts that authors of plug-ins run find what is broken, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from mot_dinov3.core.errors import MotError, UsageError
from mot_dinov3.core.structures import Detections, FloatArray, Frame, Image, ModelInfo
from mot_dinov3.detectors.base import Detector, DetectorConfig, DetectorRequest
from mot_dinov3.features.base import EmbedderRequest
from mot_dinov3.features.histogram import HistogramEmbedder
from mot_dinov3.testing import check_detector, check_embedder


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
    def embed_images(self, pictures: Sequence[Image]) -> FloatArray:
        return super().embed_images([p if p.size else np.zeros((1, 1, 3), np.uint8) for p in pictures])


def test_a_sound_embedder_passes_by_name_by_reference_and_as_a_class() -> None:
    check_embedder("histogram")
    check_embedder("mot_dinov3.features.histogram:HistogramEmbedder")
    check_embedder(HistogramEmbedder)


@pytest.mark.parametrize(
    ("embedder", "promise"),
    [
        (Double, "float32"),
        (Long, "length 1"),
        (Blind, "different crops"),
        (Painter, "change the image"),
        (Shuffler, "order of the boxes|invalid boxes"),
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


class Finder(Detector):
    """Finds two boxes of two classes in every frame."""

    def __init__(self, request: DetectorRequest) -> None:
        self.config = request.config
        self.info, self.names = ModelInfo("finder"), {0: "left", 1: "right"}

    def detect(self, frame: Frame) -> Detections:
        xyxy = np.array([[0, 0, 50, 90], [60, 0, 110, 90]], np.float32)
        found = Detections(xyxy, np.array([0.9, 0.8], np.float32), np.array([0, 1]))
        return found[:1] if self.config.classes == "0" else found


class Growing(Finder):
    seen = 0

    def detect(self, frame: Frame) -> Detections:
        self.seen += 1
        found = super().detect(frame)
        return found.replace(xyxy=found.xyxy + np.float32(self.seen))


class Growth(Growing):
    is_stateful = True


class Random(Finder):
    def detect(self, frame: Frame) -> Detections:
        found = super().detect(frame)
        return found.replace(xyxy=found.xyxy + np.random.default_rng().random((1, 4)).astype(np.float32))


class Rising(Finder):
    def detect(self, frame: Frame) -> Detections:
        return super().detect(frame)[::-1]


class Flat(Finder):
    def detect(self, frame: Frame) -> Detections:
        found = super().detect(frame)
        return found.replace(xyxy=found.xyxy * np.float32([1, 0, 1, 0]))


class Scribbler(Finder):
    def detect(self, frame: Frame) -> Detections:
        frame.pixels()[:] = 0
        return super().detect(frame)


class Classless(Finder):
    def __init__(self, request: DetectorRequest) -> None:
        super().__init__(dataclasses.replace(request, config=DetectorConfig()))


class Looking(Finder):
    """Says that its boxes are precomputed, and needs the image all the same."""

    is_recorded = True

    def detect(self, frame: Frame) -> Detections:
        frame.pixels()
        return super().detect(frame)


def test_a_sound_detector_passes_also_one_that_must_see_every_frame() -> None:
    check_detector(Finder)
    check_detector(Growth)
    check_detector("motion")


@pytest.mark.parametrize(
    ("detector", "promise"),
    [
        (Growing, "is_stateful must be True"),
        (Random, "bit-identical"),
        (Rising, "descending score"),
        (Flat, "positive size"),
        (Scribbler, "change the image"),
        (Classless, "config.classes"),
        (lambda request: object(), "must have 'info'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_detector_breaks_is_named(detector: type[Finder], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_detector(detector)


def test_no_score_is_below_the_threshold() -> None:
    with pytest.raises(AssertionError, match=r"below config\.conf"):
        check_detector(Finder, config=DetectorConfig(conf=0.85))


def test_precomputed_boxes_need_no_image() -> None:
    with pytest.raises(MotError):
        check_detector(Looking)
