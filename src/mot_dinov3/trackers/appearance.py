"""The default tracker: motion, overlap and appearance, in rounds from the surest matches to the boldest."""

from __future__ import annotations

import importlib
import logging

import numpy as np

from mot_dinov3.core import boxes
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import MotError
from mot_dinov3.core.structures import BoolArray, Detections, Float64Array, Frame, IntArray, TrackView
from mot_dinov3.trackers import appearance_model, kalman
from mot_dinov3.trackers.appearance_labels import observe_appearance
from mot_dinov3.trackers.appearance_model import SimilarityScales
from mot_dinov3.trackers.association import Association, assign
from mot_dinov3.trackers.base import TrackerRequest
from mot_dinov3.trackers.lifecycle import (
    CONFIRMED,
    LOST,
    REMOVED,
    TENTATIVE,
    TOLERANCE,
    GapStatistics,
    StreamClock,
    TemporalTracker,
)
from mot_dinov3.trackers.optical_flow import CameraMotion
from mot_dinov3.trackers.reidentification import reid_candidates
from mot_dinov3.trackers.score_level import ScoreLevel

log = logging.getLogger(__name__)

DUPLICATE = 0.9  # IoU above which two new boxes are one object: those of a rider and a bicycle reach 0.88


class AppearanceTracker(TemporalTracker):
    """Follows objects by motion and appearance, online.

    Args:
        request: Parameters, and what is known of the video; a size that is not is learned from images, or from boxes.
    """

    def __init__(self, request: TrackerRequest | None = None) -> None:
        request = request or TrackerRequest()
        self.config = config = request.config
        super().__init__(config.confirm_hits)
        self.min_score = config.high_score
        self._new_score = config.starting_score
        self.scores = ScoreLevel() if config.follows_scores else None
        self._fps = request.fps
        self._clock = StreamClock(request.fps)
        self._size_known = min(request.size) > 0
        self._size = np.array(request.size if self._size_known else (0, 0), np.float64)
        self._camera = CameraMotion(scene_cuts=config.scene_cuts)
        self.cuts: list[int] = []
        calibration = appearance_model.AppearanceCalibration(request.same_floor)
        self._scales = SimilarityScales(kalman.Calibration(), calibration)
        self.appearance = calibration
        self._gaps = GapStatistics(config.coast_seconds, config.coast_frames)
        limits = [config.lost_seconds, config.tentative_seconds, config.edge_seconds or np.inf]
        self._least_patience = min(limits) + TOLERANCE
        if config.hungarian:
            importlib.import_module("scipy.optimize")  # now, not amid the first contested frame: it takes a second
        self.dropped_boxes = 0

    @classmethod
    @override
    def least_score(cls, request: TrackerRequest, conf: float) -> float:
        config = request.config
        start_none = config.low_match and config.least_starting_score >= conf
        return min(config.low_score, conf) if start_none else conf

    @override
    def predict(self, frame: Frame) -> TrackView:
        dt = self._clock.step(frame)
        if frame.image is not None and not self._size_known:
            self._size = np.array(frame.image.shape[1::-1], np.float64)
            self._size_known = True
        tracks, config = self._tracks, self.config
        if frame.image is not None and (config.camera_motion or config.scene_cuts):
            affine = self._camera.estimate(frame, tracks.corners[:, tracks.matched].T)
            if self._camera.cut:
                self._end_scene(frame.index)
            elif affine is not None and config.camera_motion:
                tracks.motion = kalman.transform(tracks.motion, affine)
        if len(tracks):
            if config.size_damping and np.count_nonzero(tracks.matched) < len(tracks):
                tracks.motion[kalman.VEL, 2:] *= np.where(tracks.matched, 1.0, np.exp(-dt / config.size_damping))
            tracks.motion = kalman.predict(tracks.motion, dt, config.noise)
        self._index = frame.index
        return tracks.view()

    @override
    def update(self, detections: Detections) -> Detections:
        self._revisions = []
        self._check_embedding(detections)
        found = self._match(detections)
        if detections.embedding is not None:
            observe_appearance(self._scales.appearance, found, self._tracks, self._index)
        self._absorb(found, detections)
        self._start(found, detections)
        self._age()
        return self._label(found, detections)

    @override
    def add_evidence(self, frames: IntArray) -> None:
        self._followed = frames

    def _end_scene(self, frame_index: int) -> None:
        """End all tracks; those that can be re-identified are kept for it, without a place."""
        tracks = self._tracks
        self.cuts.append(frame_index)
        tracks.keep(tracks.confirmed & (tracks.embedded_frame >= 0) & self.config.recovery)
        tracks.cut[:] = True
        tracks.matched[:] = False

    @property
    def clock_faults(self) -> int:
        """Frames whose time did not increase."""
        return self._clock.faults

    @property
    def _now(self) -> float:
        return self._clock.now

    def _check_embedding(self, detections: Detections) -> None:
        if detections.embedding is None or not len(detections):
            return
        dim = detections.embedding.shape[1]
        if not self._tracks.embedding.shape[1]:
            self._tracks.embedding = np.zeros((len(self._tracks), dim), np.float32)
        known = self._tracks.embedding.shape[1]
        if dim != known:
            raise MotError(
                f"frame {self._index}: embeddings have {dim} dimensions, those before had {known}",
                remedy="use one embedder for the whole run",
            )

    def _match(self, detections: Detections) -> Association:
        score = np.minimum(np.maximum(detections.score.astype(np.float64), 0.0), 1.0)
        good = boxes.usable(detections.xyxy) & np.isfinite(score)
        bad = len(good) - np.count_nonzero(good)
        if bad:
            if not self.dropped_boxes:
                log.warning("frame %d: boxes without area or with NaN are skipped", self._index)
            self.dropped_boxes += bad
            score[~good] = -1.0
        if not self._size_known and bad < len(good):
            self._size = np.maximum(self._size, detections.xyxy[good, 2:].max(axis=0))
        if self.scores is not None and not self.scores.settled:
            self.scores.observe(detections.xyxy, score)
            self.min_score = self.config.high_score * self.scores.factor
            score = self.scores.stated(score)
        tracks, config = self._tracks, self.config
        found = Association(tracks, detections, score, config, self._scales)
        longest = max(config.lost_seconds, self._clock.until_missed(config.lost_frames + 1))
        sought = tracks.confirmed & ~tracks.cut & (self._now - tracks.seen <= longest + TOLERANCE)
        found.run(sought, (self._index - tracks.embedded_frame) / self._fps)
        return found

    def _absorb(self, found: Association, detections: Detections) -> None:
        """Let the matched tracks take in their boxes."""
        tracks, config = self._tracks, self.config
        public = tracks.confirmed
        if config.coast:
            placed = public & ~tracks.cut
            self._gaps.observe(self._now - tracks.seen[placed], self._clock.dt, found.taken[placed])
        rows = (found.owner >= 0).nonzero()[0]
        if not len(rows):
            tracks.matched[:] = False
            return
        owner = found.owner.take(rows)
        place = tracks.places(owner, rows)
        measured = found.centre.take(place, axis=1)
        spread = kalman.deviation(measured, config.noise)
        surprise, _ = kalman.innovation2(tracks.motion, measured, spread)
        self._scales.motion.observe(surprise.compress(tracks.matched & public & found.taken, axis=1))
        if np.count_nonzero(found.doubtful):
            # A box that may be another track's must not drag its owner along: the next frame may have both.
            spread[:, found.doubtful[place]] *= config.contest_noise
        tracks.matched[:] = found.taken
        tracks.correct(measured, spread)
        self._record(owner, rows, found, detections)

    def _start(self, found: Association, detections: Detections) -> None:
        """Spawn a tentative track at each high-score box without an owner where no active track and no surer box is."""
        config, tracks = self.config, self._tracks
        rows = ((found.owner < 0) & (found.score >= self._new_score)).nonzero()[0]
        if len(rows) and config.new_overlap < 1:
            rows = self._uncovered(rows, found, detections.class_id)
        if not len(rows):
            return
        found.owner[rows] = owner = self._spawn(kalman.start(found.centre.take(rows, axis=1), config.noise))
        tracks.begun[owner] = self._now
        self._record(owner, rows, found, detections)

    def _uncovered(self, rows: IntArray, found: Association, class_id: IntArray) -> IntArray:
        """Return those of the rows that no active track covers, and that do not repeat a surer one of them."""
        tracks, limit, separate = self._tracks, self.config.new_overlap, self.config.class_mode == "per-class"
        rows = rows[np.argsort(-found.score[rows], kind="stable")]
        box, live = found.box[:, rows].T, tracks.matched
        over = boxes.iou(box, tracks.corners[:, live].T) > limit
        twice = np.tril(boxes.iou(box, box) > max(limit, DUPLICATE), -1)
        if separate:
            over &= class_id[rows][:, None] == tracks.class_id[live]
            twice &= class_id[rows][:, None] == class_id[rows]
        covered = np.asarray(over.any(axis=1))
        for row in twice.any(axis=1).nonzero()[0].tolist():
            covered[row] |= bool((twice[row] & ~covered).any())
        return np.sort(rows[~covered])

    def _record(self, owner: IntArray, rows: IntArray, found: Association, detections: Detections) -> None:
        """Write down the boxes `rows` of the tracks `owner`, beyond their place."""
        tracks, score = self._tracks, np.clip(detections.score.take(rows).astype(np.float64), 0.0, 1.0)
        self._count_hits(owner, rows)
        tracks.seen[owner] = self._now
        tracks.score[owner] = score
        if self.config.class_mode == "vote":
            tracks.vote(owner, detections.class_id[rows], score)
        else:
            tracks.class_id[owner] = detections.class_id.take(rows)
        self._update_embeddings(owner, rows, found, detections)
        self._confirm(owner, rows)

    def _update_embeddings(self, owner: IntArray, rows: IntArray, found: Association, detections: Detections) -> None:
        tracks, config = self._tracks, self.config
        if detections.embedding is None:
            return
        chosen = (detections.fresh & detections.has_embedding).take(rows).nonzero()[0]
        if not len(chosen):
            return
        owner, rows = owner.take(chosen), rows.take(chosen)
        last = tracks.embedded_frame.take(owner)
        unknown = last < 0
        skipped = np.where(unknown, 0, self._index - last - 1)
        share = appearance_model.keep_share(config.ema, found.score.take(rows), config.high_score, skipped)
        share[unknown] = 0.0
        embedding = tracks.embedding.copy()  # a view of the tracks may still hold the old one
        appearance_model.absorb(embedding, detections.embedding, owner, rows, share)
        tracks.embedding = embedding
        tracks.embedded_frame[owner] = self._index

    def _ready(self, owner: IntArray) -> IntArray:
        """Return those of some tentative tracks that are to be confirmed: matched often, or with a sure box."""
        proven = self._tracks.hits[owner] >= self.config.confirm_hits
        if self.config.confirm_score:
            proven |= self._tracks.score[owner] >= self.config.confirm_score
        return owner[proven]

    def _recover(self, young: IntArray) -> None:
        """Let tracks that are about to be confirmed take over the ids of lost tracks of the same appearance.

        A few boxes show an object better than the first one, which is often half occluded.
        """
        tracks = self._tracks
        if not self.config.recovery:
            return
        pairs = reid_candidates(tracks, young, self._now, self.config, self._scales)
        chosen = assign(pairs, 0.0, optimal=self.config.hungarian)
        tracks.track_id[young[chosen.box]] = tracks.track_id[chosen.track]
        tracks.seen[chosen.track] = -np.inf  # it is removed in this frame

    def _age(self) -> None:
        """Set every track's state; those that have been idle for too long are REMOVED."""
        tracks = self._tracks
        tracks.state = np.where(tracks.confirmed, CONFIRMED, TENTATIVE)
        idle = ~tracks.matched
        if np.count_nonzero(idle):
            tracks.state[tracks.confirmed & idle] = LOST
            waited = self._now - tracks.seen
            if waited.max() > self._least_patience:
                tracks.state[waited > self._patience() + TOLERANCE] = REMOVED

    def _patience(self) -> Float64Array:
        """Return ``(m,)`` the seconds for which each track may stay without a box.

        A number of frames is the least: at low frame rates seconds are no measure of how often an object was missed.
        """
        tracks, config, until = self._tracks, self.config, self._clock.until_missed
        young = max(config.tentative_seconds, until(config.tentative_frames))
        patience = np.where(tracks.confirmed, max(config.lost_seconds, until(config.lost_frames)), young)
        if config.recovery:
            known = tracks.confirmed & (tracks.embedded_frame >= 0)
            patience[known] = np.maximum(config.recovery_seconds, patience[known])
        if config.edge_seconds:
            outside = self._outside() & ~tracks.cut
            shorter = max(config.edge_seconds, until(config.edge_frames))
            patience[outside] = np.minimum(patience[outside], shorter)
        return patience

    def _outside(self) -> BoolArray:
        centre = self._tracks.motion[kalman.POS, :2]
        outside = (centre < 0) | (centre > self._size[:, None])
        return np.asarray(outside[0] | outside[1])

    def _label(self, found: Association, detections: Detections) -> Detections:
        """Label the rows with their tracks, append coasted ones, and delete removed tracks."""
        tracks, config = self._tracks, self.config
        score, class_id = found.score, detections.class_id
        if config.class_mode == "vote":
            owned = found.owner >= 0
            class_id = class_id.copy()
            class_id[owned] = tracks.class_id[found.owner[owned]]
        if np.count_nonzero(score < 0) or (self.scores is not None and not self.scores.settled):
            score = np.clip(np.nan_to_num(detections.score), 0.0, 1.0)
        rows = self._labelled(found.owner, detections, class_id=class_id, score=score)
        coasted = self._coasting() if config.coast else None
        gone = tracks.state == REMOVED
        if np.count_nonzero(gone):
            tracks.keep(~gone)
        return Detections.concat([rows, coasted]) if coasted else rows

    def _coasting(self) -> Detections | None:
        """Return the predicted boxes of tracks lost a moment ago, where this stream's gaps mostly close."""
        tracks, config = self._tracks, self.config
        if self._gaps.trust < config.coast_trust:
            return None
        recent = (tracks.state == LOST) & ~tracks.cut
        recent &= self._now - tracks.seen <= self._gaps.limit(self._clock.dt)
        if not np.count_nonzero(recent):
            return None
        rows = np.flatnonzero(recent & ~self._outside())
        xyxy = np.ascontiguousarray(tracks.corners.take(rows, axis=1).T, np.float32)
        return Detections(
            xyxy,
            score=tracks.score[rows].astype(np.float32),
            class_id=tracks.class_id[rows],
            track_id=tracks.track_id[rows],
            state=tracks.state[rows],
            coasted=np.ones(len(rows), np.bool_),
            track_xyxy=xyxy,
        )
