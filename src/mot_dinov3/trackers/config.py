"""Options of the trackers; the defaults are the one set that all published figures were made with."""

from __future__ import annotations

import dataclasses
import functools

from mot_dinov3.core.compat import override
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.trackers.kalman import Noise

PER_30_FPS = 30.0


@dataclasses.dataclass(frozen=True)
class TrackerConfig(StageConfig):
    """Options of `AppearanceTracker`; each ingredient can be switched off by its field (False or 0).

    Raises:
        ConfigError: A value is out of range.
    """

    group = "tracker parameters"

    # Which boxes count.
    high_score: float = option(
        0.5, "boxes from this score are matched first, embedded, and may start tracks", low=0, high=1
    )
    low_score: float = option(
        0.1, "boxes below this score are ignored; those up to --high-score only continue tracks", low=0, high=1
    )
    new_score: float = option(0.6, "a box needs this score to start a track", low=0, high=1)
    low_match: bool = option(True, "let low-score boxes continue tracks that were alive in the last frame")

    # Association.
    hungarian: bool = option(True, "assign optimally; off: greedily")
    match_floor: float = option(
        0.16, "least similarity of a match: overlap × score, plus likelihood and appearance", low=0, high=1
    )
    low_floor: float = option(0.5, "the same for low-score boxes (plain overlap)", low=0, high=1)
    tentative_floor: float = option(0.3, "the same for tracks that are not confirmed yet", low=0, high=1)
    score_fusion: bool = option(True, "multiply the overlap by the box's score")
    height_power: float = option(0.7, "weight of the boxes' heights in the overlap; 0 = plain IoU", low=0, high=100)
    likelihood: float = option(
        0.3, "weight of the motion's likelihood beside the overlap; 0 = overlap alone", low=0, high=100
    )
    lost_penalty: float = option(0.02, "what a lost track's similarity is lowered by beside live ones", low=0, high=100)
    contest_noise: float = option(2.5, "a box that two tracks claim moves its owner as if it were this much less exact")
    contest_margin: float = option(
        0.25, "a box is contested when the loser's similarity was lower by no more", low=0, high=1
    )
    growth: float = option(
        1.0, "boxes grow by this many standard deviations of the prediction before they overlap", low=0, high=100
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
        0.15, "seconds after which a lost track's box has nearly stopped growing; 0 = never", low=0, high=100
    )
    camera_motion: bool = option(True, "compensate the camera's motion (needs pictures)")

    # Life.
    confirm_hits: int = option(4, "matches that confirm a track", low=1)
    confirm_score: float = option(0.0, "a box of this score confirms its track at once; 0 = never", low=0, high=1)
    tentative_seconds: float = option(0.1, "a tentative track dies when unmatched for longer", low=0, high=3600)
    lost_seconds: float = option(2.0, "a lost track is looked for this long", low=0, high=3600)
    edge_seconds: float = option(
        0.3, "the same for a track that has left the picture; 0 = no difference", low=0, high=100
    )
    new_overlap: float = option(
        0.6, "no track starts where a live track overlaps the box by more; 1 = always", low=0, high=1
    )

    # Appearance.
    appearance: float = option(0.5, "weight of the appearance beside the overlap; 0 = motion only", low=0, high=100)
    ema: float = option(0.9, "share of a track's old look that an update by a sure box leaves", low=0, high=1)
    recovery: bool = option(True, "let new tracks take over the ids of lost ones that look the same")
    recovery_floor: float = option(
        0.4, "likeness for that, right after the loss: 0 = the embedder's floor, 1 = same", low=0, high=1
    )
    recovery_seconds: float = option(
        8.0, "lost tracks with a known look wait this long to be recovered", low=0, high=3600
    )
    recovery_speed: float = option(2.0, "nobody moves faster, in body heights per second")

    # Output.
    class_mode: str = option(
        "agnostic", "classes: ignored, matched apart, or voted per track", choices=("agnostic", "per-class", "vote")
    )
    coast: bool = option(True, "output a lost track's predicted box for a moment, where such gaps mostly close")
    coast_seconds: float = option(
        0.11, "for how long a lost track's predicted box is output with --coast", low=0, high=3600
    )
    coast_trust: float = option(
        0.6, "share of this stream's gaps that must have closed in that time for --coast", low=0, high=1
    )

    @override
    def check(self) -> None:
        require(self.low_score <= self.high_score, "low_score", self.low_score, "at most high_score")

    @functools.cached_property
    def noise(self) -> Noise:
        """The motion filter's noises."""
        return Noise(self.position_noise, self.velocity_noise, self.box_noise, self.start_noise)


@dataclasses.dataclass(frozen=True)
class HybridConfig(StageConfig):
    """Options of `HybridTracker`.

    Raises:
        ConfigError: A value is out of range.
    """

    group = "gallery_hybrid tracker parameters (--tracker gallery_hybrid)"

    track_thresh: float = option(0.45, "boxes from this score are matched first and may start tracks", low=0, high=1)
    match_thresh: float = option(
        0.8,
        "largest accepted cost 1 - IoU·score of a match, so larger is looser (0.8: IoU·score of at least 0.2)",
        low=0,
        high=1,
    )
    track_buffer: int = option(25, "frames at 30 fps for which a lost track is looked for", metavar="FRAMES", low=0)
    frame_rate: float = option(
        30.0,
        "frame rate by which --track-buffer is scaled; auto: the video's",
        metavar="FPS",
        auto=0.0,
        low=0,
        high=1000,
    )
    per_class: bool = option(False, "track each class by itself: a track never changes its class")
    max_obs: int = option(
        30,
        "observed boxes kept per track: their mean size tells neighbours apart, the last one finds a track that turned",
        low=1,
        high=10_000,
    )

    @property
    def patience(self) -> float:
        """Frames for which a lost track is looked for."""
        return self.track_buffer * (self.frame_rate or PER_30_FPS) / PER_30_FPS
