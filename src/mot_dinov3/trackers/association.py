"""Association of one frame: candidate pairs of tracks and boxes, their similarity, the assignment, in rounds.

A scene of 200 tracks and 200 boxes has 40,000 pairs, of which a few hundred touch. Everything here works on the list of
those few: `Pairs` holds track row, box row and a similarity for each.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from mot_dinov3.core.structures import BoolArray, Detections, Float64Array, IntArray
from mot_dinov3.trackers import appearance_model, kalman
from mot_dinov3.trackers.appearance_model import SimilarityScales
from mot_dinov3.trackers.config import TrackerConfig
from mot_dinov3.trackers.fast_objects import lone_pairs
from mot_dinov3.trackers.lifecycle import Tracks

FIT_RANGE = 10.0  # log-likelihoods are clipped at ± this
FULL_EVIDENCE = 4.0  # log-likelihood ratio of appearance that counts fully
KEPT_VALUE = 0.5  # share of its value by motion that a pair keeps above the floor, however unlike the two look

_OUTWARD = np.array([[1.0, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, -1, 0, 1]])  # corners → (−w, −h, w, h)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of a track and a box that may belong together; index it to choose some of them.

    Attributes:
        track: ``(k,)`` row of the track.
        box: ``(k,)`` row of the box.
        value: ``(k,)`` how well they fit, 1 = perfectly.
    """

    track: IntArray
    box: IntArray
    value: Float64Array

    def __len__(self) -> int:
        return len(self.track)

    def __getitem__(self, chosen: BoolArray | IntArray) -> Pairs:
        rows = chosen
        if chosen.dtype == np.bool_:
            rows = chosen.nonzero()[0]
            if len(rows) == len(self.track):
                return self
        return Pairs(self.track.take(rows), self.box.take(rows), self.value.take(rows))


def touching(a: Float64Array, b: Float64Array) -> tuple[IntArray, IntArray]:
    """Return the places in `a` ``(4, n)`` and `b` ``(4, m)``, pair by pair, of corner boxes that share some area."""
    near = (a[:2, :, None] < b[2:, None]) & (a[2:, :, None] > b[:2, None])  # (2, n, m): along x and along y
    both = near[0] & near[1]
    first, second = np.divmod(both.ravel().nonzero()[0], max(both.shape[1], 1))  # nonzero() of two axes is slow
    return first, second


def overlap(a: Float64Array, b: Float64Array, height_power: float = 0.0) -> Float64Array:
    """Return the overlap of boxes pair by pair: ``(k,)`` for ``(4, k)`` corner boxes that touch.

    It is the IoU times the vertical overlap (shared height over joint height) to the power `height_power`: the heights
    of walking people distinguish them by their distance from the camera (height-modulated IoU, Hybrid-SORT 2308.00783).
    """
    shared = np.minimum(a[2:], b[2:])
    shared -= np.maximum(a[:2], b[:2])
    np.maximum(shared, 0.0, out=shared)
    size_a, size_b = a[2:] - a[:2], b[2:] - b[:2]
    both = shared[0] * shared[1]
    value = both / (size_a[0] * size_a[1] + size_b[0] * size_b[1] - both)
    if height_power:
        value *= (shared[1] / (size_a[1] + size_b[1] - shared[1])) ** height_power
    return np.asarray(value)


def visible_share(boxes: Float64Array, solid: BoolArray) -> Float64Array:
    """Return ``(n,)`` the share of ``(4, n)`` corner boxes that no one `solid` ``(n,)`` box in front covers."""
    behind, front = touching(boxes, boxes)
    # In front is what ends lower in the image, as those who stand nearer to the camera do.
    nearer = solid.take(front) & (boxes[3].take(front) > boxes[3].take(behind))
    behind, front = behind.compress(nearer), front.compress(nearer)
    low, high, share = boxes[:2], boxes[2:], np.ones(boxes.shape[1])
    shared = np.minimum(high.take(front, 1), high.take(behind, 1)) - np.maximum(low.take(front, 1), low.take(behind, 1))
    np.minimum.at(share, behind, 1 - np.prod(shared / (high - low).take(behind, 1), axis=0))
    return share


