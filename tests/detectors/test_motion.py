from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mot_dinov3.core import boxes
from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.structures import Detections, Frame
from mot_dinov3.detectors.base import DetectorConfig, DetectorRequest
from mot_dinov3.detectors.motion import MotionConfig, MotionDetector, UsualSizes, objects
from mot_dinov3.formats.motchallenge import read_tracks
from mot_dinov3.models.devices import DeviceConfig

NOISE = np.random.default_rng(0)


def scene(index: int, *squares: tuple[float, float, float, float], size: tuple[int, int] = (192, 256)) -> Frame:
    """A noisy grey background with bright rectangles."""
    image = NOISE.normal(90, 3, (*size, 3)).clip(0, 255).astype(np.uint8)
    for x1, y1, x2, y2 in squares:
        image[int(y1) : int(y2), int(x1) : int(x2)] = (30, 60, 220)
    return Frame(index, index / 10, image)


def motion(parameters: MotionConfig | None = None, **options: object) -> MotionDetector:
    config = DetectorConfig(**options)  # type: ignore[arg-type]
    return MotionDetector(DetectorRequest(config, DeviceConfig("cpu"), motion=parameters))


def learned(size: tuple[int, int] = (192, 256), **knobs: object) -> MotionDetector:
    """A detector that has seen thirty frames of the empty scene."""
    detector = motion(MotionConfig(**knobs))  # type: ignore[arg-type]
    for index in range(30):
        detector.detect(scene(index, size=size))
    return detector


@pytest.mark.parametrize("method", ["mog2", "knn"])
def test_finds_what_moves_where_it_is(method: str) -> None:
    detector = learned(motion_method=method)
    for index in range(30, 36):
        box = (20 + 4 * index, 60, 44 + 4 * index, 130)
        found = detector.detect(scene(index, box))
        assert len(found) == 1
        assert boxes.iou(found.xyxy, np.array([box], np.float32))[0, 0] > 0.85
        assert found.class_id[0] == 0


@pytest.mark.parametrize("size", [(576, 768), (900, 400), (31, 47)])
def test_boxes_are_in_pixels_of_the_full_picture(size: tuple[int, int]) -> None:
    detector = learned(size)
    box = np.array([[0.25, 0.25, 0.5, 0.75]], np.float32) * [size[1], size[0], size[1], size[0]]
    found = detector.detect(scene(30, tuple(box[0]), size=size))
    assert boxes.iou(found.xyxy, box.astype(np.float32)).max() > 0.8


def test_an_empty_scene_has_nothing() -> None:
    detector = learned()
    assert sum(len(detector.detect(scene(i))) for i in range(30, 40)) == 0


def test_the_first_frames_only_teach_the_background() -> None:
    detector = motion(MotionConfig(motion_warm_up=3))
    assert [len(detector.detect(scene(i, (10 * i, 20, 40 + 10 * i, 90)))) for i in range(3)] == [0, 0, 0]


def test_conf_filters_and_scores_fall() -> None:
    detector = learned()
    found = detector.detect(scene(30, (20, 20, 50, 90), (100, 20, 106, 36), (180, 40, 200, 120)))
    assert len(found) == 3
    assert (np.diff(found.score) <= 0).all()
    assert found.score.min() >= 0.3
    assert found.score.max() <= 0.9
    strict = motion(conf=0.96)
    assert sum(len(strict.detect(scene(i, (4 * i, 20, 30 + 4 * i, 90)))) for i in range(12)) == 0


def test_two_runs_are_equal() -> None:
    frames = [scene(i, (5 * i, 30, 20 + 5 * i, 90), (200 - 5 * i, 40, 215 - 5 * i, 110)) for i in range(25)]

    def run() -> list[Detections]:
        detector = motion()
        return [detector.detect(frame) for frame in frames]

    for first, second in zip(run(), run()):
        np.testing.assert_array_equal(first.xyxy, second.xyxy)
        np.testing.assert_array_equal(first.score, second.score)


