"""The summary says what was tracked: tracks, the longest, names with their times and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.sinks.base import TrackOverview, clock_text


def frame(index: int) -> Frame:
    return Frame(index, index / 10, None)


def rows(*found: tuple[int, int, str | None, float], coasted: tuple[bool, ...] = ()) -> Detections:
    """Return rows of (track, class, name, distance)."""
    n = len(found)
    return Detections(
        np.tile(np.array([[0, 0, 9, 9]], np.float32), (n, 1)),
        class_id=np.array([row[1] for row in found], np.int64),
        track_id=np.array([row[0] for row in found], np.int64),
        gallery_id=np.array([row[2] for row in found], np.object_),
        gallery_distance=np.array([row[3] for row in found], np.float32),
        gallery_margin=np.array([row[3] * 2 for row in found], np.float32),
        coasted=np.array(coasted or (False,) * n, np.bool_),
    )


def test_tracks_are_counted_by_class_and_the_longest_is_named() -> None:
    overview = TrackOverview({0: "person", 2: "car"})
    overview.write(frame(0), rows((1, 0, None, np.nan)))
    overview.write(frame(1), rows((1, 0, None, np.nan), (2, 2, None, np.nan), (-1, 0, None, np.nan)))
    overview.write(frame(2), rows((1, 0, None, np.nan), coasted=(True,)))
    for index in range(3, 625):
        overview.write(frame(index), rows((2, 2, None, np.nan), (3, 0, None, np.nan)))
    assert overview.lines() == [
        "tracks      3 in 1:02.4: 2 person, 1 car",
        "  longest   ID 2, 0:00.1 to 1:02.4",
    ]


def test_identities_have_tracks_times_and_similarity_and_the_unnamed_are_counted() -> None:
    overview = TrackOverview({0: "person"}, known=3)
    overview.write(frame(0), rows((1, 0, None, np.nan), (2, 0, "Bert", 0.2)))
    overview.write(frame(1), rows((1, 0, "Anna", 0.1), (2, 0, "Bert", 0.4), (3, 0, None, np.nan)))
    overview.write(frame(9), rows((4, 0, "Anna", 0.1)))
    assert overview.lines() == [
        "tracks      4 in 0:00.9",
        "  longest   ID 1, 0:00.0 to 0:00.1",
        "named       Bert  1 track, 0:00.0 to 0:00.1, similarity 0.70, 0.60 ahead of the next",
        "named       Anna  2 tracks, 0:00.1 to 0:00.9, similarity 0.90, 0.20 ahead of the next",
        "unnamed     1 track",
    ]


def test_a_gallery_in_which_nobody_was_recognised_is_told() -> None:
    overview = TrackOverview({}, known=19)
    overview.write(frame(0), rows((1, 0, None, np.nan), (2, 0, None, np.nan)))
    assert overview.lines()[2:] == ["named       none of 19 identities", "unnamed     2 tracks"]


def test_without_tracks_boxes_are_counted() -> None:
    overview = TrackOverview({}, keeps_tracks=False, known=1)
    for index in range(2):
        overview.write(frame(index), rows((0, 0, "Anna", 0.1), (1, 0, None, np.nan)))
    assert overview.tracks == {}
    assert overview.lines() == [
        "compared    4 boxes in 0:00.1",
        "named       Anna  2 boxes, 0:00.0 to 0:00.1, similarity 0.90, 0.20 ahead of the next",
        "unnamed     2 boxes",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0:00.0"), (2.84, "0:02.8"), (59.96, "1:00.0"), (62.5, "1:02.5"), (3602.5, "1:00:02.5"), (-1.0, "0:00.0")],
)
def test_times_are_as_a_player_shows_them(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text
