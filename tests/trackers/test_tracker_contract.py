"""Every registered tracker keeps the contract; a user's own says what it can do by its class."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.cli import main
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import Detections
from mot_dinov3.testing import check_tracker
from mot_dinov3.trackers import TRACKERS
from mot_dinov3.trackers.appearance import AppearanceTracker
from mot_dinov3.trackers.base import Tracker, TrackerRequest, build_tracker, tracker_class
from mot_dinov3.trackers.byte import HybridTracker
from mot_dinov3.trackers.config import HybridConfig, TrackerConfig
from mot_dinov3.trackers.per_frame import PerFrameTracker

OWN = """
from mot_dinov3.trackers.per_frame import PerFrameTracker

class Mine(PerFrameTracker):
    min_score = 0.25

class Nothing:
    def __init__(self, request):
        pass
"""


class Forgetful(HybridTracker):
    """Gives new ids in every frame."""

    def update(self, detections: Detections) -> Detections:
        rows = super().update(detections)
        return rows.replace(track_id=np.where(rows.track_id > 0, rows.track_id + 10 * self._index, -1))


class Shuffler(HybridTracker):
    def update(self, detections: Detections) -> Detections:
        return super().update(detections)[::-1]


class Twin(HybridTracker):
    def update(self, detections: Detections) -> Detections:
        rows = super().update(detections)
        return rows.replace(track_id=np.where(rows.track_id > 0, 1, -1))


class Eager(HybridTracker):
    @property
    def settled(self) -> int:
        return self._index + 2


@pytest.mark.parametrize("name", TRACKERS)
def test_every_registered_tracker_keeps_the_contract(name: str) -> None:
    check_tracker(name)


@pytest.mark.parametrize(
    ("tracker", "promise"),
    [
        (Forgetful, "keep its id"),
        (Shuffler, "same rows, in order"),
        (Twin, "unique in a frame"),
        (Eager, "settled"),
        (lambda request: object(), "must have 'keeps_tracks'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_contract_is_named(tracker: type[Tracker], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_tracker(tracker)


def test_score_and_memory_are_said_by_the_class() -> None:
    request = TrackerRequest(config=TrackerConfig(high_score=0.55), hybrid=HybridConfig(track_thresh=0.35))
    floors = {name: build_tracker(name, request).min_score for name in TRACKERS}
    assert floors == {"appearance": 0.55, "gallery_hybrid": 0.35, "gallery_only": 0.0}
    kept = {kind: kind.keeps_tracks for kind in (AppearanceTracker, HybridTracker, PerFrameTracker)}
    assert kept == {AppearanceTracker: True, HybridTracker: True, PerFrameTracker: False}


def test_the_hybrid_tracker_takes_the_videos_frame_rate_only_where_it_is_left_open() -> None:
    request = TrackerRequest(fps=10.0, hybrid=HybridConfig(frame_rate=0.0))
    assert HybridTracker(request).config.frame_rate == 10.0
    request = dataclasses.replace(request, hybrid=HybridConfig(frame_rate=25.0))
    assert HybridTracker(request).config.frame_rate == 25.0


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tracker of a user's own and boxes for it, where the program is run."""
    (tmp_path / "own_trackers.py").write_text(OWN)
    (tmp_path / "det.txt").write_text("".join(f"{i + 1},-1,{5 * i},30,25,60,0.9\n" for i in range(20)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_users_own_tracker_runs_and_is_asked_what_it_can_do(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_tracker("own_trackers:Mine")
    assert build_tracker("own_trackers:Mine", TrackerRequest()).min_score == 0.25
    argv = ["--dets", "det.txt", "--tracker", "own_trackers:Mine", "--save-mot", "out.txt"]
    assert main(argv) == 0
    assert len((own / "out.txt").read_text().splitlines()) == 20
    assert main([*argv, "--detect-every", "2"]) == 2
    assert "'own_trackers:Mine' does not" in capsys.readouterr().err


def test_an_entry_point_is_a_trackers_name(own: Path) -> None:
    info = own / "own-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mot_dinov3.tracker]\nmine = own_trackers:Mine\n")
    assert build_tracker("mine", TrackerRequest()).min_score == 0.25


def test_what_is_no_tracker_is_told(own: Path) -> None:
    with pytest.raises(UsageError, match="has no keeps_tracks") as caught:
        tracker_class("own_trackers:Nothing")
    assert "mot_dinov3.trackers.base.Tracker" in caught.value.remedy
