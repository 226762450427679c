"""gallery_hybrid: temporal tracking by boxes alone, in the spirit of ByteTrack, on struct-of-arrays tracks.

Rounds from the surest matches to the boldest (ByteTrack, 2110.06864), with three changes that more than halve the
switches in crowds: boxes that fit in place *and* size are matched before anything else, sure and doubtful ones together
(an occluded neighbour's track else steals the box next to it); sizes are compared with the mean of those observed
before; and a track whose motion was wrong, because the object turned, is found again at its last observed box (OC-SORT,
2203.14360). Time counts in frames, so that a wrong frame rate harms nothing but the patience. The gallery
identifies tracks: appearance plays no part in here.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import BoolArray, Detections, Float64Array, Frame, IntArray, TrackView
from mot_dinov3.trackers import association, kalman
from mot_dinov3.trackers.association import Pairs
from mot_dinov3.trackers.base import TrackerRequest
from mot_dinov3.trackers.lifecycle import CONFIRMED, LOST, REMOVED, TENTATIVE, TemporalTracker

LOW_SCORE = 0.1  # boxes below are ignored
NEW_ABOVE = 0.1  # a track starts at a box this much above track_thresh
LOW_FLOOR = 0.5  # least IoU of a doubtful box with the track it continues
RECENT = 4  # frames after which doubtful boxes no longer continue a track
YOUNG_FLOOR = 0.3  # least IoU · score of a track's second box
SURE_FLOOR = 0.4  # least fit of a match of the first round
HEIGHT_POWER = 2.0  # weight of the heights in that fit (height-modulated IoU, Hybrid-SORT 2308.00783)
SIZE_SHARPNESS = 10.0  # weight of the squared log ratios of width and height to the observed mean
CONFIRM_HITS = 2
NOISE = kalman.Noise(position=0.02, velocity=0.02, measurement=0.05, start_velocity=0.1)


class HybridTracker(TemporalTracker):
    """Follows boxes, online.

    A row of negative score is left out: a caller marks rows so that are not to be tracked.

    Args:
        request: Parameters, and the frame rate that stands in where they leave it to the video.
    """

    def __init__(self, request: TrackerRequest | None = None) -> None:
        super().__init__(CONFIRM_HITS)
        request = request or TrackerRequest()
        rate = request.hybrid.frame_rate or request.fps
        self.config = dataclasses.replace(request.hybrid, frame_rate=rate)
        self.min_score = self.config.track_thresh
        self._observed = np.zeros((0, self.config.max_obs, 4))  # corner boxes, a ring per track
        self._size = np.zeros((2, 0))  # mean width and height of a track's observed boxes

    @classmethod
    @override
    def least_score(cls, request: TrackerRequest, conf: float) -> float:
        return min(LOW_SCORE, conf) if request.hybrid.track_thresh >= conf else conf

    @override
    def predict(self, frame: Frame) -> TrackView:
        tracks = self._tracks
        steps = max(frame.index - self._index, 1) if self._index >= 0 else 1
        self._index = frame.index
        if len(tracks):
            tracks.motion = kalman.predict(tracks.motion, float(steps), NOISE)
        return tracks.view()

    @override
    def update(self, detections: Detections) -> Detections:
        self._revisions = []
        box = detections.xyxy.T.astype(np.float64, order="C")  # (4, n)
        owner = self._associate(detections, box)
        self._absorb(owner, detections, box)
        self._start(owner, detections, box)
        self._age()
        rows = self._labelled(owner, detections)
        self._forget()
        return rows

    def _associate(self, detections: Detections, box: Float64Array) -> IntArray:
        """Return ``(n,)`` the track that each box belongs to, −1 for none."""
        tracks, config = self._tracks, self.config
        owner = np.full(len(detections), -1, np.int64)
        taken = np.zeros(len(tracks), np.bool_)
        if not len(tracks) or not len(detections):
            tracks.matched[:] = False
            return owner
        score = detections.score.astype(np.float64)
        high = score >= config.track_thresh
        low = (score >= LOW_SCORE) & ~high
        least = 1 - config.match_thresh - 1e-9

        def match(pairs: Pairs, allowed: BoolArray, floor: float) -> None:
            free = allowed & ~taken.take(pairs.track) & (owner.take(pairs.box) < 0)
            if np.count_nonzero(free):
                found = association.assign(pairs[free], floor)
                owner[found.box] = found.track
                taken[found.track] = True

        corners = tracks.corners
        near = self._overlapping(corners, box, detections)
        fused = Pairs(near.track, near.box, near.value * score.take(near.box))
        public = tracks.confirmed
        known, certain = public.take(near.track), high.take(near.box)
        sure = known & certain & (fused.value >= least)
        recent = public & (self._index - tracks.seen <= RECENT)
        doubtful = recent.take(near.track) & low.take(near.box) & (near.value > LOW_FLOOR)
        match(self._fitting(near, corners, box), sure | doubtful, SURE_FLOOR)
        if np.count_nonzero(public & ~taken):
            match(fused, sure, least)
            match(near, doubtful, LOW_FLOOR)
            if np.count_nonzero(public & ~taken) and np.count_nonzero(high & (owner < 0)):
                last = self._overlapping(self._last_boxes(), box, detections)
                last = Pairs(last.track, last.box, last.value * score.take(last.box))
                match(last, public.take(last.track) & high.take(last.box), least)
        if np.count_nonzero(public) < len(public):
            match(fused, ~known & certain, YOUNG_FLOOR)
        tracks.matched[:] = taken
        return owner

    def _overlapping(self, where: Float64Array, box: Float64Array, detections: Detections) -> Pairs:
        """Return the pairs of tracks at `where` and boxes that touch, valued by IoU."""
        t, b = association.touching(where, box)
        if self.config.per_class:
            same = self._tracks.class_id[t] == detections.class_id[b]
            t, b = t[same], b[same]
        return Pairs(t, b, association.overlap(where.take(t, axis=1), box.take(b, axis=1)))

    def _fitting(self, near: Pairs, corners: Float64Array, box: Float64Array) -> Pairs:
        """Return the pairs valued by how well the box fits in place and in size, 1 = perfectly."""
        t, b = near.track, near.box
        predicted, measured = corners[1::2].take(t, axis=1), box[1::2].take(b, axis=1)  # tops and bottoms
        later, earlier = np.maximum(predicted, measured), np.minimum(predicted, measured)
        shared, either = earlier[1] - later[0], later[1] - earlier[0]
        size = np.maximum(box[2:] - box[:2], 1e-6)
        width, height = np.log(size.take(b, axis=1) / self._size.take(t, axis=1))
        shape = np.exp(-SIZE_SHARPNESS * (width * width + height * height))
        return Pairs(t, b, near.value * (shared / either) ** HEIGHT_POWER * shape)

    def _last_boxes(self) -> Float64Array:
        newest = (self._tracks.hits - 1) % self.config.max_obs
        return np.ascontiguousarray(self._observed[np.arange(len(newest)), newest].T)

    def _absorb(self, owner: IntArray, detections: Detections, box: Float64Array) -> None:
        """Let the matched tracks take in their boxes."""
        rows = (owner >= 0).nonzero()[0]
        if not len(rows):
            return
        tracks, who = self._tracks, owner.take(rows)
        measured = kalman.centre_boxes(box).take(tracks.places(who, rows), axis=1)
        tracks.correct(measured, kalman.deviation(measured, NOISE))
        self._record(who, rows, detections, box)

    def _start(self, owner: IntArray, detections: Detections, box: Float64Array) -> None:
        """Spawn a tentative track at each high-score box without an owner."""
        rows = ((owner < 0) & (detections.score >= self.config.track_thresh + NEW_ABOVE)).nonzero()[0]
        if not len(rows):
            return
        owner[rows] = who = self._spawn(kalman.start(kalman.centre_boxes(box.take(rows, axis=1)), NOISE))
        self._observed = np.concatenate([self._observed, np.zeros((len(rows), *self._observed.shape[1:]))])
        self._size = np.concatenate([self._size, np.zeros((2, len(rows)))], axis=1)
        self._record(who, rows, detections, box)

    def _record(self, who: IntArray, rows: IntArray, detections: Detections, box: Float64Array) -> None:
        """Write down the boxes `rows` as the tracks' newest, and confirm the tracks that have proven themselves."""
        tracks = self._tracks
        self._observe(who, box.take(rows, axis=1))
        tracks.hits[who] += 1
        tracks.seen[who] = self._index
        tracks.class_id[who] = detections.class_id.take(rows)
        self._confirm(who, rows)

    def _observe(self, who: IntArray, box: Float64Array) -> None:
        """Put ``(4, k)`` boxes into the tracks' rings, and take them into their mean sizes."""
        hits, most = self._tracks.hits.take(who), self.config.max_obs
        rings, slot = self._observed.reshape(-1, 4), who * most + hits % most
        oldest = rings.take(slot, axis=0).T  # a place that has not been written to yet is all zeros
        before = np.minimum(hits, most)
        total = self._size.take(who, axis=1) * before + (box[2:] - box[:2]) - (oldest[2:] - oldest[:2])
        self._size[:, who] = np.maximum(total / np.minimum(before + 1, most), 1e-6)
        rings[slot] = box.T

    def _age(self) -> None:
        """Set every track's state; those that have been idle for too long are REMOVED. A lost track keeps its size."""
        tracks = self._tracks
        idle, young = ~tracks.matched, ~tracks.confirmed
        tracks.state[:] = CONFIRMED
        if np.count_nonzero(idle):
            tracks.motion[kalman.VEL, 2:, idle] = 0
            waited = self._index - tracks.seen
            tracks.state[idle] = LOST
            tracks.state[idle & (young | (waited > self.config.patience))] = REMOVED
        tracks.state[young & ~idle] = TENTATIVE

    def _forget(self) -> None:
        """Delete removed tracks."""
        gone = self._tracks.state == REMOVED
        if np.count_nonzero(gone):
            self._tracks.keep(~gone)
            self._observed, self._size = self._observed[~gone], self._size[:, ~gone]
