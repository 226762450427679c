"""The sweep over numbers of objects, on scenes that are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.apps.benchmark import baselines
from mot_dinov3.apps.benchmark.association_cost import association_table, sweep, synthetic_walkers
from mot_dinov3.apps.benchmark.baselines import OwnTracker, tracker_factories
from mot_dinov3.core.structures import Detections
from mot_dinov3.trackers.base import TrackerRequest


def test_the_synthetic_scene_keeps_its_walkers_in_the_picture() -> None:
    frames = list(synthetic_walkers(50, 40))
    assert 0.9 < np.mean([len(rows) for rows in frames]) / 50 < 1
    for rows in frames:
        assert (rows.xyxy.min() > -20) & (rows.xyxy[:, 2].max() < 1960) & (rows.xyxy[:, 3].max() < 1120)
        assert rows.embedding is not None
        np.testing.assert_allclose(np.linalg.norm(rows.embedding, axis=1), 1, atol=1e-5)


def test_every_tracker_meets_every_scene_anew_and_a_first_time_for_nothing() -> None:
    met: list[tuple[str, int, TrackerRequest]] = []

    def maker(name: str) -> baselines.TrackerStep:
        def make(scene: TrackerRequest) -> baselines.TrackerStep:
            met.append((name, 0, scene))
            return lambda index, rows: rows

        return make

    turns: list[int] = []
    times = sweep({"a": maker("a"), "b": maker("b")}, (3, 5), frames=6, passes=2, tick=lambda: turns.append(1))
    assert [name for name, *_ in met] == ["a", "b"] * 6  # two counts, two passes and one to warm up
    assert len(turns) == 12
    assert set(times) == {"a", "b"}
    assert all(list(row) == [3, 5] and np.isfinite(list(row.values())).all() for row in times.values())


def test_ours_follows_the_walkers() -> None:
    racer = OwnTracker(TrackerRequest(30.0, (1920, 1080), 0.5))
    for index, rows in enumerate(synthetic_walkers(5, 30)):
        found = racer(index, rows)
    assert len(np.unique(found.track_id[found.track_id >= 1])) >= 4
    assert racer.embedded > 0
    blind = OwnTracker(TrackerRequest(30.0, (1920, 1080), 0.5), embed="nothing")
    blind(0, next(synthetic_walkers(5, 1)))
    assert blind.embedded == 0


def test_a_peer_that_is_not_installed_is_left_out_with_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    real = baselines.importlib.util.find_spec
    monkeypatch.setattr(baselines.importlib.util, "find_spec", lambda name: None if name == "trackers" else real(name))
    makers, notices = tracker_factories(None, embedded=True)
    assert "baselines are left out: 'trackers' is not installed (pip install trackers)" in notices
    assert "ours, motion only" in makers
    assert not any(name.startswith("trackers") for name in makers)
    assert list(tracker_factories(["ours"], embedded=False)[0]) == ["ours"]


def test_a_peers_rows_come_in_our_form() -> None:
    rows = baselines.identified(np.array([[0, 0, 5, 5]]), np.array([3]))
    assert isinstance(rows, Detections)
    assert rows.track_id.tolist() == [3]


def test_the_table_has_a_row_a_tracker() -> None:
    assert association_table({"ours": {10: 0.25, 50: 0.4}})[2:] == ["| ours | 0.25 | 0.40 |"]
