"""Options of keypoint tracking."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.compat import override
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.keypoints.skeleton import symmetry_pairs

MASK_KINDS = ("none", "flow", "dino", "cutie")


@dataclasses.dataclass(frozen=True)
class KeypointConfig(StageConfig):
    """Options of the keypoint tracker. Lengths are in patches unless ``px`` is in the name.

    One patch in source pixels is the backend's patch size × short side of the crop ÷ the crop's working short side.

    Raises:
        ConfigError: A value is out of range.
    """

    group = "keypoint tracking (lengths in patches unless px is in the name)"

    mask_enforce_position: bool = option(True, "clamp the selected point to the instance mask")
    mask_enforce_snap_radius: float = option(
        12.0,
        "largest distance from the mask, in pixels, from which a point is snapped back; farther counts as a miss",
        metavar="PX",
        low=0,
        high=10_000,
    )
    motion_search_tighten: float = option(
        0.85, "scale of the base search radius of 2 patches; larger is wider, despite the name", low=0, high=100
    )
    motion_search_gain: float = option(
        0.9, "velocity gain: patches of radius added per patch of smoothed speed", low=0, high=100
    )
    motion_search_flow_gain: float | None = option(
        None,
        "patches of radius added per patch of measured optical flow (default: as --motion-search-gain)",
        low=0,
        high=100,
    )
    motion_search_min_radius: float = option(2.5, "smallest search radius, patches", low=0, high=100)
    motion_search_max_radius: float = option(12.0, "largest search radius, patches", low=0, high=100)
    motion_search_miss_boost: float = option(1.0, "patches added to the radius per consecutive miss", low=0, high=100)
    motion_prior_penalty_weight: float = option(
        0.3, "largest penalty on a candidate's similarity for its distance from the prediction", low=0, high=1
    )
    motion_prior_soft_radius_px: float = option(
        20.0, "radius in pixels within which the penalty is small", metavar="PX", low=0, high=10_000
    )
    motion_prior_radius_factor: float = option(
        1.5, "the soft radius is at least the search radius times this", low=0, high=100
    )
    motion_prior_miss_relief: float = option(1.0, "the penalty is divided by 1 + misses × this", low=0, high=100)
    motion_prior_flow_relief: float = option(
        0.0, "the penalty is divided by 1 + speed in pixels × this", low=0, high=100
    )
    velocity_smoothing: float = option(0.3, "weight of the newest displacement in the smoothed velocity", low=0, high=1)
    symmetry_pairs: str = option(
        "", "left/right pairs in addition to those found by name: a:b,c:d; 'none' disables pairs", metavar="PAIRS"
    )
    max_mask_fallback_frames: int = option(
        5,
        "number of frames for which the last mask is reused when the propagator loses an instance",
        metavar="N",
        low=0,
        high=100_000,
    )
    short_side: int = option(
        768,
        "shorter side of the processed crop in pixels; limited by --crop-side",
        metavar="PX",
        low=64,
        high=4096,
        common=True,
    )
    crop_side: int = option(
        448,
        "largest side of the processed crop in pixels: limits the cost of a backend call",
        metavar="PX",
        low=64,
        high=4096,
    )
    key_every: int = option(
        0, "key frame interval in frames (0: depends on the backend)", metavar="N", low=0, high=100_000
    )
    masks: str = option(
        "auto",
        "mask propagation; auto: dino with the dino backend, else flow",
        choices=("auto", *MASK_KINDS),
        common=True,
    )

    @override
    def check(self) -> None:
        symmetry_pairs((), self.symmetry_pairs)
        radii_in_order = self.motion_search_min_radius <= self.motion_search_max_radius
        low = f"at least motion_search_min_radius {self.motion_search_min_radius:g}"
        require(radii_in_order, "motion_search_max_radius", self.motion_search_max_radius, low)

    @property
    def outline_drifts(self) -> bool:
        """The outline is followed by flow, and less certain than a point that resembles its label."""
        return self.masks == "flow"

    @property
    def flow_gain(self) -> float:
        """Patches of search radius per patch of measured flow."""
        return self.motion_search_gain if self.motion_search_flow_gain is None else self.motion_search_flow_gain


@dataclasses.dataclass(frozen=True)
class MethodParts:
    """The parts of the method in use; an ablation turns some off.

    Attributes:
        alignment: Measure against the labelled frame.
        colours: Correct the pose by the instance's colours.
        skeleton: Use the spatial relations between keypoints.
        two_sided: Track gaps between two labelled frames from both.
    """

    alignment: bool = True
    colours: bool = True
    skeleton: bool = True
    two_sided: bool = True


ALL_PARTS = MethodParts()
