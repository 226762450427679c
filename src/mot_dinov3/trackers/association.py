"""Who can be whom, and who is: candidate pairs, their similarity, the assignment. Pure functions.

A scene of 200 tracks and 200 boxes has 40,000 pairs, of which a few hundred touch. Everything here works on the list of
those few: `Pairs` holds track row, box row and a similarity for each.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.structures import BoolArray, IntArray

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
        return Pairs(self.track[chosen], self.box[chosen], self.value[chosen])


def touching(a: Array, b: Array) -> tuple[IntArray, IntArray]:
    """Return the rows of `a` ``(n, 4)`` and `b` ``(m, 4)``, pair by pair, whose corner boxes share some area."""
    near = (a[:, 0, None] < b[:, 2]) & (a[:, 2, None] > b[:, 0])
    near &= (a[:, 1, None] < b[:, 3]) & (a[:, 3, None] > b[:, 1])
    rows, columns = np.nonzero(near)
    return rows, columns


def overlap(a: Array, b: Array, height_power: float = 0.0) -> Array:
    """Return the overlap of boxes pair by pair: ``(k,)`` for ``(k, 4)`` corner boxes that touch.

    It is the IoU times the vertical overlap (shared height over joint height) to the power `height_power`: the heights
    of walking people tell them apart by their distance from the camera (height-modulated IoU, Hybrid-SORT 2308.00783).
    """
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared = np.maximum(high - low, 0.0).T
    size_a, size_b = (a[:, 2:] - a[:, :2]).T, (b[:, 2:] - b[:, :2]).T
    both = shared[0] * shared[1]
    value = both / (size_a[0] * size_a[1] + size_b[0] * size_b[1] - both)
    if height_power:
        value = value * (shared[1] / (size_a[1] + size_b[1] - shared[1])) ** height_power
    return np.asarray(value)


def grow(xyxy: Array, share: Array | float) -> Array:
    """Return the boxes with `share` of their width and height added on each side (buffered IoU, C-BIoU 2211.14317)."""
    return np.asarray(xyxy + (xyxy @ _OUTWARD) * np.reshape(share, (-1, 1)))


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
    clear = (np.bincount(pairs.track)[pairs.track] == 1) & (np.bincount(pairs.box)[pairs.box] == 1)
    if clear.all():
        return pairs
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
    mine = owner[pairs.box] == pairs.track
    won = np.full(len(owner), np.inf)
    won[pairs.box[mine]] = pairs.value[mine]
    close = loser[pairs.track] & (pairs.value > won[pairs.box] - margin)
    doubtful = np.zeros(len(owner), np.bool_)
    doubtful[pairs.box[close]] = True
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
