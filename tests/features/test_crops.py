"""Cutting and normalising: hand-computed windows, pixels and rows."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.structures.arrays import unit_rows
from mot_dinov3.features.base import crop_windows, cut, parse_size
from mot_dinov3.models.pretrained import resize_into


def windows(box: list[float], *, pad: float = 0.0, square: bool = False) -> list[int]:
    return crop_windows(np.array([box], np.float32), 100, 60, pad=pad, square=square)[0].tolist()


def test_padding_is_a_share_of_the_box_and_stops_at_the_edge() -> None:
    assert windows([40, 20, 60, 30], pad=0.1) == [38, 19, 62, 31]
    assert windows([0, 50, 20, 60], pad=0.1) == [0, 49, 22, 60]


def test_a_fraction_of_a_pixel_counts_as_that_pixel() -> None:
    assert windows([10.5, 10.2, 11.2, 12.7]) == [10, 10, 12, 13]


def test_square_grows_the_shorter_side_around_the_centre() -> None:
    assert windows([40, 20, 60, 30], square=True) == [40, 15, 60, 35]


def test_square_is_shifted_into_the_picture() -> None:
    assert windows([0, 10, 10, 50], square=True) == [0, 10, 40, 50]
    assert windows([90, 10, 100, 50], square=True) == [60, 10, 100, 50]


def test_square_reaches_beyond_only_where_the_picture_is_too_small() -> None:
    assert windows([10, 10, 90, 50], square=True) == [10, -10, 90, 70]


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize(
    ("box", "pixel"),
    [
        ([np.nan] * 4, [0, 0, 1, 1]),
        ([30, 30, 30, 30], [30, 30, 31, 31]),
        ([500, 500, 600, 600], [99, 59, 100, 60]),
        ([-50, -50, -10, -10], [0, 0, 1, 1]),
    ],
)
def test_a_degenerate_box_becomes_its_nearest_pixel(box: list[float], pixel: list[int], square: bool) -> None:
    assert windows(box, pad=0.12, square=square) == pixel


@pytest.mark.parametrize("square", [False, True])
def test_every_window_holds_pixels_of_the_picture(square: bool) -> None:
    rng = np.random.default_rng(0)
    boxes = rng.normal(scale=10.0 ** rng.integers(0, 38, (200, 1)), size=(200, 4)).astype(np.float32)
    boxes[::7, 0], boxes[::5, 3], boxes[::11, 2] = -np.inf, np.inf, np.nan
    x1, y1, x2, y2 = crop_windows(boxes, 100, 60, pad=0.12, square=square).T
    assert (np.minimum(x2, 100) - np.maximum(x1, 0) >= 1).all()
    assert (np.minimum(y2, 60) - np.maximum(y1, 0) >= 1).all()
    assert (x2 - x1).max() <= 100
    if square:
        np.testing.assert_array_equal(x2 - x1, y2 - y1)


def test_cut_repeats_the_edge_beyond_the_picture() -> None:
    image = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    inside, beyond = cut(image, np.array([[1, 0, 3, 2], [0, -1, 4, 3]]))
    np.testing.assert_array_equal(inside, image[:, 1:3])
    np.testing.assert_array_equal(beyond, image[[0, 0, 1, 1]])


def test_resizing_averages_where_it_shrinks() -> None:
    checkers = np.indices((40, 40)).sum(0) % 2 * 200
    crop = np.repeat(checkers[..., None], 3, axis=2).astype(np.uint8)
    small = resize_into([crop, np.full((1, 1, 3), 7, np.uint8)], 10, 10)
    assert small.shape == (2, 10, 10, 3)
    assert (small[0] == 100).all()
    assert (small[1] == 7).all()


def test_rows_become_unit_rows_and_those_without_a_direction_zero() -> None:
    rows = unit_rows(np.array([[3, 4, 0, 0], [0, 0, 0, 0], [np.nan, 1, 0, 0], [3e38, 3e38, 0, 0]], np.float32))
    np.testing.assert_allclose(rows[0], [0.6, 0.8, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(rows[1:3], np.zeros((2, 4)))
    np.testing.assert_allclose(rows[3], [0.5**0.5, 0.5**0.5, 0, 0], rtol=1e-6)


def test_size_is_height_by_width() -> None:
    assert parse_size("256x128") == (256, 128)


@pytest.mark.parametrize("text", ["256", "256x", "8x8", "4096x16", "axb", "256x128x3", ""])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="HxW"):
        parse_size(text)
