"""Keyframes of tracks for CVAT: the boxes between which linear interpolation gives the others.

The boxes of an uninterrupted part of a track are scanned from a keyframe on. Each box narrows the range of speeds at
which every corner passes within the tolerance; the last box that is reached at such a speed is the next keyframe (the
swing filter: Elmeleegy et al., VLDB 2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mot_dinov3.core.structures import Detections, Float64Array
from mot_dinov3.formats.shape_keys import attributes_of, is_occluded, obb_of

TOLERANCE = 0.5
"""Largest distance of an interpolated corner from its box, pixels."""

_MARGIN = 1e-3  # pixels, for the rounding of float32
_FARTHEST = 10_000  # frames from one keyframe to the next

BoxPosition = tuple[int, int]  # frame, row


def keyframes(frames: Mapping[int, Detections], positions: Sequence[BoxPosition], step: int = 1) -> list[BoxPosition]:
    """Return the boxes of a track, in order, that are keyframes: both ends of every uninterrupted part among them.

    Only every `step`-th frame has boxes.
    """
    kept: list[BoxPosition] = []
    for part in segments(positions, step):
        states = [_state(frames[frame], row) for frame, row in part]
        corners = np.array([frames[frame].xyxy[row] for frame, row in part], np.float64)
        at = 0
        kept.append(part[0])
        while at < len(part) - 1:
            at = _next_keyframe(corners, states, at)
            kept.append(part[at])
    return kept


def segments(positions: Sequence[BoxPosition], step: int = 1) -> Iterator[Sequence[BoxPosition]]:
    """Yield the parts of a track in which every frame is `step` frames behind the one before it."""
    start = 0
    for end in range(1, len(positions) + 1):
        if end == len(positions) or positions[end][0] != positions[end - 1][0] + step:
            yield positions[start:end]
            start = end


def count_lost_scores(frames: Mapping[int, Detections], positions: Sequence[BoxPosition], step: int = 1) -> int:
    """Return the number of boxes of a track that get another score: that of the keyframe before them."""
    kept, lost, score = set(keyframes(frames, positions, step)), 0, 0.0
    for frame, row in positions:
        own = float(frames[frame].score[row])
        score = own if (frame, row) in kept else score
        lost += own != score
    return lost


def _next_keyframe(corners: Float64Array, states: Sequence[object], start: int) -> int:
    """Return the number of the last box up to which interpolation from box `start` gives all boxes between."""
    low, high = np.full(4, -np.inf), np.full(4, np.inf)
    best = start + 1
    for place in range(start + 1, min(len(corners), start + _FARTHEST)):
        steps = place - start
        speed = (corners[place] - corners[start]) / steps
        if (speed >= low).all() and (speed <= high).all():
            best = place
        if states[place] != states[start]:  # a keyframe at the latest: fields are those of the keyframe before
            break
        room = (TOLERANCE - _MARGIN) / steps
        low, high = np.maximum(low, speed - room), np.minimum(high, speed + room)
        if (low > high).any():
            break
    return best


def _state(rows: Detections, row: int) -> object:
    """Return what stays the same from a keyframe to the next; a rotated box is always a keyframe."""
    extra = None if rows.coasted[row] else rows.extra[row]
    rotated = obb_of(extra)
    fields = bool(rows.coasted[row]), rows.gallery_id[row], is_occluded(extra), tuple(attributes_of(extra).items())
    return (*fields, None if rotated is None else object())
