"""The decision which tracklets are of one person, over all videos and cameras; the number of people is not given.

Complete linkage on calibrated log odds (`pair_evidence`): two groups become one where even their least similar pair is
rather one person than two, the most similar groups first. Groups with a pair that cannot be one person never do. All
pairs are compared block by block, and only the likely ones are kept, so that memory grows with these.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Iterator

import numpy as np

from mot_dinov3.apps.identities.pair_evidence import (
    PairCalibration,
    calibrate_pairs,
    camera_offsets,
    halves_cosine,
    unit_rows,
    weighted_means,
)
from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray, IntArray
from mot_dinov3.trackers.appearance_model import cosine as pair_cosine

BLOCK = 1024  # tracklets compared with all others at once
SAMPLE = 500_000  # pairs that calibrate
DOUBTFUL = -3.0  # log odds from which on another tracklet takes from the confidence

Pairs = tuple[IntArray, IntArray]
CanBeOne = Callable[[IntArray, IntArray], BoolArray]
"""Whether two tracklets may be of one person, for ``(k,)`` and ``(k,)`` rows; False is certain."""


@dataclasses.dataclass(frozen=True)
class TrackletViews:
    """Embeddings of tracklets.

    Attributes:
        views: ``(n, d)`` unit rows; those of a tracklet in the order of time.
        weight: ``(n,)`` quality of each.
        owner: ``(n,)`` tracklet of each, 0…m-1; every tracklet has one.
        camera: ``(m,)`` number of each tracklet's camera, from 0.
    """

    views: FloatArray
    weight: Float64Array
    owner: IntArray
    camera: IntArray


@dataclasses.dataclass(frozen=True)
class IdentityAssignment:
    """Identities of tracklets.

    Attributes:
        identity: ``(m,)`` number of each tracklet's identity, from 0 in the order of their first tracklets.
        confidence: ``(m,)`` 0…1: how probable it is that the tracklet belongs with the others of its identity, or
            that it is alone, rather than with another tracklet.
        calibration: Of the cosines; None where there are fewer than two tracklets.
    """

    identity: IntArray
    confidence: Float64Array
    calibration: PairCalibration | None


def assign_identities(tracklets: TrackletViews, can_be_one: CanBeOne) -> IdentityAssignment:
    """Return the identities of tracklets.

    Args:
        tracklets: Their embeddings.
        can_be_one: Hard exclusions.
    """
    count = len(tracklets.camera)
    if count < 2:
        return IdentityAssignment(np.zeros(count, np.int64), np.ones(count), None)
    # Take from each embedding what its camera adds to all.
    weight = np.maximum(tracklets.weight, 1e-3)
    means = weighted_means(tracklets.views, weight, tracklets.owner, count)
    offsets = camera_offsets(means, tracklets.camera)[tracklets.camera]
    rows = unit_rows(means - offsets).astype(np.float32)
    # Learn what cosines are worth.
    centred = (tracklets.views - offsets[tracklets.owner]).astype(np.float32)
    first, second = calibration_pairs(count)
    cosine = pair_cosine(rows, rows, first, second)
    halves = halves_cosine(centred, weight, tracklets.owner)
    calibration = calibrate_pairs(cosine, ~can_be_one(first, second), halves)
    # Join.
    first, second, cosine = likely_pairs(rows, calibration.threshold(DOUBTFUL), can_be_one)
    odds = calibration.log_odds(cosine)
    joined = odds > 0
    identity = complete_linkage(count, (first[joined], second[joined]), cosine[joined])
    return IdentityAssignment(identity, confidences(identity, (first, second), odds), calibration)


def calibration_pairs(count: int) -> Pairs:
    """Return all pairs of `count` tracklets; of too many, a sample."""
    if count * (count - 1) // 2 <= SAMPLE:
        first, second = np.triu_indices(count, 1)
        return first.astype(np.int64), second.astype(np.int64)
    random = np.random.default_rng(0)
    first = random.integers(0, count, SAMPLE)
    return first, (first + random.integers(1, count, SAMPLE)) % count


def likely_pairs(rows: FloatArray, least: float, can_be_one: CanBeOne) -> tuple[IntArray, IntArray, Float64Array]:
    """Return the pairs with a cosine of `least` and more that may be one person, and their cosines."""
    found = list(_blocks(rows, least, can_be_one))
    first, second, cosine = (np.concatenate([part[k] for part in found]) for k in range(3))
    return first.astype(np.int64), second.astype(np.int64), cosine.astype(np.float64)


def _blocks(rows: FloatArray, least: float, can_be_one: CanBeOne) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    for start in range(0, len(rows), BLOCK):
        cosine = rows[start : start + BLOCK] @ rows[start:].T
        first, second = np.nonzero(cosine >= least)
        later = second > first
        first, second = first[later], second[later]
        allowed = can_be_one(first + start, second + start)
        first, second = first[allowed], second[allowed]
        yield first + start, second + start, cosine[first, second]


def complete_linkage(count: int, pairs: Pairs, similarity: Float64Array) -> IntArray:
    """Return the ``(count,)`` groups of complete linkage, cut where a pair of two groups is not among `pairs`.

    Args:
        count: Number of items.
        pairs: ``(k,)`` and ``(k,)`` items that may be in one group, each pair once.
        similarity: ``(k,)`` of these.
    """
    links: list[dict[int, float]] = [{} for _ in range(count)]
    heap: list[tuple[float, int, int]] = []
    for one, other, value in zip(pairs[0].tolist(), pairs[1].tolist(), similarity.tolist()):
        links[one][other] = links[other][one] = value
        heap.append((-value, one, other))
    heapq.heapify(heap)
    group = list(range(count))
    while heap:
        negative, kept, gone = heapq.heappop(heap)
        if links[kept].get(gone) != -negative:
            continue  # a group of before
        # The new group is as similar to another one as the less similar of its parts, and not at all where one is not.
        group[gone] = kept
        for lost in links[kept].keys() ^ links[gone].keys():
            links[lost].pop(kept, None)
            links[lost].pop(gone, None)
        shared = {key: min(value, links[gone][key]) for key, value in links[kept].items() if key in links[gone]}
        links[kept], links[gone] = shared, {}
        for key, value in shared.items():
            del links[key][gone]
            if links[key][kept] != value:
                links[key][kept] = value
                heapq.heappush(heap, (-value, min(kept, key), max(kept, key)))
    return _numbered(group)


def _numbered(group: list[int]) -> IntArray:
    """Return the numbers of groups in the order of their first items; each item names one that went before it."""
    for item, parent in enumerate(group):
        group[item] = group[parent]
    _, first, number = np.unique(group, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number]


def confidences(identity: IntArray, pairs: Pairs, odds: Float64Array) -> Float64Array:
    """Return the ``(m,)`` confidence of each tracklet's identity.

    Several answers compete: it belongs with the others of its identity, by the mean of its log odds with them; with
    one of the tracklets outside; with none. Log odds below `DOUBTFUL` count as none.
    """
    count = len(identity)
    first, second = np.concatenate(pairs), np.concatenate(pairs[::-1])
    both = np.concatenate([odds, odds])
    inside = identity[first] == identity[second]
    size = np.bincount(identity)[identity] - 1
    own = np.bincount(first[inside], both[inside], count) / np.maximum(size, 1)
    rivals = np.bincount(first[~inside], np.exp(both[~inside]), count)
    together = np.where(size > 0, np.exp(own), 0.0)
    return np.asarray(np.where(size > 0, together, 1.0) / (1 + together + rivals))
