"""Embedding rows of a frame: what is asked for, in order, done when it returns, and usable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core.errors import ModelError, MotError
from mot_dinov3.core.structures import Detections, FloatArray, Frame, Image, ModelInfo, TrackView, VideoInfo
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.detectors.base import Detector
from mot_dinov3.features.base import CropEmbedder, Embedder, EmbedderRequest, Extractor
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.pipeline.embedding_check import embeds_rows
from mot_dinov3.pipeline.loop import Stages, TrackingLoop
from mot_dinov3.pipeline.resume import ResumeJournal
from mot_dinov3.scheduler import EmbeddingScheduler, SchedulerConfig
from mot_dinov3.trackers.base import Tracker
from mot_dinov3.video import SourceConfig
from mot_dinov3.video.source import FramelessSource

DETECTIONS = Detections(np.arange(12, dtype=np.float32).reshape(3, 4).cumsum(axis=1))


class Late:
    """An embedder whose device runs ahead: rows are there only once it has been waited for."""

    info, dim, same_floor = ModelInfo("late"), 4, 0.5

    def __init__(self) -> None:
        self.queued = 0

    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        self.queued += len(xyxy)
        return xyxy / np.linalg.norm(xyxy, axis=1, keepdims=True)

    def embed_images(self, pictures: object) -> FloatArray:
        raise NotImplementedError

    def synchronize(self) -> None:
        self.queued = 0


def test_each_call_returns_when_the_device_has_finished() -> None:
    embedder = Late()
    embed = embeds_rows(embedder, Frame(0, 0.0, np.zeros((20, 20, 3), np.uint8)), DETECTIONS)
    for rows in ([2, 0], [1]):
        found = embed(np.array(rows))
        assert embedder.queued == 0
        wanted = DETECTIONS.xyxy[rows]
        np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True))


def test_a_picture_is_needed_only_where_a_row_is_embedded() -> None:
    embed = embeds_rows(Late(), Frame(7, 0.0), DETECTIONS)
    with pytest.raises(MotError, match="frame 7 has no image"):
        embed(np.array([0]))


class Answering(Embedder):
    """A custom embedder that answers as it is told, frame by frame, and else with the boxes' corners."""

    def __init__(self, answers: dict[int, object] | None = None, dim: int = 4) -> None:
        self.info, self.dim, self.same_floor = ModelInfo("answering"), dim, 0.5
        self.answers, self.calls = answers or {}, 0

    def embed(self, image: Image, xyxy: FloatArray) -> FloatArray:
        answer = self.answers.get(self.calls, xyxy)
        self.calls += 1
        return answer(xyxy) if callable(answer) else answer  # type: ignore[return-value]

    def embed_images(self, images: Sequence[Image]) -> FloatArray:
        raise NotImplementedError


def blank(xyxy: FloatArray) -> FloatArray:
    return np.zeros_like(xyxy)


def partly_nan(xyxy: FloatArray) -> FloatArray:
    rows = xyxy + 1
    rows[1] = np.nan
    return rows


class Still(Tracker):
    """A tracker without tracks: every box is new, and is embedded."""

    revisions, settled = (), 0

    def predict(self, frame: Frame) -> TrackView:
        return TrackView.empty()

    def update(self, detections: Detections) -> Detections:
        return detections

    def lost(self) -> TrackView:
        return TrackView.empty()


class Same(Detector):
    """A detector that finds the same three boxes in every frame."""

    def __init__(self) -> None:
        self.info, self.names = ModelInfo("same"), {}

    def detect(self, frame: Frame) -> Detections:
        return DETECTIONS


def frame_loop(embedder: Embedder, journal: ResumeJournal | None = None) -> TrackingLoop:
    source = FramelessSource(VideoInfo("v", 60, 60, 10.0, 100), SourceConfig(), [])
    stages = Stages(source, Same(), Still(), embedder, EmbeddingScheduler(SchedulerConfig()), journal=journal)
    return TrackingLoop(stages, [], StageTimer())


def frames(count: int) -> list[Frame]:
    return [Frame(index, index / 10, np.zeros((60, 60, 3), np.uint8)) for index in range(count)]


