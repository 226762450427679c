"""Whole-video linking, after the last frame: broken trajectories are joined, smoothed, and their short gaps filled.

With the whole video at hand three things become possible that an online tracker cannot do. All of them learn their
scale from the video itself, so that one set of defaults serves a slow street and a fast dance:

- *Joining* (compare AFLink, StrongSORT 2202.13514): a trajectory that ends inside the picture continues in one that
  starts there later. Over a short gap motion decides; over a longer one appearance must agree. What counts as alike is
  calibrated on people who are in the picture together (certainly different) and on the halves of single trajectories
  (certainly the same).
- *Smoothing* (compare Gaussian-smoothed interpolation in the same paper): penalised least squares, the smoother of
  Whittaker (1923), which is what a Rauch-Tung-Striebel smoother computes for a constant-velocity motion. All
  trajectories are one banded linear system. Its stiffness is found by hiding every fifth box and predicting it.
- *Filling*: a gap is filled when the object was seen on both sides for at least as long as it was not.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.settings import require_between, setting
from mot_dinov3.structures import BoolArray, FloatArray, IntArray

Array = npt.NDArray[np.float64]

STIFFNESS = np.geomspace(1e-4, 1.0, 9)
"""Candidates, s³: variance of a measured coordinate over the spectral density of its acceleration."""
HIDDEN_EVERY = 5
NEIGHBOURS_ALIKE = 5.0
"""Neighbouring boxes err alike, which predicting one from the others cannot see; it finds this much too little."""
VELOCITY_SECONDS = 1.0
FEWEST_PAIRS = 3


@dataclasses.dataclass(frozen=True)
class LinkConfig:
    """Settings of `link`; each step can be switched off by its field (0 or False).

    Raises:
        ConfigError: A value is out of range.
    """

    motion_seconds: float = setting(1.0, "trajectories are joined by motion alone over gaps up to this long; 0 = never")
    appearance_seconds: float = setting(8.0, "the same where both have embeddings that agree; 0 = never")
    motion_gate: float = setting(0.3, "most that motion may miss, in heights, over a gap joined by motion alone")
    reach: float = setting(1.5, "fastest change of place over a gap, in heights per second, beside one height")
    height_change: float = setting(0.5, "most that the height may change over a gap, as a share")
    edge: float = setting(0.02, "a trajectory that ends this near the picture's edge has left; share of its size")
    smooth: bool = setting(True, "smooth the trajectories")
    fill_seconds: float = setting(1.0, "longest gap that is filled by interpolation; 0 = none")

    def __post_init__(self) -> None:
        require_between(self, 0, 3600, "motion_seconds", "appearance_seconds", "fill_seconds")
        require_between(self, 0, 100, "motion_gate", "reach", "height_change")
        require_between(self, 0, 0.5, "edge")


@dataclasses.dataclass(frozen=True)
class Tracklets:
    """The identified boxes of a whole video, one row a box.

    Attributes:
        frame: ``(n,)`` int64 0-based frame.
        time: ``(n,)`` float64 time of the frame, s.
        track_id: ``(n,)`` int64 ≥ 1; once per frame.
        xyxy: ``(n, 4)`` float32 boxes as detected (not predicted ones: gaps are filled here).
        score: ``(n,)`` float32.
        embedding: ``(n, d)`` float32 unit rows, zero where there is none; None where no row has any.
        row: ``(n,)`` int64: in a result, the row of the input that this is, −1 for a filled one; None in an input.
    """

    frame: IntArray
    time: Array
    track_id: IntArray
    xyxy: FloatArray
    score: FloatArray
    embedding: FloatArray | None = None
    row: IntArray | None = None

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def interpolated(self) -> BoolArray:
        """``(n,)`` bool: nothing was detected here, the box fills a gap."""
        return np.zeros(len(self), np.bool_) if self.row is None else self.row < 0


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Boxes sorted by trajectory and time; `start` holds the first row of each trajectory.

    Attributes:
        source: ``(n,)`` row of the input, −1 for a filled box.
        time: ``(n,)`` s.
        frame: ``(n,)``.
        track: ``(n,)`` number of the trajectory, from 0 without gaps.
        box: ``(n, 4)`` centre x, centre y, width, height.
        start: ``(m,)`` first row of each trajectory.
        end: ``(m,)`` last row of each trajectory.
    """

    source: IntArray
    time: Array
    frame: IntArray
    track: IntArray
    box: Array
    start: IntArray
    end: IntArray


