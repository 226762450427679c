"""The notices of a run on scores: why no track began and which option helps, and which threshold was lowered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.structures import Detections
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.trackers.base import Tracker
from mot_dinov3.trackers.byte import NEW_ABOVE
from mot_dinov3.trackers.config import NEW_SCORE
from mot_dinov3.trackers.score_level import ScoreLevel

MOST_BETWEEN = 0.1  # share of the frames with boxes that may lie between the regular ones
OVERLAPPING = 0.25  # share of the boxes that still overlap one of the frame before
FAR = 20.0  # box widths: what lies farther off is no motion
MARGIN = 1.2  # the speed to be allowed, relative to the one seen
FASTEST = 1.5  # box sizes per frame up to which a greater --start-noise helps


def untracked_notice(config: TrackConfig, fps: float, found: int, frames: Sequence[Detections]) -> list[str]:
    """Return a notice where boxes were found and no track began.

    Args:
        config: The run's options.
        fps: The source's.
        found: Boxes of the run.
        frames: Rows of its first frames, empty ones too; none where a track has begun.
    """
    if not found or not any(len(rows) for rows in frames):
        return []
    interval = config.interval
    detected = [rows for rows in frames if len(rows)] if interval.is_auto else frames[:: interval.detect_every]
    reasons = (_weak(config, detected), _sparse(config, detected), _fast(config, fps, detected))
    reason = next(filter(None, reasons), "a track needs a box in several frames; see --confirm-hits")
    return [f"{found} box{' was' if found == 1 else 'es were'} found and no track began: {reason}"]


def lowered_notice(tracker: Tracker) -> list[str]:
    """Return a notice where the tracker has lowered its thresholds to the scores of the stream."""
    level = getattr(tracker, "scores", None)
    if not isinstance(level, ScoreLevel) or level.factor == 1.0:
        return []
    lowered = f"{NEW_SCORE * level.factor:.2f} (--new-score auto)"
    return [f"the detector's scores are low: tracks start from {lowered}, not --new-score {NEW_SCORE:g}"]


def _weak(config: TrackConfig, frames: Sequence[Detections]) -> str | None:
    """Return what to do where no score is high enough."""
    best = max(float(np.nan_to_num(rows.score).max(initial=0.0)) for rows in frames)
    if config.choice.tracker == "appearance":
        option, above, auto = "--new-score", 0.0, _followed(frames)
        value = auto if config.tracker.follows_scores else config.tracker.new_score
    elif config.choice.tracker == "gallery_hybrid":
        option, value, above, auto = "--track-thresh", config.hybrid.track_thresh, NEW_ABOVE, np.inf
    else:
        return None
    if best >= value + above:
        return None
    lower = max(float(np.floor(80 * (best - above))) / 100, 0.0)
    options = f"{option} {lower:g}"
    if option == "--new-score" and lower < config.tracker.high_score:
        options += f" --high-score {lower:g}" + f" --low-score {lower:g}" * (lower < config.tracker.low_score)
    if best >= auto:
        options += ", or --new-score auto"
    needed = f"{option} {value:g}" + (f" + {above:g}" if above else "")
    return f"the highest score is {best:.2f}, a track needs {needed}; to track them: {options}"


def _followed(frames: Sequence[Detections]) -> float:
    """Return what `--new-score auto` makes of the scores of these frames."""
    level = ScoreLevel()
    for rows in frames:
        level.observe(rows.xyxy, np.clip(np.nan_to_num(rows.score), 0.0, 1.0).astype(np.float64))
    return NEW_SCORE * level.factor


def _sparse(config: TrackConfig, frames: Sequence[Detections]) -> str | None:
    """Return what to do where boxes are in every Nth frame only."""
    filled = np.flatnonzero([len(rows) > 0 for rows in frames])
    if len(filled) < 2 or config.interval.skips:
        return None
    gaps = np.diff(filled)
    every = int(np.median(gaps))
    if every < 2 or np.mean(gaps % every != 0) > MOST_BETWEEN:
        return None
    first = int(filled[0]) % every
    start = f" --start-frame {config.source.start_frame + first}" if first else ""
    return f"only every {every}th frame has boxes; if the detector ran on those alone: --detect-every {every}{start}"


def _fast(config: TrackConfig, fps: float, frames: Sequence[Detections]) -> str | None:
    """Return what to do where boxes hardly ever overlap one of the frame before."""
    steps, overlapping = [], []
    for before, now in itertools.pairwise(frames):
        if len(before) and len(now):
            overlapping += (boxes.iou(now.xyxy, before.xyxy).max(axis=1) > 0).tolist()
            steps += _steps(before, now)
    if not steps or np.mean(overlapping) > OVERLAPPING:
        return None
    step = float(np.median(steps))
    if not 0 < step < FAR:
        return None
    seen = f"boxes do not overlap those of the frame before, the nearest is {step:.1f} box sizes away"
    speed = math.ceil(MARGIN * step * fps / max(config.interval.detect_every, 1))
    if step > FASTEST or config.choice.tracker != "appearance" or not config.tracker.start_noise < speed <= 100:
        return f"{seen}; objects this fast need more frames per second"
    return f"{seen}; to track objects this fast: --start-noise {speed}"


def _steps(before: Detections, now: Detections) -> list[float]:
    """Return how far each box is from the nearest one of the frame before, in box sizes."""
    centre = (now.xyxy[:, :2] + now.xyxy[:, 2:]) / 2
    earlier = (before.xyxy[:, :2] + before.xyxy[:, 2:]) / 2
    size = np.maximum(now.xyxy[:, 2:] - now.xyxy[:, :2], 1e-6)
    away = np.abs(centre[:, None] - earlier) / size[:, None]
    return away.max(axis=2).min(axis=1).tolist()
