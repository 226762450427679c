"""Whether the boxes of one detector may replace another's, on numbers: fp32's, and the same ones moved."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mot_dinov3.core.structures import Detections
from mot_dinov3.detectors.agreement import ENOUGH, ENOUGH_IMAGES, FEW, MANY, BoxPair, compare_boxes, is_enough

SIDES = np.array([0, 0, 1, 1], np.float32)


def people(n: int, *, score: float = 0.8, size: float = 100.0) -> Detections:
    """Boxes side by side, none of which touches another."""
    corner = np.arange(n, dtype=np.float32)[:, None] * 2 * size
    return Detections(np.concatenate([corner, corner, corner + size, corner + size], 1), np.full(n, score), np.zeros(n))


def pairs(wanted: Detections, found: Detections, images: int = 1) -> list[BoxPair]:
    return [BoxPair(wanted, found)] * images


def moved(rows: Detections, pixels: float | npt.NDArray[np.float64]) -> Detections:
    """The same boxes, right and lower sides moved by so many pixels."""
    return rows.replace(xyxy=(rows.xyxy + np.reshape(pixels, (-1, 1)) * SIDES).astype(np.float32))


def test_the_same_boxes_agree() -> None:
    check = compare_boxes(pairs(people(30), people(30)))
    assert (check.passed, check.is_final, check.count) == (True, True, 30)
    assert "30 of 30 boxes" in check.figure
    assert "median 1.000" in check.figure


def test_pixels_do_not_matter_where_the_overlap_is_large() -> None:
    """Two pixels of a box of 500 are nothing; of a box of 20 they are its place."""
    assert compare_boxes(pairs(people(30, size=500), moved(people(30, size=500), 2))).passed
    assert not compare_boxes(pairs(people(30, size=20), moved(people(30, size=20), 2))).passed


def test_one_percent_may_be_far_off() -> None:
    rows = people(200)
    for outliers, passed in ((2, True), (3, False)):
        off = np.where(np.arange(200) < outliers, 20, 0.0)
        assert compare_boxes(pairs(rows, moved(rows, off))).passed is passed


def test_of_few_boxes_one_may_be_far_off() -> None:
    """At suppression's edge, one of two neighbours gives way to the other: that must not decide on its own."""
    rows = people(FEW)
    assert compare_boxes(pairs(rows, moved(rows, np.where(np.arange(FEW) < 1, 20, 0.0)))).passed
    assert not compare_boxes(pairs(rows, moved(rows, np.where(np.arange(FEW) < 2, 20, 0.0)))).passed


def test_all_boxes_somewhat_off_are_too_many() -> None:
    """Each has an IoU of 0.92, so that none is far off, but the median is."""
    check = compare_boxes(pairs(people(200), moved(people(200), -4.1)))
    assert not check.passed
    assert "200 of 200" in check.figure


def test_nothing_may_be_missing_or_added() -> None:
    rows = people(200)
    missing, added = (compare_boxes(pairs(*sides)) for sides in ((rows, rows[:-1]), (rows[:-1], rows)))
    assert (missing.passed, added.passed) == (False, False)
    assert "1 are missing, 0 are added" in missing.figure
    assert "0 are missing, 1 are added" in added.figure


@pytest.mark.parametrize(("score", "passed"), [(0.45, True), (0.35, False)])
def test_a_score_may_fall_below_the_threshold_by_a_little(score: float, passed: bool) -> None:
    """A box of 0.5 that gets 0.45 is an accident of the threshold; one that gets 0.35 is lost."""
    rows = people(100, score=0.5)
    other = rows.replace(score=np.where(np.arange(100) < 1, score, 0.5))
    assert compare_boxes(pairs(rows, other)).passed is passed
    assert compare_boxes(pairs(other, rows)).passed is passed


def test_the_classes_must_be_the_same() -> None:
    rows = people(200)
    for others, passed in ((2, True), (3, False)):
        check = compare_boxes(pairs(rows, rows.replace(class_id=np.where(np.arange(200) < others, 7, 0))))
        assert check.passed is passed
        assert "0 are missing" in check.figure  # the object is there, under another name


def test_no_object_is_no_failure() -> None:
    check = compare_boxes(pairs(Detections.empty(), Detections.empty(), 42))
    assert (check.passed, check.is_final, check.count) == (False, False, 0)
    assert check.figure == "no object was detected in the 42 images of the check"


def test_few_boxes_settle_nothing() -> None:
    good = compare_boxes(pairs(people(FEW - 1), people(FEW - 1)))
    bad = compare_boxes(pairs(people(FEW - 1), moved(people(FEW - 1), 20)))
    assert (good.passed, good.is_final) == (True, False)
    assert (bad.passed, bad.is_final) == (False, False)


@pytest.mark.parametrize(("n", "is_final"), [(FEW, False), (MANY - 1, False), (MANY, True)])
def test_a_disagreement_needs_more_boxes_than_an_agreement(n: int, is_final: bool) -> None:
    good, bad = compare_boxes(pairs(people(n), people(n))), compare_boxes(pairs(people(n), moved(people(n), 20)))
    assert (good.passed, good.is_final) == (True, True)
    assert (bad.passed, bad.is_final) == (False, is_final)


def test_a_model_with_low_scores_is_compared_at_its_own_level() -> None:
    low = people(MANY, score=0.3)
    good, bad = (compare_boxes(pairs(low, moved(low, pixels))) for pixels in (0, 20))
    assert (good.passed, bad.passed) == (True, False)
    assert good.is_final
    assert bad.is_final
    assert "a score of 0.25 or more" in good.figure


def test_enough_are_many_boxes_in_several_images() -> None:
    crowd = people(ENOUGH)
    assert not is_enough(pairs(crowd, crowd))
    assert is_enough(pairs(crowd, crowd, ENOUGH_IMAGES))
    assert not is_enough(pairs(people(1), people(1), ENOUGH_IMAGES))
    assert not is_enough(pairs(people(ENOUGH, score=0.3), crowd, ENOUGH_IMAGES))
