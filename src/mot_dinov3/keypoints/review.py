"""Frames to review: those whose correction helps most, ranked by uncertainty. Pure."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TextIO

import numpy as np

from mot_dinov3.core.structures import Keypoints, PointSource, PointState
from mot_dinov3.keypoints.fusion import FusedEstimate
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.keypoints.skeleton import limb_outliers

COLUMNS = ("rank", "frame", "urgency", "low_score", "disagreement", "limb_outliers", "swaps", "keypoints")
SHOWN = 50
SPACING = 5  # frames: one correction helps its neighbours, too
DISAGREEMENT_PX = 16.0  # counts like a lost point


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
    """

    frame: int
    low_score: float
    disagreement: float
    limbs: float
    swaps: float
    keypoints: tuple[str, ...]

    @property
    def urgency(self) -> float:
        """Sum of all parts."""
        return self.low_score + self.disagreement + self.limbs + self.swaps


def frame_uncertainty(
    frame: int, keypoints: Keypoints, tracked: Sequence[FusedEstimate], labelled: Keypoints
) -> FrameUncertainty:
    """Return the uncertainty of a frame's rows, tracked as `tracked`; the usual limbs are those of `labelled` rows."""
    low = 1 - np.where(keypoints.state == PointState.LOST, 0.0, keypoints.score)
    apart = np.concatenate([np.minimum(s.disagreement / DISAGREEMENT_PX, 1.0) for s in tracked])
    swaps = np.concatenate([s.estimate.swapped for s in tracked]).astype(float)
    limbs = np.zeros(len(low))
    for name in dict.fromkeys(keypoints.instance):
        rows = np.array([i for i, instance in enumerate(keypoints.instance) if instance == name])
        limbs[rows] = limb_outliers(keypoints.xy[rows], _rescaled(labelled.xy[rows], keypoints.xy[rows]))
    total = low + apart + limbs + swaps
    worst = [i for i in np.argsort(-total, kind="stable")[:3].tolist() if total[i] > 0.3]
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


def rows_uncertainty(frame: int, keypoints: Keypoints) -> FrameUncertainty:
    """Return the uncertainty of a frame of which only the rows are left: that of its scores."""
    low = 1 - keypoints.score
    worst = [keypoints.name[i] for i in np.argsort(-low, kind="stable")[:3].tolist() if low[i] > 0.3]
    return FrameUncertainty(frame, float(low.mean()), 0.0, 0.0, 0.0, tuple(worst))


def is_labelled(keypoints: Keypoints) -> bool:
    """Return whether every point of a frame is labelled by hand."""
    return bool((keypoints.source == PointSource.HUMAN).all())


def ranked(uncertainties: Mapping[int, FrameUncertainty]) -> list[FrameUncertainty]:
    """Return the most uncertain frames, worst first, at least `SPACING` frames apart."""
    chosen: list[FrameUncertainty] = []
    for one in sorted(uncertainties.values(), key=lambda u: (-round(u.urgency, 6), u.frame)):
        if all(abs(one.frame - other.frame) >= SPACING for other in chosen):
            chosen.append(one)
        if len(chosen) == SHOWN:
            break
    return chosen


def write_review(file: TextIO, frames: Sequence[FrameUncertainty]) -> None:
    """Write the ranked frames as CSV."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, one in enumerate(frames, start=1):
        parts = (one.urgency, one.low_score, one.disagreement, one.limbs, one.swaps)
        writer.writerow([rank, one.frame, *(f"{p:.4f}" for p in parts), " ".join(one.keypoints)])
