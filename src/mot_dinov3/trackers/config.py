"""Options of the trackers; the defaults are the one set that all published figures were made with."""

from __future__ import annotations

import dataclasses
import functools

from mot_dinov3.core.compat import override
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.trackers.kalman import Noise
from mot_dinov3.trackers.score_level import LOWEST

PER_30_FPS = 30.0
AUTO = -1.0  # a threshold that follows the stream
NEW_SCORE = 0.6  # that of --new-score auto where a detector is as sure of its boxes as detectors usually are
LEAST_PATIENCE = 3  # frames that scaling by a low frame rate leaves of the hybrid tracker's buffer


@dataclasses.dataclass(frozen=True)
class TrackerConfig(StageConfig):
    """Options of `AppearanceTracker`; each ingredient can be switched off by its field (False or 0)."""

    group = "tracker parameters"

    # Which boxes count.
    high_score: float = option(
        0.5, "boxes from this score are matched first, embedded, and may start tracks", low=0, high=1
    )
    low_score: float = option(
        0.1, "boxes below this score are ignored; those up to --high-score only continue tracks", low=0, high=1
    )
    new_score: float = option(
        AUTO,
        f"a box needs this score to start a track; auto: {NEW_SCORE:g}, or less where a detector's scores are lower; "
        "--high-score and --low-score are then lowered by the same factor, by half at most",
        auto=AUTO,
        low=0,
        high=1,
    )
    low_match: bool = option(True, "let low-score boxes continue tracks that were active in the last frame")

    # Association.
    hungarian: bool = option(True, "optimal assignment; off: greedy")
    match_floor: float = option(
        0.16, "smallest similarity of a match: overlap × score, plus likelihood and appearance", low=0, high=1
    )
    low_floor: float = option(0.5, "smallest similarity for low-score boxes (plain overlap)", low=0, high=1)
    tentative_floor: float = option(0.3, "smallest similarity for tentative tracks", low=0, high=1)
    score_fusion: bool = option(True, "multiply the overlap by the box's score")
    height_power: float = option(0.7, "weight of the boxes' heights in the overlap; 0 = plain IoU", low=0, high=100)
    likelihood: float = option(
        0.3, "weight of the motion likelihood relative to the overlap; 0 = overlap only", low=0, high=100
    )
    lost_penalty: float = option(
        0.02, "penalty on the similarity of lost tracks relative to active ones", low=0, high=100
    )
    fast_objects: bool = option(
        True, "let new tracks take boxes that they do not overlap, two or three box sizes away, where nothing competes"
    )
    contest_noise: float = option(2.5, "factor on the measurement noise of a box that two tracks compete for")
    contest_margin: float = option(
        0.25, "a box is contested if the runner-up's similarity is lower by at most this value", low=0, high=1
    )
    growth: float = option(
        1.0,
        "boxes are expanded by this many standard deviations of the prediction before the overlap is computed",
        low=0,
        high=100,
    )

    # Motion.
    position_noise: float = option(
        0.25, "random walk of positions, object sizes per square root of a second", low=1e-6, high=100
    )
    velocity_noise: float = option(
        0.4, "random walk of velocities, object sizes per second and square root of a second", low=1e-6, high=100
    )
    box_noise: float = option(0.05, "standard deviation of a measured box, in object sizes", low=1e-6, high=100)
    start_noise: float = option(
        2.0, "standard deviation of a new track's velocity, in object sizes per second", low=1e-6, high=100
    )
    size_damping: float = option(
        0.15,
        "time constant, in seconds, of the decay of a lost track's size change; 0 = no decay",
        low=0,
        high=100,
    )
    camera_motion: bool = option(True, "compensate camera motion (needs frames)")
    scene_cuts: bool = option(True, "end all tracks at a hard cut; appearance alone may continue them (needs frames)")

    # Life.
    confirm_hits: int = option(4, "number of matches that confirm a track", low=1, high=1000)
    confirm_score: float = option(0.0, "a box of this score confirms its track at once; 0 = never", low=0, high=1)
    tentative_seconds: float = option(0.1, "a tentative track is removed if unmatched for longer", low=0, high=3600)
    tentative_frames: int = option(
        1, "frames that a tentative track may miss, however long they take", low=0, high=1000
    )
    lost_seconds: float = option(2.0, "a lost track is kept for this time", low=0, high=3600)
    lost_frames: int = option(3, "frames that a lost track may miss, however long they take", low=0, high=1000)
    edge_seconds: float = option(
        0.3, "a lost track that has left the frame is kept for this time; 0 = no difference", low=0, high=100
    )
    edge_frames: int = option(
        1, "frames that a track that has left the frame may miss, however long they take", low=0, high=1000
    )
    new_overlap: float = option(
        0.6, "no track starts where an active track overlaps the box by more; 1 = always", low=0, high=1
    )

    # Appearance.
    appearance: float = option(
        0.5, "weight of the appearance relative to the overlap; 0 = motion only", low=0, high=100
    )
    ema: float = option(0.7, "EMA momentum of a track's embedding in an update by a confident box", low=0, high=1)
    recovery: bool = option(
        True, "re-identification: let new tracks take over the ids of lost ones with the same appearance"
    )
    recovery_evidence: float = option(
        0.0,
        "log-likelihood ratio of the same object, beyond a choice among the candidates, required for re-identification",
        low=-20,
        high=20,
    )
    recovery_seconds: float = option(
        15.0, "time for which lost tracks with an embedding can be re-identified", low=0, high=3600
    )
    recovery_speed: float = option(2.0, "maximum speed, in box heights per second")

    # Output.
    class_mode: str = option(
        "agnostic",
        "classes: ignored, matched separately, or voted per track",
        choices=("agnostic", "per-class", "vote"),
    )
    coast: bool = option(True, "output predicted boxes of lost tracks briefly, where such gaps mostly close")
    coast_seconds: float = option(
        0.11, "time for which predicted boxes of a lost track are output with --coast", low=0, high=3600
    )
    coast_frames: int = option(2, "frames for which they are output, however long they take", low=0, high=1000)
    coast_trust: float = option(
        0.6, "share of the stream's gaps that must close within that time for --coast", low=0, high=1
    )

    @override
    def check(self) -> None:
        require(self.low_score <= self.high_score, "low_score", self.low_score, "at most high_score")

    @property
    def follows_scores(self) -> bool:
        """Whether the score thresholds follow the scores of the stream."""
        return self.new_score < 0

    @property
    def starting_score(self) -> float:
        """Score that a box needs to start a track, at the level of usual detectors."""
        return NEW_SCORE if self.follows_scores else self.new_score

    @property
    def least_starting_score(self) -> float:
        """Score below which no box starts a track, whatever the stream."""
        return NEW_SCORE * LOWEST if self.follows_scores else min(self.new_score, self.high_score)

    @functools.cached_property
    def noise(self) -> Noise:
        """The motion filter's noises."""
        return Noise(self.position_noise, self.velocity_noise, self.box_noise, self.start_noise)


