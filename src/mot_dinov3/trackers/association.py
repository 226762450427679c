"""Who can be whom, and who is: candidate pairs, their similarity, the assignment. Pure functions.

A scene of 200 tracks and 200 boxes has 40,000 pairs, of which a few hundred touch. Everything here works on the list of
those few: `Pairs` holds track row, box row and a similarity for each.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray, IntArray

Array = npt.NDArray[np.float64]

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
    value: Array

    def __len__(self) -> int:
        return len(self.track)

    def __getitem__(self, chosen: BoolArray | IntArray) -> Pairs:
        rows = chosen
        if chosen.dtype == np.bool_:
            rows = chosen.nonzero()[0]
            if len(rows) == len(self.track):
                return self
        return Pairs(self.track.take(rows), self.box.take(rows), self.value.take(rows))


def touching(a: Array, b: Array) -> tuple[IntArray, IntArray]:
    """Return the places in `a` ``(4, n)`` and `b` ``(4, m)``, pair by pair, of corner boxes that share some area."""
    near = (a[:2, :, None] < b[2:, None]) & (a[2:, :, None] > b[:2, None])  # (2, n, m): along x and along y
    both = near[0] & near[1]
    first, second = np.divmod(both.ravel().nonzero()[0], max(both.shape[1], 1))  # nonzero() of two axes is slow
    return first, second


def overlap(a: Array, b: Array, height_power: float = 0.0) -> Array:
    """Return the overlap of boxes pair by pair: ``(k,)`` for ``(4, k)`` corner boxes that touch.

    It is the IoU times the vertical overlap (shared height over joint height) to the power `height_power`: the heights
    of walking people tell them apart by their distance from the camera (height-modulated IoU, Hybrid-SORT 2308.00783).
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


def grow(boxes: Array, share: Array) -> Array:
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

    Where detectors miss one of two people who cross, both tracks claim the one box, and the wrong one may get it.

    Args:
        pairs: The candidates with the values they were assigned by.
        owner: ``(n,)`` row of the track each box went to, −1 none.
        loser: ``(m,)`` bool: the track counts as a rival and has found no box.
        margin: How much less than the owner's a rival's value may be.
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
