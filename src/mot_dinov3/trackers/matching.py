"""One frame's association: which box is which track, in rounds from the surest matches to the boldest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, Detections
from mot_dinov3.trackers import appearance_model, association, kalman
from mot_dinov3.trackers.association import Pairs
from mot_dinov3.trackers.config import TrackerConfig
from mot_dinov3.trackers.track_arrays import Tracks

Array = npt.NDArray[np.float64]

FIT_RANGE = 10.0  # log-likelihoods beyond ± this say no more than this


class Matching:
    """Who has found whom in one frame.

    Args:
        tracks: All tracks, predicted to the frame's time.
        detections: The frame's rows.
        score: ``(n,)`` of the rows, in 0…1; −1 marks a row that takes no part.
        config: The tracker's settings.
        calibration: How far this stream's boxes stray from predictions.
        same_floor: The embedder's.

    Attributes:
        box: ``(4, n)`` corner boxes, float64.
        centre: ``(4, n)`` the same as centre boxes.
        score: As given.
        owner: ``(n,)`` row of the track each box belongs to, −1 none.
        taken: ``(m,)`` bool: the track has found its box.
        doubtful: ``(n,)`` bool: a track that is left without a box wanted this one almost as much as its owner.
    """

    def __init__(
        self,
        tracks: Tracks,
        detections: Detections,
        score: Array,
        config: TrackerConfig,
        *,
        calibration: kalman.Calibration,
        same_floor: float,
    ) -> None:
        self.box = detections.xyxy.T.astype(np.float64, order="C")
        absent = score < 0
        if np.count_nonzero(absent):
            self.box[:, absent] = 0.0
        self.centre = kalman.centre_boxes(self.box)
        self.score = score
        self.owner = np.full(len(score), -1, np.int64)
        self.taken = np.zeros(len(tracks), np.bool_)
        self.doubtful = np.zeros(len(score), np.bool_)
        self._tracks = tracks
        self._detections = detections
        self._config = config
        self._calibration = calibration
        self._same_floor = same_floor
        self._pairs = self._candidates()

    def run(self, sought: BoolArray) -> None:
        """Match all rounds.

        Args:
            sought: ``(m,)`` bool: the confirmed track is alive, or lost not too long ago.
        """
        config, tracks = self._config, self._tracks
        high = self.score >= config.high_score
        low = (self.score >= config.low_score) & ~high
        first = self._fused(self._free(sought, high))
        self._settle(first, config.match_floor)
        if config.contest_noise > 1 and np.count_nonzero(self.taken) < len(self.taken):
            self.doubtful = association.contested(first, self.owner, ~self.taken, config.contest_margin)
        if config.low_match and np.count_nonzero(low):
            self._settle(self._free(sought & tracks.matched, low), config.low_floor)
        tentative = ~tracks.confirmed
        if np.count_nonzero(tentative):
            self._settle(self._fused(self._free(tentative, high)), config.tentative_floor)

    def _candidates(self) -> Pairs:
        """Return the pairs whose boxes touch when both have grown by the prediction's uncertainty."""
        config, tracks = self._config, self._tracks
        predicted, motion = tracks.corners, tracks.motion
        share = np.minimum(config.growth * np.sqrt(motion[kalman.PP, 1]) / motion[kalman.POS, 3], 1.0)
        t, b = association.touching(association.grow(predicted, 2 * share), self.box)
        if config.class_mode == "per-class":
            same = tracks.class_id[t] == self._detections.class_id[b]
            t, b = t[same], b[same]
        share = share.take(t)
        track = association.grow(predicted.take(t, axis=1), share)
        return Pairs(
            t, b, association.overlap(track, association.grow(self.box.take(b, axis=1), share), config.height_power)
        )

    def _free(self, tracks: BoolArray, rows: BoolArray) -> Pairs:
        """Return the candidate pairs of these tracks and boxes that are not settled yet."""
        tracks, rows = tracks & ~self.taken, rows & (self.owner < 0)
        return self._pairs[tracks.take(self._pairs.track) & rows.take(self._pairs.box)]

    def _settle(self, pairs: Pairs, floor: float) -> None:
        chosen = association.assign(pairs, floor, optimal=self._config.hungarian)
        self.owner[chosen.box] = chosen.track
        self.taken[chosen.track] = True

    def _fused(self, pairs: Pairs) -> Pairs:
        """Return the pairs valued by overlap, score, motion and, where a box has been embedded now, appearance."""
        config, value = self._config, pairs.value
        if config.score_fusion:
            value = value * self.score.take(pairs.box)
        if config.likelihood:
            value = value + config.likelihood * self._fit(pairs)
        if config.lost_penalty:
            value = value - config.lost_penalty * ~self._tracks.matched.take(pairs.track)
        if config.appearance and self._detections.embedding is not None and np.count_nonzero(self._detections.fresh):
            value = value + config.appearance * self._likeness(pairs, self._detections.embedding)
        return Pairs(pairs.track, pairs.box, value)

    def _fit(self, pairs: Pairs) -> Array:
        """Return how well boxes fit the predictions, in −0.5…0.5: it tells apart what overlaps about equally."""
        motion, measured = self._tracks.motion.take(pairs.track, axis=2), self.centre.take(pairs.box, axis=1)
        spread = kalman.deviation(measured, self._config.noise)
        fit = self._calibration.likelihood(*kalman.innovation2(motion, measured, spread), measured)
        return np.asarray(np.minimum(np.maximum(fit, -FIT_RANGE), FIT_RANGE) / (2 * FIT_RANGE))

    def _likeness(self, pairs: Pairs, embedding: npt.NDArray[np.float32]) -> Array:
        """Return how alike they look in −1…1; 0, the embedder's floor, where nothing new is known of the box's look."""
        known = self._detections.fresh.take(pairs.box) & (self._tracks.embedded_frame.take(pairs.track) >= 0)
        told = pairs[known]
        cosine = appearance_model.cosine(self._tracks.embedding, embedding, told.track, told.box)
        alike = np.maximum(appearance_model.likeness(cosine, self._same_floor), -1.0)
        if told is pairs:
            return alike
        value = np.zeros(len(pairs))
        value[known] = alike
        return value
