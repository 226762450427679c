"""Boxes of tracks between two detections: they follow the optical flow, and tell how far it is to be trusted."""

from __future__ import annotations

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.structures import BoolArray, Detections, Float64Array, FloatArray, Frame, IntArray
from mot_dinov3.trackers.optical_flow import BoxFlow

NEAR = 0.05  # of the size of a box, by which it is widened: those that overlap then are about to touch
LED = 0.5  # IoU of a box that was followed and a detection, from which the detection continues it


class BoxFollower:
    """Moves the boxes of the last detected frame on, frame by frame.

    Attributes:
        rows: The boxes where they are now: confirmed tracks and tentative ones, which have no id.
        followed: ``(n,)`` bool: the flow of the box is known since the last frame.
        frames: ``(n,)`` frames since the last detected one in which it was known.
        steps: All frames since then.
        found: ``(m, 4)`` all boxes of the last detected frame, where they were.
    """

    def __init__(self) -> None:
        self._flow = BoxFlow()
        self._index = -1
        self._time = 0.0
        self._last = (0.0, Detections.empty())  # time and boxes of the last detected frame
        self._velocity: Float64Array = np.zeros((0, 2))  # px/s
        self.rows = Detections.empty()
        self.followed: BoolArray = np.zeros(0, np.bool_)
        self.frames: IntArray = np.zeros(0, np.int64)
        self.steps = 0
        self.found: FloatArray = np.zeros((0, 4), np.float32)
        self._near: BoolArray = np.zeros((0, 0), np.bool_)  # pairs of boxes, in the last detected frame

    def advance(self, frame: Frame) -> None:
        """Move the boxes to `frame`: by the flow, and where it is unknown, with the velocity they had; once a frame."""
        if frame.index == self._index:
            return
        dt, self._time, self._index = frame.time - self._time, frame.time, frame.index
        self.steps += 1
        place, step = self.rows.final_xyxy.astype(np.float64), self._velocity * dt
        if frame.image is None:
            place += np.tile(step, 2)
            self._put(place)
            return
        moved = self._flow.step(frame, place, step)
        self._velocity = moved.shift / dt if dt > 0 else self._velocity
        self.followed, self.frames = moved.followed, self.frames + moved.followed
        centre = (place[:, :2] + place[:, 2:]) / 2 + moved.shift
        half = (place[:, 2:] - place[:, :2]) / 2 * moved.scale[:, None]
        self._put(np.concatenate([centre - half, centre + half], axis=1))
        inside: BoolArray = np.all((centre >= 0) & (centre <= frame.image.shape[1::-1]), axis=1)
        if not inside.all():
            self._keep(inside)

    def restart(self, rows: Detections, found: FloatArray) -> None:
        """Begin with the boxes of the frame that `advance` was given last, in which the detector ran.

        Args:
            rows: The boxes of tracks.
            found: ``(m, 4)`` all boxes that the detector found.
        """
        then, before = self._last
        self._velocity = velocity(before, rows, self._time - then)
        self._last, self.rows = (self._time, rows), rows
        self.followed, self.frames = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.int64)
        self.steps, self.found, self._near = 0, found, _near(rows.xyxy)

    @property
    def just_lost(self) -> BoolArray:
        """``(n,)`` bool: the flow of the box had been known in all frames since the last detected one, until now."""
        return ~self.followed & (self.frames == self.steps - 1) & (self.steps > 1)

    @property
    def contacts(self) -> int:
        """Pairs of boxes that have come near each other, or parted, since the last detected frame."""
        return int(np.count_nonzero(_near(self.rows.xyxy) != self._near)) // 2

    def led_to(self, xyxy: FloatArray) -> IntArray:
        """Return ``(m,)`` through how many skipped frames tentative boxes were followed to these ``(m, 4)`` detections.

        The detected frame itself is not one of them.
        """
        young = self.rows.track_id < 1
        overlap = boxes.iou(xyxy, self.rows.xyxy[young])
        return np.asarray(np.where(overlap >= LED, self.frames[young] - 1, 0).max(axis=1, initial=0), np.int64)

    def _put(self, place: Float64Array) -> None:
        xyxy = place.astype(np.float32)
        self.rows = self.rows.replace(xyxy=xyxy, track_xyxy=xyxy)

    def _keep(self, rows: BoolArray) -> None:
        self.rows, self._velocity = self.rows[rows], self._velocity[rows]
        self.followed, self.frames = self.followed[rows], self.frames[rows]
        self._near = self._near[np.ix_(rows, rows)]


def _near(xyxy: FloatArray) -> BoolArray:
    """Return ``(n, n)`` bool: the two boxes touch, or are about to."""
    more = NEAR * np.tile(xyxy[:, 2:] - xyxy[:, :2], 2) * np.array([-1, -1, 1, 1])
    wide = np.asarray(xyxy + more, np.float32)
    return np.asarray(boxes.iou(wide, wide) > 0)


def velocity(before: Detections, now: Detections, seconds: float) -> Float64Array:
    """Return ``(n, 2)`` px/s of the rows of `now`, by where their tracks were `seconds` before; 0 where unknown."""
    speed = np.zeros((len(now), 2))
    if seconds > 0:
        first, last = (np.flatnonzero(rows.track_id >= 1) for rows in (before, now))
        _, then, here = np.intersect1d(before.track_id[first], now.track_id[last], return_indices=True)
        then, here = first[then], last[here]
        step = now.xyxy[here].astype(np.float64) - before.xyxy[then]
        speed[here] = (step[:, :2] + step[:, 2:]) / (2 * seconds)
    return speed
