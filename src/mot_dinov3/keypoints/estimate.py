"""What a tracker says of one instance in one picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mot_dinov3.core.structures import BoolArray
from mot_dinov3.keypoints.geometry import Points

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One instance in one picture, as seen from one side of time.

    Attributes:
        xy: ``(n, 2)`` places, finite also where the point is lost.
        variance: ``(n,)`` squared pixels that the place is believed to be off: the accumulated error.
        score: ``(n,)`` 0…1.
        state: ``(n,)`` int64 of `PointState`.
        polygons: The instance's outlines.
        swapped: ``(n,)`` bool: left and right were exchanged here.
    """

    xy: Points
    variance: Array
    score: Array
    state: npt.NDArray[np.int64]
    polygons: tuple[Points, ...]
    swapped: BoolArray
