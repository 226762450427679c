"""Figures of tracked keypoints beside labelled ones: error, PCK, and how far the scores can be trusted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.structures import Keypoints, PointState
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.point_score import right_radius

PCK_PX = (8, 16)
WRONG_PX = 16.0  # error above which a point is wrong, for the AUC and the shares of visible points

Instances = Sequence[LabelledInstance]


@dataclasses.dataclass(frozen=True)
class ScoredPoint:
    """A tracked point beside its label.

    Attributes:
        error: Pixels; infinite where the point was lost.
        right: Within the radius that the score is about: 5 % of the animal's size, at least 8 px.
        score: The tracker's score.
        state: Visible, occluded or lost.
    """

    error: float
    right: bool
    score: float
    state: int


@dataclasses.dataclass(frozen=True)
class PointFigures:
    """Figures of scored points; NaN where there are no points to compute one from.

    Attributes:
        points: Number of points.
        median_px: Median error in pixels; lost points are infinitely far.
        pck: Limit in pixels → share of the points within it.
        right: Share of the points that are right, as the score means it.
        auc: Probability that a point within `WRONG_PX` has a higher score than one beyond.
        wrong_visible: Share of the points beyond `WRONG_PX` that are called visible.
        right_visible: Share of the points within `WRONG_PX` that are called visible.
    """

    points: int
    median_px: float
    pck: dict[int, float]
    right: float
    auc: float
    wrong_visible: float
    right_visible: float

    @classmethod
    def of(cls, points: Sequence[ScoredPoint]) -> PointFigures:
        """Return the figures of some points."""
        errors = np.array([one.error for one in points], np.float64)
        visible = np.array([one.state == PointState.VISIBLE for one in points], np.bool_)
        good = errors <= WRONG_PX
        return cls(
            len(points),
            float(np.median(errors)) if len(points) else math.nan,
            {limit: _share(errors <= limit) for limit in PCK_PX},
            _share([one.right for one in points]),
            area_under_curve([one.score for one in points], good.tolist()),
            _share(visible[~good]),
            _share(visible[good]),
        )

    def numbers(self) -> dict[str, Any]:
        """Return the figures as JSON has them: null where there is none, or it is not finite."""
        named = dataclasses.asdict(self) | {"pck": {str(limit): share for limit, share in self.pck.items()}}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in named.items()}

    def cells(self) -> list[str]:
        """Return the figures as cells of a table with the columns `TITLES`."""
        shares = [*self.pck.values(), self.right]
        return [
            str(self.points),
            _number(self.median_px, "{:.1f}"),
            *(_number(share, "{:.3f}") for share in shares),
            _number(self.auc, "{:.2f}"),
            *(_number(share, "{:.0%}") for share in (self.wrong_visible, self.right_visible)),
        ]


TITLES = (
    "points",
    "median px",
    *(f"PCK@{limit}" for limit in PCK_PX),
    "right",
    "AUC",
    "wrong called visible",
    "right called visible",
)


def area_under_curve(score: Sequence[float], good: Sequence[bool]) -> float:
    """Return the probability that a good point has a higher score than a bad one; NaN where one kind is missing."""
    from scipy.stats import rankdata

    rank, right = rankdata(score), np.asarray(good, np.bool_)
    n, m = int(right.sum()), int((~right).sum())
    return float((rank[right].sum() - n * (n + 1) / 2) / (n * m)) if n and m else math.nan


def score_points(
    tracked: Iterable[tuple[int, Keypoints]], truth: Mapping[int, Instances], given: Iterable[Instances]
) -> list[ScoredPoint]:
    """Return every labelled point of the frames in `truth` beside the tracked one.

    Points are left out that no given frame shows, as nothing says where to begin, and labels of hidden points, as they
    are guesses.

    Args:
        tracked: Frames and their tracked keypoints; frames without labels are passed over.
        truth: Frame → its labels.
        given: Labels of the frames that were tracked from.

    Returns:
        A point for each label; lost where it was not tracked.
    """
    radius: dict[tuple[str, str], float] = {}
    for instances in given:
        for one in instances:
            shown = [name for name, seen in zip(one.keypoints, one.seen) if seen]
            for name in shown:
                radius.setdefault((one.name, name), right_radius(one))
    rows = {frame: keypoints for frame, keypoints in tracked if frame in truth}
    found = []
    for frame, instances in truth.items():
        places = _places(rows[frame]) if frame in rows else {}
        for one in instances:
            for name, xy, seen in zip(one.keypoints, one.xy, one.seen):
                key = one.name, name
                if seen and key in radius:
                    found.append(_scored(xy, places.get(key), radius[key]))
    return found


def _places(keypoints: Keypoints) -> dict[tuple[str, str], tuple[float, float, float, int]]:
    """Return x, y, score and state of a frame's keypoints by instance and name."""
    values = zip(keypoints.xy, keypoints.score, keypoints.state)
    keys = zip(keypoints.instance, keypoints.name)
    return {
        key: (float(xy[0]), float(xy[1]), float(score), int(state)) for key, (xy, score, state) in zip(keys, values)
    }


def _scored(label: Sequence[float], tracked: tuple[float, float, float, int] | None, radius: float) -> ScoredPoint:
    if tracked is None or not math.isfinite(tracked[0]):
        return ScoredPoint(math.inf, False, 0.0, int(PointState.LOST))
    error = math.dist(label, tracked[:2])
    return ScoredPoint(error, error <= radius, tracked[2], tracked[3])


def _share(chosen: Sequence[bool] | np.ndarray) -> float:
    return float(np.mean(chosen)) if len(chosen) else math.nan


def _number(value: float, form: str) -> str:
    if math.isnan(value):
        return "–"
    return form.format(value) if math.isfinite(value) else "lost"
