"""Agreement of two detectors on the same images: whether the boxes of one are good enough to replace the other's.

What a tracker makes of a box depends on its overlap with others, not on pixels: agreement is measured as intersection
over union, at the scores that the model itself gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.structures import Detections, FloatArray
from mot_dinov3.models.conversion import CheckResult

LEVELS = (0.5, 0.25, 0.15)
"""Scores from which boxes are compared: the highest one that enough boxes of the original reach."""
EDGE = 0.1
"""Difference of score within which a box may be above the threshold in one detector only."""
LEAST_SCORE = LEVELS[-1] - EDGE
"""Score from which both detectors must give their boxes."""

SAME_OBJECT = 0.5
"""IoU from which two boxes are of one object."""
CLOSE = 0.9
"""IoU from which two boxes are equivalent for a tracker."""
CLOSE_SHARE = 0.99
"""Share of the boxes that must be that close."""
LEAST_MEDIAN = 0.98
"""Median IoU that is required."""

FEW = 20
"""Boxes from which on an agreement is final."""
MANY = 100
"""Boxes from which on a disagreement is final: the fast path is not to be lost for a few strange boxes."""
ENOUGH = 150
"""Boxes of the highest level after which no further image is needed."""
ENOUGH_IMAGES = 10
"""Images with such boxes that are needed, too: the boxes of one image resemble each other."""


@dataclasses.dataclass(frozen=True)
class BoxPair:
    """Boxes of one image: those of the original, and those of the detector to be checked, from `LEAST_SCORE` on."""

    wanted: Detections
    found: Detections


def is_enough(pairs: Sequence[BoxPair]) -> bool:
    """Tell whether no further image needs to be compared."""
    counts = [_count(pair, LEVELS[0]) for pair in pairs]
    return sum(counts) >= ENOUGH and sum(map(bool, counts)) >= ENOUGH_IMAGES


def compare_boxes(pairs: Sequence[BoxPair]) -> CheckResult:
    """Return whether the checked detector's boxes agree with the original's.

    They do where no object is missing or added, 99 % of the boxes have an IoU of 0.9 with one of the same class, and
    the median IoU is 0.98. Few boxes prove nothing: the result is not final then.
    """
    counts = {level: sum(_count(pair, level) for pair in pairs) for level in LEVELS}
    total = max(counts.values())
    if not total:
        return CheckResult(False, f"no object was detected in the {len(pairs)} images of the check", needed=FEW)
    level = next((level for level in LEVELS if counts[level] >= FEW), None) or next(filter(counts.get, LEVELS))
    overlap = np.concatenate([_overlaps(pair, level) for pair in pairs])
    missing = sum(_unmatched(pair.wanted, pair.found, level) for pair in pairs)
    added = sum(_unmatched(pair.found, pair.wanted, level) for pair in pairs)
    n, close = len(overlap), int((overlap >= CLOSE).sum())
    # one box is more than 1 % of a few: suppression alone may swap one for its neighbour
    outliers = max((1 - CLOSE_SHARE) * n, float(n >= FEW))
    median = float(np.median(overlap))
    passed = not missing + added and n - close <= outliers and median >= LEAST_MEDIAN
    figure = (
        f"{close} of {n} boxes with a score of {level:g} or more have an IoU of {CLOSE:g} or more with the original's "
        f"(median {median:.3f}), {missing} are missing, {added} are added"
    )
    return CheckResult(passed, figure, count=n, needed=FEW if passed else MANY)


def _count(pair: BoxPair, level: float) -> int:
    return int(np.count_nonzero(pair.wanted.score >= level))


def _overlaps(pair: BoxPair, level: float) -> FloatArray:
    """Return ``(n,)`` IoU of the original's boxes with the nearest one of their class; 0 where there is none."""
    sure, there = pair.wanted[pair.wanted.score >= level], pair.found[pair.found.score >= level - EDGE]
    same = sure.class_id[:, None] == there.class_id[None]
    return (boxes.iou(sure.xyxy, there.xyxy) * same).max(axis=1, initial=0.0)


def _unmatched(these: Detections, those: Detections, level: float) -> int:
    """Return how many boxes of one detector are of an object that the other does not find, in any class."""
    sure, there = these[these.score >= level], those[those.score >= level - EDGE]
    return int((boxes.iou(sure.xyxy, there.xyxy).max(axis=1, initial=0.0) < SAME_OBJECT).sum())
