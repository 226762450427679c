"""What a run has found out is recalled to the last bit, and only by the same run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import Detections, Frame, ModelInfo, Reason, TrackView
from mot_dinov3.pipeline.remembering import Remembering
from mot_dinov3.pipeline.resume import NoRecord, RunRecord, record_path
from mot_dinov3.scheduler import EmbeddingScheduler, SchedulerConfig

RUN = {"--conf": 0.3, "--source": "a.mp4"}


class Guessing:
    """A detector that finds something else whenever it is asked."""

    def __init__(self, seed: int) -> None:
        self.info, self.names = ModelInfo("guessing"), {0: "thing"}
        self.rng = np.random.default_rng(seed)
        self.seen: list[int] = []

    def detect(self, frame: Frame) -> Detections:
        self.seen.append(frame.index)
        n = int(self.rng.integers(0, 4))
        corner = self.rng.uniform(0, 50, (n, 2))
        extra = np.array([{"keypoints": [[1, 2, 0.5]]} for _ in range(n)], np.object_)
        return Detections(
            np.hstack([corner, corner + 20]), score=self.rng.random(n), class_id=np.arange(n), extra=extra
        )


def steps(record: NoRecord, detector: Guessing, frames: range, *, boxes: bool = True, step_s: float = 1e-9):
    """Return the rows of some frames, whose embeddings are different every time."""
    ticks = itertools.count(0.0, step_s)
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_budget_ms=5), clock=lambda: next(ticks))
    memory = Remembering(record, detector, scheduler, boxes=boxes)
    done = []
    for index in frames:
        rows = memory.detector.detect(Frame(index, index / 10))
        n = len(rows)
        # tracks that have been seen long ago: all rows are due for a refresh
        view = TrackView(
            np.arange(n), np.arange(n) + 1, np.full(n, 2), rows.xyxy, np.ones(n, bool), np.eye(n, 8, dtype=np.float32),
            np.full(n, -1), rows.class_id,
        )  # fmt: skip
        plan = memory.scheduler.plan(rows, view, index)
        done.append(memory.scheduler.run(plan, rows, view, lambda r: detector.rng.random((len(r), 8), np.float32)))
    return done, memory.scheduler.stats


def same(first: Detections, second: Detections) -> bool:
    return all(
        (a is None and b is None) or np.array_equal(a, b)
        for (name, a), b in zip(first.columns().items(), second.columns().values())
        if not name.startswith("gallery")
    )


def killed_after(path: Path, frames: int) -> list[Detections]:
    record = RunRecord(path, RUN)
    done, _ = steps(record, Guessing(1), range(frames))
    record.abort()
    return done


def test_boxes_and_embeddings_come_back_to_the_bit(tmp_path: Path) -> None:
    path = record_path(tmp_path / "t.mp4")
    before = killed_after(path, 12)
    assert path.name == "t.mp4.part.record"
    other = Guessing(2)
    # another detector, another clock: what is on record holds, whatever they say
    after, stats = steps(RunRecord(path, RUN, resume=True), other, range(15), step_s=10.0)
    assert all(same(a, b) for a, b in zip(before, after))
    assert other.seen == [12, 13, 14]
    reasons = np.concatenate([rows.reason for rows in after])
    assert stats.total == np.isin(reasons, [Reason.NEW, Reason.WEAK_IOU, Reason.CROWDED, Reason.REFRESH]).sum()


def test_a_detector_that_must_see_every_frame_does(tmp_path: Path) -> None:
    path = tmp_path / "r"
    record = RunRecord(path, RUN)
    steps(record, Guessing(1), range(5), boxes=False)
    record.abort()
    again = Guessing(1)
    steps(RunRecord(path, RUN, resume=True), again, range(5), boxes=False)
    assert again.seen == list(range(5))


def test_a_run_that_ended_leaves_no_record_and_an_interrupted_one_does(tmp_path: Path) -> None:
    record = RunRecord(tmp_path / "a", RUN)
    steps(record, Guessing(1), range(3))
    record.close()
    assert not (tmp_path / "a").exists()
    record = RunRecord(tmp_path / "b", RUN, video=tmp_path / "v.mp4")
    (tmp_path / "v.mp4").write_bytes(b"12345")
    steps(record, Guessing(1), range(3))
    record.stop()
    record.close()
    again = RunRecord(tmp_path / "b", RUN, resume=True)
    assert again.catching_up
    assert again.finished_bytes == 5


def test_a_run_without_a_frame_leaves_no_record(tmp_path: Path) -> None:
    RunRecord(record_path(tmp_path / "a"), RUN).abort()
    assert list(tmp_path.iterdir()) == []


def test_one_whose_outputs_could_not_be_begun_leaves_it(tmp_path: Path) -> None:
    RunRecord(record_path(tmp_path / "a"), RUN).abort(keep=True)
    assert record_path(tmp_path / "a").exists()
    again = RunRecord(record_path(tmp_path / "a"), RUN, resume=True)
    assert not again.catching_up
    again.abort()


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({**RUN, "--conf": 0.5}, "--conf was 0.3, now it is 0.5"),
        ({**RUN, "--new": True}, "--new was nothing, now it is True"),
        ({"--conf": 0.3}, "--source was a.mp4, now it is nothing"),
    ],
)
def test_another_runs_record_is_refused(tmp_path: Path, now: dict, told: str) -> None:
    killed_after(tmp_path / "r", 3)
    with pytest.raises(UsageError, match=told):
        RunRecord(tmp_path / "r", now, resume=True)


def test_another_model_is_refused(tmp_path: Path) -> None:
    record = RunRecord(tmp_path / "r", RUN)
    record.agree("models", ["dino"])
    steps(record, Guessing(1), range(2))
    record.abort()
    with pytest.raises(UsageError, match=r"models were \['dino'\], now they are \['histogram'\]"):
        RunRecord(tmp_path / "r", RUN, resume=True).agree("models", ["histogram"])


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    killed_after(tmp_path / "r", 3)
    assert not RunRecord(tmp_path / "r", {"--conf": 0.9}).catching_up


@pytest.mark.parametrize(
    "line",
    [
        {"frame": 0, "xyxy": "!", "score": "", "class_id": []},
        {"frame": 0, "xyxy": 7},
        {"frame": 0, "rows": [1], "embedding": "AAA"},
        {"frame": 0, "rows": "x", "embedding": ""},
        {"frame": 0, "rows": [99], "embedding": "AAAAAA=="},
        {"frame": "first"},
        {"frame": 1},
    ],
)
def test_a_record_that_somebody_changed_is_one_clear_error(tmp_path: Path, line: dict) -> None:
    path = tmp_path / "r"
    path.write_text(json.dumps({"run": RUN}) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(UsageError, match=r"goes on with|not what a run writes|on record as embedded") as caught:
        steps(RunRecord(path, RUN, resume=True), Guessing(1), range(2))
    assert "leave --resume out" in caught.value.remedy


def test_a_file_that_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").write_text('{"frame": 0}\n')
    with pytest.raises(UsageError, match="no record"):
        RunRecord(tmp_path / "r", RUN, resume=True)
