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

from mot_dinov3.apps.identities.pair_evidence import PairCalibration, binned_sample, calibrate_pairs, maximise
from mot_dinov3.apps.identities.tracklet_means import CentredTracklets
from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray, IntArray
from mot_dinov3.trackers.appearance_model import cosine as pair_cosine

BLOCK = 1 << 24  # pairs compared at once
ROUNDING = 1e-5  # more than products of unit rows differ by the order of their sums
SAMPLE = 500_000  # pairs that calibrate
ALIKE = 5 / 6  # least share of the pairs of two groups that are alike
DOUBTFUL = -3.0  # log odds from which on another tracklet takes from the confidence

Pairs = tuple[IntArray, IntArray]
Link = tuple[int, float]  # number of pairs of two groups that are alike, and the sum of their similarities
Join = tuple[float, int, int]  # two groups that may become one, the first of them lower; the most similar are least
CanBeOne = Callable[[IntArray, IntArray], BoolArray]
"""Whether two tracklets may be of one person, for ``(k,)`` and ``(k,)`` rows; False is certain."""


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


def assign_identities(
    tracklets: CentredTracklets,
    can_be_one: CanBeOne,
    known: IntArray | None = None,
    earlier: PairCalibration | None = None,
    new: IntArray | None = None,
) -> IdentityAssignment:
    """Return the identities of tracklets.

    Args:
        tracklets: What is compared.
        can_be_one: Hard exclusions.
        known: ``(m,)`` number of the identity of each, from 0, or -1; these stay together, and apart from one another.
        earlier: What cosines are worth, where that is known.
        new: Then the tracklets that are compared with all others; the confidence of the rest has no meaning.
    """
    rows, count = tracklets.rows, len(tracklets.rows)
    given = np.full(count, -1) if known is None else known
    if count < 2:
        return IdentityAssignment(np.zeros(count, np.int64), np.ones(count), None)
    if earlier is None:
        calibration, (first, second), cosine = compare_pairs(rows, tracklets.halves, can_be_one)
    else:
        calibration = earlier
        first, second, cosine = likely_pairs(rows, earlier.threshold(DOUBTFUL), can_be_one, new)
    # Join.
    odds = calibration.log_odds(cosine)
    joined = odds > 0
    similarity = np.maximum(cosine[joined] - calibration.different[0], 0.0)
    identity = join_groups((first[joined], second[joined]), similarity, can_be_one, given)
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


def likely_pairs(
    rows: FloatArray, least: float, can_be_one: CanBeOne, new: IntArray | None = None
) -> tuple[IntArray, IntArray, Float64Array]:
    """Return the pairs with a cosine of `least` and more that may be one person, and their cosines.

    Args:
        rows: ``(m, d)`` unit rows.
        least: Least cosine.
        can_be_one: Hard exclusions.
        new: Rows that are compared with all others; None for all of them.
    """
    found = list(_blocks(rows, least, can_be_one, np.arange(len(rows)) if new is None else new))
    none = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    first, second, cosine = (np.concatenate([part[k] for part in found or [none]]) for k in range(3))
    return first.astype(np.int64), second.astype(np.int64), cosine.astype(np.float64)


