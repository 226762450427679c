"""What files say of the frames between two looks of the detector."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core.structures import Detections, Frame, TrackState
from mot_dinov3.pipeline.detection_interval import DetectedFramesOnly, DetectionInterval, GapInterpolator, interpolated


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, Detections]] = []
        self.ends: list[str] = []

    def write(self, frame: Frame, detections: Detections) -> None:
        self.frames.append((frame.index, detections))

    def close(self) -> None:
        self.ends.append("closed")

    def abort(self) -> None:
        self.ends.append("aborted")


def rows(*xs: float, ids: list[int], coasted: bool = False) -> Detections:
    boxes = np.array([[x, 0, x + 10, 20] for x in xs], np.float32).reshape(-1, 4)
    state = np.full(len(xs), int(TrackState.CONFIRMED))
    extra = np.array([{"det_ind": 0}] * len(xs), np.object_)
    return Detections(
        boxes,
        score=np.full(len(xs), 0.5),
        track_id=ids,
        state=state,
        coasted=[coasted] * len(xs),
        track_xyxy=boxes + 1,
        extra=extra,
    )


def test_tracks_seen_on_both_sides_lie_on_the_line() -> None:
    between = interpolated(rows(3, ids=[1], coasted=True), rows(0, 50, ids=[1, 2]), rows(90, 8, ids=[2, 1]), 0.25)
    assert between.track_id.tolist() == [1, 2]  # track 2 was not predicted, but is known to have been there
    assert between.xyxy[:, 0].tolist() == [2, 60]
    assert between.track_xyxy[:, 0].tolist() == [3, 61]
    assert between.coasted.all()
    assert (between.state == TrackState.CONFIRMED).all()
    assert between.extra.tolist() == [None, None]


def test_who_is_not_there_at_the_next_look_keeps_the_prediction_and_is_lost() -> None:
    between = interpolated(rows(3, 70, ids=[1, 3], coasted=True), rows(0, 71, ids=[1, 3]), rows(8, ids=[1]), 0.5)
    assert dict(zip(between.track_id.tolist(), between.xyxy[:, 0].tolist())) == {1: 4, 3: 70}
    assert dict(zip(between.track_id.tolist(), between.state.tolist())) == {1: TrackState.CONFIRMED, 3: TrackState.LOST}


def test_a_predicted_box_at_a_look_is_no_end_of_a_line() -> None:
    between = interpolated(rows(3, ids=[1], coasted=True), rows(0, ids=[1]), rows(9, ids=[1], coasted=True), 0.5)
    assert between.xyxy[:, 0].tolist() == [3]


def test_frames_come_in_order_and_times_decide_the_place_on_the_line() -> None:
    kept = Kept()
    sink = GapInterpolator(kept, DetectionInterval(3))
    for index, time in enumerate([0.0, 0.1, 0.4, 0.5, 0.6]):
        looked = index % 3 == 0
        sink.write(Frame(index, time), rows(100 * time if looked else -1, ids=[1], coasted=not looked))
        assert [number for number, _ in kept.frames] == list(range(index + 1) if index >= 3 else range(1))[:4]
    sink.close()
    assert [number for number, _ in kept.frames] == [0, 1, 2, 3, 4]
    assert [float(found.xyxy[0, 0]) for _, found in kept.frames] == [0, 10, 40, 50, -1]
    assert kept.ends == ["closed"]


def test_a_cut_ends_the_line() -> None:
    """An object that appearance alone continues is elsewhere in the next scene."""
    kept, cuts = Kept(), [0]
    sink = GapInterpolator(kept, DetectionInterval(2), cuts)
    for index in range(7):
        if index == 4:
            cuts.append(4)
        looked = index % 2 == 0
        sink.write(Frame(index, index / 10), rows(10 * index if looked else -1, ids=[1], coasted=not looked))
    assert [float(found.xyxy[0, 0]) for _, found in kept.frames] == [0, 10, 20, -1, 40, 50, 60]
    assert [bool(found.state[0] == TrackState.LOST) for _, found in kept.frames] == [False] * 3 + [True] + [False] * 3


def test_with_a_look_at_every_frame_nothing_is_held() -> None:
    kept = Kept()
    sink = GapInterpolator(kept, DetectionInterval(1))
    for index in range(3):
        sink.write(Frame(index, index / 10), rows(index, ids=[1]))
        assert len(kept.frames) == index + 1
    sink.abort()
    assert kept.ends == ["aborted"]


def test_detections_are_kept_of_frames_looked_at_only() -> None:
    kept = Kept()
    sink = DetectedFramesOnly(kept, DetectionInterval(2, start=1))
    for index in range(1, 6):
        sink.write(Frame(index, index / 10), rows(ids=[]))
    sink.close()
    assert [number for number, _ in kept.frames] == [1, 3, 5]
    assert kept.ends == ["closed"]
