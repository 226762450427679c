"""Which frames the detector runs on with `--detect-every auto`, and within a budget."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.apps.benchmark.realtime import lateness
from mot_dinov3.apps.evaluation import load_pairs, score
from mot_dinov3.cli import main
from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.pipeline.detection_scheduler import (
    AUTO,
    SOURCE_RATE,
    DetectionAllowance,
    DetectionEvidence,
    DetectionIntervalConfig,
    DetectionReason,
    DetectionScheduler,
    plan_detection,
    spending,
)
from mot_dinov3.trackers.box_following import BoxFollower
from mot_dinov3.trackers.unexplained_motion import MotionEvidence, SceneChange
from scenes import Scene

STEP = 1 / 25
CALM = DetectionEvidence(age=3 * STEP, step=STEP, uncertainty=3 * STEP)
CONFIG = DetectionIntervalConfig(detect_every=AUTO)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, DetectionReason.FOLLOWED),
        ({"age": None}, DetectionReason.START),
        ({"step": 0.1}, DetectionReason.LOW_FRAME_RATE),
        ({"motion": MotionEvidence(SceneChange.CUT)}, DetectionReason.SCENE_CUT),
        ({"motion": MotionEvidence(SceneChange.CAMERA)}, DetectionReason.CAMERA_MOTION),
        ({"motion": MotionEvidence(border=1)}, DetectionReason.UNEXPLAINED_MOTION),
        ({"motion": MotionEvidence(inside=2)}, DetectionReason.FOLLOWED),
        ({"motion": MotionEvidence(inside=3)}, DetectionReason.UNEXPLAINED_MOTION),
        ({"tentative": 1}, DetectionReason.NEW_OBJECT),
        ({"lost_flow": 1}, DetectionReason.FLOW_LOST),
        ({"contacts": 1}, DetectionReason.CONTACT),
        ({"uncertainty": 0.15}, DetectionReason.REFRESH),
        ({"age": 0.4, "uncertainty": 0.0}, DetectionReason.LONGEST_INTERVAL),
        ({"age": STEP, "tentative": 1, "lost_flow": 1, "contacts": 1, "uncertainty": 1.0}, DetectionReason.FOLLOWED),
        ({"age": STEP, "motion": MotionEvidence(border=1)}, DetectionReason.UNEXPLAINED_MOTION),
    ],
)
def test_the_evidence_decides(changed: dict[str, Any], reason: DetectionReason) -> None:
    assert plan_detection(dataclasses.replace(CALM, **changed), CONFIG) is reason


def test_in_a_dense_crowd_every_contact_may_be_detected() -> None:
    touching = dataclasses.replace(CALM, contacts=1, age=0.04, step=0.04)
    assert plan_detection(touching, CONFIG) is DetectionReason.FOLLOWED
    dense = dataclasses.replace(CONFIG, detect_shortest=0.0)
    assert plan_detection(touching, dense) is DetectionReason.CONTACT
    assert plan_detection(dataclasses.replace(touching, contacts=0), dense) is DetectionReason.FOLLOWED


def test_what_is_overspent_is_missing_in_the_next_frames() -> None:
    spent = iter([0.0, 100, 100, 100, 100, 100, 110, 120])
    allowance = DetectionAllowance(25.0, lambda: next(spent))
    assert [allowance.next_frame() for _ in range(8)] == [True, False, False, True, True, True, True, True]


def test_credit_is_not_saved_up() -> None:
    spent = iter([*[0.0] * 100, 60.0, 60.0, 60.0])
    allowance = DetectionAllowance(25.0, lambda: next(spent))
    assert [allowance.next_frame() for _ in range(103)] == [True] * 100 + [False, True, True]


def decided(fps: float, frames: int = 30, **options: Any) -> DetectionScheduler:
    """The decisions on a box that stands still, which a detector finds whenever it is run."""
    config = DetectionIntervalConfig(detect_every=AUTO, **options)
    follower = BoxFollower()
    scheduler = DetectionScheduler(config, follower, float, fps=fps)
    texture = np.random.default_rng(0).integers(0, 255, (60, 80, 1), np.uint8).repeat(4, 0).repeat(4, 1).repeat(3, 2)
    box = Detections([[100, 60, 160, 200]], track_id=[1])
    for index in range(frames):
        scheduler.decide(Frame(index, index / fps, texture))
        if scheduler(index):
            follower.restart(box, box.xyxy)
    return scheduler


def test_a_calm_scene_is_detected_by_age_alone() -> None:
    found = decided(25)
    assert [index for index in range(30) if found(index)] == [0, 4, 8, 12, 16, 20, 24, 28]
    assert found.counts == {DetectionReason.START: 1, DetectionReason.REFRESH: 7, DetectionReason.FOLLOWED: 22}
    assert found.detected == 8


def test_at_a_low_frame_rate_every_frame_is_detected() -> None:
    assert decided(10).detected == 30
    assert decided(5).detected == 30


def test_refreshes_yield_to_the_budget_and_the_longest_interval_does_not() -> None:
    found = decided(25, 60, detect_budget_ms=4.0, detect_cost_ms=100.0)
    assert found.counts[DetectionReason.DEFERRED] > 0
    assert found.counts[DetectionReason.REFRESH] == 0
    assert [index for index in range(60) if found(index)] == [0, 10, 20, 30, 40, 50]


def test_the_rate_to_keep_up_with_is_a_budget_of_time() -> None:
    assert decided(25, 60, realtime=25.0, detect_cost_ms=100.0).detected == decided(25, 60).detected
    slow = decided(25, 60, realtime=25.0, detect_cost_ms=240.0)
    assert [index for index in range(60) if slow(index)][:4] == [0, 5, 11, 17]  # 240 ms are six frames
    assert decided(25, realtime=SOURCE_RATE, detect_cost_ms=240.0).target_fps == 25


@pytest.mark.parametrize("cost", [60.0, 100.0, 240.0])
def test_over_a_thousand_frames_a_run_in_real_time_is_late_by_one_detection_at_most(cost: float) -> None:
    found = decided(25, 1000, realtime=25.0, detect_cost_ms=cost)
    late = lateness(np.array([cost * found(index) for index in range(1000)]), 40.0)
    assert np.percentile(late, 99) <= cost
    every = lateness(np.full(1000, cost), 40.0)
    assert every[-1] >= 20_000  # ms: with every frame detected it is ever later


def test_waiting_for_a_camera_is_not_being_behind_and_waiting_for_a_decoder_is() -> None:
    now = [0.0]
    timer = StageTimer(lambda: now[0])

    def camera() -> Iterator[int]:
        for index in range(3):
            now[0] += 0.1
            yield index

    config = DetectionIntervalConfig(realtime=25.0)
    live, file = spending(config, timer, is_live=True), spending(config, timer)
    found = []
    for _ in timer.frames(camera()):
        now[0] += 0.03
        timer.lap("detect")
        found.append((round(live()), round(file())))
    assert found == [(30, 130), (60, 260), (90, 390)]
    assert spending(DetectionIntervalConfig(detect_budget_ms=9.0), timer)() == pytest.approx(90)


def test_what_an_interrupted_run_decided_holds() -> None:
    scheduler = DetectionScheduler(CONFIG, BoxFollower(), float, start=7)
    for index, known in enumerate((DetectionReason.START, DetectionReason.DEFERRED, DetectionReason.REFRESH), 7):
        scheduler.decide(Frame(index, index / 25), known)
    assert [scheduler(index) for index in (7, 8, 9)] == [True, False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"realtime": 25.0, "detect_budget_ms": 20.0}, "two budgets"),
        ({"realtime": 25.0, "detect_every": 3}, "--detect-every 3"),
        ({"detect_budget_ms": 20.0, "detect_every": 3}, "--detect-every 3"),
        ({"detect_every": -1000 - 1}, "between 1 and 1000"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DetectionIntervalConfig(**options)


def track(scene: Scene, *options: str) -> int:
    words = ["--source", str(scene.video), "--dets", str(scene.dets), "--embedder", "none", "--no-progress"]
    return main([*words, "--fps", "30", *options])


def test_auto_shows_everybody_with_fewer_detections(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files = ("--save-json", "t.json", "--save-mot", "t.txt", "--save-summary", "s.json", "--report", "r.html")
    assert track(scene, "--detect-every", "auto", "--no-video", "--profile", *files) == 0
    scores = score(load_pairs([scene.gt], [Path("t.txt")]))["COMBINED"]
    assert (scores.mota, scores.idf1, scores.switches) == (100, 100, 0)
    frames = json.loads(Path("t.json").read_text())["frames"]
    assert [frame["detected"] for frame in frames] == [
        not any(row.get("coasted") for row in frame["detections"]) for frame in frames
    ]
    summary = json.loads(Path("s.json").read_text())
    runs = sum(frame["detected"] for frame in frames)
    assert runs == summary["detector_runs"] < scene.frames / 2
    assert sum(summary["detection_reasons"].values()) == scene.frames
    assert f"detected    on {runs} frames" in capsys.readouterr().out
    assert "detector runs" in Path("r.html").read_text()
    first = Path("t.txt").read_bytes()
    assert track(scene, "--detect-every", "auto", "--no-video", "--save-mot", "t.txt") == 0
    assert Path("t.txt").read_bytes() == first


def test_a_run_that_cannot_keep_up_says_what_limits_it(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert track(scene, "--realtime", "1000", "--no-video", "--save-mot", "t.txt") == 0
    assert "the target is 1000: the " in capsys.readouterr().out
    assert {int(line.split(",")[0]) for line in Path("t.txt").read_text().splitlines()} == set(range(1, 41))
