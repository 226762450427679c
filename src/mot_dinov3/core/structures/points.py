"""The keypoints of a frame."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from mot_dinov3.core.structures.arrays import Float64Array, IntArray


class PointState(enum.IntEnum):
    """State of a keypoint in a frame: visible, predicted, or lost (no coordinates)."""

    VISIBLE = 0
    OCCLUDED = 1
    LOST = 2


class PointSource(enum.IntEnum):
    """Source of a keypoint's position."""

    HUMAN = 0
    TRACKED = 1
    INTERPOLATED = 2


@dataclasses.dataclass(frozen=True)
class Keypoints:
    """The keypoints of one frame, row by row; the rows are the same in all frames of a video.

    Attributes:
        instance: ``n`` instance names.
        group_id: ``(n,)`` int64, stable number of the instance.
        name: ``n`` keypoint names.
        xy: ``(n, 2)`` float64 pixels; NaN where the point is lost.
        score: ``(n,)`` float64 in 0…1.
        state: ``(n,)`` int64 of `PointState`.
        source: ``(n,)`` int64 of `PointSource`.
        outlines: Instance name → its polygons, each ``(k, 2)`` float64; instances without any are left out.
    """

    instance: tuple[str, ...]
    group_id: IntArray
    name: tuple[str, ...]
    xy: Float64Array
    score: Float64Array
    state: IntArray
    source: IntArray
    outlines: Mapping[str, tuple[Float64Array, ...]] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.name)
