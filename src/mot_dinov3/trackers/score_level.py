"""How sure the detector of a stream is (`--new-score auto`): score thresholds follow where its best boxes lie."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray

USUAL = 0.95  # level of the detectors that the thresholds were chosen with
SURE = 0.8  # level from which on a detector counts as usual
QUANTILE = 0.9  # a tenth of the boxes of objects is surer
LASTING = 0.5  # IoU with a box of the frame before from which on a box counts: false ones rarely last
ENOUGH = 10  # boxes without which a stream has no level
MEMORY = 500.0  # boxes after which older ones fade
BINS = 100
LOWEST = 0.5  # least factor: no track starts below 0.3, the usual confidence threshold, unless an option says so


class ScoreLevel:
    """Learns from the boxes of a stream how sure its detector is, and states its scores as the thresholds mean them.

    The level is the score that a tenth of the boxes exceed which are still there in the next frame. It only rises: a
    detector that was sure of objects once is not less sure of the next ones, whatever background it finds in between.
    Where it is that of usual detectors, scores stay as they are and nothing more is observed.

    Attributes:
        factor: Of the thresholds, `LOWEST` … 1; 1 while too few boxes have been seen.
        settled: Whether it is 1 for good.
    """

    def __init__(self) -> None:
        self.factor = 1.0
        self.settled = False
        self._level = 0.0
        self._counts = np.zeros(BINS)
        self._before: FloatArray = np.zeros((0, 4), np.float32)

    def observe(self, xyxy: FloatArray, score: Float64Array) -> None:
        """Take in the ``(n, 4)`` boxes of a frame and their ``(n,)`` scores in 0…1; −1 marks a box to be ignored."""
        usable = score >= 0
        xyxy, score = xyxy[usable], score[usable]
        lasting = boxes.iou(xyxy, self._before).max(axis=1, initial=0.0) >= LASTING
        self._before = xyxy
        if not lasting.any():
            return
        self._count(score, lasting)
        total = self._counts.sum()
        if total < ENOUGH:
            return
        reached = np.searchsorted(np.cumsum(self._counts), QUANTILE * total)
        self._level = max(self._level, float(reached + 1) / BINS)
        self.settled = self._level >= SURE
        self.factor = 1.0 if self.settled else max(self._level / USUAL, LOWEST)

    def _count(self, score: Float64Array, lasting: BoolArray) -> None:
        """Add the scores of the lasting boxes to the histogram, in which older ones fade."""
        place = np.minimum((score[lasting] * BINS).astype(np.int64), BINS - 1)
        kept = max(MEMORY - len(place), 0.0) / MEMORY if self._counts.sum() >= MEMORY else 1.0
        self._counts = kept * self._counts + np.bincount(place, minlength=BINS)

    def stated(self, score: Float64Array) -> Float64Array:
        """Return ``(n,)`` scores as a usual detector would give them; −1 stays."""
        return np.where(score < 0, score, np.minimum(score / self.factor, 1.0))
