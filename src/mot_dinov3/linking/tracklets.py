"""Options of linking, and the rows of all trajectories."""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.options import StageConfig, option
from mot_dinov3.core.structures import BoolArray, Float64Array, FloatArray, IntArray


@dataclasses.dataclass(frozen=True)
class LinkConfig(StageConfig):
    """Options of `link`; each step can be switched off by its field (0 or False)."""

    group = "whole-video linking"

    uncross: bool = option(
        True, "resolve id switches: exchange two trajectories after a crossing if their appearance indicates it"
    )
    motion_seconds: float = option(
        1.0, "longest gap over which trajectories are joined by motion alone; 0 = never", low=0, high=3600
    )
    appearance_seconds: float = option(
        12.0, "the same for trajectories with similar embeddings; 0 = never", low=0, high=3600
    )
    motion_gate: float = option(
        0.3, "largest prediction error, in heights, over a gap joined by motion alone", low=0, high=100
    )
    reach: float = option(1.5, "maximum speed over a gap, in heights per second, plus one height", low=0, high=100)
    height_change: float = option(1.0, "largest change of height over a gap, as a share", low=0, high=100)
    edge: float = option(
        0.02,
        "a trajectory that ends this near the frame edge has left the frame; share of the frame size",
        low=0,
        high=0.5,
    )
    smooth: bool = option(True, "smooth the trajectories")
    fill_seconds: float = option(1.0, "longest gap that is filled by interpolation; 0 = none", low=0, high=3600)


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
    time: Float64Array
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
class Rows:
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
    time: Float64Array
    frame: IntArray
    track: IntArray
    box: Float64Array
    start: IntArray
    end: IntArray


def sort_rows(tracklets: Tracklets, track_id: IntArray) -> Rows:
    """Return the rows of at least one tracklet under the ids `track_id` ``(n,)``."""
    order = np.lexsort((tracklets.frame, track_id))
    ids = track_id[order]
    first = np.r_[True, ids[1:] != ids[:-1]]
    start = np.flatnonzero(first)
    xyxy = tracklets.xyxy[order].astype(np.float64)
    size = xyxy[:, 2:] - xyxy[:, :2]
    return Rows(
        source=order,
        time=tracklets.time[order].astype(np.float64),
        frame=tracklets.frame[order],
        track=np.cumsum(first) - 1,
        box=np.concatenate([xyxy[:, :2] + size / 2, size], axis=1),
        start=start,
        end=np.r_[start[1:], len(ids)] - 1,
    )