def link(
    tracklets: Tracklets,
    config: LinkConfig | None = None,
    *,
    same_floor: float = 0.5,
    size: tuple[int, int] | None = None,
) -> Tracklets:
    """Join, smooth and fill the trajectories of a video.

    Args:
        tracklets: What the tracker found, in any order.
        config: All settings.
        same_floor: Cosine below which two crops are hardly ever the same object (the embedder's).
        size: Width and height of the picture; None takes the extent of all boxes.

    Returns:
        The rows sorted by frame and id, ids joined (the earlier one stays), boxes smoothed, filled rows added. `row`
        tells where each came from; `embedding` is None.
    """
    config = config or LinkConfig()
    if not len(tracklets):
        return dataclasses.replace(tracklets, embedding=None, row=np.zeros(0, np.int64))
    track_id = join(tracklets, config, same_floor=same_floor, size=size)
    rows = _fill(_sorted(tracklets, track_id), config.fill_seconds)
    seen = rows.source >= 0
    box = smooth(rows.time, rows.box, rows.track, seen, stiffness=_stiffness(rows) if config.smooth else np.zeros(4))
    score = np.interp(np.arange(len(seen)), np.flatnonzero(seen), tracklets.score[rows.source[seen]])
    ids = track_id[rows.source[rows.start]][rows.track]
    order = np.lexsort((ids, rows.frame))
    xyxy = np.concatenate([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2], axis=1)
    return Tracklets(
        frame=rows.frame[order],
        time=rows.time[order],
        track_id=ids[order],
        xyxy=xyxy[order].astype(np.float32),
        score=score[order].astype(np.float32),
        row=rows.source[order],
    )


def _sorted(tracklets: Tracklets, track_id: IntArray) -> _Rows:
    order = np.lexsort((tracklets.frame, track_id))
    ids = track_id[order]
    first = np.r_[True, ids[1:] != ids[:-1]]
    start = np.flatnonzero(first)
    xyxy = tracklets.xyxy[order].astype(np.float64)
    size = xyxy[:, 2:] - xyxy[:, :2]
    return _Rows(
        source=order,
        time=tracklets.time[order].astype(np.float64),
        frame=tracklets.frame[order],
        track=np.cumsum(first) - 1,
        box=np.concatenate([xyxy[:, :2] + size / 2, size], axis=1),
        start=start,
        end=np.r_[start[1:], len(ids)] - 1,
    )


# --- filling and smoothing --------------------------------------------------------------------------------------------


def _fill(rows: _Rows, longest: float) -> _Rows:
    """Return the rows with one more, interpolated linearly, for each missing frame of the gaps worth filling."""
    gap = np.diff(rows.frame)
    inside = rows.track[1:] == rows.track[:-1]
    # A run is a stretch of consecutive frames; its length in frames, looked up by its first or last row.
    cut = np.flatnonzero((gap != 1) | ~inside)
    run = np.diff(np.r_[-1, cut, len(rows.frame) - 1])
    shorter_side = np.minimum(run[:-1], run[1:])
    missing = gap[cut] - 1
    worth = inside[cut] & (np.diff(rows.time)[cut] <= longest + 1e-6) & (missing <= shorter_side)
    before, count = cut[worth], missing[worth]
    if not len(before):
        return rows
    which = np.repeat(np.arange(len(before)), count)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count) + 1
    left = before[which]
    share = nth / (count[which] + 1)

    def between(column: Array) -> Array:
        weight = share if column.ndim == 1 else share[:, None]
        return np.asarray(column[left] * (1 - weight) + column[left + 1] * weight)

    position = np.r_[np.arange(len(rows.frame), dtype=np.float64), left + share]
    order = np.argsort(position, kind="stable")
    track = np.r_[rows.track, rows.track[left]][order]
    start = np.flatnonzero(np.r_[True, track[1:] != track[:-1]])
    return _Rows(
        source=np.r_[rows.source, np.full(len(left), -1)][order],
        time=np.r_[rows.time, between(rows.time)][order],
        frame=np.r_[rows.frame, rows.frame[left] + nth][order],
        track=track,
        box=np.concatenate([rows.box, between(rows.box)])[order],
        start=start,
        end=np.r_[start[1:], len(track)] - 1,
    )


