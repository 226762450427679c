"""Moments at which an id is uncertain are found, the riskiest first; boxes are kept, thinned where they are many."""

from __future__ import annotations

import numpy as np
import pytest
from test_report_page import unpacked

from mot_dinov3.core.structures import Detections
from mot_dinov3.report import box_history
from mot_dinov3.report.box_history import BoxHistory
from mot_dinov3.report.moments import MAX_LISTED, UncertainMoments

FPS = 10.0


def frame(boxes, **columns):
    """Rows of ``{track id: (left, top)}``, boxes of 20×40 pixels."""
    corners = np.array([[x, y, x + 20, y + 40] for x, y in boxes.values()], np.float32).reshape(-1, 4)
    return Detections(corners, track_id=list(boxes), **columns)


def found(frames, size=(400, 300)):
    """The moments of frames ``{track id: (left, top)}``."""
    moments = UncertainMoments(1 / FPS, size)
    for k, boxes in enumerate(frames):
        rows = boxes if isinstance(boxes, Detections) else frame(boxes)
        moments.add(k / FPS, rows, np.ones(len(rows), bool))
    return moments.listed()


def test_a_steady_track_has_no_uncertain_moment():
    assert found([{1: (100 + 3 * k, 100), 2: (100 + 3 * k, 200)} for k in range(50)]) == []


def test_a_track_that_begins_where_another_was_lost_is_suspected_most_in_the_middle_of_the_image():
    (inside,) = found(
        [{7: (100 + 3 * k, 100)} if k < 20 else {8: (100 + 3 * k, 100)} if k >= 25 else {} for k in range(40)]
    )
    assert (inside.kind, inside.track_id, inside.other_id, inside.time) == ("new id", 8, 7, 2.5)
    assert "begins where track 7 was lost 0.6 s before" in inside.text
    (entered,) = found([{7: (1, 100)} if k < 20 else {8: (1, 100)} if k >= 25 else {} for k in range(40)])
    assert inside.risk > entered.risk, "at the border one has left and another one entered"


def test_a_new_track_far_away_or_long_after_is_another_object():
    far = [{7: (100, 100)} if k < 20 else {8: (300, 100)} if k >= 25 else {} for k in range(40)]
    late = [{7: (100, 100)} if k < 20 else {8: (100, 100)} if k >= 60 else {} for k in range(80)]
    assert found(far) == found(late) == []


def test_a_gap_and_a_jump_are_moments_of_one_track():
    gap, jump = (
        [{3: (100, 100)} if k < 10 or k >= 25 else {} for k in range(30)],
        [{3: (100, 100)}] * 5 + [{3: (180, 100)}],
    )
    assert [(m.kind, m.time) for m in found(gap)] == [("re-identified", 2.5)]
    assert [(m.kind, m.time) for m in found(jump)] == [("jump", 0.5)]


def test_two_tracks_that_overlap_cross_where_they_overlap_most():
    (crossing,) = found([{1: (100 + 4 * k, 100), 2: (220 - 4 * k, 104)} for k in range(40)])
    assert (crossing.kind, crossing.track_id, crossing.other_id) == ("crossing", 1, 2)
    assert crossing.time == 1.5
    assert crossing.text.startswith("crosses track 2: overlap 8")


def test_a_crossing_of_similar_objects_has_more_risk():
    def crossing(second):
        embedding = np.array([[1, 0], second], np.float32)
        boxes = [{1: (100 + 4 * k, 100), 2: (220 - 4 * k, 104)} for k in range(40)]
        (moment,) = found([frame(one, embedding=embedding, fresh=[True, True]) for one in boxes])
        return moment

    alike, different = crossing([0.96, 0.28]), crossing([0, 1])
    assert alike.risk > different.risk
    assert alike.text.endswith("similarity 0.96")


def test_another_known_identity_is_a_moment():
    names = ["Anna"] * 5 + [None] * 3 + ["Ben"] * 5
    rows = [frame({1: (100, 100)}, gallery_id=np.array([name], object)) for name in names]
    (change,) = found(rows)
    assert (change.kind, change.time, change.text) == ("identity", 0.8, "identity changes from Anna to Ben")


def test_the_list_is_bounded_and_the_riskiest_come_first():
    moments = found([{1: (100 + 100 * (k % 2), 100)} for k in range(1000)])
    assert len(moments) == MAX_LISTED
    assert [m.risk for m in moments] == sorted((m.risk for m in moments), reverse=True)


def test_boxes_are_thinned_to_every_second_frame_where_they_are_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(box_history, "MAX_BOXES", 40)
    history = BoxHistory()
    for k in range(100):
        rows = frame({1: (k, 0), 2: (0, k)})
        history.add(k / FPS, rows, np.ones(2, bool))
    packed = history.packed(0.0)
    assert (packed["frames"], packed["stride"]) == (100, 8)
    times, boxes = unpacked(packed["times"], 1)[0], unpacked(packed["boxes"], 6)
    assert times.tolist() == [8_000 * k for k in range(13)]
    assert boxes[1, :13].tolist() == [8 * k for k in range(13)], "the left edge of track 1"
    assert packed["counts"] == [13, 13]