@dataclasses.dataclass(frozen=True)
class HybridConfig(StageConfig):
    """Options of `HybridTracker`."""

    group = "gallery_hybrid tracker parameters (--tracker gallery_hybrid)"

    track_thresh: float = option(0.45, "boxes from this score are matched first and may start tracks", low=0, high=1)
    match_thresh: float = option(
        0.8,
        "largest accepted cost 1 - IoU·score of a match, so larger is looser (0.8: IoU·score of at least 0.2)",
        low=0,
        high=1,
    )
    track_buffer: int = option(25, "frames at 30 fps for which a lost track is kept", metavar="FRAMES", low=0)
    frame_rate: float = option(
        30.0,
        "frame rate by which --track-buffer is scaled; auto: the video's",
        metavar="FPS",
        auto=0.0,
        low=0,
        high=1000,
    )
    per_class: bool = option(False, "track each class separately: a track never changes its class")
    max_obs: int = option(
        30,
        "observed boxes kept per track: their mean size distinguishes neighbours, the last one recovers a "
        "track that turned",
        low=1,
        high=10_000,
    )

    @property
    def patience(self) -> float:
        """Frames for which a lost track can be matched again."""
        scaled = self.track_buffer * (self.frame_rate or PER_30_FPS) / PER_30_FPS
        return max(scaled, min(self.track_buffer, LEAST_PATIENCE))
