"""The contract of a plug-in, to be run by its author: ``check_embedder("my_package.my_module:MyEmbedder")``.

In a test file of your own::

    from mot_dinov3.testing import check_embedder

    def test_my_embedder_keeps_the_contract():
        check_embedder("my_package.my_module:MyEmbedder", model="weights.pt")

The embedders of this project are held to the same checks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.errors import InputError
from mot_dinov3.core.registry import resolve
from mot_dinov3.core.structures import FloatArray, Image
from mot_dinov3.features.base import Embedder, EmbedderRequest
from mot_dinov3.features.factory import EMBEDDERS
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.hub import locate

BOXES = np.array([[5, 5, 35, 80], [40, 10, 70, 85], [70, 0, 119, 40], [100, 60, 140, 100]], np.float32)
CLOSE = 1e-5


def check_embedder(
    embedder: str | Callable[[EmbedderRequest], Embedder], *, model: str = "", size: tuple[int, int] | None = None
) -> None:
    """Check all that the program relies on in an embedder; returns where it keeps every promise.

    Args:
        embedder: ``package.module:Class``, a listed name, or the class itself.
        model: What the request names as the model: a hub id, a folder or a file.
        size: ``(height, width)`` of the network's input, or None for the model's own.

    Raises:
        AssertionError: A promise that it does not keep; the message says which.
        UsageError: The reference cannot be imported.
    """
    make = resolve("embedder", EMBEDDERS, embedder) if isinstance(embedder, str) else embedder

    def build(batch: int) -> Embedder:
        return make(
            EmbedderRequest(
                model=model,
                device=DeviceConfig("cpu", precision="fp32", accel="torch"),
                pad=0.12,
                square=None,
                size=size,
                pooling="cls",
                batch=batch,
                locate=locate,
            )
        )

    whole, single = build(32), build(1)
    _says_what_it_is(whole)
    _gives_unit_rows(whole)
    _survives_any_box(whole)
    _looks_at_each_crop_alone(whole, single)
    _takes_whole_pictures(whole)


def sample_picture() -> Image:
    """Return a ``(90, 120, 3)`` picture of tiles in random colours, so that crops of different places differ."""
    tiles = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return tiles.repeat(15, axis=0).repeat(15, axis=1)


def _promise(kept: bool | np.bool_, promise: str) -> None:
    if not kept:
        raise AssertionError(f"the embedder breaks its contract: {promise}")


def _says_what_it_is(embedder: Embedder) -> None:
    for name in ("info", "dim", "same_floor", "embed", "embed_pictures", "synchronize"):
        _promise(hasattr(embedder, name), f"it must have '{name}'")
    _promise(bool(embedder.info.name), "info.name must say what it is")
    _promise(isinstance(embedder.dim, int) and embedder.dim >= 0, f"dim must be a whole number, got {embedder.dim!r}")
    _promise(-1 <= embedder.same_floor < 1, f"same_floor must be a cosine below 1, got {embedder.same_floor!r}")


def _gives_unit_rows(embedder: Embedder) -> None:
    picture = sample_picture()
    before = picture.copy()
    rows = embedder.embed(picture, BOXES)
    embedder.synchronize()
    _unit(embedder, rows, len(BOXES), "embed")
    _promise(np.array_equal(picture, before), "embed must leave the picture as it is")
    _promise(np.array_equal(embedder.embed(picture, BOXES), rows), "the same twice must be the same to the bit")
    _unit(embedder, embedder.embed(picture, np.zeros((0, 4), np.float32)), 0, "embed without boxes")
    if embedder.dim:
        alike = (rows @ rows.T)[~np.eye(len(rows), dtype=bool)].max()
        _promise(alike < 1 - CLOSE, "crops that differ must get vectors that differ")


def _survives_any_box(embedder: Embedder) -> None:
    inf, nan = np.inf, np.nan
    odd = [[nan] * 4, [5, 5, 5, 5], [50, 50, 10, 10], [900, 900, 950, 990], [-inf, -inf, inf, inf], [0, nan, 9, 9]]
    rows = embedder.embed(sample_picture(), np.array([*odd, BOXES[0]], np.float32))
    _unit(embedder, rows, 7, "embed with boxes that are NaN, inverted, empty or outside")
    alone = embedder.embed(sample_picture(), BOXES[:1])
    _promise(np.allclose(rows[6:], alone, atol=CLOSE), "odd boxes must not change the rows of good ones")


def _looks_at_each_crop_alone(embedder: Embedder, single: Embedder) -> None:
    rows = embedder.embed(sample_picture(), BOXES)
    turned = embedder.embed(sample_picture(), BOXES[::-1])[::-1]
    _promise(np.allclose(turned, rows, atol=CLOSE), "rows must come in the order of the boxes")
    one_by_one = single.embed(sample_picture(), BOXES)
    _promise(np.allclose(one_by_one, rows, atol=CLOSE), "a row must not depend on the batch size")


def _takes_whole_pictures(embedder: Embedder) -> None:
    picture = sample_picture()
    rows = embedder.embed_pictures([picture, picture[:40, :60], picture[:1, :1]])
    _unit(embedder, rows, 3, "embed_pictures with pictures of different sizes")
    _unit(embedder, embedder.embed_pictures([]), 0, "embed_pictures without pictures")
    if not embedder.dim:
        return
    try:
        embedder.embed_pictures([picture, picture[:0]])
    except InputError:
        return
    _promise(False, "embed_pictures must raise InputError for a picture without pixels")


def _unit(embedder: Embedder, rows: FloatArray | npt.NDArray[np.generic], count: int, what: str) -> None:
    shape, wanted = getattr(rows, "shape", None), (count, embedder.dim)
    _promise(shape == wanted, f"{what} must return {wanted} rows, got {shape}")
    _promise(rows.dtype == np.float32, f"{what} must return float32, got {rows.dtype}")
    if embedder.dim and count:
        norms = np.linalg.norm(np.asarray(rows, np.float64), axis=1)
        _promise(np.allclose(norms, 1, atol=CLOSE), f"{what} must return rows of length 1")
