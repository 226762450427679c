"""Scores of embeddings whose identities are known: retrieval, and how far the cosines of same and different differ.

Every crop is a query in turn, and the others are ranked by their cosine to it. Rank-1 and mean average precision are
those of person re-identification (Zheng et al.: Scalable Person Re-identification: A Benchmark, ICCV 2015), which leave
out images of the query's own identity and camera.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Protocol

import numpy as np

from mot_dinov3.core.errors import InputError
from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray, IntArray
from mot_dinov3.features.base import Embedder
from mot_dinov3.trackers.appearance_model import sensitivity

CHUNK = 256  # queries compared at once
MAX_PAIRS = 4_000_000  # cosines kept of each kind; of more, every kth
QUANTILES = (0.1, 0.5, 0.9)


class LabelledCrops(Protocol):
    """Crops whose identities are known, and the pairs of them that count.

    Attributes:
        identity: ``(n,)`` identity of each crop.
        protocol: One sentence: which crops a query is compared with.
        notices: Lines for the user.
    """

    identity: IntArray
    protocol: str
    notices: tuple[str, ...]

    @abstractmethod
    def same(self, queries: IntArray) -> BoolArray:
        """Return ``(q, n)`` bool: the crop is a right answer to the query, and the pair is one of the same object."""

    @abstractmethod
    def wrong(self, queries: IntArray) -> BoolArray:
        """Return ``(q, n)`` bool: the crop is a wrong answer to the query."""

    def different(self, queries: IntArray) -> BoolArray:
        """Return ``(q, n)`` bool: the cosine of the pair is one of different objects; by default, of a wrong answer."""
        return self.wrong(queries)

    @abstractmethod
    def embed(self, embedder: Embedder) -> tuple[FloatArray, float]:
        """Return the ``(n, dim)`` unit rows of the crops, and the ms that each took."""


@dataclasses.dataclass(frozen=True)
class RetrievalScores:
    """Scores of one embedder.

    Attributes:
        dim: Length of an embedding.
        rank1: Share of the queries whose most similar crop is of their identity.
        mean_ap: Mean average precision of the queries' rankings.
        d_prime: Sensitivity index of the cosines: distance of the two means in standard deviations.
        same: Quantiles (10, 50, 90 %) of the cosines of one object.
        different: Those of two objects.
        queries: Crops that have a right answer.
        same_pairs: Pairs of one object.
        different_pairs: Pairs of two objects whose cosines were taken.
        unusable: Crops without a usable embedding.
        ms_per_crop: Time of an embedding.
    """

    dim: int
    rank1: float
    mean_ap: float
    d_prime: float
    same: tuple[float, ...]
    different: tuple[float, ...]
    queries: int
    same_pairs: int
    different_pairs: int
    unusable: int
    ms_per_crop: float


def score_embedder(embedder: Embedder, crops: LabelledCrops) -> RetrievalScores:
    """Embed labelled crops, and score the result.

    Raises:
        InputError: No crop has a right answer, or there are no two objects to distinguish.
        ModelError: The embedder does not return one row for each crop.
    """
    rows, ms = crops.embed(embedder)
    return dataclasses.replace(score_rows(rows, crops), ms_per_crop=ms)


def score_rows(rows: FloatArray, crops: LabelledCrops) -> RetrievalScores:
    """Score ``(n, d)`` unit rows of labelled crops; raises `InputError` as `score_embedder` does."""
    count = len(rows)
    precision: list[float] = []
    first: list[bool] = []
    same: list[FloatArray] = []
    different: list[FloatArray] = []
    step = max(1, count * count // 2 // MAX_PAIRS)
    for start in range(0, count, CHUNK):
        queries = np.arange(start, min(start + CHUNK, count))
        cosine = rows[queries] @ rows.T
        right, wrong = crops.same(queries), crops.wrong(queries)
        for query in np.flatnonzero(right.any(1)):
            hits = ranking(cosine[query], right[query], wrong[query])
            first.append(bool(hits[0]))
            precision.append(average_precision(hits))
        later = np.arange(count) > queries[:, None]  # every pair once
        same.append(cosine[right & later])
        different.append(cosine[crops.different(queries) & later][::step])
    alike, apart = np.concatenate(same).astype(np.float64), np.concatenate(different).astype(np.float64)
    if not precision:
        raise InputError("no crop has another one of its identity to be compared with", remedy=crops.protocol)
    if not len(apart):
        raise InputError("there are no two identities to distinguish", remedy=crops.protocol)
    return RetrievalScores(
        dim=rows.shape[1],
        rank1=float(np.mean(first)),
        mean_ap=float(np.mean(precision)),
        d_prime=sensitivity((float(apart.mean()), float(alike.mean())), (float(apart.std()), float(alike.std()))),
        same=quantiles(alike),
        different=quantiles(apart),
        queries=len(precision),
        same_pairs=len(alike),
        different_pairs=len(apart),
        unusable=int(np.count_nonzero(~rows.any(1))),
        ms_per_crop=0.0,
    )


def ranking(cosine: FloatArray, right: BoolArray, wrong: BoolArray) -> BoolArray:
    """Return for each of the answers to a query, from the most to the least similar, whether it is right.

    Of equal cosines the wrong answer comes first, so that an embedder that returns a constant scores nothing.
    """
    answers = np.flatnonzero(right | wrong)
    is_right = right[answers]
    return np.asarray(is_right[np.lexsort((is_right, -cosine[answers]))])


def average_precision(hits: BoolArray) -> float:
    """Return the mean, over the right answers of a ranking, of the share of right answers up to each."""
    places = np.flatnonzero(hits) + 1
    return float(np.mean(np.arange(1, len(places) + 1) / places))


def quantiles(cosine: Float64Array) -> tuple[float, ...]:
    """Return the `QUANTILES` of cosines."""
    return tuple(np.quantile(cosine, QUANTILES).tolist())