def grow(boxes: Float64Array, share: Float64Array) -> Float64Array:
    """Return ``(4, k)`` corner boxes with `share` of width and height added on each side (C-BIoU 2211.14317)."""
    grown = _OUTWARD.dot(boxes)
    grown *= share
    grown += boxes
    return grown


def assign(pairs: Pairs, floor: float, *, optimal: bool = True) -> Pairs:
    """Choose pairs so that each track and each box occurs at most once.

    Args:
        pairs: The candidates.
        floor: Pairs must be worth more than this; what is above it is what the choice maximises, so that one good pair
            is not given up for two poor ones.
        optimal: The best sum (Hungarian, within what is contested only); otherwise greedy, best pair first.
    """
    pairs = pairs[pairs.value > floor]
    if not len(pairs):
        return pairs
    tracks, boxes = np.bincount(pairs.track), np.bincount(pairs.box)
    if np.count_nonzero(tracks) == np.count_nonzero(boxes) == len(pairs):
        return pairs
    clear = (tracks.take(pairs.track) == 1) & (boxes.take(pairs.box) == 1)
    contested = pairs[~clear]
    chosen = _hungarian(contested, floor) if optimal else _greedy(contested)
    return Pairs(
        np.concatenate([pairs.track[clear], chosen.track]),
        np.concatenate([pairs.box[clear], chosen.box]),
        np.concatenate([pairs.value[clear], chosen.value]),
    )


def contested(pairs: Pairs, owner: IntArray, loser: BoolArray, margin: float) -> BoolArray:
    """Return ``(n,)`` bool: the box went to one track while another, left without any, wanted it almost as much.

    Where the detector misses one of two crossing people, both tracks compete for one box, and the wrong one may get it.

    Args:
        pairs: The candidates with the values they were assigned by.
        owner: ``(n,)`` row of the track each box went to, −1 none.
        loser: ``(m,)`` bool: the track counts as a rival and has found no box.
        margin: Difference to the owner's value within which a rival counts.
    """
    doubtful = np.zeros(len(owner), np.bool_)
    rival = loser.take(pairs.track)
    if np.count_nonzero(rival):
        mine = owner[pairs.box] == pairs.track
        won = np.full(len(owner), np.inf)
        won[pairs.box[mine]] = pairs.value[mine]
        doubtful[pairs.box[rival & (pairs.value > won[pairs.box] - margin)]] = True
    return doubtful


def _hungarian(pairs: Pairs, floor: float) -> Pairs:
    from scipy.optimize import linear_sum_assignment

    tracks, row = np.unique(pairs.track, return_inverse=True)
    boxes, column = np.unique(pairs.box, return_inverse=True)
    gain = np.zeros((len(tracks), len(boxes)))
    gain[row, column] = pairs.value - floor
    r, c = linear_sum_assignment(gain, maximize=True)
    real = gain[r, c] > 0
    r, c = r[real], c[real]
    return Pairs(tracks[r], boxes[c], gain[r, c] + floor)


def _greedy(pairs: Pairs) -> Pairs:
    """Take the best pair, strike its row and column, and so on.

    All pairs that are the best of both their track and their box are taken at once, which gives the same result.
    """
    taken = []
    pairs = pairs[np.argsort(-pairs.value, kind="stable")]
    while len(pairs):
        first_t = np.zeros(len(pairs), np.bool_)
        first_b = np.zeros(len(pairs), np.bool_)
        first_t[np.unique(pairs.track, return_index=True)[1]] = True
        first_b[np.unique(pairs.box, return_index=True)[1]] = True
        best = pairs[first_t & first_b]
        taken.append(best)
        pairs = pairs[~np.isin(pairs.track, best.track) & ~np.isin(pairs.box, best.box)]
    return Pairs(*(np.concatenate([getattr(p, name) for p in taken]) for name in ("track", "box", "value")))


