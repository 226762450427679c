"""One contract for every embedder of the registry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import InputError
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EMBEDDERS, REID, EmbedderConfig, build_embedder
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.testing import check_embedder

CASES = [
    ("none", None),
    ("histogram", None),
    ("osnet", "osnet.pt"),
    ("reid", "osnet.pt"),
    ("resnet", "resnet"),
    ("clip", "clip"),
    ("dino", "dinov2"),
    ("dino", "dinov2_registers"),
    ("dino", "dinov3_vit"),
    ("dino", "dinov3_convnext"),
]
BOXES = np.array([[5, 5, 35, 80], [40, 10, 70, 85], [70, 0, 119, 40], [100, 60, 140, 100]], np.float32)


def test_every_embedder_is_held_to_the_contract() -> None:
    assert {name for name, _ in CASES} == set(EMBEDDERS)


def build(case: tuple[str, str | None], checkpoints: Path, *, precision: str = "fp32", batch: int = 32) -> Embedder:
    name, model = case
    config = EmbedderConfig(
        embedder=name,
        embed_model=str(checkpoints / model) if model else None,
        embed_batch=batch,
        crop_size="64x32" if name in REID else None,
    )
    return build_embedder(config, device=DeviceConfig("cpu", precision=precision, accel="torch"))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(filter(None, case)))
def case(request: pytest.FixtureRequest) -> tuple[str, str | None]:
    return request.param


@pytest.fixture(scope="module")
def embedder(case: tuple[str, str | None], checkpoints: Path) -> Embedder:
    return build(case, checkpoints)


def assert_unit(rows: np.ndarray, count: int, embedder: Embedder) -> None:
    assert rows.dtype == np.float32
    assert rows.shape == (count, embedder.dim)
    if embedder.dim:
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_the_contract_of_plug_ins_holds(case: tuple[str, str | None], checkpoints: Path) -> None:
    name, model = case
    check_embedder(name, model=str(checkpoints / model) if model else "", size=(64, 32) if name in REID else None)


def test_it_says_what_it_is(embedder: Embedder, case: tuple[str, str | None]) -> None:
    assert embedder.info.name == ("osnet" if case[0] in REID else case[0])
    assert embedder.info.weights.endswith(case[1] or "")
    assert embedder.info.device == "cpu"
    assert embedder.same_floor is None or -1 <= embedder.same_floor < 1


def test_whole_pictures_are_taken_whole(embedder: Embedder, picture: np.ndarray) -> None:
    rows = embedder.embed_images([picture, picture[:40, :60], picture[:1, :1]])
    assert_unit(rows, 3, embedder)
    everything = np.array([[0, 0, 120, 90]], np.float32)
    if not embedder.dim or embedder.info.name in ("osnet", "histogram"):  # neither squares, and nothing is left to pad
        np.testing.assert_allclose(rows[:1], embedder.embed(picture, everything), atol=1e-5)


def test_a_picture_without_pixels_is_named(embedder: Embedder, picture: np.ndarray) -> None:
    if embedder.dim:
        with pytest.raises(InputError, match="image 1 of 2"):
            embedder.embed_images([picture, picture[:0]])


def test_bf16_is_close_to_fp32(
    embedder: Embedder, case: tuple[str, str | None], checkpoints: Path, picture: np.ndarray
) -> None:
    half = build(case, checkpoints, precision="bf16")
    rows = half.embed(picture, BOXES)
    assert_unit(rows, 4, embedder)
    if embedder.dim:
        assert np.einsum("nd,nd->n", rows, embedder.embed(picture, BOXES)).min() > 0.98
    assert half.info.precision in ("bf16", "")
