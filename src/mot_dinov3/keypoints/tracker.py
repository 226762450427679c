"""Keypoint tracking of all instances from frame to frame, in either direction of time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mot_dinov3.keypoints.cutie import CutieMaskTracker
from mot_dinov3.keypoints.fusion import Estimate
from mot_dinov3.keypoints.geometry import Points
from mot_dinov3.keypoints.instance import InstanceTracker
from mot_dinov3.keypoints.point_flow import Background, FlowFrame, lucas_kanade

WINDOW = 21  # pixels: side of Lucas-Kanade's window


class PointTracker:
    """Tracks several instances through consecutive frames.

    Args:
        trackers: At least one per instance, all at the same frame; several of one instance track different keypoints.
        start: That frame.
        key_every: Frames from one key frame to the next.
        mask_tracker: Tracks the instances' masks; None leaves that to each tracker.
    """

    def __init__(
        self,
        trackers: Sequence[InstanceTracker],
        start: FlowFrame,
        *,
        key_every: int,
        mask_tracker: CutieMaskTracker | None = None,
    ) -> None:
        self._trackers = tuple(trackers)
        self._mask_tracker = mask_tracker
        self._before = start
        self._since_key = 0
        self._background = Background()
        self._key_every = max(key_every, 1)

    @property
    def trackers(self) -> tuple[InstanceTracker, ...]:
        """The trackers, in the order of the estimates."""
        return self._trackers

    @property
    def frame(self) -> int:
        """Number of the last frame."""
        return self._before.index

    def step(self, frame: FlowFrame) -> list[Estimate]:
        """Move all instances on to the next frame."""
        points = [tracker.points() for tracker in self._trackers]
        self._background.renew(self._before.grey, [one for tracker in self._trackers for one in tracker.bodies()])
        flow = lucas_kanade(self._before.grey, frame.grey, np.vstack([*points, self._background.points]), window=WINDOW)
        self._since_key = (self._since_key + 1) % self._key_every
        stops = np.cumsum([0, *(len(p) for p in points)])
        background = self._background.follow(flow.part(stops[-1], None), frame.grey.shape)
        names = list(dict.fromkeys(tracker.instance.name for tracker in self._trackers))
        outlines = dict(zip(names, self._mask_tracker.step(frame.image))) if self._mask_tracker else {}
        estimates = []
        for tracker, start, stop in zip(self._trackers, stops[:-1], stops[1:]):
            part = dataclasses.replace(flow.part(start, stop), background=background)
            key, outline = self._since_key == 0, outlines.get(tracker.instance.name)
            estimates.append(tracker.step(frame, part, self._rivals(tracker), key=key, outline=outline))
        self._before = frame
        return estimates

    def _rivals(self, tracker: InstanceTracker) -> Points:
        """Return ``(n, r, 2)`` positions of the same keypoints in the other instances, NaN where they have none."""
        names = tracker.instance.keypoints
        own = tracker.instance.name
        others = [dict(zip(t.instance.keypoints, t.xy)) for t in self._trackers if t.instance.name != own]
        found = [[other.get(name, (np.nan, np.nan)) for other in others] for name in names]
        return np.array(found, np.float64).reshape(len(names), len(others), 2)
