"""Frames to review: those whose correction helps most, ranked by uncertainty. Pure."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

import numpy as np

from mot_dinov3.core.structures import BoolArray, Keypoints, PointSource, PointState
from mot_dinov3.keypoints.fusion import Estimate, FusedEstimate
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.keypoints.label_doubts import LabelDoubt
from mot_dinov3.keypoints.labels import LabelledInstance
from mot_dinov3.keypoints.skeleton import limb_outliers

COLUMNS = (
    "rank",
    "frame",
    "urgency",
    "low_score",
    "disagreement",
    "limb_outliers",
    "swaps",
    "label_doubt",
    "keypoints",
    "why",
)
SHOWN = 50
SPACING = 5  # frames: one correction helps its neighbours, too
DISAGREEMENT_PX = 16.0  # counts like a lost point
LABEL_DOUBT = 5.0  # more than all other parts together: wrong labels spoil the frames on both sides
LEAST_UNCERTAIN = 0.3  # sum of a point's parts, from which it is named; a frame without such a point is not listed
LEAST_SHARE = 0.2  # of a frame's urgency, from which a part is named as a reason
EXCHANGED = 0.35  # of the distances from the labels as they are: most of those from the exchanged ones
LEAST_APART_PX = 8.0  # of two labels that can be told apart


@dataclasses.dataclass(frozen=True)
class FrameUncertainty:
    """Uncertainty of a frame's keypoints.

    Attributes:
        frame: Its number.
        low_score: Mean of 1 − score over the points, in 0…1.
        disagreement: Mean distance between the two passes, in units of 16 pixels, each point at most 1.
        limbs: Mean share of limbs with an unusual length.
        swaps: Share of the points that were exchanged.
        keypoints: The most uncertain ones, worst first.
        label_doubt: 5 where labels look exchanged or renamed, else 0.
    """

    frame: int
    low_score: float
    disagreement: float
    limbs: float
    swaps: float
    keypoints: tuple[str, ...]
    label_doubt: float = 0.0

    @property
    def is_in_doubt(self) -> bool:
        """Whether a person has something to decide: the labels are in doubt, or single points are uncertain."""
        return self.label_doubt > 0 or bool(self.keypoints)

    @property
    def why(self) -> str:
        """The reasons in words, the largest part first."""
        parts = {
            "the labels contradict another labelled frame": self.label_doubt,
            "low score": self.low_score,
            "tracking forward and backward disagrees": self.disagreement,
            "unusual distances between neighbouring points": self.limbs,
            "left and right were exchanged": self.swaps,
        }
        named = [reason for reason, part in parts.items() if part > 0 and part >= LEAST_SHARE * self.urgency]
        return "; ".join(sorted(named, key=lambda reason: -parts[reason]))

    @property
    def urgency(self) -> float:
        """Sum of all parts."""
        return self.low_score + self.disagreement + self.limbs + self.swaps + self.label_doubt


def frame_uncertainty(
    frame: int, keypoints: Keypoints, tracked: Sequence[FusedEstimate], labelled: Keypoints, absent: BoolArray
) -> FrameUncertainty:
    """Return the uncertainty of a frame's rows.

    Args:
        frame: Its number.
        keypoints: Its ``n`` rows.
        tracked: Where they come from.
        labelled: Rows of a labelled frame, with the usual lengths of limbs.
        absent: ``(n,)`` points that a person says are not there: nothing about them is uncertain.
    """
    low = np.where(absent, 0.0, 1 - np.where(keypoints.state == PointState.LOST, 0.0, keypoints.score))
    apart = np.concatenate([np.minimum(s.disagreement / DISAGREEMENT_PX, 1.0) for s in tracked]) * ~absent
    swaps = np.concatenate([s.estimate.swapped for s in tracked]) * ~absent
    limbs = np.zeros(len(low))
    for name in dict.fromkeys(keypoints.instance):
        rows = np.array([i for i, instance in enumerate(keypoints.instance) if instance == name])
        limbs[rows] = limb_outliers(keypoints.xy[rows], _rescaled(labelled.xy[rows], keypoints.xy[rows]))
    total = low + apart + limbs + swaps
    worst = [i for i in np.argsort(-total, kind="stable")[:3].tolist() if total[i] > LEAST_UNCERTAIN]
    several = len(set(keypoints.instance)) > 1
    names = tuple(f"{keypoints.instance[i]}:{keypoints.name[i]}" if several else keypoints.name[i] for i in worst)
    return FrameUncertainty(
        frame, float(low.mean()), float(apart.mean()), float(limbs.mean()), float(swaps.mean()), names
    )


def _rescaled(layout: Points, xy: Points) -> Points:
    """Return a layout in the scale of `xy`: an animal may have come nearer."""
    known = np.isfinite(layout).all(1) & np.isfinite(xy).all(1)
    if known.sum() < 2:
        return layout
    old, new = (p[known] - p[known].mean(0) for p in (layout, xy))
    size = float(np.median(np.linalg.norm(old, axis=1)))
    return np.asarray(layout * (float(np.median(np.linalg.norm(new, axis=1))) / size if size > 0 else 1.0))


def rows_uncertainty(frame: int, keypoints: Keypoints, absent: BoolArray) -> FrameUncertainty:
    """Return the uncertainty of a frame of which only the rows are left: that of its scores."""
    low = np.where(absent, 0.0, 1 - keypoints.score)
    worst = [keypoints.name[i] for i in np.argsort(-low, kind="stable")[:3].tolist() if low[i] > LEAST_UNCERTAIN]
    return FrameUncertainty(frame, float(low.mean()), 0.0, 0.0, 0.0, tuple(worst))


def label_uncertainty(frame: int, names: Sequence[str]) -> FrameUncertainty:
    """Return the uncertainty of a labelled frame whose labels `names` are in doubt."""
    return FrameUncertainty(frame, 0.0, 0.0, 0.0, 0.0, tuple(dict.fromkeys(names)), LABEL_DOUBT)


def exchanged_labels(
    before: int, after: int, labelled: Sequence[LabelledInstance], tracked: Sequence[Estimate]
) -> list[LabelDoubt]:
    """Return pairs of keypoints, and of instances, that a pass tracked each to the other's label.

    Args:
        before: The labelled frame where the pass began.
        after: The labelled frame where it ends.
        labelled: The instances in that frame.
        tracked: The pass's estimates there.
    """
    both = f"frames {before} and {after}"
    doubts = []
    for one, estimate in zip(labelled, tracked):
        places = _arrived(one, estimate)
        for first, second in _exchanged_pairs(one.xy, places):
            pair = one.keypoints[first], one.keypoints[second]
            said = f"{both}: '{pair[0]}' and '{pair[1]}' of '{one.name}' look exchanged"
            doubts.append(LabelDoubt(after, f"{said}: each was tracked to the other's label; check both frames", pair))
    for i, j in itertools.combinations(range(len(labelled)), 2):
        one, other = labelled[i], labelled[j]
        shared = [name for name in one.keypoints if name in other.keypoints]
        rows = [[x.keypoints.index(name) for name in shared] for x in (one, other)]
        labels = np.stack([one.xy[rows[0]], other.xy[rows[1]]])
        places = np.stack([_arrived(one, tracked[i])[rows[0]], _arrived(other, tracked[j])[rows[1]]])
        known = np.isfinite(labels).all((0, 2)) & np.isfinite(places).all((0, 2))
        exchanged = [bool(_exchanged_pairs(labels[:, k], places[:, k])) for k in np.flatnonzero(known)]
        if exchanged and sum(exchanged) > len(exchanged) / 2:
            said = f"{both}: '{one.name}' and '{other.name}' look exchanged"
            told = f"{said}: each was tracked to the other's labels; check both frames"
            doubts.append(LabelDoubt(after, told, (one.name, other.name)))
    return doubts


def _arrived(instance: LabelledInstance, estimate: Estimate) -> Points:
    """Return where the pass arrived, NaN for points that it lost or that the labels do not show."""
    usable = instance.seen & (estimate.state != PointState.LOST)
    return np.asarray(np.where(usable[:, None], estimate.xy, np.nan))


def _exchanged_pairs(labels: Points, places: Points) -> list[tuple[int, int]]:
    """Return the pairs of rows whose places fit each other's labels much better than their own."""
    apart = np.linalg.norm(places[:, None] - labels[None], axis=2)
    pairs = []
    for i, j in itertools.combinations(range(len(labels)), 2):
        own, exchanged = apart[i, i] + apart[j, j], apart[i, j] + apart[j, i]
        if min(apart[i, i], apart[j, j]) > LEAST_APART_PX and exchanged < EXCHANGED * own:
            pairs.append((i, j))
    return pairs


