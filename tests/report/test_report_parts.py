"""What a report gathers stays small and true, however long the run is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mot_dinov3.core.structures import Detections, Frame, Reason, TrackState, VideoInfo
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.report import best_crops, timelines
from mot_dinov3.report.best_crops import BackgroundEstimate, BestCrops
from mot_dinov3.report.bins import Heatmap, TimeBins
from mot_dinov3.report.timelines import Observation, TrackHistory, Trajectory
from mot_dinov3.report.trace import RunTrace, TimeSink


def rows(*ids, coasted=(), state=TrackState.CONFIRMED, **columns):
    n = len(ids)
    boxes = np.array([[10 * k, 0, 10 * k + 8, 20] for k in range(n)], np.float32).reshape(n, 4)
    flags = np.isin(ids, coasted) if n else np.zeros(0, bool)
    return Detections(boxes, track_id=ids, coasted=flags, state=np.full(n, int(state)), **columns)


def spans(timeline):
    return [(span.observation, round(span.start, 6), round(span.end, 6)) for span in timeline.spans]


class TestTimeBins:
    def test_a_frame_has_a_bin_of_its_own_while_there_is_room(self):
        bins = TimeBins(2, most=4)
        bins.add(0.0, np.array([1.0, 10.0]))
        bins.add(0.5, np.array([3.0, 20.0]))
        assert bins.start.tolist() == [0.0, 0.5]
        assert bins.mean.tolist() == [[1, 10], [3, 20]]

    def test_neighbours_are_joined_when_there_are_too_many(self):
        bins = TimeBins(1, most=4)
        for k in range(6):
            bins.add(float(k), np.array([float(k)]))
        assert bins.span == 2
        assert bins.start.tolist() == [0, 2, 4]
        assert bins.frames.tolist() == [2, 2, 2]
        assert bins.mean.ravel().tolist() == [0.5, 2.5, 4.5]
        assert bins.peak.ravel().tolist() == [1, 3, 5]

    def test_nothing_is_lost_in_a_long_run(self):
        bins = TimeBins(1, most=8)
        for k in range(1001):
            bins.add(float(k), np.array([1.0]))
        assert len(bins.start) <= 8
        assert bins.frames.sum() == bins.total[0] == 1001
        assert (bins.mean == 1).all()


class TestHeatmap:
    def test_seconds_fall_into_cells_of_the_image(self):
        grid = Heatmap(64, 32, cells=8)
        grid.add(np.array([[1, 1], [9, 25], [9, 25]], np.float32), 0.5)
        assert grid.cell == 8
        assert grid.seconds[0, 0] == 0.5
        assert grid.seconds[3, 1] == 1.0
        assert grid.seconds.sum() == 1.5

    def test_who_steps_out_of_the_image_counts_at_its_border(self):
        grid = Heatmap(64, 32, cells=8)
        grid.add(np.array([[70, -3], [np.nan, 5]], np.float32), 1.0)
        assert grid.seconds[0, 7] == grid.seconds.sum() == 1.0

    def test_an_image_of_unknown_size_makes_the_cells_grow(self):
        grid = Heatmap(0, 0, cells=4)
        grid.add(np.array([[9, 1]], np.float32), 1.0)
        grid.add(np.array([[100, 1]], np.float32), 1.0)
        assert grid.cell == 32
        assert grid.seconds[0].tolist() == [1, 0, 0, 1]


class TestHistory:
    def test_a_timeline_has_no_gaps(self):
        history = TrackHistory(0.1)
        for k, row in enumerate((rows(1), rows(1), rows(1, coasted=[1]), rows(), rows(1))):
            history.add(k / 10, row)
        timeline = history.timelines[1]
        expected = [(Observation.DETECTED, 0, 0.2), (Observation.PREDICTED, 0.2, 0.3), (Observation.LOST, 0.3, 0.4)]
        assert spans(timeline) == [*expected, (Observation.DETECTED, 0.4, 0.5)]
        assert (timeline.first, round(timeline.last, 6), timeline.frames, timeline.reidentified) == (0, 0.5, 3, [])

    def test_a_track_is_reidentified_after_half_a_second(self):
        history = TrackHistory(0.1)
        for k in range(20):
            history.add(k / 10, rows(1, coasted=[1]) if k in (3, 4) else rows(1) if k < 5 or k > 10 else rows())
        assert history.timelines[1].reidentified == [1.1]

    def test_at_a_frame_a_second_one_missing_box_is_no_reidentification_but_two_are(self):
        history = TrackHistory(1.0)
        for k, row in enumerate((rows(1), rows(1), rows(1, 2), rows(2), rows(1), rows(), rows(), rows(2))):
            history.add(float(k), row)
        assert history.timelines[1].reidentified == []
        assert history.timelines[2].reidentified == [7.0]

    def test_boxes_within_a_detection_interval_count_as_detected(self):
        for interpolated, observation in ((True, Observation.DETECTED), (False, Observation.PREDICTED)):
            history = TrackHistory(0.1, interpolated=interpolated)
            history.add(0.0, rows(1, coasted=[1]))
            assert history.timelines[1].spans[0].observation == observation

    def test_class_name_and_score_of_a_track(self):
        history = TrackHistory(0.1)
        for class_id, name, score in ((0, "Anna", 0.5), (2, "Anna", 0.9), (0, None, 0.7)):
            history.add(0.0, rows(4, class_id=[class_id], gallery_id=[name], score=[score]))
        timeline = history.timelines[4]
        assert (timeline.class_id, timeline.name, timeline.score) == (0, "Anna", pytest.approx(0.7))

    def test_rows_without_a_track_are_nobodys(self):
        history = TrackHistory(0.1)
        history.add(0.0, rows(-1))
        assert history.timelines == {}

    def test_a_flickering_track_keeps_a_bounded_number_of_spans_without_gaps(self):
        history = TrackHistory(0.1)
        for k in range(500):
            history.add(k / 10, rows(1) if k % 3 else rows())
        timeline = history.timelines[1]
        assert timelines.MAX_SPANS / 2 <= len(timeline.spans) <= timelines.MAX_SPANS
        assert timeline.first == 0.1
        assert timeline.last == pytest.approx(50)
        assert all(
            a.end == b.start and a.observation != b.observation for a, b in zip(timeline.spans, timeline.spans[1:])
        )

    def test_a_trajectory_keeps_its_ends_and_a_bounded_number_of_points(self):
        trajectory = Trajectory()
        for k in range(5000):
            trajectory.add(float(k), 1.0)
        points = trajectory.points()
        assert len(points) <= timelines.MAX_POINTS + 1
        assert points[0] == (0, 1)
        assert points[-1] == (4999, 1)
        steps = {b[0] - a[0] for a, b in itertools.pairwise(points[:-1])}
        assert len(steps) == 1, "thinned evenly"

    def test_the_shortest_tracks_of_a_crowd_are_left_out_and_counted(self, monkeypatch):
        monkeypatch.setattr(timelines, "MAX_TRACKS", 5)
        history = TrackHistory(0.1)
        for k in range(40):
            history.add(k / 10, rows(1000, k + 1))
        assert 1000 in history.timelines
        assert len(history.timelines) <= 2 * 5
        assert len(history.timelines) + history.left_out == 41


class TestImages:
    def test_the_sharpest_crop_wins(self):
        noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)
        flat = np.full((60, 60, 3), 128, np.uint8)
        box = Detections(np.array([[5, 5, 45, 55]], np.float32), track_id=[3])
        crops = BestCrops()
        for time, image in ((0.0, flat), (1.0, noise), (2.0, flat)):
            crops.add(image, box, time)
        kept = crops.found[3]
        assert kept.count == 3
        alone = BestCrops()
        alone.add(noise, box, 0.0)
        assert kept.jpeg == alone.found[3].jpeg

    def test_few_boxes_a_frame_are_cropped_and_all_in_the_end(self):
        image = np.zeros((40, 400, 3), np.uint8)
        crowd = rows(*range(1, 11))
        crops = BestCrops()
        crops.add(image, crowd, 0.0)
        counts = [crop.count for crop in crops.found.values()]
        assert sum(counts) == best_crops.CROPS_PER_FRAME
        for k in range(1, 10):
            crops.add(image, crowd, k / 100)
        assert min(crop.count for crop in crops.found.values()) == 1

    def test_predicted_tiny_and_outside_boxes_have_no_crop(self):
        image = np.zeros((40, 40, 3), np.uint8)
        boxes = np.array([[0, 0, 30, 30], [0, 0, 3, 3], [50, 50, 90, 90], [5, 5, 30, 30]], np.float32)
        given = Detections(boxes, track_id=[1, 2, 3, -1], coasted=[True, False, False, False])
        crops = BestCrops()
        crops.add(image, given, 0.0)
        assert crops.found == {}

    def test_the_background_of_a_fixed_camera_is_without_those_who_pass(self):
        import cv2

        background = BackgroundEstimate()
        for k in range(8):
            image = np.full((48, 96, 3), 100, np.uint8)
            image[:, 12 * k : 12 * k + 10] = 255
            background.add(image.copy)
        shown = cv2.imdecode(np.frombuffer(background.jpeg(), np.uint8), cv2.IMREAD_COLOR)
        assert abs(shown.astype(int) - 100).max() <= 3

    def test_the_background_of_a_moving_camera_is_one_of_its_frames(self):
        import cv2

        background = BackgroundEstimate()
        for k in range(30):
            background.add(np.full((16, 16, 3), 8 * k, np.uint8).copy)
        shown = cv2.imdecode(np.frombuffer(background.jpeg(), np.uint8), cv2.IMREAD_COLOR)
        assert round(float(shown.mean())) in range(0, 240, 8)

    def test_without_images_there_is_no_background(self):
        assert BackgroundEstimate().jpeg() == b""


def test_times_go_to_the_frame_in_which_they_were_spent():
    now = [0.0]
    timer = StageTimer(lambda: now[0])
    trace = RunTrace(["wait", "detect", "read"], VideoInfo("v", 64, 48, 10.0), parallel=["read"])
    sink = TimeSink(trace, timer)
    reasons = np.array([Reason.NEW, Reason.REUSED, Reason.REUSED])
    for index, (detect, rest) in enumerate(((0.020, 0.0), (0.030, 0.010))):
        with timer.stage("detect"):
            now[0] += detect
        with timer.stage("read"):
            now[0] += 0.0
        now[0] += rest
        sink.write(Frame(index, index / 10), rows(1, 2, 3, coasted=[3], reason=reasons))
    assert trace.series("detect") == [20, 30]
    assert trace.series("latency") == [20, 40]
    assert trace.series("detections") == [2, 2]
    assert trace.series("REUSED") == [2, 2]
    assert trace.total("NEW") == 2
