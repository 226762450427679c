"""Evidence over time: gained, kept, lost, verified after an absence; one owner in every frame."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mot_dinov3.core.structures import Detections, TrackState
from mot_dinov3.gallery.config import GalleryConfig
from mot_dinov3.gallery.folder import KnownIdentities
from mot_dinov3.gallery.identifier import FORGET, Identifier

KNOWN = KnownIdentities(("anna", "bob"), np.eye(3, dtype=np.float32)[:2], np.array([0, 1]))
ANNA, BOB, STRANGER = ([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0])
SETTINGS = GalleryConfig(gallery_match_threshold=0.25, gallery_caution=0.0)


def seen(looks: dict[int, list[float] | None]) -> Detections:
    """One row a track; None for a track that is not embedded in this frame."""
    rows = np.array([look or [0, 0, 0] for look in looks.values()], np.float32).reshape(len(looks), 3)
    boxes = np.array([[10.0 * i, 0, 10.0 * i + 8, 20] for i in range(len(looks))], np.float32).reshape(-1, 4)
    fresh = [look is not None for look in looks.values()]
    return Detections(boxes, track_id=list(looks), embedding=rows, fresh=fresh)


def run(*frames: dict[int, list[float] | None], stage: Identifier | None = None) -> list[list[str | None]]:
    stage = stage or Identifier(KNOWN, SETTINGS)
    return [stage.identify(seen(frame), index).gallery_id.tolist() for index, frame in enumerate(frames)]


def test_a_name_is_gained_by_a_look_and_kept_without_one() -> None:
    assert run({1: None}, {1: ANNA}, {1: None}, {1: None}) == [[None], ["anna"], ["anna"], ["anna"]]


def test_a_stranger_stays_unnamed() -> None:
    assert run({1: STRANGER}, {1: STRANGER}) == [[None], [None]]


def test_a_name_outlasts_frames_that_the_detector_does_not_look_at() -> None:
    stage = Identifier(KNOWN, SETTINGS)
    names = []
    for index in range(7):
        rows = seen({1: ANNA if index == 0 else None})
        if index % 3:
            rows = rows.replace(coasted=[True], state=[int(TrackState.CONFIRMED)])
        names.append(stage.identify(rows, index).gallery_id[0])
    assert names == ["anna"] * 7


def test_one_odd_look_does_not_take_a_name_away_but_a_change_does() -> None:
    looks = [{1: ANNA}] * 8 + [{1: STRANGER}] + [{1: ANNA}] + [{1: BOB}] * 30
    names = [frame[0] for frame in run(*looks)]
    assert names[:10] == ["anna"] * 10
    assert names[-1] == "bob"


def test_nobody_is_there_twice_and_the_nearer_one_has_the_name() -> None:
    near = [0.98, 0.2, 0]
    assert run({1: near, 2: ANNA}) == [[None, "anna"]]


def test_a_track_that_comes_back_shows_its_name_only_after_a_look() -> None:
    names = run({1: ANNA}, {}, {1: None}, {1: ANNA})
    assert names == [["anna"], [], [None], ["anna"]]


def test_a_track_that_comes_back_as_somebody_else_loses_its_name_at_once() -> None:
    assert run({1: ANNA}, {1: ANNA}, {1: ANNA}, {}, {1: BOB})[-1] == ["bob"]
    assert run({1: ANNA}, {1: ANNA}, {1: ANNA}, {}, {1: STRANGER})[-1] == [None]


def test_a_name_moves_on_when_its_track_has_gone_and_does_not_come_back_with_it() -> None:
    names = run({1: ANNA}, {2: ANNA}, {1: ANNA, 2: None}, {1: None, 2: None})
    assert names == [["anna"], ["anna"], [None, "anna"], [None, "anna"]]


def test_an_absent_track_keeps_its_name_while_others_are_named() -> None:
    """So that it has it back where it comes back with what would keep a name but not gain one."""
    weak = [0.72, 0.0, 0.694]
    away = [{2: BOB}] * 2
    names = run({1: ANNA, 2: BOB}, *[{1: weak, 2: BOB}] * 30, *away, {1: weak, 2: BOB})
    assert names[-1] == ["anna", "bob"]
    assert run(*[{1: weak, 2: BOB}] * 30)[-1] == [None, "bob"]


def test_of_two_rows_of_one_track_the_better_scored_counts() -> None:
    for looks, score, names in (([ANNA, BOB], [0.9, 0.3], ["anna", None]), ([ANNA, BOB], [0.3, 0.9], [None, "bob"])):
        rows = seen(dict(enumerate(looks))).replace(track_id=[1, 1], score=score)
        assert Identifier(KNOWN, SETTINGS).identify(rows, 0).gallery_id.tolist() == names


def test_coasted_boxes_and_rows_without_a_track_count_for_nothing() -> None:
    stage = Identifier(KNOWN, SETTINGS)
    stage.identify(seen({1: ANNA}), 0)
    coasted = stage.identify(seen({1: None}).replace(coasted=[True]), 1)
    assert coasted.gallery_id.tolist() == ["anna"]  # where it is believed to be
    assert stage.identify(seen({1: None}), 2).gallery_id.tolist() == [None]  # it was away: verify
    assert stage.identify(seen({-1: ANNA}), 3).gallery_id.tolist() == [None]


def test_distance_and_margin_are_told() -> None:
    found = Identifier(KNOWN, SETTINGS).identify(seen({1: [0.8, 0.6, 0], 2: STRANGER}), 0)
    assert np.isclose(found.gallery_distance[0], 0.2, atol=1e-6)
    assert np.isclose(found.gallery_margin[0], 0.2, atol=1e-6)
    assert np.isnan(found.gallery_distance[1])


def test_without_memory_every_detection_stands_for_itself() -> None:
    stage = Identifier(KNOWN, SETTINGS, memory=False)
    assert run({0: ANNA, 1: BOB}, {0: BOB, 1: None}, stage=stage) == [["anna", "bob"], ["bob", None]]


def test_dead_tracks_are_forgotten() -> None:
    stage = Identifier(KNOWN, SETTINGS)
    for frame in range(5 * FORGET):
        stage.identify(seen({frame * 2 + 1: ANNA, frame * 2 + 2: BOB}), frame)
    assert stage.remembered <= 4 * FORGET + 4


def test_due_are_new_returned_and_long_unseen_tracks_with_good_boxes() -> None:
    stage = Identifier(KNOWN, SETTINGS)

    def due(frame: int, tracks: dict[int, list[float] | None], score: float = 0.9) -> list[int]:
        rows = seen(tracks)
        rows = rows.replace(score=np.full(len(rows), score, np.float32))
        return stage.due(rows, frame, every=3, min_score=0.5).tolist()

    assert due(0, {1: None, -1: None}) == [0]
    assert due(0, {1: None}, score=0.4) == []
    stage.identify(seen({1: ANNA}), 0)
    assert due(1, {1: None}) == []
    stage.identify(seen({1: None}), 1)
    stage.identify(seen({1: None}), 2)
    assert due(3, {1: None}) == [0]  # three frames old
    stage.identify(seen({1: ANNA}), 3)
    stage.identify(seen({}), 4)
    assert due(5, {1: None}) == [0]  # came back


LOOK = st.sampled_from([ANNA, BOB, STRANGER, [0.98, 0.2, 0], [0.7, 0.7, 0], None])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.integers(1, 4), LOOK, max_size=4), max_size=12))
def test_no_frame_ever_shows_anybody_twice(frames: list[dict[int, list[float] | None]]) -> None:
    for names in run(*frames):
        shown = [name for name in names if name is not None]
        assert len(set(shown)) == len(shown)
