"""gallery_hybrid: temporal tracking by boxes alone, in the spirit of ByteTrack, on struct-of-arrays tracks.

Rounds from the surest matches to the boldest (ByteTrack, 2110.06864), with three changes that more than halve the
switches in crowds: boxes that fit in place *and* size are matched before anything else, sure and doubtful ones together
(an occluded neighbour's track else steals the box next to it); sizes are compared with the mean of those observed
before; and a track whose motion was wrong, because the object turned, is found again at its last observed box (OC-SORT,
2203.14360). Time counts in frames, so that a wrong frame rate harms nothing but the patience. Who a track is, the
gallery says: appearance plays no part in here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3.settings import require, require_between, setting
from mot_dinov3.structures import BoolArray, Detections, Frame, IntArray, Revision, TrackState, TrackView
from mot_dinov3.trackers import association, kalman
from mot_dinov3.trackers.association import Pairs
from mot_dinov3.trackers.track import Tracks

Array = npt.NDArray[np.float64]

LOW_SCORE = 0.1  # boxes below are ignored
NEW_ABOVE = 0.1  # a track starts at a box this much above track_thresh
LOW_FLOOR = 0.5  # least IoU of a doubtful box with the track it continues
RECENT = 4  # frames after which doubtful boxes no longer continue a track
YOUNG_FLOOR = 0.3  # least IoU · score of a track's second box
SURE_FLOOR = 0.4  # least fit of a match of the first round
HEIGHT_POWER = 2.0  # weight of the heights in that fit (height-modulated IoU, Hybrid-SORT 2308.00783)
SIZE_SHARPNESS = 10.0  # weight of the squared log ratios of width and height to the observed mean
CONFIRM_HITS = 2
PER_30_FPS = 30.0
TENTATIVE, CONFIRMED = int(TrackState.TENTATIVE), int(TrackState.CONFIRMED)
LOST, REMOVED = int(TrackState.LOST), int(TrackState.REMOVED)
NOISE = kalman.Noise(position=0.02, velocity=0.02, measurement=0.05, start_velocity=0.1)


@dataclasses.dataclass(frozen=True)
class HybridConfig:
    """Settings of `HybridTracker`.

    Raises:
        ConfigError: A value is out of range.
    """

    track_thresh: float = setting(0.45, "boxes from this score are matched first and may start tracks")
    match_thresh: float = setting(
        0.8, "largest accepted cost 1 - IoU·score of a match, so larger is looser (0.8: IoU·score of at least 0.2)"
    )
    track_buffer: int = setting(25, "frames at 30 fps for which a lost track is looked for", metavar="FRAMES")
    frame_rate: float = setting(30.0, "frame rate by which --track-buffer is scaled; 0: the video's", metavar="FPS")
    per_class: bool = setting(False, "track each class by itself: a track never changes its class")
    max_obs: int = setting(
        30,
        "observed boxes kept per track: their mean size tells neighbours apart, the last one finds a track that turned",
    )

    def __post_init__(self) -> None:
        require_between(self, 0, 1, "track_thresh", "match_thresh")
        require(self.track_buffer >= 0, "track_buffer", self.track_buffer, "0 or more")
        require(0 <= self.frame_rate <= 1000, "frame_rate", self.frame_rate, "between 0 and 1000")
        require(1 <= self.max_obs <= 10_000, "max_obs", self.max_obs, "between 1 and 10000")

    @property
    def patience(self) -> float:
        """Frames for which a lost track is looked for."""
        return self.track_buffer * (self.frame_rate or PER_30_FPS) / PER_30_FPS


class HybridTracker:
    """Follows boxes, online.

    A row of negative score is left out: a caller marks rows so that are not to be tracked.

    Args:
        config: All settings.
    """

    def __init__(self, config: HybridConfig | None = None) -> None:
        self.config = config or HybridConfig()
        self._tracks = Tracks.none(CONFIRM_HITS)
        self._observed = np.zeros((0, self.config.max_obs, 4))  # corner boxes, a ring per track
        self._size = np.zeros((0, 2))  # mean width and height of a track's observed boxes
        self._frame = -1
        self._births = 0
        self._ids = 0
        self._revisions: list[Revision] = []

    def predict(self, frame: Frame) -> TrackView:
        """Move all tracks to `frame` and return them."""
        tracks = self._tracks
        steps = max(frame.index - self._frame, 1) if self._frame >= 0 else 1
        self._frame = frame.index
        if len(tracks):
            tracks.motion = kalman.predict(tracks.motion, float(steps), NOISE)
        return tracks.view()

    def update(self, detections: Detections) -> Detections:
        """Return the same rows, in order, with `track_id`, `state`, `track_xyxy`."""
        self._revisions = []
        owner = self._associate(detections)
        self._absorb(owner, detections)
        self._start(owner, detections)
        self._age()
        return self._label(owner, detections)

    def lost(self) -> TrackView:
        """Return the tracks that are lost right now, for drawing."""
        return self._tracks.view(self._tracks.state == TrackState.LOST)

    @property
    def revisions(self) -> Sequence[Revision]:
        """Rows of the last frame whose tentative track the last `update` confirmed."""
        return self._revisions

    @property
    def settled(self) -> int:
        """Index of the first frame that a later revision can still reach; all before it is final."""
        young = self._tracks.track_id < 0
        if not young.any():
            return self._frame + 1
        past = self._tracks.trail[young, :, 0]
        return int(past[past >= 0].min(initial=self._frame + 1))

    def _associate(self, detections: Detections) -> IntArray:
        """Return ``(n,)`` the track that each box belongs to, −1 for none."""
        tracks, config = self._tracks, self.config
        owner = np.full(len(detections), -1, np.int64)
        taken = np.zeros(len(tracks), np.bool_)
        if not len(tracks) or not len(detections):
            tracks.matched[:] = False
            return owner
        box, score = detections.xyxy.astype(np.float64), detections.score.astype(np.float64)
        high = score >= config.track_thresh
        low = (score >= LOW_SCORE) & ~high
        least = 1 - config.match_thresh - 1e-9

        def match(pairs: Pairs, allowed: BoolArray, floor: float) -> None:
            free = allowed & ~taken[pairs.track] & (owner[pairs.box] < 0)
            if free.any():
                found = association.assign(pairs[free], floor)
                owner[found.box] = found.track
                taken[found.track] = True

        corners = tracks.corners
        near = self._overlapping(corners, box, detections)
        fused = Pairs(near.track, near.box, near.value * score[near.box])
        public = tracks.confirmed
        known, certain = public[near.track], high[near.box]
        sure = known & certain & (fused.value >= least)
        recent = public & (self._frame - tracks.seen <= RECENT)
        doubtful = recent[near.track] & low[near.box] & (near.value > LOW_FLOOR)
        match(self._fitting(near, corners, box), sure | doubtful, SURE_FLOOR)
        if (public & ~taken).any():
            match(fused, sure, least)
            match(near, doubtful, LOW_FLOOR)
        if (public & ~taken).any() and (high & (owner < 0)).any():
            last = self._overlapping(self._last_boxes(), box, detections)
            last = Pairs(last.track, last.box, last.value * score[last.box])
            match(last, public[last.track] & high[last.box], least)
        if not public.all():
            match(fused, ~known & certain, YOUNG_FLOOR)
        tracks.matched[:] = taken
        return owner

    def _overlapping(self, where: Array, box: Array, detections: Detections) -> Pairs:
        """Return the pairs of tracks at `where` and boxes that touch, valued by IoU."""
        t, b = association.touching(where, box)
        if self.config.per_class:
            same = self._tracks.class_id[t] == detections.class_id[b]
            t, b = t[same], b[same]
        return Pairs(t, b, association.overlap(where[t], box[b]))

    def _fitting(self, near: Pairs, corners: Array, box: Array) -> Pairs:
        """Return the pairs valued by how well the box fits in place and in size, 1 = perfectly."""
        t, b = near.track, near.box
        top, bottom = corners[t, 1::2].T
        upper, lower = box[b, 1::2].T
        shared = np.minimum(bottom, lower) - np.maximum(top, upper)
        either = np.maximum(bottom, lower) - np.minimum(top, upper)
        width, height = np.log(np.maximum(box[:, 2:] - box[:, :2], 1e-6)[b] / self._size[t]).T
        shape = np.exp(-SIZE_SHARPNESS * (width * width + height * height))
        return Pairs(t, b, near.value * (shared / either) ** HEIGHT_POWER * shape)

    def _last_boxes(self) -> Array:
        slot = (self._tracks.hits - 1) % self.config.max_obs
        return np.asarray(self._observed[np.arange(len(slot)), slot])

    def _absorb(self, owner: IntArray, detections: Detections) -> None:
        rows = np.flatnonzero(owner >= 0)
        if not len(rows):
            return
        tracks, who = self._tracks, owner[rows]
        measured = kalman.centre_boxes(detections.xyxy[rows])
        spread = NOISE.measurement * measured[:, [2, 3, 2, 3]]
        tracks.motion[who] = kalman.update(tracks.motion[who], measured, spread)
        self._note(who, rows, detections)

    def _start(self, owner: IntArray, detections: Detections) -> None:
        """Start a tentative track at each sure box that nobody owns."""
        rows = np.flatnonzero((owner < 0) & (detections.score >= self.config.track_thresh + NEW_ABOVE))
        if not len(rows):
            return
        tracks = self._tracks
        motion = kalman.start(kalman.centre_boxes(detections.xyxy[rows]), NOISE)
        owner[rows] = len(tracks) + np.arange(len(rows))
        tracks.add(tracks.born(self._births + np.arange(len(rows)), motion))
        self._births += len(rows)
        self._observed = np.concatenate([self._observed, np.zeros((len(rows), *self._observed.shape[1:]))])
        self._size = np.concatenate([self._size, np.zeros((len(rows), 2))])
        tracks.matched[owner[rows]] = True
        self._note(owner[rows], rows, detections)

    def _note(self, who: IntArray, rows: IntArray, detections: Detections) -> None:
        """Write down the boxes `rows` as the tracks' newest, and confirm the tracks that have proven themselves."""
        tracks = self._tracks
        self._observe(who, detections.xyxy[rows].astype(np.float64))
        tracks.hits[who] += 1
        tracks.seen[who] = self._frame
        tracks.class_id[who] = detections.class_id[rows]
        self._confirm(who, rows)

    def _observe(self, who: IntArray, box: Array) -> None:
        """Put boxes into the tracks' rings, and take them into their mean sizes."""
        hits, most = self._tracks.hits[who], self.config.max_obs
        slot = hits % most
        oldest = self._observed[who, slot]  # a place that has not been written to yet is all zeros
        before = np.minimum(hits, most)[:, None]
        total = self._size[who] * before + (box[:, 2:] - box[:, :2]) - (oldest[:, 2:] - oldest[:, :2])
        self._size[who] = np.maximum(total / np.minimum(before + 1, most), 1e-6)
        self._observed[who, slot] = box

    def _confirm(self, who: IntArray, rows: IntArray) -> None:
        """Give ids to tracks with a second box (in the first frame at once), and revise their first row."""
        tracks = self._tracks
        young = tracks.track_id[who] < 0
        if not young.any():
            return
        who, rows = who[young], rows[young]
        slot = np.minimum(tracks.hits[who], CONFIRM_HITS) - 1
        tracks.trail[who, slot, 0], tracks.trail[who, slot, 1] = self._frame, rows
        chosen = np.sort(who[tracks.hits[who] >= CONFIRM_HITS])
        tracks.track_id[chosen] = self._ids + 1 + np.arange(len(chosen))
        self._ids += len(chosen)
        first = tracks.trail[chosen, 0]
        ids = tracks.track_id[chosen].tolist()
        self._revisions += [Revision(f, row, i) for (f, row), i in zip(first.tolist(), ids) if f < self._frame]

    def _age(self) -> None:
        """Set every track's state; those whose time has come are REMOVED. A lost track keeps its size."""
        tracks = self._tracks
        idle = ~tracks.matched
        young = ~tracks.confirmed
        state = np.where(tracks.matched, CONFIRMED, LOST)
        state[young] = TENTATIVE
        if idle.any():
            tracks.motion[idle, kalman.VEL, 2:] = 0
            waited = self._frame - tracks.seen
            state[idle & (young | (waited > self.config.patience))] = REMOVED
        tracks.state = state

    def _label(self, owner: IntArray, detections: Detections) -> Detections:
        """Write the tracks' findings onto the rows, and forget the tracks that are gone."""
        tracks, owned = self._tracks, owner >= 0
        who = owner[owned]
        track_id, state = np.full(len(detections), -1), np.zeros(len(detections), np.int64)  # NONE
        smooth = detections.xyxy.copy()
        track_id[owned], state[owned] = tracks.track_id[who], tracks.state[who]
        smooth[owned] = kalman.corner_boxes(tracks.motion[who, kalman.POS])
        gone = tracks.state == REMOVED
        if gone.any():
            tracks.keep(~gone)
            self._observed, self._size = self._observed[~gone], self._size[~gone]
        return detections.replace(track_id=track_id, state=state, track_xyxy=smooth)
