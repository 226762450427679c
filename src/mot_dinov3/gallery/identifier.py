"""Identification of tracks: distances to the known identities, averaged over time, and the decision."""

from __future__ import annotations

import dataclasses

import numpy as np

from mot_dinov3.core.structures import Detections, FloatArray, IntArray, TrackState
from mot_dinov3.gallery.config import GalleryConfig
from mot_dinov3.gallery.evidence import TrackEvidence
from mot_dinov3.gallery.folder import KnownIdentities
from mot_dinov3.gallery.matching import MatchLimits, decide, identity_distances, margins
from mot_dinov3.gallery.open_set import OpenSetThreshold

MEMORY = 8  # comparisons after which older ones fade
FORGET = 300  # frames after which a track that was not detected is forgotten


@dataclasses.dataclass
class TrackIdentityState:
    """Evidence for the identity of one track.

    Attributes:
        distance: ``(k,)`` mean distances to the identities; older ones fade.
        count: Number of comparisons.
        seen: Frame in which it was last detected.
        compared: Frame in which it was last embedded.
        sure: False from a track's return until it has been compared again: its old name is not shown.
        identity: Identity it has, −1 none.
        strangers: What its comparisons say about strangers.
    """

    distance: FloatArray
    seen: int
    compared: int = -1
    count: int = 0
    sure: bool = True
    identity: int = -1
    strangers: TrackEvidence = dataclasses.field(default_factory=TrackEvidence)


