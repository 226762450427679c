from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.errors import ConfigError, FormatError
from mot_dinov3.core.structures import Detections, Frame, VideoInfo
from mot_dinov3.detectors.base import DetectorConfig
from mot_dinov3.detectors.recorded import RecordedDetector
from mot_dinov3.formats.recorded_detections import RecordedDetections

VIDEO = VideoInfo("in.mp4", 768, 576, 10.0, 6)


def rows(*scores: float, class_id: int = 0) -> Detections:
    n = len(scores)
    return Detections(np.tile([0, 0, 9, 9], (n, 1)), np.array(scores), np.full(n, class_id))


@pytest.fixture
def recorded() -> RecordedDetections:
    frames = {0: rows(0.9, 0.05), 2: rows(0.3, class_id=7), 5: Detections.empty()}
    return RecordedDetections("d.json", frames, VIDEO, True, {0: "person"})


def test_frames_are_matched_by_number(recorded: RecordedDetections) -> None:
    detector = RecordedDetector(recorded, DetectorConfig())
    assert [len(detector.detect(Frame(i, 0.0))) for i in (2, 0, 1, 99)] == [1, 2, 0, 0]


def test_only_a_given_conf_filters(recorded: RecordedDetections) -> None:
    assert len(RecordedDetector(recorded, DetectorConfig()).detect(Frame(0, 0))) == 2
    kept = RecordedDetector(recorded, DetectorConfig(conf=0.3))
    assert len(kept.detect(Frame(0, 0))) == 1
    assert len(kept.detect(Frame(2, 0))) == 1, "a score equal to the limit stays"


@pytest.mark.parametrize(("classes", "kept"), [("0", [2, 0]), ("person", [2, 0]), ("7", [0, 1]), ("5", [0, 0])])
def test_classes_by_id_and_name(recorded: RecordedDetections, classes: str, kept: list[int]) -> None:
    detector = RecordedDetector(recorded, DetectorConfig(classes=classes))
    assert [len(detector.detect(Frame(i, 0))) for i in (0, 2)] == kept


def test_unknown_class_name(recorded: RecordedDetections) -> None:
    with pytest.raises(ConfigError, match="unknown class 'persn'; did you mean 'person'"):
        RecordedDetector(recorded, DetectorConfig(classes="persn"))


def test_a_filter_that_leaves_nothing_says_which_classes_there_are(recorded: RecordedDetections) -> None:
    (notice,) = RecordedDetector(recorded, DetectorConfig(classes="5")).notices
    assert notice.startswith("no box is of the classes '5': ")
    assert "0 person (2 boxes)" in notice
    assert RecordedDetector(recorded, DetectorConfig(classes="0")).notices == ()


def test_classes_of_a_file_without_any() -> None:
    unknown = RecordedDetections("det.txt", {0: rows(0.5, class_id=-1)}, VIDEO)
    with pytest.raises(ConfigError, match=r"'det\.txt' does not contain the class"):
        RecordedDetector(unknown, DetectorConfig(classes="0"))


def test_another_picture_size_is_an_error(recorded: RecordedDetections) -> None:
    detector = RecordedDetector(recorded, DetectorConfig())
    assert detector.check_against(VIDEO, None) == ""
    with pytest.raises(FormatError, match=r"768×576, 'v\.avi' has 640×480"):
        detector.check_against(VideoInfo("v.avi", 640, 480, 10.0), None)


def test_unknown_sizes_are_not_compared(recorded: RecordedDetections) -> None:
    assert RecordedDetector(recorded, DetectorConfig()).check_against(VideoInfo("", 0, 0, 10.0), None) == ""


def test_a_record_beyond_the_last_frame_is_an_error(recorded: RecordedDetections) -> None:
    detector = RecordedDetector(recorded, DetectorConfig())
    assert detector.check_against(VIDEO, 6) == ""
    with pytest.raises(FormatError, match=r"record for frame 5, but the last frame of 'in\.mp4' is 4"):
        detector.check_against(VIDEO, 5)


def test_a_header_with_another_frame_count_is_only_noticed(recorded: RecordedDetections) -> None:
    notice = RecordedDetector(recorded, DetectorConfig()).check_against(VideoInfo("v", 768, 576, 10.0, 7), None)
    assert "6 frames" in notice
    assert "7" in notice


def test_boxes_of_a_larger_video_are_told() -> None:
    """Detections of 1080p, the video in a third of its size; people who leave the image are none of these."""
    large = Detections(np.float32([[600, 300, 660, 480], [1500, 300, 1560, 480]]), np.float32([0.9, 0.9]))
    for rows_of, told in ((large, True), (large[:1], False)):
        recorded = RecordedDetections("d.txt", dict.fromkeys(range(9), rows_of), VideoInfo("", 0, 0, 10.0), True)
        notice = RecordedDetector(recorded, DetectorConfig()).check_against(VideoInfo("v", 768, 576, 10.0), None)
        assert notice == told * (
            "9 of 18 boxes of 'd.txt' lie outside of the images of 768×576: are they of this video, in this size?"
        )