def _blocks(
    rows: FloatArray, least: float, can_be_one: CanBeOne, new: IntArray
) -> Iterator[tuple[IntArray, IntArray, Float64Array]]:
    turn = np.full(len(rows), len(new))
    turn[new] = np.arange(len(new))
    size = max(1, BLOCK // len(rows))
    for start in range(0, len(new), size):
        own = new[start : start + size]
        begin = start if len(new) == len(rows) else 0  # rows before have been compared with all
        # The product's last bits depend on the number of threads, so it only preselects.
        row, second = np.nonzero(rows[own] @ rows[begin:].T >= least - ROUNDING)
        first, second = own[row], second + begin
        later = turn[second] > turn[first]
        first, second = first[later], second[later]
        cosine = pair_cosine(rows, rows, first, second)
        allowed = (cosine >= least) & can_be_one(first, second)
        yield first[allowed], second[allowed], cosine[allowed]


def join_groups(pairs: Pairs, similarity: Float64Array, can_be_one: CanBeOne, known: IntArray) -> IntArray:
    """Return the ``(m,)`` groups of items, the groups with the most similar pairs in the mean joined first.

    Args:
        pairs: ``(k,)`` and ``(k,)`` items that are alike, each pair once.
        similarity: ``(k,)`` of these, from 0; that of any other pair counts as 0.
        can_be_one: Hard exclusions.
        known: ``(m,)`` number of the group of each item, from 0, that is to stay as it is but for new items, or -1.
    """
    groups = _Groups(known)
    groups.link(pairs, similarity)
    heap = [join for one in range(len(known)) for join in groups.joins(one) if join[1] == one]
    heapq.heapify(heap)
    while heap:
        join = heapq.heappop(heap)
        if not groups.is_current(join):
            continue
        kept, gone = join[1:]
        if groups.both_known(kept, gone) or not _all_can_be_one(*groups.members_of(kept, gone), can_be_one):
            groups.unlink(kept, gone)
            continue
        groups.join(kept, gone)
        for following in groups.joins(kept):
            heapq.heappush(heap, following)
    return _numbered(groups.first)


class _Groups:
    """Groups of items, each under the number of its first one, and what they have in common.

    Args:
        known: ``(m,)`` number of the group of each item, from 0, or -1.
    """

    def __init__(self, known: IntArray) -> None:
        firsts: dict[int, int] = {}
        self.first = [item if name < 0 else firsts.setdefault(name, item) for item, name in enumerate(known.tolist())]
        self._known = set(firsts.values())
        self._members: list[list[int]] = [[] for _ in self.first]
        for item, first in enumerate(self.first):
            self._members[first].append(item)
        self._links: list[dict[int, Link]] = [{} for _ in self.first]

    def link(self, pairs: Pairs, similarity: Float64Array) -> None:
        """Add pairs of items that are alike."""
        for item, neighbour, value in zip(pairs[0].tolist(), pairs[1].tolist(), similarity.tolist()):
            one, other = self.first[item], self.first[neighbour]
            if one != other:
                self._add(one, other, (1, value))

    def _add(self, one: int, other: int, link: Link) -> None:
        number, total = self._links[one].get(other, (0, 0.0))
        self._links[one][other] = self._links[other][one] = number + link[0], total + link[1]

    def unlink(self, one: int, other: int) -> None:
        """Forget what two groups have in common."""
        del self._links[one][other], self._links[other][one]

    def joins(self, group: int) -> Iterator[Join]:
        """Yield the groups that a group is so much like that they may be one."""
        for other, (number, total) in self._links[group].items():
            size = len(self._members[group]) * len(self._members[other])
            if number >= ALIKE * size:
                yield -total / size, min(group, other), max(group, other)

    def is_current(self, join: Join) -> bool:
        """Return whether both groups are still as they were when this was found."""
        negative, kept, gone = join
        link = self._links[kept].get(gone)
        return link is not None and link[1] / (len(self._members[kept]) * len(self._members[gone])) == -negative

    def both_known(self, one: int, other: int) -> bool:
        """Return whether both groups were known, so that they stay apart."""
        return one in self._known and other in self._known

    def members_of(self, one: int, other: int) -> tuple[list[int], list[int]]:
        """Return the items of two groups."""
        return self._members[one], self._members[other]

    def join(self, kept: int, gone: int) -> None:
        """Make two groups one: what the one that ends has in common with others, it brings into the new one."""
        self.unlink(kept, gone)
        self.first[gone] = kept
        if gone in self._known:
            self._known.add(kept)
        self._members[kept] += self._members[gone]
        self._members[gone] = []
        for other, link in list(self._links[gone].items()):
            self.unlink(gone, other)
            self._add(kept, other, link)


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