@dataclasses.dataclass(frozen=True)
class Compared:
    """Those of some pairs whose box was embedded now.

    Attributes:
        row: ``(k,)`` places of them.
        cosine: ``(k,)`` of the track's embedding and the box's.
        gap: ``(k,)`` seconds since the track was last embedded.
        visible: ``(k,)`` share of the box that nothing covers, see `visible_share`.
    """

    row: IntArray
    cosine: Float64Array
    gap: Float64Array
    visible: Float64Array


class Association:
    """Assigns the boxes of one frame to tracks, in rounds from the surest matches to the boldest.

    Args:
        tracks: All tracks, predicted to the frame's time.
        detections: The frame's rows.
        score: ``(n,)`` of the rows, in 0…1; −1 marks a row that takes no part.
        config: The tracker's settings.
        scales: Of the similarities of motion and of appearance.

    Attributes:
        box: ``(4, n)`` corner boxes, float64.
        centre: ``(4, n)`` the same as centre boxes.
        score: As given.
        owner: ``(n,)`` row of the track each box belongs to, −1 none.
        taken: ``(m,)`` bool: the track has found its box.
        doubtful: ``(n,)`` bool: a track that is left without a box wanted this one almost as much as its owner.
        first: The pairs of round 1, valued by motion.
        compared: Those of them whose boxes were embedded now; None in a frame without embeddings.
    """

    def __init__(
        self,
        tracks: Tracks,
        detections: Detections,
        score: Float64Array,
        config: TrackerConfig,
        scales: SimilarityScales,
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
        self._scales = scales
        self._pairs = self._candidates()
        self.first = self._pairs
        self.compared: Compared | None = None

    def run(self, sought: BoolArray, gap: Float64Array) -> None:
        """Match all rounds.

        Args:
            sought: ``(m,)`` bool: the confirmed track is alive, or lost not too long ago.
            gap: ``(m,)`` seconds since each track was last embedded.
        """
        config, tracks = self._config, self._tracks
        high = self.score >= config.high_score
        low = (self.score >= config.low_score) & ~high
        # Round 1: boxes of high score, by overlap, motion and appearance.
        self.first = self._by_motion(self._free(sought, high))
        self.compared = self._compare(self.first, gap)
        first = self._fused(self.first, self.compared, config.match_floor)
        self._settle(first, config.match_floor)
        if config.contest_noise > 1 and np.count_nonzero(self.taken) < len(self.taken):
            self.doubtful = contested(first, self.owner, ~self.taken, config.contest_margin)
        # Round 2: boxes of low score continue tracks that were matched in the last frame (ByteTrack 2110.06864).
        if config.low_match and np.count_nonzero(low):
            self._settle(self._free(sought & tracks.matched, low), config.low_floor)
        # Round 3: what is left of the high scores may belong to tentative tracks.
        tentative = ~tracks.confirmed
        if np.count_nonzero(tentative):
            young = self._by_motion(self._free(tentative, high))
            fused = self._fused(young, self._compare(young, gap), config.tentative_floor)
            self._settle(fused, config.tentative_floor)
            self._settle_fast(tentative & ~self.taken, high & (self.owner < 0), gap)

    def _settle_fast(self, sought: BoolArray, free: BoolArray, gap: Float64Array) -> None:
        """Match new tracks with boxes that do not overlap, where nothing competes and no appearance differs."""
        if not (self._config.fast_objects and np.count_nonzero(sought) and np.count_nonzero(free)):
            return
        track, box = lone_pairs(self._tracks.motion[kalman.POS], self.centre, sought, free)
        pairs = Pairs(track, box, np.ones(len(track)))
        compared = self._compare(pairs, gap)
        if compared is not None and len(compared.row):
            unlike = self._scales.appearance.evidence(compared.cosine, compared.gap) < 0
            pairs = pairs[np.setdiff1d(np.arange(len(pairs)), compared.row[unlike])]
        self._settle(pairs, 0.0)

    def _candidates(self) -> Pairs:
        """Return the pairs whose boxes touch when both have grown by the prediction's uncertainty."""
        config, tracks = self._config, self._tracks
        predicted, motion = tracks.corners, tracks.motion
        share = np.minimum(config.growth * np.sqrt(motion[kalman.PP, 1]) / motion[kalman.POS, 3], 1.0)
        t, b = touching(grow(predicted, 2 * share), self.box)
        if config.class_mode == "per-class":
            same = tracks.class_id[t] == self._detections.class_id[b]
            t, b = t[same], b[same]
        share = share.take(t)
        track = grow(predicted.take(t, axis=1), share)
        return Pairs(t, b, overlap(track, grow(self.box.take(b, axis=1), share), config.height_power))

    def _free(self, tracks: BoolArray, rows: BoolArray) -> Pairs:
        """Return the candidate pairs of these tracks and boxes that are not settled yet."""
        tracks, rows = tracks & ~self.taken, rows & (self.owner < 0)
        return self._pairs[tracks.take(self._pairs.track) & rows.take(self._pairs.box)]

    def _settle(self, pairs: Pairs, floor: float) -> None:
        chosen = assign(pairs, floor, optimal=self._config.hungarian)
        self.owner[chosen.box] = chosen.track
        self.taken[chosen.track] = True

    def _by_motion(self, pairs: Pairs) -> Pairs:
        """Return the pairs valued by overlap, score and motion."""
        config, value = self._config, pairs.value
        if config.score_fusion:
            value = value * self.score.take(pairs.box)
        if config.likelihood:
            value = value + config.likelihood * self._fit(pairs)
        if config.lost_penalty:
            value = value - config.lost_penalty * ~self._tracks.matched.take(pairs.track)
        return Pairs(pairs.track, pairs.box, value)

    def _compare(self, pairs: Pairs, gap: Float64Array) -> Compared | None:
        """Compare tracks with those of their boxes that were embedded now; None in a frame without embeddings."""
        embedding, fresh = self._detections.embedding, self._detections.fresh
        if not self._config.appearance or embedding is None or not np.count_nonzero(fresh):
            return None
        row = (fresh.take(pairs.box) & (self._tracks.embedded_frame.take(pairs.track) >= 0)).nonzero()[0]
        track, box = pairs.track.take(row), pairs.box.take(row)
        cosine = appearance_model.cosine(self._tracks.embedding, embedding, track, box)
        return Compared(row, cosine, gap.take(track), self._visible.take(box))

    @functools.cached_property
    def _visible(self) -> Float64Array:
        """``(n,)`` visible share of each box; those of low score cover nothing."""
        return visible_share(self.box, self.score >= self._config.high_score)

    def _fused(self, pairs: Pairs, compared: Compared | None, floor: float) -> Pairs:
        """Return the pairs valued by motion and appearance.

        Appearance chooses between pairs; it refuses none that motion accepts, since an object may look otherwise when
        it turns round. Of a covered box it counts by the visible share: the embedding resembles the object in front.
        """
        if compared is None or not len(compared.row):
            return pairs
        evidence = compared.visible * self._scales.appearance.evidence(compared.cosine, compared.gap)
        motion = pairs.value[compared.row]
        joint = motion + self._config.appearance * evidence / FULL_EVIDENCE
        value = pairs.value.copy()
        value[compared.row] = np.where(
            motion > floor, np.maximum(joint, np.minimum(motion, floor + KEPT_VALUE * motion)), joint
        )
        return Pairs(pairs.track, pairs.box, value)

    def _fit(self, pairs: Pairs) -> Float64Array:
        """Return the motion likelihood in −0.5…0.5: it decides between boxes of about equal overlap."""
        motion, measured = self._tracks.motion.take(pairs.track, axis=2), self.centre.take(pairs.box, axis=1)
        spread = kalman.deviation(measured, self._config.noise)
        fit = self._scales.motion.likelihood(*kalman.innovation2(motion, measured, spread), measured)
        return np.asarray(np.minimum(np.maximum(fit, -FIT_RANGE), FIT_RANGE) / (2 * FIT_RANGE))