def usual(width: float, height: float) -> UsualSizes:
    """Sizes learned from people whose feet are at y = 90."""
    sizes = UsualSizes(reach=10)
    sizes.learn(np.array([[0, 90 - height, width, 90]] * 20, np.float32))
    return sizes


def found_in(pieces: list[tuple[int, int, int, int]], blobs: list[tuple[int, int, int, int]], sizes: UsualSizes):
    mask = np.zeros((100, 100), np.bool_)
    for x1, y1, x2, y2 in pieces:
        mask[y1:y2, x1:x2] = True
    found = objects(mask, np.array(blobs, np.float32), sizes, 10)
    return sorted(map(tuple, found.tolist()))


def test_two_merged_side_by_side_are_cut_at_the_gap() -> None:
    pieces = [(10, 50, 29, 90), (29, 80, 31, 82), (31, 52, 50, 90)]
    assert found_in(pieces, [(10, 50, 50, 90)], usual(20, 40)) == [(10, 50, 29, 90), (29, 52, 50, 90)]


def test_two_merged_behind_each_other_are_cut_in_height() -> None:
    pieces = [(10, 10, 30, 49), (18, 49, 22, 51), (10, 51, 30, 90)]
    found = found_in(pieces, [(10, 10, 30, 90)], usual(20, 40))
    assert len(found) == 2
    assert found[0][3] == found[1][1] == 49


def test_a_head_and_legs_apart_are_joined() -> None:
    pieces = [(12, 50, 28, 65), (10, 72, 30, 90)]
    assert found_in(pieces, pieces, usual(20, 40)) == [(10, 50, 30, 90)]


def test_nothing_is_cut_or_joined_before_sizes_are_known() -> None:
    pieces = [(10, 50, 50, 90), (60, 50, 70, 60), (60, 65, 70, 90)]
    assert found_in(pieces, pieces, UsualSizes(10)) == sorted(map(tuple, pieces))


def test_crumbs_are_left_out() -> None:
    assert found_in([(10, 10, 13, 13)], [(10, 10, 13, 13)], UsualSizes(10)) == []


def test_usual_size_is_that_of_the_same_distance() -> None:
    sizes = UsualSizes(reach=10)
    sizes.learn(np.array([[0, 70, 10, 90]] * 20 + [[0, 20, 4, 30]] * 20, np.float32))
    assert sizes.at(92) == (10, 20)
    assert sizes.at(30) == (4, 10)
    assert sizes.at(60) is None


@pytest.mark.parametrize("classes", ["0", "object", ""])
def test_the_one_class(classes: str) -> None:
    assert motion(classes=classes).names == {0: "object"}


def test_another_class_is_an_error() -> None:
    with pytest.raises(ConfigError, match="unknown class 'person'") as caught:
        motion(classes="person")
    assert caught.value.remedy == "valid: 0 object"


@pytest.mark.parametrize(
    "knobs", [{"motion_method": "x"}, {"motion_side": 3}, {"motion_history": 0}, {"motion_min_area": 2.0}]
)
def test_impossible_knobs(knobs: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(knobs))):
        MotionConfig(**knobs)  # type: ignore[arg-type]


@pytest.mark.slow
def test_finds_most_people_of_a_real_scene(shared: Path) -> None:
    import cv2
    from scipy.optimize import linear_sum_assignment

    truth = read_tracks(shared / "data/tracking/PETS09-S2L1/gt/gt.txt")
    video = cv2.VideoCapture(str(shared / "data/tracking/vtest.avi"))
    detector = motion(conf=0.65)
    people = found = right = 0
    for index in range(795):
        rows = detector.detect(Frame(index, index / 10, video.read()[1]))
        here = boxes.from_xywh(truth.xywh[(truth.frame == index) & (truth.value > 0)]).astype(np.float32)
        overlap = boxes.iou(here, rows.xyxy)
        right += int((overlap[linear_sum_assignment(-overlap)] >= 0.5).sum())
        people, found = people + len(here), found + len(rows)
    assert right / people > 0.77
    assert right / found > 0.80