def smooth(time: Array, values: Array, track: IntArray, seen: BoolArray, *, stiffness: Array) -> Array:
    """Return the smoothest values near the seen ones: the least sum of squared errors plus bending.

    Bending is the integral of the squared second derivative over time, times the stiffness; rows that are not `seen`
    only bend. Between trajectories nothing bends.

    Args:
        time: ``(n,)`` s, increasing within a trajectory.
        values: ``(n, k)``.
        track: ``(n,)`` trajectory of each row; the rows of a trajectory stand together.
        seen: ``(n,)`` bool; the first and the last row of each trajectory must be.
        stiffness: ``(k,)`` s³; 0 leaves a column as it is.
    """
    from scipy.linalg import solveh_banded

    n = len(time)
    if n < 3:
        return values
    step = np.maximum(np.diff(time), 1e-3)
    before, after = 1 / step[:-1], 1 / step[1:]
    bends = (track[2:] == track[:-2]) * 2 / (step[:-1] + step[1:])
    first, second, third = before, -(before + after), after  # slope after minus slope before, in terms of three values
    penalty = np.zeros((3, n))  # upper diagonals of the bending's matrix, the main one last
    penalty[2, :-2] += bends * first**2
    penalty[2, 1:-1] += bends * second**2
    penalty[2, 2:] += bends * third**2
    penalty[1, 1:-1] += bends * first * second
    penalty[1, 2:] += bends * second * third
    penalty[0, 2:] += bends * first * third
    smoothed = values.copy()
    for stiff in np.unique(stiffness[stiffness > 0]):
        system = stiff * penalty
        system[2] += seen
        columns = stiffness == stiff
        smoothed[:, columns] = solveh_banded(system, seen[:, None] * values[:, columns])
    return smoothed


