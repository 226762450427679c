"""Without --conf, boxes of low score continue tracks, start none and show nowhere else; with it, it is obeyed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clips import write_clip
from mot_dinov3 import track
from mot_dinov3.cli import main
from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import Detections, Frame, ModelInfo
from mot_dinov3.detectors.base import Detector, DetectorRequest
from mot_dinov3.trackers.base import TrackerRequest, least_score
from mot_dinov3.trackers.config import HybridConfig, TrackerConfig

FRAMES = 12
WEAK = (6, 7, 8)  # frames in which the object is seen poorly


class Flickering(Detector):
    """Finds one object, in some frames with a low score, and something of low score elsewhere in all of them."""

    def __init__(self, request: DetectorRequest) -> None:
        self.info, self.names = ModelInfo("flickering"), {0: "object"}
        self._conf = request.config.threshold

    @override
    def detect(self, frame: Frame) -> Detections:
        score = 0.2 if frame.index in WEAK else 0.9
        x = 4.0 * frame.index
        found = Detections(
            np.array([[x + 10, 10, x + 30, 50], [80, 60, 90, 70]], np.float32), np.array([score, 0.15], np.float32)
        )
        return found[found.score >= np.float32(self._conf)]


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return write_clip(tmp_path / "in.mp4", FRAMES)


def rows_of(clip: Path, **options: object) -> dict[int, list[tuple[str | None, float]]]:
    """Return the track and the score of each row that was detected, by frame."""
    track(
        source=clip, det="test_low_scores:Flickering", embedder="none", save_json="t.json", coast=False,
        **options,  # type: ignore[arg-type]
    )  # fmt: skip
    frames = json.loads(Path("t.json").read_text())["frames"]
    return {f["frame"]: [(row.get("track_id"), row["score"]) for row in f["detections"]] for f in frames}


def test_without_a_threshold_weak_boxes_continue_tracks_and_show_nowhere_else(clip: Path) -> None:
    rows = rows_of(clip)
    assert {frame: row for frame, row in rows.items() if len(row) != 1} == {}
    assert {row[0][0] for row in rows.values()} == {"1"}
    assert [frame for frame, row in rows.items() if row[0][1] == pytest.approx(0.2)] == list(WEAK)


@pytest.mark.parametrize("tracker", ["appearance", "gallery_hybrid"])
def test_a_threshold_that_is_given_is_obeyed(clip: Path, tracker: str) -> None:
    assert [frame for frame, row in rows_of(clip, conf=0.3, tracker=tracker).items() if not row] == list(WEAK)
    weak = rows_of(clip, conf=0.1, tracker=tracker)
    assert [len(row) for row in weak.values()] == [2] * FRAMES
    assert {row[1][0] for row in weak.values()} == {None}


def test_files_have_the_boxes_that_are_shown(clip: Path) -> None:
    rows_of(clip, save_dets="d.json")
    frames = json.loads(Path("d.json").read_text())["frames"]
    assert [len(frame["detections"]) for frame in frames] == [1] * FRAMES


def test_detect_keeps_its_threshold(clip: Path) -> None:
    words = ["--source", str(clip), "--det", "test_low_scores:Flickering", "--json", "d.json", "--no-progress"]
    assert main(["detect", *words]) == 0
    found = {f["frame"]: f["detections"] for f in json.loads(Path("d.json").read_text())["frames"]}
    assert [frame for frame in range(FRAMES) if not found.get(frame)] == list(WEAK)


@pytest.mark.parametrize(
    ("name", "request_", "least"),
    [
        ("appearance", TrackerRequest(), 0.1),
        ("appearance", TrackerRequest(config=TrackerConfig(low_score=0.2)), 0.2),
        ("appearance", TrackerRequest(config=TrackerConfig(low_match=False)), 0.3),
        ("appearance", TrackerRequest(config=TrackerConfig(new_score=0.2)), 0.3),
        ("gallery_hybrid", TrackerRequest(), 0.1),
        ("gallery_hybrid", TrackerRequest(hybrid=HybridConfig(track_thresh=0.25)), 0.3),
        ("gallery_only", TrackerRequest(), 0.3),
    ],
)
def test_only_boxes_that_cannot_start_a_track_are_added(name: str, request_: TrackerRequest, least: float) -> None:
    assert least_score(name, request_, 0.3) == least