@pytest.mark.parametrize(
    ("answer", "shape"),
    [
        (lambda xyxy: xyxy[:2], r"\(2, 4\)"),
        (lambda xyxy: np.concatenate([xyxy, xyxy]), r"\(6, 4\)"),
        (lambda xyxy: xyxy[:1], r"\(1, 4\)"),  # numpy alone would give every box this one
        (lambda xyxy: xyxy[:, :3], r"\(3, 3\)"),
        (lambda xyxy: xyxy[:, 0], r"\(3,\)"),
        (lambda xyxy: xyxy[:, :, None], r"\(3, 4, 1\)"),
        (None, r"\(\)"),
        (lambda xyxy: "none", "str that is no array of numbers"),
        (lambda xyxy: [[1, 2], [3]], "list that is no array of numbers"),
    ],
)
def test_rows_of_another_shape_name_the_embedder_and_the_frame(answer: object, shape: str) -> None:
    loop = frame_loop(Answering({2: answer}))
    wanted = rf"frame 2: embedder 'answering' \(.*:Answering\) returned .*{shape}"
    with pytest.raises(ModelError, match=wanted) as found:
        [loop.step(frame) for frame in frames(4)]
    assert "expected shape (3, 4)" in found.value.message
    assert "check_embedder" in found.value.remedy
    assert found.value.exit_code == 4


def test_a_custom_extractor_is_held_to_the_same() -> None:
    class Short(Extractor):
        def extract(self, crops: Sequence[Image]) -> FloatArray:
            return np.ones((1, 5), np.float32)

    class OneForAll(CropEmbedder):
        def __init__(self) -> None:
            request = EmbedderRequest("", DeviceConfig("cpu"), 0.1, None, None, "cls", 32, Path)
            super().__init__(Short(), request, info=ModelInfo("short"), same_floor=0.5, square=False)

    with pytest.raises(ModelError, match=r"frame 0: embedder 'short'.*\(1, 5\) for 3 crops; expected shape \(3, 5\)"):
        frame_loop(OneForAll()).step(frames(1)[0])


@pytest.mark.parametrize("answer", [partly_nan, lambda xyxy: partly_nan(xyxy) * np.inf])
def test_a_row_that_is_no_embedding_is_left_out_counted_and_noticed_once(answer: object) -> None:
    loop = frame_loop(Answering({1: answer, 3: blank}))
    found = [loop.step(frame) for frame in frames(5)]
    if answer is partly_nan:
        assert [rows.has_embedding.tolist() for rows in found[:2]] == [[True] * 3, [True, False, True]]
        assert [rows.fresh.tolist() for rows in found[:2]] == [[True] * 3, [True, False, True]]
    assert not found[3].fresh.any()
    assert not found[3].has_embedding.any()
    assert np.isfinite(np.stack([rows.embedding for rows in found])).all()
    check = loop.stages.embedding_check
    assert check.unusable == (4 if answer is partly_nan else 6)
    (notice,) = check.notices
    assert notice.startswith("frame 1: embedder 'answering' (")
    assert f"{check.unusable} in total" in notice


def test_rows_of_another_length_are_brought_to_length_1() -> None:
    found = frame_loop(Answering({0: lambda xyxy: 7 * (xyxy.astype(np.float64) + 1)})).step(frames(1)[0])
    assert found.embedding is not None
    np.testing.assert_allclose(np.linalg.norm(found.embedding, axis=1), 1, atol=1e-6)
    assert found.embedding.dtype == np.float32


def test_an_embedder_that_gives_nothing_in_the_first_frames_is_refused() -> None:
    loop = frame_loop(Answering(dict.fromkeys(range(9), lambda xyxy: np.full_like(xyxy, np.nan))))
    first, second, third = frames(3)
    assert not loop.step(first).has_embedding.any()
    loop.step(second)
    with pytest.raises(ModelError, match=r"embedder 'answering'.*zero or not finite, for 9 boxes up to frame 2"):
        loop.step(third)


def test_one_usable_row_is_enough_for_the_embedder_to_stay() -> None:
    loop = frame_loop(Answering({0: blank, 1: partly_nan, **dict.fromkeys(range(2, 9), blank)}))
    for frame in frames(9):
        loop.step(frame)
    assert loop.stages.embedding_check.unusable == 3 + 1 + 7 * 3


def test_a_resumed_run_leaves_out_the_same_rows(tmp_path: Path) -> None:
    def run(resume: bool, count: int) -> tuple[list[Detections], tuple[str, ...]]:
        journal = ResumeJournal(tmp_path / "journal", {"a": 1}, resume=resume)
        loop = frame_loop(Answering({1: partly_nan}), journal)
        found = [loop.step(frame) for frame in frames(count)]
        journal.abort()
        return found, loop.stages.embedding_check.notices

    before, notices = run(False, 3)
    after, again = run(True, 3)
    assert notices == again != ()
    for one, other in zip(before, after):
        np.testing.assert_array_equal(one.embedding, other.embedding)
        np.testing.assert_array_equal(one.fresh, other.fresh)
        np.testing.assert_array_equal(one.reason, other.reason)
