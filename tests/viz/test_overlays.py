"""Trails, hidden people, regions and the HUD change the frame where they should, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.structures import Detections, Reason, TrackState, TrackView
from mot_dinov3.viz import (
    DrawConfig,
    HudStats,
    RegionOverlay,
    Trails,
    anonymize,
    draw_frame,
    draw_hud,
    draw_regions,
    label_of,
    track_color,
)
from mot_dinov3.viz.label_placement import Label, _candidates, _overlap, draw_labels, plate_size
from mot_dinov3.viz.style import Pen


def noise(height=200, width=300):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def rows(*boxes, **columns):
    n = len(boxes)
    filled = {"track_id": np.arange(1, n + 1), "state": np.full(n, TrackState.CONFIRMED), **columns}
    return Detections(np.array(boxes, np.float32).reshape(n, 4), **filled)


def lost_view(box):
    one = np.ones(1, np.int64)
    return TrackView(one, one, one * TrackState.LOST, np.array([box], np.float32), one > 1, None, -one, one * 0)


def detail(image):
    """How much neighbouring pixels differ."""
    return np.abs(np.diff(image.astype(int), axis=1)).mean()


@pytest.mark.parametrize("how", ["blur", "pixelate"])
def test_whoever_is_detected_predicted_or_lost_is_hidden_and_nobody_else(how):
    image = noise()
    before = image.copy()
    boxes = (10, 20, 50, 100), (100.4, 20.4, 140.6, 100.6), (200, 20, 240, 100)
    given = rows(*boxes, track_id=[-1, 2, 3], coasted=[False, False, True])
    anonymize(image, given, lost_view((100, 130, 140, 190)), how)
    for x1, y1, x2, y2 in ((10, 20, 50, 100), (100, 20, 141, 101), (200, 20, 240, 100), (100, 130, 140, 190)):
        assert detail(image[y1:y2, x1:x2]) < 0.35 * detail(before[y1:y2, x1:x2])
        assert (image[y1:y2, x1:x2] != before[y1:y2, x1:x2]).any(2).mean() > 0.98, "every pixel"
    np.testing.assert_array_equal(image[:, 60:90], before[:, 60:90])
    np.testing.assert_array_equal(image[110:120], before[110:120])


def test_hiding_nobody_or_in_no_way_changes_nothing():
    for given, how in ((rows(), "blur"), (rows((10, 20, 50, 100)), "none"), (rows((np.nan, 0, 5, 5)), "pixelate")):
        image = noise()
        anonymize(image, given, TrackView.empty(), how)
        np.testing.assert_array_equal(image, noise())


def test_boxes_at_the_edges_are_hidden_as_far_as_they_are_seen():
    image = noise()
    anonymize(
        image, rows((-50, -50, 40, 40), (280, 180, 400, 400), (900, 900, 990, 990)), TrackView.empty(), "pixelate"
    )
    assert (image[:40, :40] != noise()[:40, :40]).any(2).mean() > 0.98
    assert (image[180:, 280:] != noise()[180:, 280:]).any(2).mean() > 0.98
    np.testing.assert_array_equal(image[60:170, 60:270], noise()[60:170, 60:270])


def test_a_trail_follows_the_feet_in_the_tracks_colour_and_ends():
    trails = Trails(3)
    for x in (20, 60, 100, 140, 180):
        image = np.zeros((200, 300, 3), np.uint8)
        trails.draw(image, rows((x - 10, 50, x + 10, 150), track_id=[7]))
    painted = (image == track_color(7)).all(2)
    assert painted[150, 105:175].all(), "the last three places"
    assert not painted[:, :95].any()
    assert not painted[:140].any()


def test_skipped_frames_are_part_of_a_trail():
    drawn, skipped = Trails(9), Trails(9)
    for number, x in enumerate((20, 60, 100)):
        given = rows((x - 10, 50, x + 10, 150), track_id=[7])
        image, other = np.zeros((200, 300, 3), np.uint8), np.zeros((200, 300, 3), np.uint8)
        drawn.draw(image, given)
        skipped.draw(other, given) if number == 2 else skipped.skip(given)
    assert image.any()
    np.testing.assert_array_equal(image, other)


def test_no_trail_is_drawn_unless_wanted():
    image = np.zeros((200, 300, 3), np.uint8)
    trails = Trails(0)
    for x in (20, 100):
        trails.draw(image, rows((x, 50, x + 20, 150)))
    assert not image.any()


def test_a_frame_without_rows_is_no_end_of_a_trail():
    trails = Trails(10)
    for given in (rows((10, 50, 30, 150)), rows(), rows((110, 50, 130, 150))):
        image = np.zeros((200, 300, 3), np.uint8)
        trails.draw(image, given)
    assert (image == track_color(1)).all(2)[150, 25:115].all()


def test_regions_and_hud_are_drawn_where_they_belong():
    image = np.zeros((200, 300, 3), np.uint8)
    draw_regions(image, [RegionOverlay(np.array([[150.0, 20], [150, 180]]), "line 1  in 3")])
    assert image[25:95, 150].any(1).all()
    image = np.full((200, 300, 3), 100, np.uint8)
    draw_hud(image, HudStats(12.5, 3.0, 20.0, 1, 2, 3))
    assert (image[:, 250:] == 100).all()
    assert (image[5, :20] < 60).all(), "darkened"
    assert image.max() > 200, "written"


def test_the_hud_says_what_is_known():
    assert HudStats(12.5, 3.04, 20.0, 1, 2, 3).lines() == [
        " 12.5 fps",
        "embed 3.0 of 20 ms",
        "backlog 1",
        "active 2  lost 3",
    ]
    assert HudStats(None, None, 0.0, 0, 2, 0).lines() == ["backlog 0", "active 2  lost 0"]


def test_reasons_stand_on_labels_where_wanted():
    given = rows((0, 0, 9, 9), (0, 0, 9, 9), reason=[Reason.CROWDED, Reason.NONE], fresh=[True, False])
    assert label_of(given, 0, {}, reasons=True) == "ID 1 * crowded"
    assert label_of(given, 0, {}) == "ID 1 *"
    assert label_of(given, 1, {}, reasons=True) == "ID 2"
    image = noise()
    plain, told = (
        draw_frame(image, given, lost=TrackView.empty(), names={}, config=DrawConfig(reasons=wanted))
        for wanted in (False, True)
    )
    assert (plain != told).any()


def test_labels_of_a_crowd_do_not_cover_each_other():
    image = np.zeros((300, 400, 3), np.uint8)
    pen = Pen.for_image(image)
    labels = [Label(f"ID {k}", (100 + 4 * k, 100, 140 + 4 * k, 200), track_color(k)) for k in range(1, 6)]
    draw_labels(image, labels, pen)
    wide, tall = plate_size("ID 1", pen)
    for label in labels:
        painted = (image == label.color).all(2).sum()
        assert painted > 0.5 * wide * tall, label.text  # the rest is its letters


def test_a_lone_label_stands_on_top_of_its_box_and_within_the_image():
    pen = Pen(2, 0.5, 1, 2)
    assert _candidates((50, 60, 90, 160), (30, 12), pen, (300, 200))[0] == (49, 48, 78, 59)
    for place in _candidates((-40, -30, 500, 500), (30, 12), pen, (300, 200)):
        assert 0 <= place[0] <= place[2] < 300
        assert 0 <= place[1] <= place[3] < 200
    assert _overlap((0, 0, 9, 9), (5, 5, 20, 20)) == 25
    assert _overlap((0, 0, 9, 9), (10, 0, 20, 9)) == 0


def test_letters_grow_more_slowly_than_images():
    small, large = Pen.for_image(noise(576, 768)), Pen.for_image(np.zeros((1080, 1920, 3), np.uint8))
    assert small.scale < large.scale < 0.8 * small.scale * 2203 / 960