def _stiffness(rows: _Rows) -> Array:
    """Return the ``(4,)`` stiffness that predicts hidden boxes best, made larger for errors that neighbours share."""
    place = np.arange(len(rows.track)) - rows.start[rows.track]
    left = rows.end[rows.track] - np.arange(len(rows.track))
    seen = rows.source >= 0
    hidden = seen & (place % HIDDEN_EVERY == HIDDEN_EVERY // 2) & (left > 0)
    if not hidden.any():
        return np.full(4, STIFFNESS[len(STIFFNESS) // 2])
    size = np.tile(rows.box[hidden, 2:], 2)
    misses = []
    for stiff in STIFFNESS:
        guess = smooth(rows.time, rows.box, rows.track, seen & ~hidden, stiffness=np.full(4, stiff))
        # Errors beyond half an object are not noise but mistakes of the tracker.
        misses.append(np.minimum(np.abs(guess - rows.box)[hidden] / size, 0.5).mean(axis=0))
    return NEIGHBOURS_ALIKE * STIFFNESS[np.argmin(misses, axis=0)]


# --- joining ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Ends:
    """What is known of ``m`` trajectories at their ends.

    Attributes:
        first: ``(m,)`` time of the first box, s.
        last: ``(m,)`` time of the last box, s.
        head: ``(m, 4)`` first box: centre x, centre y, width, height.
        tail: ``(m, 4)`` last box.
        head_velocity: ``(m, 2)`` px/s of the centre just after the start.
        tail_velocity: ``(m, 2)`` px/s of the centre just before the end.
        came_in: ``(m,)`` bool: starts at the picture's edge, moving inwards.
        went_out: ``(m,)`` bool: ends at the picture's edge, moving outwards.
    """

    first: Array
    last: Array
    head: Array
    tail: Array
    head_velocity: Array
    tail_velocity: Array
    came_in: BoolArray
    went_out: BoolArray


def join(
    tracklets: Tracklets,
    config: LinkConfig,
    *,
    same_floor: float = 0.5,
    size: tuple[int, int] | None = None,
) -> IntArray:
    """Return the ``(n,)`` ids of all rows after joining; a joined trajectory keeps the id of its first part.

    Args:
        tracklets: At least one row.
        config: Gates of the joints.
        same_floor: As for `link`.
        size: As for `link`.
    """
    track_id = tracklets.track_id.copy()
    picture = np.array(size, np.float64) if size and min(size) > 0 else tracklets.xyxy[:, 2:].max(axis=0)
    while True:
        rows = _sorted(tracklets, track_id)
        before, after = _joints(_ends(rows, config, picture), _looks(rows, tracklets.embedding), config, same_floor)
        if not len(before):
            return track_id
        ids = track_id[rows.source[rows.start]]
        owner = np.arange(len(ids))
        owner[after] = before
        while (owner[owner] != owner).any():
            owner = owner[owner]
        track_id = track_id.copy()
        track_id[rows.source] = ids[owner][rows.track]


def _ends(rows: _Rows, config: LinkConfig, picture: Array) -> _Ends:
    """Measure the smoothed ends of all trajectories."""
    seen = np.ones(len(rows.time), np.bool_)
    box = smooth(rows.time, rows.box, rows.track, seen, stiffness=_stiffness(rows))
    first, last = rows.time[rows.start], rows.time[rows.end]
    # One clock for all trajectories, one after the other, finds the row a second from each end in one search.
    shift = np.arange(len(first)) * (last.max() - first.min() + 2 * VELOCITY_SECONDS)
    clock = rows.time + shift[rows.track]
    early = np.minimum(np.searchsorted(clock, first + shift + VELOCITY_SECONDS, side="right") - 1, rows.end)
    late = np.maximum(np.searchsorted(clock, last + shift - VELOCITY_SECONDS), rows.start)
    head, tail = box[rows.start], box[rows.end]
    head_velocity = (box[early] - head)[:, :2] / np.maximum(rows.time[early] - first, VELOCITY_SECONDS / 2)[:, None]
    tail_velocity = (tail - box[late])[:, :2] / np.maximum(last - rows.time[late], VELOCITY_SECONDS / 2)[:, None]
    return _Ends(
        first=first,
        last=last,
        head=head,
        tail=tail,
        head_velocity=head_velocity,
        tail_velocity=tail_velocity,
        came_in=_crossing(rows.box[rows.start], -head_velocity, config.edge, picture),
        went_out=_crossing(rows.box[rows.end], tail_velocity, config.edge, picture),
    )


def _crossing(box: Array, velocity: Array, edge: float, picture: Array) -> BoolArray:
    """Return ``(m,)`` bool: the box touches an edge of the picture, at which the velocity points outwards."""
    low, high = box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2
    out = (low < edge * picture) & (velocity < 0) | (high > (1 - edge) * picture) & (velocity > 0)
    return np.asarray(out.any(axis=1))


@dataclasses.dataclass(frozen=True)
class _Looks:
    """Appearance of ``m`` trajectories: unit means of all, of the first and of the second half, zero where unknown."""

    whole: Array
    halves: tuple[Array, Array]
    together: BoolArray

    @property
    def known(self) -> BoolArray:
        """``(m,)`` bool: at least one box of it was embedded."""
        return np.asarray((self.whole != 0).any(axis=1))


def _looks(rows: _Rows, embedding: FloatArray | None) -> _Looks:
    m = len(rows.start)
    first, last = rows.frame[rows.start], rows.frame[rows.end]
    together = (first[:, None] <= last) & (first <= last[:, None])
    if embedding is None:
        none = np.zeros((m, 0))
        return _Looks(none, (none, none), together)
    embedded = embedding[rows.source].astype(np.float64)
    has = (embedded != 0).any(axis=1)
    count = np.cumsum(has)
    middle = (count[rows.end] + count[rows.start] - has[rows.start]) / 2
    early = count <= middle[rows.track]

    def mean(chosen: BoolArray) -> Array:
        total = np.zeros((m, embedded.shape[1]))
        np.add.at(total, rows.track[chosen], embedded[chosen])
        return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12))

    return _Looks(mean(has), (mean(has & early), mean(has & ~early)), together)


def _alike(looks: _Looks, same_floor: float) -> float:
    """Return the cosine from which two trajectories are taken for one object.

    It lies half-way between what strangers of this video have in common and what single objects keep of themselves.
    """
    whole, (early, late) = looks.whole, looks.halves
    pairs = np.triu(looks.together & looks.known[:, None] & looks.known, 1)
    strangers = (whole @ whole.T)[pairs]
    selves = np.einsum("ij,ij->i", early, late)[(early != 0).any(axis=1) & (late != 0).any(axis=1)]
    if min(len(strangers), len(selves)) < FEWEST_PAIRS:
        return same_floor
    return max(same_floor, float(np.median(strangers) + np.median(selves)) / 2)


def _joints(ends: _Ends, looks: _Looks, config: LinkConfig, same_floor: float) -> tuple[IntArray, IntArray]:
    """Return trajectories and the ones that continue them, each once in either role."""
    before, after = _candidates(ends, max(config.motion_seconds, config.appearance_seconds))
    gap = ends.first[after] - ends.last[before]
    height = np.sqrt(ends.tail[before, 3] * ends.head[after, 3])
    moved = (ends.head[after] - ends.tail[before])[:, :2]
    bridge = gap[:, None] * (ends.tail_velocity[before] + ends.head_velocity[after]) / 2
    miss = np.linalg.norm(moved - bridge, axis=1) / height
    near = np.linalg.norm(moved, axis=1) <= height * (1 + config.reach * gap)
    near &= np.abs(np.log(ends.head[after, 3] / ends.tail[before, 3])) <= np.log1p(config.height_change)
    both = looks.known[before] & looks.known[after]
    floor = _alike(looks, same_floor)
    cosine = np.einsum("ij,ij->i", looks.whole[before], looks.whole[after])
    by_looks = both & near & (gap <= config.appearance_seconds) & (cosine >= floor)
    by_motion = ~both & near & (gap <= config.motion_seconds) & (miss < config.motion_gate)
    value = np.where(by_looks, 1 + cosine - floor, 1 - miss / max(config.motion_gate, 1e-9))
    return _assign(before, after, np.where(by_looks | by_motion, value, 0))


def _candidates(ends: _Ends, longest: float) -> tuple[IntArray, IntArray]:
    """Return all pairs whose second starts inside the picture at most `longest` s after the first ended there."""
    order = np.argsort(ends.first, kind="stable")
    low = np.searchsorted(ends.first[order], ends.last, side="right")
    high = np.searchsorted(ends.first[order], ends.last + longest, side="right")
    count = np.maximum(high - low, 0)
    before = np.repeat(np.arange(len(low)), count)
    nth = np.arange(len(before)) - np.repeat(np.cumsum(count) - count, count)
    after = order[low[before] + nth]
    inside = ~ends.went_out[before] & ~ends.came_in[after]
    return before[inside], after[inside]


def _assign(before: IntArray, after: IntArray, value: Array) -> tuple[IntArray, IntArray]:
    """Return the one-to-one choice of pairs with the greatest sum of values; pairs worth 0 are not for choice."""
    from scipy.optimize import linear_sum_assignment

    good = value > 0
    rows, row = np.unique(before[good], return_inverse=True)
    columns, column = np.unique(after[good], return_inverse=True)
    gain = np.zeros((len(rows), len(columns)))
    gain[row, column] = value[good]
    r, c = linear_sum_assignment(gain, maximize=True)
    chosen = gain[r, c] > 0
    return rows[r[chosen]], columns[c[chosen]]
