"""Distribution of the similarity of strangers to the nearest of all known persons, and its upper percentile."""

from __future__ import annotations

import dataclasses
import math

from mot_dinov3.core.structures import Float64Array

FALSE_NAMES = 0.01  # share of strangers that may be given a name
QUANTILE = 2.3263478740408408  # of the standard normal distribution, exceeded by that share
SPREAD = 0.15  # standard deviation that is assumed without evidence, as a share of 1 − mean
SKEWNESS, SKEWNESS_TRACKS = 0.7, 10.0  # assumed; the number of tracks that this counts for
LEAST_SPREAD = 1e-3  # of similarities: below it all embeddings are the same
MOST_SKEWNESS = 1.5


@dataclasses.dataclass(frozen=True)
class StrangerDistribution:
    """Similarity of strangers to the nearest person, a Pearson III distribution.

    Attributes:
        tracks: Number of tracks that have told it.
        mean: Its mean.
        variance: Its variance.
        skewness: Its skewness.
        typical: Mean similarity to any person.
        skewness_tracks: Number of tracks that have told the skewness.
    """

    tracks: float
    mean: float
    variance: float
    skewness: float
    typical: float
    skewness_tracks: float

    @classmethod
    def of(cls, moments: Float64Array, typical: float, tracks: float) -> StrangerDistribution:
        """Return the distribution with these means of values, squares and cubes, of so many tracks."""
        first, second, third = moments.tolist()
        variance = max(second - first**2, LEAST_SPREAD**2)
        skewness = (third - 3 * first * second + 2 * first**3) / variance**1.5
        return cls(tracks, first, variance, skewness, typical, tracks)

    @classmethod
    def assumed(cls, tracks: float, mean: float, typical: float) -> StrangerDistribution:
        """Return what is assumed where only the means are known."""
        return cls(tracks, mean, (SPREAD * (1 - mean)) ** 2, SKEWNESS, typical, SKEWNESS_TRACKS)

    def pooled(self, seen: StrangerDistribution | None) -> StrangerDistribution:
        """Return this one with what has been `seen`, each weighted by its tracks."""
        if seen is None:
            return self
        share = seen.tracks / (self.tracks + seen.tracks)
        skewed = seen.skewness_tracks / (self.skewness_tracks + seen.skewness_tracks)
        return StrangerDistribution(
            self.tracks + seen.tracks,
            self.mean + share * (seen.mean - self.mean),
            self.variance + share * (seen.variance - self.variance),
            self.skewness + skewed * (seen.skewness - self.skewness),
            self.typical + share * (seen.typical - self.typical),
            self.skewness_tracks + seen.skewness_tracks,
        )

    def weighted(self, tracks: float) -> StrangerDistribution:
        """Return the same as the assumption that counts for so many tracks."""
        return dataclasses.replace(self, tracks=tracks)

    def percentile(self) -> float:
        """Return the similarity that one stranger in a hundred exceeds."""
        # Few tracks leave mean and variance uncertain, and the next stranger varies in addition.
        deviation = math.sqrt(max(self.variance, LEAST_SPREAD**2) * (1 + 1 / self.tracks))
        return self.mean + pearson_quantile(min(max(self.skewness, 0.0), MOST_SKEWNESS)) * deviation


def pearson_quantile(skewness: float) -> float:
    """Return the upper percentile of a Pearson III distribution of mean 0 and variance 1 (Wilson and Hilferty 1931)."""
    if skewness < 1e-3:
        return QUANTILE
    return 2 / skewness * ((1 + skewness * QUANTILE / 6 - skewness**2 / 36) ** 3 - 1)