class Identifier:
    """Identifies tracks, whichever tracker made them.

    Args:
        known: The gallery.
        config: Thresholds; one that is ``auto`` is learnt from the gallery and the video.
        memory: False where every detection stands for itself, so that nothing is carried over to the next frame.

    Attributes:
        notices: Messages for the user.
        limits: Thresholds as they are now.
    """

    def __init__(self, known: KnownIdentities, config: GalleryConfig, *, memory: bool = True) -> None:
        self.known = known
        self.config = config
        self._memory = memory
        self._open_set = OpenSetThreshold(known) if config.learns_threshold else None
        self.notices = (*known.notices, *(() if self._open_set is None else self._open_set.duplicates()))
        self.limits = self._limits_now()
        self._tracks: dict[int, TrackIdentityState] = {}
        self._last = -1

    @property
    def remembered(self) -> int:
        """Number of tracks with evidence."""
        return len(self._tracks)

    @property
    def learnt_threshold(self) -> float | None:
        """Largest distance of an identity as it has been learnt; None where it was given."""
        return None if self._open_set is None else self.limits.match

    def threshold_notices(self) -> list[str]:
        """Return a notice of the threshold that was learnt; none where it was given."""
        return [] if self._open_set is None else [self._open_set.text()]

    def due(self, detections: Detections, frame_index: int, *, every: int, min_score: float = 0.0) -> IntArray:
        """Return the rows to embed in this frame: of new and returned tracks, and of those not compared for long.

        Args:
            detections: With `track_id`.
            frame_index: 0-based.
            every: Frames after which a track is compared again.
            min_score: Boxes below it are not compared; their tracks wait.
        """
        rows = []
        for row, (track, score) in enumerate(zip(detections.track_id.tolist(), detections.score.tolist())):
            if track < 0 or score < min_score:
                continue
            known = self._tracks.get(track)
            stale = known is None or not known.sure or known.compared < 0 or known.seen != self._last
            if stale or (known is not None and frame_index - known.compared >= every):
                rows.append(row)
        return np.array(rows, np.int64)

    def distances(self, detections: Detections) -> FloatArray:
        """Return ``(n, k)`` distances of the rows to the identities, NaN for rows that were not embedded just now."""
        found = np.full((len(detections), len(self.known.names)), np.nan, np.float32)
        fresh = np.flatnonzero(detections.fresh & detections.has_embedding)
        if len(fresh) and detections.embedding is not None:
            found[fresh] = identity_distances(detections.embedding[fresh], self.known.embedding, self.known.owner)
        return found

    def identify(self, detections: Detections, frame_index: int) -> Detections:
        """Return the same rows with `gallery_id`, `gallery_distance`, `gallery_margin`; none without a track."""
        return self.apply(detections, frame_index, self.distances(detections))

    def apply(self, detections: Detections, frame_index: int, distance: FloatArray) -> Detections:
        """Return what `identify` does, given the `distances` of the rows."""
        if not self._memory:
            self._tracks.clear()
        rows = self._rows_of_tracks(detections)
        for track, row in rows.items():
            self._see(track, frame_index, distance[row])
        compared = {track: row for track, row in rows.items() if np.isfinite(distance[row]).all()}
        if compared:
            present = [track for track in rows if self._tracks[track].count and self._tracks[track].sure]
            self._learn(present, list(compared), distance[list(compared.values())])
            self._decide(present)
        for track in detections.track_id[detections.coasted & (detections.state == TrackState.CONFIRMED)].tolist():
            carried = self._tracks.get(track)
            if carried is not None and carried.seen == self._last:
                carried.seen = frame_index  # in no detected frame (--detect-every), but not gone either
        self._last = frame_index
        if frame_index % FORGET == 0:
            self._tracks = {t: e for t, e in self._tracks.items() if frame_index - e.seen <= FORGET}
        return self._label(detections, rows)

    @staticmethod
    def _rows_of_tracks(detections: Detections) -> dict[int, int]:
        """Return track id → its row; of two rows of a track, the one of higher score."""
        rows: dict[int, int] = {}
        for row in np.flatnonzero((detections.track_id >= 0) & ~detections.coasted).tolist():
            track = int(detections.track_id[row])
            if track not in rows or detections.score[row] > detections.score[rows[track]]:
                rows[track] = row
        return rows

    def _see(self, track: int, frame_index: int, distance: FloatArray) -> None:
        """Update a track that was detected, with its distances where it was embedded."""
        known = self._tracks.get(track)
        if known is None:
            known = self._tracks[track] = TrackIdentityState(np.zeros(len(self.known.names), np.float32), frame_index)
        elif known.seen != self._last:
            known.sure = False
        known.seen = frame_index
        if not np.isfinite(distance[0]):
            return
        held = known.identity if not known.sure else -1
        if held >= 0 and self._claims(distance)[held] > self.limits.match + self.limits.keep:
            # Another object has this track id now.
            known.count, known.identity, known.strangers = 0, -1, TrackEvidence()
        known.sure, known.compared = True, frame_index
        known.count += 1
        known.distance += (distance - known.distance) / np.float32(min(known.count, MEMORY))

    def _claims(self, distance: FloatArray) -> FloatArray:
        """Return distances as they are decided on: larger to an identity that strangers resemble."""
        return distance if self._open_set is None else self._open_set.adjusted(distance)

    def _learn(self, present: list[int], compared: list[int], distance: FloatArray) -> None:
        """Let the threshold learn from the tracks that were compared in this frame, ``(f, k)`` `distance`."""
        if self._open_set is None:
            return
        known = np.stack([self._tracks[track].distance for track in present])
        place = np.array([present.index(track) for track in compared], np.int64)
        evidence = [self._tracks[track].strangers for track in compared] if self._memory else None
        self._open_set.observe(distance, known, place, evidence)
        self.limits = self._limits_now()

    def _limits_now(self) -> MatchLimits:
        config, learnt = self.config, self._open_set
        limits = MatchLimits.of(config) if learnt is None else learnt.limits(config.gallery_keep, config.gallery_margin)
        if self._memory:
            return limits
        # Without tracks every comparison is a first one: the threshold of tracks compared once, where it is learnt.
        match = limits.match - (limits.caution if learnt is not None else 0.0)
        return dataclasses.replace(limits, match=match, caution=0.0)

    def _decide(self, tracks: list[int]) -> None:
        """Assign identities to the present tracks; one that moves on is taken from an absent track."""
        if not tracks:
            return
        known = [self._tracks[track] for track in tracks]
        held = np.array([k.identity for k in known], np.int64)
        count = np.array([k.count for k in known], np.int64)
        claims = self._claims(np.stack([k.distance for k in known]))
        chosen = decide(claims, held, count, self.limits).tolist()
        taken = set(chosen) - {-1}
        for other in self._tracks.values():
            if other.identity in taken:
                other.identity = -1
        for one, identity in zip(known, chosen):
            one.identity = identity

    def _label(self, detections: Detections, rows: dict[int, int]) -> Detections:
        name = np.full(len(detections), None, np.object_)
        distance, margin = (np.full(len(detections), np.nan, np.float32) for _ in range(2))
        coasted = {int(detections.track_id[row]): row for row in np.flatnonzero(detections.coasted).tolist()}
        for track, row in (coasted | rows).items():
            known = self._tracks.get(track)
            if known is not None and known.identity >= 0 and known.sure:
                name[row] = self.known.names[known.identity]
                distance[row] = max(float(known.distance[known.identity]), 0.0)
                margin[row] = margins(known.distance[None])[0, known.identity]
        return detections.replace(gallery_id=name, gallery_distance=distance, gallery_margin=margin)
