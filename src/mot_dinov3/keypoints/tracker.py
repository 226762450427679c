"""Follows the keypoints of all instances from one picture to the next, in either direction of time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mot_dinov3.keypoints.cutie import MaskCarrier
from mot_dinov3.keypoints.estimate import Estimate
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.keypoints.instance import InstanceTracker
from mot_dinov3.keypoints.point_flow import Flow, Picture, follow

WINDOW = 21  # pixels: side of Lucas-Kanade's window


class PointTracker:
    """Follows several instances through consecutive pictures.

    Args:
        trackers: One per instance, all begun on the same picture.
        start: That picture.
        key_every: Frames from one key frame to the next.
        carrier: Carries the instances' masks on; None leaves that to each tracker.
    """

    def __init__(
        self,
        trackers: Sequence[InstanceTracker],
        start: Picture,
        *,
        key_every: int,
        carrier: MaskCarrier | None = None,
    ) -> None:
        self.trackers = tuple(trackers)
        self._carrier = carrier
        self._before = start
        self._since_key = 0
        self._key_every = max(key_every, 1)

    def step(self, picture: Picture) -> list[Estimate]:
        """Move all instances on to the next picture."""
        points = [tracker.points() for tracker in self.trackers]
        flow = follow(self._before.grey, picture.grey, np.vstack(points), window=WINDOW)
        self._since_key = (self._since_key + 1) % self._key_every
        stops = np.cumsum([0, *(len(p) for p in points)])
        outlines = self._carrier.step(picture.image) if self._carrier else [None] * len(self.trackers)
        estimates = []
        for tracker, start, stop, outline in zip(self.trackers, stops[:-1], stops[1:], outlines):
            part = Flow(flow.xy[start:stop], flow.error[start:stop])
            key = self._since_key == 0
            estimates.append(tracker.step(picture, part, self._rivals(tracker), key=key, outline=outline))
        self._before = picture
        return estimates

    def _rivals(self, tracker: InstanceTracker) -> Points:
        names = tracker.body.keypoints
        others = [t for t in self.trackers if t is not tracker]
        found = np.full((len(names), len(others), 2), np.nan)
        for column, other in enumerate(others):
            for row, name in enumerate(names):
                if name in other.body.keypoints:
                    found[row, column] = other.xy[other.body.keypoints.index(name)]
        return found
