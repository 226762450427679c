"""What a person sees of keypoints."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.structures import Keypoints, PointState
from mot_dinov3.keypoints.rendering import PrincipalComponents, draw_heatmap, draw_keypoints, draw_pca
from mot_dinov3.viz.style import hue_color

GREY = np.full((720, 1280, 3), 90, np.uint8)


def keypoints(*states: PointState) -> Keypoints:
    n = len(states)
    xy = np.array([[40.0 + 160 * i, 60.0] for i in range(n)])
    xy[[s == PointState.LOST for s in states]] = np.nan
    names = ("nose", "ear", "tail")[:n]
    return Keypoints(("a",) * n, np.ones(n, int), names, xy, np.ones(n), np.array(states, int), np.zeros(n, int))


def test_visible_points_are_filled_occluded_ones_hollow_and_lost_ones_not_there() -> None:
    drawn = draw_keypoints(GREY, keypoints(PointState.VISIBLE, PointState.OCCLUDED, PointState.LOST))
    assert drawn[60, 40].tolist() == list(hue_color(0))
    assert drawn[60, 200].tolist() == [90, 90, 90]
    ring = np.abs(drawn[45:75, 185:215].astype(int) - hue_color(1)).max(2)
    assert (ring < 40).any()
    assert (drawn[:, 300:] == 90).all()
    assert (GREY == 90).all()  # the picture itself stays


def test_names_cover_neither_points_nor_each_other() -> None:
    alone = draw_keypoints(GREY, keypoints(PointState.VISIBLE))
    assert (alone[45:75, 48:110].min(2) > 200).any()  # white letters to the right
    crowd = Keypoints(
        ("a",) * 2,
        np.ones(2, int),
        ("nose", "ear"),
        np.array([[40.0, 60.0], [56.0, 60.0]]),
        np.ones(2),
        np.zeros(2, int),
        np.zeros(2, int),
    )
    drawn = draw_keypoints(GREY, crowd)
    assert drawn[60, 56].tolist() == list(hue_color(1))  # the neighbour is not written over


def test_a_heatmap_keeps_the_scale_it_is_given() -> None:
    heights = np.zeros((6, 10), np.float32)
    heights[3, 5] = 0.5
    marks = np.array([5.0, 5.0]), np.array([1180.0, 100.0])
    own = draw_heatmap(GREY, heights, marks=marks, opacity=1.0)
    wide = draw_heatmap(GREY, heights, marks=marks, opacity=1.0, scale=(-1.0, 1.0))
    spot = 420, 704  # the middle of the bright cell
    assert own[spot][2] > own[spot][0]  # its own range: the hot end
    assert wide[spot].tolist() != own[spot].tolist()
    assert own.shape[0] == GREY.shape[0]
    assert own.shape[1] > GREY.shape[1]


def test_main_components_give_the_same_descriptor_the_same_colour_in_every_picture() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(12, 20, 8)).astype(np.float32)
    second = np.ascontiguousarray(first[:, ::-1])
    components = PrincipalComponents.of(first)
    one, other = (draw_pca(GREY, cells, components, opacity=1.0) for cells in (first, second))
    np.testing.assert_allclose(one[:, ::-1].astype(int), other, atol=2)