def is_labelled(keypoints: Keypoints) -> bool:
    """Return whether a person labelled a frame, or a part of its points: she has seen the others."""
    return bool((keypoints.source == PointSource.HUMAN).any())


def absent_points(keypoints: Keypoints, labelled: Iterable[Keypoints]) -> BoolArray:
    """Return the ``(n,)`` lost points of a frame that a person calls absent in a labelled frame beside it."""
    absent = np.zeros(len(keypoints.state), np.bool_)
    for rows in labelled:
        absent |= (rows.source == PointSource.HUMAN) & (rows.state == PointState.LOST)
    return absent & (keypoints.state == PointState.LOST)


def ranked(uncertainties: Mapping[int, FrameUncertainty]) -> list[FrameUncertainty]:
    """Return the most uncertain frames, worst first, at least `SPACING` frames apart; none without doubt."""
    chosen: list[FrameUncertainty] = []
    for one in sorted(uncertainties.values(), key=lambda u: (-round(u.urgency, 6), u.frame)):
        if one.is_in_doubt and all(abs(one.frame - other.frame) >= SPACING for other in chosen):
            chosen.append(one)
        if len(chosen) == SHOWN:
            break
    return chosen


def write_review(file: TextIO, frames: Sequence[FrameUncertainty]) -> None:
    """Write the ranked frames as CSV."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, one in enumerate(frames, start=1):
        parts = (one.urgency, one.low_score, one.disagreement, one.limbs, one.swaps, one.label_doubt)
        writer.writerow([rank, one.frame, *(f"{p:.4f}" for p in parts), " ".join(one.keypoints), one.why])
