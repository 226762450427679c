"""Where the next click pays most: frames ranked by doubt. Pure."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TextIO

import numpy as np

from mot_dinov3.core.structures import Keypoints, PointSource, PointState
from mot_dinov3.keypoints.fusion import Solved
from mot_dinov3.keypoints.skeleton import limb_outliers

COLUMNS = ("rank", "frame", "urgency", "low_score", "disagreement", "limb_outliers", "swaps", "keypoints")
SHOWN = 50
SPACING = 5  # frames: one click helps its neighbours, too
DISAGREEMENT_PX = 16.0  # counts like a lost point


@dataclasses.dataclass(frozen=True)
class Doubt:
    """Why a frame might need a person.

    Attributes:
        frame: Its number.
        low_score: Mean of 1 − score over the points, in 0…1.
        disagreement: Mean distance between both sides of time, in units of 16 pixels, each point at most 1.
        limbs: Mean share of limbs with an unusual length.
        swaps: Share of the points that were exchanged.
        keypoints: The most doubtful ones, worst first.
    """

    frame: int
    low_score: float
    disagreement: float
    limbs: float
    swaps: float
    keypoints: tuple[str, ...]

    @property
    def urgency(self) -> float:
        """The sum of all doubts."""
        return self.low_score + self.disagreement + self.limbs + self.swaps


def doubt_of(frame: int, keypoints: Keypoints, solved: Sequence[Solved], usual: Keypoints) -> Doubt:
    """Return how doubtful a frame is.

    Args:
        frame: Its number.
        keypoints: Its rows.
        solved: What they come from, instance by instance.
        usual: The rows of the nearest labelled frame, for the limbs' lengths.
    """
    low = 1 - np.where(keypoints.state == PointState.LOST, 0.0, keypoints.score)
    apart = np.concatenate([np.minimum(s.disagreement / DISAGREEMENT_PX, 1.0) for s in solved])
    swaps = np.concatenate([s.estimate.swapped for s in solved]).astype(float)
    limbs = np.zeros(len(low))
    for name in dict.fromkeys(keypoints.instance):
        rows = np.array([i for i, instance in enumerate(keypoints.instance) if instance == name])
        limbs[rows] = limb_outliers(keypoints.xy[rows], _rescaled(usual.xy[rows], keypoints.xy[rows]))
    total = low + apart + limbs + swaps
    worst = [i for i in np.argsort(-total, kind="stable")[:3].tolist() if total[i] > 0.3]
    several = len(set(keypoints.instance)) > 1
    names = tuple(f"{keypoints.instance[i]}:{keypoints.name[i]}" if several else keypoints.name[i] for i in worst)
    return Doubt(frame, float(low.mean()), float(apart.mean()), float(limbs.mean()), float(swaps.mean()), names)


def _rescaled(layout: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return a layout in the scale of `places`: an animal may have come nearer."""
    known = np.isfinite(layout).all(1) & np.isfinite(places).all(1)
    if known.sum() < 2:
        return layout
    old, new = (p[known] - p[known].mean(0) for p in (layout, places))
    size = float(np.median(np.linalg.norm(old, axis=1)))
    return np.asarray(layout * (float(np.median(np.linalg.norm(new, axis=1))) / size if size > 0 else 1.0))


def doubt_of_rows(frame: int, keypoints: Keypoints) -> Doubt:
    """Return how doubtful a frame is of which only the rows are left: its scores say it all."""
    low = 1 - keypoints.score
    worst = [keypoints.name[i] for i in np.argsort(-low, kind="stable")[:3].tolist() if low[i] > 0.3]
    return Doubt(frame, float(low.mean()), 0.0, 0.0, 0.0, tuple(worst))


def is_labelled(keypoints: Keypoints) -> bool:
    """Tell whether a person labelled every point of a frame."""
    return bool((keypoints.source == PointSource.HUMAN).all())


def ranked(doubts: Mapping[int, Doubt]) -> list[Doubt]:
    """Return the most doubtful frames, worst first, at least `SPACING` frames apart."""
    chosen: list[Doubt] = []
    for doubt in sorted(doubts.values(), key=lambda d: (-round(d.urgency, 6), d.frame)):
        if all(abs(doubt.frame - other.frame) >= SPACING for other in chosen):
            chosen.append(doubt)
        if len(chosen) == SHOWN:
            break
    return chosen


def write_review(file: TextIO, doubts: Sequence[Doubt]) -> None:
    """Write the ranked frames as CSV."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, doubt in enumerate(doubts, start=1):
        parts = (doubt.urgency, doubt.low_score, doubt.disagreement, doubt.limbs, doubt.swaps)
        writer.writerow([rank, doubt.frame, *(f"{p:.4f}" for p in parts), " ".join(doubt.keypoints)])
