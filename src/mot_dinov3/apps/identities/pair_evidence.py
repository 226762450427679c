"""Evidence of pairs of tracklets: is it one person or two? Calibrated by the tracklets themselves, without labels.

Networks differ in the scale of their cosines, and cameras in light and colour, so no threshold holds for all of them.
What the tracklets show without labels is enough: nearly all pairs are of two people, and the first and the second half
of a tracklet are of one. The halves differ by pose and time, but not by camera; on the other hand each is the mean of
only half as many crops. The two about cancel out: `benchmarks/identities.py` prints the mean cosines of both.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray, IntArray

HALVES_PAIRS = 30.0  # pairs that the cosines of the halves count for, against those that are found
UNKNOWN_PAIRS = 3.0  # the same, where no tracklet has two views, and the cosines of one person are a guess
LEAST_SPREAD = 0.5  # of one person's cosines, as a share of the deviation of two people's
TINY = 1e-6
ROUNDS = 300
BINS = 4000  # of cosines
STEADY = 1e-7  # change of the estimates that ends the rounds
SURE = 7.0  # largest log odds: nothing is known of the tails, and one in a thousand is a mistake


@dataclasses.dataclass(frozen=True)
class PairCalibration:
    """Cosines of two tracklets of one and of two people, as normal distributions.

    Attributes:
        different: Mean and deviation for two people.
        same: Those for one person.
        share: Share of the pairs that are of one person.
    """

    different: tuple[float, float]
    same: tuple[float, float]
    share: float

    def log_odds(self, cosine: Float64Array) -> Float64Array:
        """Return the log odds of one person against two, by cosine; they never fall with it.

        They are those of the mean where the cosine is below that of two people: a person seen from behind may look
        like nobody.
        """
        apart = np.maximum(cosine, self.different[0])
        ratio = _log_density(np.minimum(apart, self.same[0]), *self.same) - _log_density(apart, *self.different)
        return np.clip(ratio + np.log(self.share) - np.log1p(-self.share), -np.inf, SURE)

    def threshold(self, least: float = 0.0) -> float:
        """Return the smallest cosine whose log odds are at least `least`; infinity where none is."""
        low, high = self.different[0], max(self.same[0], self.different[0])
        if self.log_odds(np.array([high]))[0] < least:
            low, high = high, high + 1e3 * self.different[1]
        if not self.log_odds(np.array([high]))[0] >= least:
            return float("inf")
        if self.log_odds(np.array([low]))[0] >= least:
            return -1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if self.log_odds(np.array([middle]))[0] >= least else (middle, high)
        return high


def _log_density(value: Float64Array, mean: float, deviation: float) -> Float64Array:
    """Return the normal distribution's, without its constant: ``scipy.stats`` takes longer to load than all else."""
    return np.asarray(-(((value - mean) / deviation) ** 2) / 2 - np.log(deviation))


