"""A resumed run gets boxes and embeddings back, exact to the last bit, and only from the journal of the same run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.structures import Detections, FloatArray, Frame, Image, ModelInfo, Reason, TrackView, VideoInfo
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.detectors.base import Detector
from mot_dinov3.features.base import Embedder
from mot_dinov3.pipeline.loop import Stages, TrackingLoop
from mot_dinov3.pipeline.resume import ResumeJournal, resume_journal_path
from mot_dinov3.scheduler import EmbeddingScheduler, SchedulerConfig
from mot_dinov3.trackers.base import Tracker
from mot_dinov3.video import SourceConfig
from mot_dinov3.video.source import FramelessSource

RUN = {"--conf": 0.3, "--source": "a.mp4"}


GRID = np.array([[x, 0, x + 40, 40] for x in (0, 100, 200, 300)], np.float32)


class Guessing(Detector):
    """A detector that finds something else whenever it is asked."""

    def __init__(self, seed: int) -> None:
        self.info, self.names = ModelInfo("guessing"), {0: "thing"}
        self.rng = np.random.default_rng(seed)
        self.seen: list[int] = []

    def detect(self, frame: Frame) -> Detections:
        self.seen.append(frame.index)
        n = int(self.rng.integers(0, 4))
        xyxy = GRID[:n] + self.rng.uniform(0, 3, (n, 4)).astype(np.float32)
        extra = np.array([{"keypoints": [[1, 2, 0.5]]} for _ in range(n)], np.object_)
        return Detections(xyxy, score=self.rng.random(n), class_id=np.arange(n), extra=extra)


class Known(Tracker):
    """A tracker whose tracks stand still and were embedded long ago: all rows on them are due for a refresh."""

    revisions, settled = (), 0

    def predict(self, frame: Frame) -> TrackView:
        n = len(GRID)
        return TrackView(
            np.arange(n), np.arange(n) + 1, np.full(n, 2), GRID, np.ones(n, bool), np.eye(n, 8, dtype=np.float32),
            np.full(n, -1), np.zeros(n, np.int64),
        )  # fmt: skip

    def update(self, detections: Detections) -> Detections:
        return detections

    def lost(self) -> TrackView:
        return TrackView.empty()


class Random(Embedder):
    """An embedder whose rows are different every time."""

    info, dim, same_floor = ModelInfo("random"), 8, 0.5

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        return self.rng.random((len(xyxy), 8), np.float32)

    def embed_images(self, pictures: object) -> FloatArray:
        raise NotImplementedError

    def synchronize(self) -> None:
        """Nothing runs ahead."""


def steps(journal: ResumeJournal, detector: Guessing, frames: range, *, boxes: bool = True, step_s: float = 1e-9):
    """Return the rows of some frames that have gone through the frame loop."""
    ticks = itertools.count(0.0, step_s)
    scheduler = EmbeddingScheduler(SchedulerConfig(embed_budget_ms=5), clock=lambda: next(ticks))
    source = FramelessSource(VideoInfo("v", 400, 40, 10.0, 100), SourceConfig(), [])
    stages = Stages(
        source, detector, Known(), Random(np.random.default_rng()), scheduler, journal=journal, keep_boxes=boxes
    )
    loop = TrackingLoop(stages, [], StageTimer())
    image = np.zeros((40, 400, 3), np.uint8)
    return [loop.step(Frame(index, index / 10, image)) for index in frames], scheduler.stats


def same(first: Detections, second: Detections) -> bool:
    return all(
        (a is None and b is None) or np.array_equal(a, b)
        for (name, a), b in zip(first.columns().items(), second.columns().values())
        if not name.startswith("gallery")
    )


def killed_after(path: Path, frames: int) -> list[Detections]:
    record = ResumeJournal(path, RUN)
    done, _ = steps(record, Guessing(1), range(frames))
    record.abort()
    return done


def test_boxes_and_embeddings_come_back_to_the_bit(tmp_path: Path) -> None:
    path = resume_journal_path(tmp_path / "t.mp4")
    before = killed_after(path, 12)
    assert path.name == "t.mp4.part.record"
    other = Guessing(2)
    # another detector, another clock: what is on record holds, whatever they say
    after, stats = steps(ResumeJournal(path, RUN, resume=True), other, range(15), step_s=10.0)
    assert all(same(a, b) for a, b in zip(before, after))
    assert other.seen == [12, 13, 14]
    reasons = np.concatenate([rows.reason for rows in after])
    assert stats.total == np.isin(reasons, [Reason.NEW, Reason.WEAK_IOU, Reason.CROWDED, Reason.REFRESH]).sum()


def test_a_detector_that_must_see_every_frame_does(tmp_path: Path) -> None:
    path = tmp_path / "r"
    record = ResumeJournal(path, RUN)
    steps(record, Guessing(1), range(5), boxes=False)
    record.abort()
    again = Guessing(1)
    steps(ResumeJournal(path, RUN, resume=True), again, range(5), boxes=False)
    assert again.seen == list(range(5))


def test_a_run_that_ended_leaves_no_record_and_an_interrupted_one_does(tmp_path: Path) -> None:
    record = ResumeJournal(tmp_path / "a", RUN)
    steps(record, Guessing(1), range(3))
    record.close()
    assert not (tmp_path / "a").exists()
    record = ResumeJournal(tmp_path / "b", RUN, video=tmp_path / "v.mp4")
    (tmp_path / "v.mp4").write_bytes(b"12345")
    steps(record, Guessing(1), range(3))
    record.stop()
    record.close()
    again = ResumeJournal(tmp_path / "b", RUN, resume=True)
    assert again.is_behind
    assert again.finished_bytes == 5


def test_a_run_without_a_frame_leaves_no_record(tmp_path: Path) -> None:
    ResumeJournal(resume_journal_path(tmp_path / "a"), RUN).abort()
    assert list(tmp_path.iterdir()) == []


def test_one_whose_outputs_could_not_be_begun_leaves_it(tmp_path: Path) -> None:
    ResumeJournal(resume_journal_path(tmp_path / "a"), RUN).abort(keep=True)
    assert resume_journal_path(tmp_path / "a").exists()
    again = ResumeJournal(resume_journal_path(tmp_path / "a"), RUN, resume=True)
    assert not again.is_behind
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
        ResumeJournal(tmp_path / "r", now, resume=True)


def test_another_model_is_refused(tmp_path: Path) -> None:
    record = ResumeJournal(tmp_path / "r", RUN)
    record.check_same("models", ["dino"])
    steps(record, Guessing(1), range(2))
    record.abort()
    with pytest.raises(UsageError, match=r"models were \['dino'\], now they are \['histogram'\]"):
        ResumeJournal(tmp_path / "r", RUN, resume=True).check_same("models", ["histogram"])


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    killed_after(tmp_path / "r", 3)
    assert not ResumeJournal(tmp_path / "r", {"--conf": 0.9}).is_behind


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
    with pytest.raises(UsageError, match=r"continues with|not a valid record|embeddings of more") as caught:
        steps(ResumeJournal(path, RUN, resume=True), Guessing(1), range(2))
    assert "omit --resume" in caught.value.remedy


def test_a_file_that_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").write_text('{"frame": 0}\n')
    with pytest.raises(UsageError, match="not a resume journal"):
        ResumeJournal(tmp_path / "r", RUN, resume=True)
