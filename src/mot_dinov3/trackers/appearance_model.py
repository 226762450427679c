"""Appearance of tracks: one running mean of unit embeddings each, and what their cosines are worth in this video."""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.structures import Float64Array, FloatArray, IntArray
from mot_dinov3.trackers import kalman

MEMORY = 3000.0  # pairs after which older ones fade
MIN_PAIRS = 15
ENOUGH_PAIRS = 100  # from where on not every frame is observed
FEW_PAIRS = 15.0  # weight, in pairs, of what is known of all pairs against what is known of a kind of them
MIN_SPREAD = 1e-3  # of cosines: below it all vectors are the same
MIN_SEPARABILITY = 0.5  # d' up to which appearance does not count; from twice that on it counts fully
GAPS = (0.15, 1.0)  # s since the track's last embedding: the same object looks less alike after a longer time
UNLIKE = 0.05  # share of pairs of one object that look like two: seen from behind, occluded
ALIKE = 0.02  # share of pairs of two objects that look like one
UNKNOWN = 0.5  # share of pairs of one object whose cosine is anywhere between, after a loss
FARTHEST = 1400.0  # squared deviations: beyond it a likelihood is 0, and two such have no ratio
CHUNK = 40  # embeddings gathered at once: they stay in the processor's cache


def cosine(tracks: FloatArray, boxes: FloatArray, track: IntArray, box: IntArray) -> Float64Array:
    """Return ``(k,)`` cosines of unit embeddings, pair by pair."""
    found = np.empty(len(track), np.float32)
    for start in range(0, len(track), CHUNK):
        part = slice(start, start + CHUNK)
        np.einsum("kd,kd->k", tracks.take(track[part], axis=0), boxes.take(box[part], axis=0), out=found[part])
    return found.astype(np.float64)


def sensitivity(means: tuple[float, float], deviations: tuple[float, float]) -> float:
    """Return the sensitivity index d' of (different, same) cosines: the distance of their means in deviations."""
    spread = np.hypot(*deviations) / np.sqrt(2)
    return float((means[1] - means[0]) / max(spread, MIN_SPREAD))


class CosineStatistics:
    """Mean and variance of a stream of cosines, in which old ones fade."""

    def __init__(self) -> None:
        self.count = self.mean = self.variance = 0.0

    def observe(self, cosine: Float64Array) -> None:
        """Take in ``(k,)`` cosines."""
        number = len(cosine)
        if not number:
            return
        mean = float(np.add.reduce(cosine)) / number  # mean() and var() of few numbers take five times as long
        apart = cosine - mean
        variance = float(np.add.reduce(apart * apart)) / number
        self.count = min(self.count, MEMORY) + number
        share, step = number / self.count, mean - self.mean
        self.variance += share * (variance + (1 - share) * step * step - self.variance)
        self.mean += share * step


@dataclasses.dataclass(frozen=True)
class CosineDistribution:
    """Cosines of a kind of pairs, as a normal distribution."""

    mean: float
    deviation: float


def log_likelihood_ratio(
    cosine: Float64Array, different: CosineDistribution, same: CosineDistribution, *, unknown: float = 0.0
) -> Float64Array:
    """Return ``(k,)`` log-likelihood ratios of one object against two; they rise with the cosine.

    Both distributions have a share of pairs that look like the other kind, which bounds the ratio: between about −3 and
    4 with `UNLIKE` and `ALIKE`. Beyond the means it stays as it is there: a normal distribution says nothing of tails.

    Args:
        cosine: ``(k,)``.
        different: Of two objects.
        same: Of one object.
        unknown: Share of the pairs of one object that may have any cosine between the two means, see `UNKNOWN`.
    """
    return _ratio(cosine, different, np.array([same.mean]), np.array([same.deviation]), unknown=unknown)


def _ratio(
    cosine: Float64Array,
    different: CosineDistribution,
    mean: Float64Array,
    deviation: Float64Array,
    *,
    unknown: float = 0.0,
) -> Float64Array:
    """Return what `log_likelihood_ratio` does, for ``(k,)`` means and deviations of pairs of one object."""
    inside = np.minimum(np.maximum(cosine, different.mean), mean)
    far, near = (inside - different.mean) / different.deviation, (inside - mean) / deviation
    two = np.exp(-0.5 * np.minimum(far * far, FARTHEST)) / different.deviation
    one = (1 - UNLIKE - unknown) * np.exp(-0.5 * np.minimum(near * near, FARTHEST)) / deviation + UNLIKE * two
    if unknown:
        one = one + unknown * np.sqrt(2 * np.pi) / np.maximum(mean - different.mean, MIN_SPREAD)
    return np.where(mean > different.mean, np.log(one / ((1 - ALIKE) * two + ALIKE * one)), 0.0)


