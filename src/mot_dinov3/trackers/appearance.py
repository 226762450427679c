"""The default tracker: motion, overlap and appearance, in rounds from the surest matches to the boldest."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3 import boxes
from mot_dinov3.errors import MotError
from mot_dinov3.structures import BoolArray, Detections, Frame, IntArray, Revision, TrackState, TrackView
from mot_dinov3.trackers import association, coasting, identity, kalman, recovery
from mot_dinov3.trackers.camera import CameraMotion
from mot_dinov3.trackers.config import TrackerConfig
from mot_dinov3.trackers.matching import Matching
from mot_dinov3.trackers.track import Tracks

log = logging.getLogger(__name__)
Array = npt.NDArray[np.float64]

TOLERANCE = 1e-6  # s, for sums of frame times
TENTATIVE, CONFIRMED, LOST, REMOVED = (  # plain numbers: arrays compare faster with them than with enum members
    int(state) for state in (TrackState.TENTATIVE, TrackState.CONFIRMED, TrackState.LOST, TrackState.REMOVED)
)


class AppearanceTracker:
    """Follows objects by motion and appearance, online.

    Args:
        config: All settings.
        same_floor: Cosine below which two crops are hardly ever the same object (the embedder's).
        fps: Frame rate that stands in where timestamps do not move forward.
        size: Width and height of the picture; None learns it from pictures, or from the boxes seen so far.
    """

    def __init__(
        self,
        config: TrackerConfig | None = None,
        *,
        same_floor: float = 0.5,
        fps: float = 30.0,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.config = config or TrackerConfig()
        self._same_floor = same_floor
        self._fps = fps
        self._size = np.array(size if size and min(size) > 0 else (0, 0), np.float64)
        self._size_known = bool(size and min(size) > 0)
        self._tracks = Tracks.none(self.config.confirm_hits)
        self._frame = Frame(-1, -np.inf)
        self._now = 0.0
        self._dt = 0.0
        self._births = 0
        self._ids = 0
        self._camera = CameraMotion()
        self._calibration = kalman.Calibration()
        self._gaps = coasting.GapRecord(self.config.coast_seconds)
        self._revisions: list[Revision] = []
        if self.config.hungarian:
            importlib.import_module("scipy.optimize")  # now, not amid the first contested frame: it takes a second
        self.dropped_boxes = 0
        self.clock_faults = 0

    def predict(self, frame: Frame) -> TrackView:
        """Move all tracks to the time of `frame` and return them, with predicted boxes and cached embeddings."""
        self._dt = dt = self._step(frame)
        self._now += dt
        if frame.image is not None and not self._size_known:
            self._size = np.array(frame.image.shape[1::-1], np.float64)
            self._size_known = True
        tracks, config = self._tracks, self.config
        if frame.image is not None and config.camera_motion:
            affine = self._camera.estimate(frame.image, tracks.corners[tracks.matched])
            if affine is not None:
                tracks.motion = kalman.transform(tracks.motion, affine)
        if len(tracks):
            if config.size_damping:
                tracks.motion[~tracks.matched, kalman.VEL, 2:] *= np.exp(-dt / config.size_damping)
            tracks.motion = kalman.predict(tracks.motion, dt, config.noise)
        self._frame = frame
        return tracks.view()

    def update(self, detections: Detections) -> Detections:
        """Return the same rows, in order, with `track_id`, `state`, `track_xyxy`; coasted rows follow them."""
        self._revisions = []
        self._check_embedding(detections)
        found = self._match(detections)
        self._absorb(found, detections)
        self._start(found, detections)
        self._age()
        return self._label(found, detections)

    def lost(self) -> TrackView:
        """Return the tracks that are lost right now, for drawing."""
        return self._tracks.view(self._tracks.state == LOST)

    @property
    def revisions(self) -> Sequence[Revision]:
        """Rows of earlier frames whose tentative track the last `update` confirmed."""
        return self._revisions

    @property
    def settled(self) -> int:
        """Index of the first frame that a later revision can still reach; all before it is final."""
        past = self._tracks.trail[~self._tracks.confirmed & (self._tracks.state != REMOVED), :, 0]
        return int(past[past >= 0].min(initial=self._frame.index + 1))

    def _step(self, frame: Frame) -> float:
        """Return the seconds since the last frame; 1/fps where the clock does not move forward."""
        if self._frame.index < 0:
            return 0.0
        dt = frame.time - self._frame.time
        if dt > 0:
            return dt
        if not self.clock_faults:
            log.warning("frame %d: time does not move forward; taking 1/%g s instead", frame.index, self._fps)
        self.clock_faults += 1
        return 1.0 / self._fps

    def _check_embedding(self, detections: Detections) -> None:
        if detections.embedding is None or not len(detections):
            return
        dim = detections.embedding.shape[1]
        if not self._tracks.embedding.shape[1]:
            self._tracks.widen(dim)
        known = self._tracks.embedding.shape[1]
        if dim != known:
            raise MotError(
                f"frame {self._frame.index}: embeddings have {dim} dimensions, those before had {known}",
                remedy="use one embedder for the whole run",
            )

    def _match(self, detections: Detections) -> Matching:
        score = np.clip(detections.score.astype(np.float64), 0.0, 1.0)
        good = boxes.usable(detections.xyxy) & np.isfinite(score)
        if not good.all():
            if not self.dropped_boxes:
                log.warning("frame %d: boxes without area or with NaN are left out", self._frame.index)
            self.dropped_boxes += int((~good).sum())
            score[~good] = -1.0
        if not self._size_known and good.any():
            self._size = np.maximum(self._size, detections.xyxy[good, 2:].max(axis=0))
        tracks, config = self._tracks, self.config
        found = Matching(tracks, detections, score, config, calibration=self._calibration, same_floor=self._same_floor)
        found.run(tracks.confirmed & (self._now - tracks.seen <= config.lost_seconds + TOLERANCE))
        return found

    def _absorb(self, found: Matching, detections: Detections) -> None:
        """Let the matched tracks take in their boxes."""
        tracks, config = self._tracks, self.config
        public = tracks.confirmed
        if config.coast:
            self._gaps.observe(self._now - tracks.seen[public], self._dt, found.taken[public])
        rows = (found.owner >= 0).nonzero()[0]
        owner, measured = found.owner[rows], found.centre[rows]
        motion, spread = tracks.motion[owner], kalman.deviation(measured, config.noise)
        surprise, _ = kalman.innovation2(motion, measured, spread)
        self._calibration.observe(surprise[(tracks.matched & public)[owner]])
        # A box that may be somebody else's must not drag its owner along: next frame both may be seen again.
        spread[found.doubtful[rows]] *= config.contest_noise
        tracks.motion[owner] = kalman.update(motion, measured, spread)
        tracks.matched[:] = found.taken
        self._note(owner, rows, found, detections)

    def _start(self, found: Matching, detections: Detections) -> None:
        """Start a tentative track at each good box that nobody owns and no live track covers."""
        config, tracks = self.config, self._tracks
        fresh = (found.owner < 0) & (found.score >= config.new_score)
        if config.new_overlap < 1 and fresh.any() and len(tracks):
            live = tracks.matched
            over = boxes.iou(found.box[fresh], tracks.corners[live]) > config.new_overlap  # type: ignore[arg-type]
            if config.class_mode == "per-class":
                over &= detections.class_id[fresh][:, None] == tracks.class_id[live]
            fresh[fresh] = ~over.any(axis=1)
        rows = np.flatnonzero(fresh)
        if not len(rows):
            return
        motion = kalman.start(found.centre[rows], config.noise)
        keys = self._births + np.arange(len(rows))
        self._births += len(rows)
        owner = len(tracks) + np.arange(len(rows))
        tracks.add(tracks.born(keys, motion))
        found.owner[rows] = owner
        tracks.matched[owner] = True
        tracks.begun[owner] = self._now
        self._note(owner, rows, found, detections)

    def _note(self, owner: IntArray, rows: IntArray, found: Matching, detections: Detections) -> None:
        """Write down what the boxes `rows` say of the tracks `owner` beyond their place."""
        tracks, score = self._tracks, found.score[rows]
        tracks.hits[owner] += 1
        tracks.seen[owner] = self._now
        tracks.score[owner] = score
        if self.config.class_mode == "vote":
            tracks.vote(owner, detections.class_id[rows], score)
        else:
            tracks.class_id[owner] = detections.class_id[rows]
        self._remember(owner, rows, found, detections)
        self._confirm(owner, rows)

    def _remember(self, owner: IntArray, rows: IntArray, found: Matching, detections: Detections) -> None:
        tracks, config = self._tracks, self.config
        if detections.embedding is None:
            return
        chosen = detections.fresh[rows] & detections.has_embedding[rows]
        owner, rows = owner[chosen], rows[chosen]
        if not len(rows):
            return
        last = tracks.embedded_frame[owner]
        skipped = np.where(last < 0, 0, self._frame.index - last - 1)
        share = identity.keep_share(config.ema, found.score[rows], config.high_score, skipped)
        tracks.embedding[owner] = identity.blend(tracks.embedding[owner], detections.embedding[rows], share)
        tracks.embedded_frame[owner] = self._frame.index

    def _confirm(self, owner: IntArray, rows: IntArray) -> None:
        """Give public ids to tentative tracks with enough matches, in order of birth, and revise their past rows."""
        tracks, config = self._tracks, self.config
        young = tracks.track_id[owner] < 0
        if not young.any():
            return
        owner, rows = owner[young], rows[young]
        slot = np.minimum(tracks.hits[owner], config.confirm_hits) - 1
        tracks.trail[owner, slot, 0] = self._frame.index
        tracks.trail[owner, slot, 1] = rows
        ready = tracks.hits[owner] >= config.confirm_hits
        if config.confirm_score:
            ready |= tracks.score[owner] >= config.confirm_score
        chosen = np.sort(owner[ready])
        if not len(chosen):
            return
        if config.recovery:
            self._recover(chosen)
        new = chosen[tracks.track_id[chosen] < 0]
        tracks.track_id[new] = self._ids + 1 + np.arange(len(new))
        self._ids += len(new)
        past = tracks.trail[chosen].reshape(-1, 2)
        ids = np.repeat(tracks.track_id[chosen], tracks.trail.shape[1])
        real = (past[:, 0] >= 0) & (past[:, 0] < self._frame.index)
        self._revisions += [Revision(f, row, i) for (f, row), i in zip(past[real].tolist(), ids[real].tolist())]

    def _recover(self, young: IntArray) -> None:
        """Let tracks that are about to be confirmed take over the ids of lost tracks that look the same.

        A few boxes tell more of somebody's looks than the first one, half hidden as it often is.
        """
        tracks = self._tracks
        pairs = recovery.reunions(tracks, young, self._now, self.config, self._same_floor)
        chosen = association.assign(pairs, 0.0, optimal=self.config.hungarian)
        tracks.track_id[young[chosen.box]] = tracks.track_id[chosen.track]
        tracks.seen[chosen.track] = -np.inf  # its time has come

    def _age(self) -> None:
        """Set every track's state; those whose time has come are REMOVED."""
        tracks = self._tracks
        tracks.state = np.where(tracks.confirmed, CONFIRMED, TENTATIVE)
        if not tracks.matched.all():
            tracks.state[tracks.confirmed & ~tracks.matched] = LOST
            tracks.state[self._now - tracks.seen > self._patience() + TOLERANCE] = REMOVED

    def _patience(self) -> Array:
        """Return ``(m,)`` the seconds for which each track may stay without a box."""
        tracks, config = self._tracks, self.config
        patience = np.where(tracks.confirmed, config.lost_seconds, config.tentative_seconds)
        if config.recovery:
            known = tracks.confirmed & (tracks.embedded_frame >= 0)
            patience[known] = max(config.recovery_seconds, config.lost_seconds)
        if config.edge_seconds:
            outside = self._outside()
            patience[outside] = np.minimum(patience[outside], config.edge_seconds)
        return patience

    def _outside(self) -> BoolArray:
        centre = self._tracks.motion[:, kalman.POS, :2]
        return np.asarray(((centre < 0) | (centre > self._size)).any(axis=1))

    def _label(self, found: Matching, detections: Detections) -> Detections:
        """Write the tracks' findings onto the rows, append the coasting ones, and forget the tracks that are gone."""
        tracks, config = self._tracks, self.config
        owned = (found.owner >= 0).nonzero()[0]
        owner = found.owner[owned]
        track_id, state = np.full(len(detections), -1), np.full(len(detections), int(TrackState.NONE))
        smooth, class_id = detections.xyxy.copy(), detections.class_id
        track_id[owned], state[owned] = tracks.track_id[owner], tracks.state[owner]
        smooth[owned] = kalman.corner_boxes(tracks.motion[owner, kalman.POS])
        if config.class_mode == "vote":
            class_id = class_id.copy()
            class_id[owned] = tracks.class_id[owner]
        score = found.score
        if (score < 0).any():
            score = np.clip(np.nan_to_num(detections.score), 0.0, 1.0)
        rows = detections.replace(track_id=track_id, state=state, track_xyxy=smooth, class_id=class_id, score=score)
        coasted = self._coasting() if config.coast else None
        gone = tracks.state == REMOVED
        if gone.any():
            tracks.keep(~gone)
        return Detections.concat([rows, coasted]) if coasted else rows

    def _coasting(self) -> Detections | None:
        """Return the predicted boxes of tracks lost a moment ago, where this stream's gaps mostly close."""
        tracks, config = self._tracks, self.config
        recent = self._now - tracks.seen <= coasting.limit(config.coast_seconds, self._dt)
        recent &= tracks.state == LOST
        if self._gaps.trust < config.coast_trust or not recent.any():
            return None
        return coasting.predicted(tracks, np.flatnonzero(recent & ~self._outside()))
