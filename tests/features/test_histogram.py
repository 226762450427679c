"""The histogram tells colours and stripes apart, and people too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.models.devices import DeviceConfig


@pytest.fixture
def histogram() -> Embedder:
    return build_embedder(EmbedderConfig(embedder="histogram"), device=DeviceConfig())


def person(top: tuple[int, int, int], bottom: tuple[int, int, int], *, background: int = 90) -> np.ndarray:
    picture = np.full((120, 60, 3), background, np.uint8)
    picture[15:60, 18:42], picture[60:110, 20:40] = top, bottom
    return picture


def test_same_clothes_are_alike_whatever_the_size_and_background(histogram: Embedder) -> None:
    red_blue = person((20, 20, 200), (200, 30, 30))
    far, elsewhere = red_blue[::2, ::2], person((20, 20, 200), (200, 30, 30), background=230)
    other = person((40, 180, 40), (30, 30, 30))
    rows = histogram.embed_images([red_blue, far, elsewhere, other])
    cosine = rows @ rows.T
    assert cosine[0, 1] > 0.95
    assert cosine[0, 2] > cosine[0, 3] + 0.2


def test_where_a_colour_is_matters(histogram: Embedder) -> None:
    rows = histogram.embed_images([person((20, 20, 200), (200, 30, 30)), person((200, 30, 30), (20, 20, 200))])
    assert rows[0] @ rows[1] < 0.5


def test_red_is_one_colour_on_both_ends_of_the_circle(histogram: Embedder) -> None:
    rows = histogram.embed_images([person((8, 0, 200), (8, 0, 200)), person((0, 8, 200), (0, 8, 200))])
    assert rows[0] @ rows[1] > 0.99


def test_people_of_the_gallery_are_told_apart(histogram: Embedder, shared: Path) -> None:
    same, different = gallery_cosines(histogram, shared)
    # Share of (same, different) pairs in the right order: the area under the ROC curve; measured 0.90.
    assert (same[:, None] > different[None]).mean() > 0.85
    # Below the floor lie few pairs of one person, and many of two.
    assert (same < histogram.same_floor).mean() < 0.1
    assert (different < histogram.same_floor).mean() > 0.3


def gallery_cosines(embedder: Embedder, shared: Path) -> tuple[np.ndarray, np.ndarray]:
    import cv2

    files = sorted((shared / "data/gallery/crops_pets09_s2l1").glob("*/*.*"))
    rows = embedder.embed_images([cv2.imread(str(file)) for file in files])
    who = np.array([file.parent.name for file in files])
    first, second = np.triu_indices(len(files), 1)
    cosine, same = (rows @ rows.T)[first, second], who[first] == who[second]
    return cosine[same], cosine[~same]
