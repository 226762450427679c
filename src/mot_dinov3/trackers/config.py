"""What can be set on the tracker; the defaults are the one set that all published figures were made with."""

from __future__ import annotations

import dataclasses
import functools

from mot_dinov3.core.options import require, require_between, require_choice, setting
from mot_dinov3.trackers.kalman import Noise


@dataclasses.dataclass(frozen=True)
class TrackerConfig:
    """Settings of `AppearanceTracker`; each ingredient can be switched off by its field (False or 0).

    Raises:
        ConfigError: A value is out of range.
    """

    # Which boxes count.
    high_score: float = setting(0.5, "boxes from this score are matched first, embedded, and may start tracks")
    low_score: float = setting(0.1, "boxes below this score are ignored; those up to --high-score only continue tracks")
    new_score: float = setting(0.6, "a box needs this score to start a track")
    low_match: bool = setting(True, "let low-score boxes continue tracks that were alive in the last frame")

    # Association.
    hungarian: bool = setting(True, "assign optimally; off: greedily")
    match_floor: float = setting(0.16, "least similarity of a match: overlap × score, plus likelihood and appearance")
    low_floor: float = setting(0.5, "the same for low-score boxes (plain overlap)")
    tentative_floor: float = setting(0.3, "the same for tracks that are not confirmed yet")
    score_fusion: bool = setting(True, "multiply the overlap by the box's score")
    height_power: float = setting(0.7, "weight of the boxes' heights in the overlap; 0 = plain IoU")
    likelihood: float = setting(0.3, "weight of the motion's likelihood beside the overlap; 0 = overlap alone")
    lost_penalty: float = setting(0.02, "what a lost track's similarity is lowered by beside live ones")
    contest_noise: float = setting(
        2.5, "a box that two tracks claim moves its owner as if it were this much less exact"
    )
    contest_margin: float = setting(0.25, "a box is contested when the loser's similarity was lower by no more")
    growth: float = setting(1.0, "boxes grow by this many standard deviations of the prediction before they overlap")

    # Motion.
    position_noise: float = setting(0.25, "random walk of positions, object sizes per square root of a second")
    velocity_noise: float = setting(
        0.4, "random walk of velocities, object sizes per second and square root of a second"
    )
    box_noise: float = setting(0.05, "standard deviation of a measured box, in object sizes")
    start_noise: float = setting(2.0, "standard deviation of a new track's velocity, in object sizes per second")
    size_damping: float = setting(0.15, "seconds after which a lost track's box has nearly stopped growing; 0 = never")
    camera_motion: bool = setting(True, "compensate the camera's motion (needs pictures)")

    # Life.
    confirm_hits: int = setting(4, "matches that confirm a track")
    confirm_score: float = setting(0.0, "a box of this score confirms its track at once; 0 = never")
    tentative_seconds: float = setting(0.1, "a tentative track dies when unmatched for longer")
    lost_seconds: float = setting(2.0, "a lost track is looked for this long")
    edge_seconds: float = setting(0.3, "the same for a track that has left the picture; 0 = no difference")
    new_overlap: float = setting(0.6, "no track starts where a live track overlaps the box by more; 1 = always")

    # Appearance.
    appearance: float = setting(0.5, "weight of the appearance beside the overlap; 0 = motion only")
    ema: float = setting(0.9, "share of a track's old look that an update by a sure box leaves")
    recovery: bool = setting(True, "let new tracks take over the ids of lost ones that look the same")
    recovery_floor: float = setting(0.4, "likeness for that, right after the loss: 0 = the embedder's floor, 1 = same")
    recovery_seconds: float = setting(8.0, "lost tracks with a known look wait this long to be recovered")
    recovery_speed: float = setting(2.0, "nobody moves faster, in body heights per second")

    # Output.
    class_mode: str = setting(
        "agnostic", "classes: ignored, matched apart, or voted per track", choices=("agnostic", "per-class", "vote")
    )
    coast: bool = setting(True, "output a lost track's predicted box for a moment, where such gaps mostly close")
    coast_seconds: float = setting(0.11, "for how long a lost track's predicted box is output with --coast")
    coast_trust: float = setting(0.6, "share of this stream's gaps that must have closed in that time for --coast")

    def __post_init__(self) -> None:
        require_between(
            self,
            0,
            1,
            "low_score",
            "high_score",
            "new_score",
            "match_floor",
            "low_floor",
            "contest_margin",
            "coast_trust",
        )
        require_between(self, 0, 1, "tentative_floor", "new_overlap", "confirm_score")
        require_between(self, 0, 1, "ema", "recovery_floor")
        require_between(
            self,
            0,
            100,
            "height_power",
            "growth",
            "likelihood",
            "lost_penalty",
            "appearance",
            "size_damping",
            "edge_seconds",
        )
        require_between(self, 0, 3600, "tentative_seconds", "lost_seconds", "coast_seconds", "recovery_seconds")
        require_between(self, 1e-6, 100, "position_noise", "velocity_noise", "box_noise", "start_noise")
        require(self.low_score <= self.high_score, "low_score", self.low_score, "at most high_score")
        require(self.confirm_hits >= 1, "confirm_hits", self.confirm_hits, "at least 1")
        require_choice(self, "class_mode")

    @functools.cached_property
    def noise(self) -> Noise:
        """The motion filter's noises."""
        return Noise(self.position_noise, self.velocity_noise, self.box_noise, self.start_noise)
