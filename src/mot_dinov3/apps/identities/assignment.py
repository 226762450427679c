"""The decision which tracklets are of one person, over all videos and cameras; the number of people is not given.

Agglomerative clustering on calibrated log odds (`pair_evidence`): two groups become one where at least `ALIKE` of their
pairs are rather one person than two, the most similar groups first. In small groups these are all pairs, as in complete
linkage; a few of a person's many tracklets may look different. Groups with a pair that cannot be one person never
become one. All pairs are compared block by block, and only the likely ones are kept, so that memory grows with these.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Iterator

import numpy as np

from mot_dinov3.apps.identities.pair_evidence import (
    PairCalibration,
    binned_sample,
    calibrate_pairs,
    camera_offsets,
    halves_cosine,
    maximise,
    unit_rows,
    weighted_means,
)
from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray, IntArray
from mot_dinov3.trackers.appearance_model import cosine as pair_cosine

BLOCK = 1024  # tracklets compared with all others at once
SAMPLE = 500_000  # pairs that calibrate
ALIKE = 5 / 6  # least share of the pairs of two groups that are alike
DOUBTFUL = -3.0  # log odds from which on another tracklet takes from the confidence

Pairs = tuple[IntArray, IntArray]
Link = tuple[int, float]  # number of pairs of two groups that are alike, and the sum of their similarities
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
    centred = (tracklets.views - offsets[tracklets.owner]).astype(np.float32)
    halves = halves_cosine(centred, weight, tracklets.owner)
    calibration, (first, second), cosine = compare_pairs(rows, halves, can_be_one)
    # Join.
    odds = calibration.log_odds(cosine)
    joined = odds > 0
    similarity = np.maximum(cosine[joined] - calibration.different[0], 0.0)
    identity = join_groups(count, (first[joined], second[joined]), similarity, can_be_one)
    return IdentityAssignment(identity, confidences(identity, (first, second), odds), calibration)


def compare_pairs(
    rows: FloatArray, halves: Float64Array, can_be_one: CanBeOne
) -> tuple[PairCalibration, Pairs, Float64Array]:
    """Return what cosines are worth, the likely pairs that may be one person, and their cosines.

    Args:
        rows: ``(m, d)`` unit rows of the tracklets.
        halves: ``(k,)`` cosines of the two halves of tracklets.
        can_be_one: Hard exclusions.
    """
    first, second = calibration_pairs(len(rows))
    drawn = pair_cosine(rows, rows, first, second)
    calibration = calibrate_pairs(drawn, ~can_be_one(first, second), halves)
    least = calibration.threshold(DOUBTFUL)
    first, second, cosine = likely_pairs(rows, least, can_be_one)
    # A sample holds too few pairs of one person, but the likely pairs are all that there are.
    number = len(rows) * (len(rows) - 1) / 2 / len(drawn)
    if number > 1:
        calibration = maximise(calibration, binned_sample(drawn[drawn < least], number, cosine), halves)
    return calibration, (first, second), cosine


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


def join_groups(count: int, pairs: Pairs, similarity: Float64Array, can_be_one: CanBeOne) -> IntArray:
    """Return the ``(count,)`` groups of items, the groups with the most similar pairs in the mean joined first.

    Args:
        count: Number of items.
        pairs: ``(k,)`` and ``(k,)`` items that are alike, each pair once.
        similarity: ``(k,)`` of these, from 0; that of any other pair counts as 0.
        can_be_one: Hard exclusions.
    """
    members = [[item] for item in range(count)]
    links: list[dict[int, Link]] = [{} for _ in range(count)]
    heap: list[tuple[float, int, int]] = []
    for one, other, value in zip(pairs[0].tolist(), pairs[1].tolist(), similarity.tolist()):
        links[one][other] = links[other][one] = 1, value
        heap.append((-value, one, other))
    heapq.heapify(heap)
    group = list(range(count))
    while heap:
        negative, kept, gone = heapq.heappop(heap)
        size = len(members[kept]) * len(members[gone])
        if gone not in links[kept] or links[kept][gone][1] / size != -negative:
            continue  # a group of before
        del links[kept][gone], links[gone][kept]
        if not _all_can_be_one(members[kept], members[gone], can_be_one):
            continue
        # What the group that ends has in common with others, it brings into the new one.
        group[gone] = kept
        members[kept] += members[gone]
        members[gone] = []
        for other, (number, total) in links[gone].items():
            del links[other][gone]
            before = links[kept].get(other, (0, 0.0))
            links[kept][other] = links[other][kept] = number + before[0], total + before[1]
        links[gone] = {}
        for other, (number, total) in links[kept].items():
            size = len(members[kept]) * len(members[other])
            if number >= ALIKE * size:
                heapq.heappush(heap, (-total / size, min(kept, other), max(kept, other)))
    return _numbered(group)


def _all_can_be_one(one: list[int], other: list[int], can_be_one: CanBeOne) -> bool:
    first, second = np.repeat(np.array(one), len(other)), np.tile(np.array(other), len(one))
    return bool(can_be_one(first, second).all())


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