def unit_rows(rows: Float64Array) -> Float64Array:
    """Return rows of length 1; a row of zeros stays."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, TINY))


def weighted_means(rows: FloatArray | Float64Array, weight: Float64Array, owner: IntArray, count: int) -> Float64Array:
    """Return ``(count, d)`` weighted means of the ``(n, d)`` rows of each owner; zeros where one has none."""
    order = np.argsort(owner, kind="stable")
    owners, first = np.unique(owner[order], return_index=True)
    total, weights = np.zeros((count, rows.shape[1])), np.full(count, TINY)
    if len(owners):
        total[owners] = np.add.reduceat(rows[order] * weight[order, None], first)
        weights[owners] = np.maximum(np.add.reduceat(weight[order], first), TINY)
    return np.asarray(total / weights[:, None])


def camera_offsets(means: Float64Array, camera: IntArray) -> Float64Array:
    """Return ``(cameras, d)``: what the embeddings of each camera have in common, to be subtracted.

    A camera's light and colour shift all of its embeddings. The mean of few tracklets is rather that of these people:
    that of one alone says nothing of its camera, and from a few on it says nearly all.

    Args:
        means: ``(n, d)`` of the tracklets.
        camera: ``(n,)`` numbers from 0.
    """
    count = np.maximum(np.bincount(camera), 1)
    everywhere = means.mean(axis=0)
    of_camera = weighted_means(means, np.ones(len(means)), camera, len(count))
    share = 1 - 1.0 / count**2
    return np.asarray(everywhere + share[:, None] * (of_camera - everywhere))


def calibrate_pairs(cosine: Float64Array, strangers: BoolArray, halves: Float64Array) -> PairCalibration:
    """Return the distributions of cosines, by expectation maximisation.

    Args:
        cosine: ``(k,)`` of pairs of tracklets.
        strangers: ``(k,)`` pairs that are certainly of two people.
        halves: ``(m,)`` of the two halves of tracklets.
    """
    # Nearly all pairs are of two people, so the median and the spread around it are theirs.
    centre = float(np.median(cosine))
    spread = max(1.4826 * float(np.median(np.abs(cosine - centre))), 1e-3)
    expected, deviation, _ = _of_halves(halves, (centre, spread))
    guess = PairCalibration((centre, spread), (expected, deviation), 1 / (len(cosine) + 1))
    return maximise(guess, CosineSample(cosine, np.ones(len(cosine)), strangers), halves)


@dataclasses.dataclass(frozen=True)
class CosineSample:
    """Cosines of pairs of tracklets.

    Attributes:
        cosine: ``(k,)``.
        weight: ``(k,)`` number of pairs that each stands for.
        strangers: ``(k,)`` whether they are certainly of two people.
    """

    cosine: Float64Array
    weight: Float64Array
    strangers: BoolArray


def binned_sample(drawn: Float64Array, number: float, largest: Float64Array) -> CosineSample:
    """Return the cosines of very many pairs, in bins: all of the largest ones, for which a sample has too few.

    Args:
        drawn: ``(k,)`` those of a random sample, below all of `largest`.
        number: Number of pairs that each of these stands for.
        largest: ``(m,)`` all others.
    """
    edges = np.linspace(-1 - TINY, 1 + TINY, BINS + 1)
    weight = number * np.histogram(drawn, edges)[0] + np.histogram(largest, edges)[0]
    used = weight > 0
    return CosineSample(((edges[:-1] + edges[1:]) / 2)[used], weight[used], np.zeros(int(used.sum()), np.bool_))


def maximise(guess: PairCalibration, sample: CosineSample, halves: Float64Array) -> PairCalibration:
    """Return the most probable distributions, from a first guess on.

    Args:
        guess: Where to begin.
        sample: Cosines of pairs.
        halves: ``(m,)`` of the two halves of tracklets.
    """
    from scipy.special import expit

    cosine, weight, strangers = sample.cosine, sample.weight, sample.strangers
    expected, deviation, pairs = _of_halves(halves, guess.different)
    total = float(weight.sum())
    found = guess
    for _ in range(ROUNDS):
        # Expectation: is each pair of one person?
        same = expit(found.log_odds(cosine))
        same[strangers | (cosine < found.different[0])] = 0.0
        other = np.where(strangers & (cosine > found.same[0]), 0.0, 1 - same)  # two boxes of one person, at once
        # Maximisation: the distributions of those that are, together with the halves, and of the others.
        different = _moments(cosine, weight * other)
        same = weight * same
        number = float(same.sum())
        mean = (pairs * expected + float(same @ cosine)) / (pairs + number)
        squares = pairs * (deviation**2 + (mean - expected) ** 2) + float(same @ (cosine - mean) ** 2)
        own = mean, max(float(np.sqrt(squares / (pairs + number))), LEAST_SPREAD * different[1])
        before, found = found, PairCalibration(different, own, (number + 1) / (total + 2))
        if abs(found.different[0] - before.different[0]) + abs(found.share - before.share) < STEADY:
            break
    return found


def _of_halves(halves: Float64Array, different: tuple[float, float]) -> tuple[float, float, float]:
    """Return what the halves of tracklets say of one person: mean, deviation, and the pairs that they count for."""
    if not len(halves):
        return (different[0] + 1) / 2, different[1], UNKNOWN_PAIRS
    return float(halves.mean()), max(float(halves.std()), LEAST_SPREAD * different[1]), HALVES_PAIRS


def _moments(cosine: Float64Array, weight: Float64Array) -> tuple[float, float]:
    total = max(float(weight.sum()), TINY)
    mean = float(weight @ cosine) / total
    return mean, max(float(np.sqrt(weight @ (cosine - mean) ** 2 / total)), 1e-3)