class AppearanceCalibration:
    """Learns from a video what the cosines of its embedder are worth: noise, or a wrong checkpoint, is worth nothing.

    Labels come from motion alone, so that appearance cannot confirm itself. Three kinds of pairs are observed:
    *strangers*, tracks that are in the image at the same time; *rivals*, a track and a box that touch but belong to
    others beyond doubt, which look more alike than strangers, since overlapping boxes share pixels; and *same*, a track
    and its own box beyond doubt, by the time since the track was last embedded. Nothing depends on the scale of the
    cosines: a constant added to all embeddings changes nothing.

    Args:
        same_floor: The embedder's, see `Embedder`; it stands in for the strangers of a video that has shown none.
    """

    def __init__(self, same_floor: float | None = None) -> None:
        self.strangers = CosineStatistics()
        self.rivals = CosineStatistics()
        self.same = CosineStatistics()
        self.same_after = tuple(CosineStatistics() for _ in range(len(GAPS) + 1))
        self._floor = same_floor
        self._scale: tuple[CosineDistribution, Float64Array] | None = None  # of `evidence`, where it is up to date

    def observes(self, frame_index: int, *, contested: bool = False) -> bool:
        """Whether pairs of a frame are to be observed: of every one at first, of every tenth later.

        Rivals are rare where objects keep apart: until enough have been seen, every `contested` frame is observed, in
        which there are more pairs than boxes or tracks.
        """
        if frame_index % 10 == 0 or min(self.strangers.count, self.same.count) < ENOUGH_PAIRS:
            return True
        return contested and self.rivals.count < ENOUGH_PAIRS

    def observe_same(self, cosine: Float64Array, gap: Float64Array) -> None:
        """Take in ``(k,)`` cosines of tracks with their own boxes, `gap` seconds after the last embedding."""
        self.same.observe(cosine)
        kind = np.searchsorted(GAPS, gap, side="right")
        for number, statistics in enumerate(self.same_after):
            statistics.observe(cosine[kind == number])
        self._scale = None

    def observe_rivals(self, cosine: Float64Array) -> None:
        """Take in ``(k,)`` cosines of tracks with boxes near them that belong to others."""
        self.rivals.observe(cosine)
        self._scale = None

    def observe_strangers(self, cosine: Float64Array) -> None:
        """Take in ``(k,)`` cosines of tracks that are in the image together."""
        self.strangers.observe(cosine)
        self._scale = None

    @property
    def known(self) -> bool:
        """Whether the video has shown enough pairs of either kind."""
        return min(self.strangers.count + self.rivals.count, self.same.count) >= MIN_PAIRS

    @property
    def separability(self) -> float | None:
        """Sensitivity index d' of one object against its rivals; None while too few pairs have been seen."""
        return separability(self.different, self.own) if self.known else None

    @property
    def own(self) -> CosineDistribution:
        """Cosines of a track and its own box."""
        return _distribution(self.same)

    @property
    def different(self) -> CosineDistribution:
        """Cosines of a track and a box that is not its own, where the two touch."""
        return _distribution(self.rivals, self.strangers)

    @property
    def weight(self) -> float:
        """Weight of appearance, 0…1; 0 while nothing is known."""
        return _weight(self.different, self.own) if self.known else 0.0

    @property
    def calibrated(self) -> bool:
        """Whether the video has shown, beyond doubt, what its embeddings are worth."""
        return min(self.rivals.count, self.same.count) >= ENOUGH_PAIRS

    @property
    def useless(self) -> bool:
        """Whether it has shown that they separate nothing."""
        return self.calibrated and not self.weight

    @property
    def prior(self) -> tuple[CosineDistribution, CosineDistribution] | None:
        """The embedder's own scale, of different and of same objects, while no two have been in the image together.

        Re-identification goes by it. None once the video has spoken, and for an embedder without a scale.
        """
        if self.strangers.count or self._floor is None:
            return None
        spread = (1 - self._floor) / 4
        return CosineDistribution(self._floor, spread), CosineDistribution((self._floor + 3) / 4, spread)

    def evidence(self, cosine: Float64Array, gap: Float64Array) -> Float64Array:
        """Return ``(k,)`` log-likelihood ratios of tracks and boxes that touch; 0 where appearance says nothing."""
        if not self.known:
            return np.zeros(len(cosine))
        if self._scale is None:
            self._scale = self._learned()
        different, same = self._scale
        mean, deviation, weight = same[:, np.searchsorted(GAPS, gap, side="right")]
        return weight * _ratio(cosine, different, mean, deviation)

    def _learned(self) -> tuple[CosineDistribution, Float64Array]:
        """Return the cosines of rivals; and ``(3, gaps + 1)`` mean, deviation and weight of the tracks' own boxes."""
        different = self.different
        own = [_own(statistics, self.same, different) for statistics in self.same_after]
        return different, np.array([(d.mean, d.deviation, _weight(different, d)) for d in own]).T

    def recovery_evidence(self, cosine: Float64Array) -> Float64Array:
        """Return ``(k,)`` log-likelihood ratios of a lost track and a new one.

        What a lost object looks like when it is back is known least: its cosine may be anywhere between the means.
        """
        if self.prior is not None:
            different, same = self.prior
        elif self.known and self.strangers.count >= MIN_PAIRS:
            different = _distribution(self.strangers)
            same = _own(self.same_after[-1], self.same, different)
        else:
            return np.zeros(len(cosine))
        return _weight(different, same) * log_likelihood_ratio(cosine, different, same, unknown=UNKNOWN)


