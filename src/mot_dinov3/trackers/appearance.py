"""The default tracker: motion, overlap and appearance, in rounds from the surest matches to the boldest."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mot_dinov3 import boxes
from mot_dinov3.errors import MotError
from mot_dinov3.structures import BoolArray, Detections, Frame, IntArray, Revision, TrackState, TrackView
from mot_dinov3.trackers import association, identity, kalman
from mot_dinov3.trackers.association import Pairs
from mot_dinov3.trackers.camera import CameraMotion
from mot_dinov3.trackers.coasting import GapRecord
from mot_dinov3.trackers.config import TrackerConfig
from mot_dinov3.trackers.track import Tracks

log = logging.getLogger(__name__)
Array = npt.NDArray[np.float64]


@dataclasses.dataclass
class Round:
    """One frame's association in the making.

    Attributes:
        box: ``(n, 4)`` corner boxes, float64.
        centre: ``(n, 4)`` the same as centre boxes.
        score: ``(n,)`` clipped to 0…1.
        owner: ``(n,)`` row of the track each box belongs to, −1 none yet.
        taken: ``(m,)`` bool: the track has its box.
        pairs: All candidate pairs, valued by overlap.
    """

    box: Array
    centre: Array
    score: Array
    owner: IntArray
    taken: BoolArray
    pairs: Pairs

    def free(self, tracks: BoolArray, rows: BoolArray) -> Pairs:
        """Return the candidate pairs of these tracks and boxes that are not settled yet."""
        tracks, rows = tracks & ~self.taken, rows & (self.owner < 0)
        return self.pairs[tracks[self.pairs.track] & rows[self.pairs.box]]

    def settle(self, matches: Pairs) -> None:
        """Note who has found whom."""
        self.owner[matches.box] = matches.track
        self.taken[matches.track] = True


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
        self._gaps = GapRecord(self.config.coast_seconds)
        self._revisions: list[Revision] = []
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
        frame = self._open(detections)
        self._associate(frame, detections)
        self._absorb(frame, detections)
        self._start(frame, detections)
        self._age()
        return self._label(frame, detections)

    def lost(self) -> TrackView:
        """Return the tracks that are lost right now, for drawing."""
        return self._tracks.view(self._tracks.state == TrackState.LOST)

    @property
    def revisions(self) -> Sequence[Revision]:
        """Rows of earlier frames whose tentative track the last `update` confirmed."""
        return self._revisions

    @property
    def settled(self) -> int:
        """Index of the first frame that a later revision can still reach; all before it is final."""
        past = self._tracks.trail[~self._tracks.confirmed & (self._tracks.state != TrackState.REMOVED), :, 0]
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

    def _open(self, detections: Detections) -> Round:
        box = detections.xyxy.astype(np.float64)
        score = np.clip(detections.score.astype(np.float64), 0.0, 1.0)
        good = boxes.usable(detections.xyxy) & np.isfinite(score)
        if not good.all():
            if not self.dropped_boxes:
                log.warning("frame %d: boxes without area or with NaN are left out", self._frame.index)
            self.dropped_boxes += int((~good).sum())
            box[~good], score[~good] = 0.0, 0.0
        if not self._size_known and good.any():
            self._size = np.maximum(self._size, box[:, 2:].max(axis=0))
        score[~good] = -1.0
        config, tracks = self.config, self._tracks
        predicted = tracks.corners
        share = np.minimum(
            config.growth * np.sqrt(tracks.motion[:, kalman.PP, 1]) / tracks.motion[:, kalman.POS, 3], 1.0
        )
        t, b = association.touching(association.grow(predicted, 2 * share), box)
        if config.class_mode == "per-class":
            same = tracks.class_id[t] == detections.class_id[b]
            t, b = t[same], b[same]
        value = association.overlap(
            association.grow(predicted[t], share[t]), association.grow(box[b], share[t]), config.height_power
        )
        owner, taken = np.full(len(box), -1, np.int64), np.zeros(len(tracks), np.bool_)
        return Round(box, kalman.centre_boxes(box), score, owner, taken, Pairs(t, b, value))

    def _associate(self, frame: Round, detections: Detections) -> None:
        """Match in rounds, each with what the earlier ones left over."""
        config, tracks = self.config, self._tracks
        high = frame.score >= config.high_score
        low = (frame.score >= config.low_score) & ~high
        public = tracks.confirmed

        def match(pairs: Pairs, floor: float) -> None:
            frame.settle(association.assign(pairs, floor, optimal=config.hungarian))

        match(self._fused(frame, frame.free(public, high), detections), config.match_floor)
        if config.low_match:
            match(frame.free(public & tracks.matched, low), config.low_floor)
        match(self._fused(frame, frame.free(~public, high), detections), config.tentative_floor)
        if config.recovery and detections.embedding is not None:
            match(self._recoverable(frame, detections), 0.0)

    def _fused(self, frame: Round, pairs: Pairs, detections: Detections) -> Pairs:
        """Return the pairs valued by overlap, the box's score and, where it is fresh, the appearance."""
        config, value = self.config, pairs.value
        if config.score_fusion:
            value = value * frame.score[pairs.box]
        if config.likelihood:
            value = value + config.likelihood * self._likelihood(frame, pairs)
        if config.lost_penalty:
            value = value - config.lost_penalty * ~self._tracks.matched[pairs.track]
        if config.appearance and detections.embedding is not None and detections.fresh.any():
            alike = self._cosine(pairs.track, pairs.box, detections)
            value = value + config.appearance * np.nan_to_num(np.clip(alike, -1.0, 1.0))
        return Pairs(pairs.track, pairs.box, value)

    def _likelihood(self, frame: Round, pairs: Pairs) -> Array:
        """Return how well boxes fit the predictions, about −0.5…0.5: it tells apart what overlaps about equally."""
        motion, measured = self._tracks.motion[pairs.track], frame.centre[pairs.box]
        spread = self.config.box_noise * measured[:, [2, 3, 2, 3]]
        fit = self._calibration.likelihood(*kalman.innovation2(motion, measured, spread), measured)
        return np.clip(fit, -10.0, 10.0) / 20.0

    def _cosine(self, track: IntArray, box: IntArray, detections: Detections) -> Array:
        """Return the likeness of pairs, 1 = same, 0 = the embedder's floor, NaN = nothing new is known."""
        assert detections.embedding is not None
        value = identity.cosine(self._tracks.embedding, detections.embedding, track, box)
        value[~detections.fresh[box]] = np.nan
        return (value - self._same_floor) / (1.0 - self._same_floor)

    def _recoverable(self, frame: Round, detections: Detections) -> Pairs:
        """Return the pairs of lost tracks and ownerless boxes that look the same, wherever they are."""
        config, tracks = self.config, self._tracks
        lost = np.flatnonzero((tracks.state == TrackState.LOST) & ~frame.taken)
        free = np.flatnonzero((frame.owner < 0) & (frame.score >= config.high_score) & detections.fresh)
        t, b = (x.ravel() for x in np.meshgrid(lost, free, indexing="ij"))
        alike = np.nan_to_num(self._cosine(t, b, detections), nan=-1.0)
        age = (self._now - tracks.seen[t]) / max(config.lost_seconds, 1e-6)
        floor = config.recovery_floor + (1.0 - config.recovery_floor) * 0.5 * np.minimum(age, 1.0)
        return Pairs(t, b, alike - floor)

    def _absorb(self, frame: Round, detections: Detections) -> None:
        """Let the matched tracks take in their boxes, and confirm those that have proven themselves."""
        tracks, config = self._tracks, self.config
        waited = self._now - tracks.seen[tracks.confirmed]
        self._gaps.observe(waited, self._dt, frame.taken[tracks.confirmed])
        rows = np.flatnonzero(frame.owner >= 0)
        owner = frame.owner[rows]
        measured = frame.centre[rows]
        spread = kalman.deviation(measured, frame.score[rows], config.noise, config.nsa)
        sure = tracks.matched[owner] & tracks.confirmed[owner]
        observed = kalman.innovation2(
            tracks.motion[owner[sure]], measured[sure], config.box_noise * measured[sure][:, [2, 3, 2, 3]]
        )
        self._calibration.observe(observed[0])
        tracks.motion[owner] = kalman.update(tracks.motion[owner], measured, spread)
        tracks.matched[:] = frame.taken
        self._note(owner, rows, frame, detections)

    def _start(self, frame: Round, detections: Detections) -> None:
        """Start a tentative track at each good box that nobody owns and no live track covers."""
        config, tracks = self.config, self._tracks
        fresh = (frame.owner < 0) & (frame.score >= config.new_score)
        if config.new_overlap < 1 and fresh.any() and len(tracks):
            live = tracks.matched
            over = boxes.iou(frame.box[fresh], tracks.corners[live]) > config.new_overlap  # type: ignore[arg-type]
            if config.class_mode == "per-class":
                over &= detections.class_id[fresh][:, None] == tracks.class_id[live]
            fresh[fresh] = ~over.any(axis=1)
        rows = np.flatnonzero(fresh)
        if not len(rows):
            return
        motion = kalman.start(frame.centre[rows], config.noise)
        keys = self._births + np.arange(len(rows))
        self._births += len(rows)
        owner = len(tracks) + np.arange(len(rows))
        tracks.add(tracks.born(keys, motion))
        frame.owner[rows] = owner
        tracks.matched[owner] = True
        self._note(owner, rows, frame, detections)

    def _note(self, owner: IntArray, rows: IntArray, frame: Round, detections: Detections) -> None:
        """Write down what the boxes `rows` say of the tracks `owner` beyond their place."""
        tracks, score = self._tracks, frame.score[rows]
        tracks.hits[owner] += 1
        tracks.seen[owner] = self._now
        tracks.score[owner] = score
        if self.config.class_mode == "vote":
            tracks.vote(owner, detections.class_id[rows], score)
        else:
            tracks.class_id[owner] = detections.class_id[rows]
        self._remember(owner, rows, frame, detections)
        self._confirm(owner, rows)

    def _remember(self, owner: IntArray, rows: IntArray, frame: Round, detections: Detections) -> None:
        tracks, config = self._tracks, self.config
        if detections.embedding is None:
            return
        chosen = detections.fresh[rows] & detections.has_embedding[rows]
        owner, rows = owner[chosen], rows[chosen]
        if not len(rows):
            return
        last = tracks.embedded_frame[owner]
        skipped = np.where(last < 0, 0, self._frame.index - last - 1)
        share = identity.keep_share(config.ema, frame.score[rows], config.high_score, skipped)
        tracks.embedding[owner] = identity.blend(tracks.embedding[owner], detections.embedding[rows], share)
        tracks.embedded_frame[owner] = self._frame.index

    def _confirm(self, owner: IntArray, rows: IntArray) -> None:
        """Give public ids to tentative tracks with enough matches, in order of birth, and revise their past rows."""
        tracks, config = self._tracks, self.config
        young = tracks.track_id[owner] < 0
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
        tracks.track_id[chosen] = self._ids + 1 + np.arange(len(chosen))
        self._ids += len(chosen)
        past = tracks.trail[chosen].reshape(-1, 2)
        ids = np.repeat(tracks.track_id[chosen], tracks.trail.shape[1])
        real = (past[:, 0] >= 0) & (past[:, 0] < self._frame.index)
        self._revisions += [Revision(f, row, i) for (f, row), i in zip(past[real].tolist(), ids[real].tolist())]

    def _age(self) -> None:
        """Set every track's state; those whose time has come are REMOVED."""
        tracks, config = self._tracks, self.config
        patience = np.where(tracks.confirmed, config.lost_seconds, config.tentative_seconds)
        if config.edge_seconds:
            outside = self._outside()
            patience[outside] = np.minimum(patience[outside], config.edge_seconds)
        state = np.where(tracks.matched, int(TrackState.CONFIRMED), int(TrackState.LOST))
        state[~tracks.confirmed] = int(TrackState.TENTATIVE)
        state[self._now - tracks.seen > patience + 1e-6] = int(TrackState.REMOVED)
        if config.duplicate_overlap < 1:
            state[self._duplicates()] = int(TrackState.REMOVED)
        tracks.state = state

    def _outside(self) -> BoolArray:
        centre = self._tracks.motion[:, kalman.POS, :2]
        return np.asarray(((centre < 0) | (centre > self._size)).any(axis=1))

    def _duplicates(self) -> IntArray:
        """Return the rows of unmatched tracks that lie on a matched one: it has taken their box over."""
        tracks, config = self._tracks, self.config
        idle, live = np.flatnonzero(~tracks.matched), np.flatnonzero(tracks.matched)
        if not len(idle) or not len(live):
            return idle[:0]
        over = boxes.iou(tracks.corners[idle], tracks.corners[live])  # type: ignore[arg-type]
        if config.class_mode == "per-class":
            over = over * (tracks.class_id[idle][:, None] == tracks.class_id[live])
        return idle[(over > config.duplicate_overlap).any(axis=1)]

    def _label(self, frame: Round, detections: Detections) -> Detections:
        """Write the tracks' findings onto the rows, append the coasting ones, and forget the tracks that are gone."""
        tracks, config = self._tracks, self.config
        owned = frame.owner >= 0
        owner = frame.owner[owned]
        track_id, state = np.full(len(detections), -1), np.full(len(detections), int(TrackState.NONE))
        smooth, class_id = detections.xyxy.copy(), detections.class_id
        track_id[owned], state[owned] = tracks.track_id[owner], tracks.state[owner]
        smooth[owned] = tracks.corners[owner]
        if config.class_mode == "vote":
            class_id = class_id.copy()
            class_id[owned] = tracks.class_id[owner]
        score = np.clip(np.nan_to_num(detections.score), 0.0, 1.0)
        rows = detections.replace(track_id=track_id, state=state, track_xyxy=smooth, class_id=class_id, score=score)
        coasting = self._coasting() if config.coast else None
        gone = tracks.state == TrackState.REMOVED
        if gone.any():
            tracks.keep(~gone)
        return Detections.concat([rows, coasting]) if coasting else rows

    def _coasting(self) -> Detections:
        """Return the predicted boxes of tracks lost a moment ago, if this stream's gaps mostly close."""
        tracks, config = self._tracks, self.config
        if self._gaps.trust < config.coast_trust:
            return Detections.empty()
        recent = self._now - tracks.seen <= max(config.coast_seconds, self._dt) + 1e-6
        chosen = np.flatnonzero((tracks.state == TrackState.LOST) & recent & ~self._outside())
        predicted = tracks.corners[chosen].astype(np.float32)
        return Detections(
            predicted,
            tracks.score[chosen].astype(np.float32),
            tracks.class_id[chosen],
            tracks.track_id[chosen],
            tracks.state[chosen],
            coasted=np.ones(len(chosen), np.bool_),
            track_xyxy=predicted,
        )