@dataclasses.dataclass(frozen=True)
class SimilarityScales:
    """Scales on which motion and appearance of this stream are compared.

    Attributes:
        motion: Statistics of how far boxes are from predictions.
        appearance: Statistics of the cosines of embeddings.
    """

    motion: kalman.Calibration
    appearance: AppearanceCalibration


def _distribution(kind: CosineStatistics, general: CosineStatistics | None = None) -> CosineDistribution:
    """Return the distribution of a kind of pairs; while few have been seen, mostly that of `general` ones."""
    if general is None or not general.count:
        return CosineDistribution(kind.mean, max(np.sqrt(kind.variance), MIN_SPREAD))
    share = kind.count / (kind.count + FEW_PAIRS)
    mean = share * kind.mean + (1 - share) * general.mean
    variance = share * kind.variance + (1 - share) * general.variance
    variance += share * (1 - share) * (kind.mean - general.mean) ** 2
    return CosineDistribution(mean, max(float(np.sqrt(variance)), MIN_SPREAD))


def _own(kind: CosineStatistics, general: CosineStatistics, different: CosineDistribution) -> CosineDistribution:
    """Return the distribution of same pairs of a kind: sure ones look too much alike, so they spread at least half."""
    found = _distribution(kind, general)
    return CosineDistribution(found.mean, max(found.deviation, different.deviation / 2))


def separability(different: CosineDistribution, same: CosineDistribution) -> float:
    """Return the sensitivity index d' of two kinds of pairs."""
    return sensitivity((different.mean, same.mean), (different.deviation, max(same.deviation, different.deviation / 2)))


def _weight(different: CosineDistribution, same: CosineDistribution) -> float:
    excess = (separability(different, same) - MIN_SEPARABILITY) / MIN_SEPARABILITY
    return min(max(excess, 0.0), 1.0)


def keep_share(ema: float, score: Float64Array, low: float, skipped: IntArray) -> Float64Array:
    """Return the ``(n,)`` EMA momentum: the share of the old embedding that stays.

    A sure box counts more (Deep OC-SORT 2302.11813): the share falls from 1 at the score `low` to `ema` at score 1.
    After frames without an embedding the old one is out of date, so its share is raised to a power (2409.06617).

    Args:
        ema: Share kept when the score is 1 and no frame was skipped.
        score: ``(n,)`` of the boxes.
        low: Least score of an embedded box.
        skipped: ``(n,)`` frames since the last embedding, beyond the usual one.
    """
    sure = np.minimum(np.maximum((score - low) / max(1.0 - low, 1e-6), 0.0), 1.0)
    return np.asarray((ema + (1.0 - ema) * (1.0 - sure)) ** (1 + np.minimum(skipped, 30)))


def absorb(tracks: FloatArray, boxes: FloatArray, track: IntArray, box: IntArray, share: Float64Array) -> None:
    """Blend unit embeddings of boxes into those of their tracks: ``share · old + (1 − share) · new``, of length 1.

    Where the two cancel each other out, the new one replaces the old one.

    Args:
        tracks: ``(m, d)``, changed in place.
        boxes: ``(n, d)``.
        track: ``(k,)`` rows of tracks.
        box: ``(k,)`` rows of boxes, one for each.
        share: ``(k,)`` how much of the old embedding stays.
    """
    for start in range(0, len(track), CHUNK):
        part = slice(start, start + CHUNK)
        new, kept = boxes.take(box[part], axis=0), share[part, None].astype(np.float32)
        mixed = tracks.take(track[part], axis=0)
        mixed *= kept
        mixed += (1 - kept) * new
        length = np.sqrt(np.add.reduce(mixed * mixed, axis=1, keepdims=True))
        void = (length <= 1e-6).nonzero()[0]
        if len(void):
            mixed[void], length[void] = new[void], 1.0
        mixed /= length
        tracks[track[part]] = mixed
