"""The settings of keypoint tracking, documented names and defaults."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.options import require, require_between, require_choice, setting
from mot_dinov3.models.devices import DeviceChoice

MODEL = "facebook/dinov3-vits16-pretrain-lvd1689m"
MASK_KINDS = ("none", "flow", "dino", "cutie")


@dataclasses.dataclass(frozen=True)
class KeypointConfig:
    """How points are followed. Lengths are in patches unless ``px`` is in the name.

    One patch in source pixels is the backend's patch size × short side of the crop ÷ the crop's working short side.

    Raises:
        ConfigError: A value is out of range.
    """

    mask_enforce_position: bool = setting(True, "clamp the chosen point into the instance's mask")
    mask_enforce_snap_radius: float = setting(
        12.0, "how far from the mask, in pixels, a point may be snapped back; farther counts as a miss", metavar="PX"
    )
    motion_search_tighten: float = setting(
        0.85, "scales the base search radius of 2 patches; larger is wider, whatever the name says"
    )
    motion_search_gain: float = setting(0.9, "velocity gain: patches of radius added per patch of smoothed speed")
    motion_search_flow_gain: float | None = setting(
        None, "patches of radius added per patch of measured optical flow (default: as --motion-search-gain)"
    )
    motion_search_min_radius: float = setting(2.5, "smallest search radius, patches")
    motion_search_max_radius: float = setting(12.0, "largest search radius, patches")
    motion_search_miss_boost: float = setting(1.0, "patches added to the radius per consecutive miss")
    motion_prior_penalty_weight: float = setting(
        0.3, "most that is subtracted from a candidate's similarity for its distance from the prediction"
    )
    motion_prior_soft_radius_px: float = setting(20.0, "within so many pixels there is little penalty", metavar="PX")
    motion_prior_radius_factor: float = setting(1.5, "the soft radius is at least the search radius times this")
    motion_prior_miss_relief: float = setting(1.0, "the penalty is divided by 1 + misses × this")
    motion_prior_flow_relief: float = setting(0.0, "the penalty is divided by 1 + speed in pixels × this")
    velocity_smoothing: float = setting(0.3, "weight of the newest displacement in the smoothed velocity")
    symmetry_pairs: str = setting(
        "", "left/right pairs beyond those found by name: a:b,c:d; 'none' turns pairs off", metavar="PAIRS"
    )
    max_mask_fallback_frames: int = setting(
        5, "how long the last mask is reused when the propagator loses an instance", metavar="N"
    )
    short_side: int = setting(768, "working short side of the crop in pixels; --crop-side bounds it", metavar="PX")
    crop_side: int = setting(448, "most pixels of the crop's working side: bounds a backend call's cost", metavar="PX")
    key_every: int = setting(0, "frames from one key frame to the next (0: what suits the backend)", metavar="N")
    masks: str = setting(
        "auto",
        "how the polygon is carried on; auto: dino with the dino backend, else flow",
        choices=("auto", *MASK_KINDS),
    )

    def __post_init__(self) -> None:
        lengths = ("mask_enforce_snap_radius", "motion_prior_soft_radius_px")
        require_between(self, 0, 10_000, *lengths)
        factors = ("motion_search_tighten", "motion_search_gain", "motion_search_miss_boost")
        priors = ("motion_prior_radius_factor", "motion_prior_miss_relief", "motion_prior_flow_relief")
        require_between(self, 0, 100, *factors, *priors, "motion_search_min_radius", "motion_search_max_radius")
        require_between(self, 0, 1, "motion_prior_penalty_weight", "velocity_smoothing")
        if self.motion_search_flow_gain is not None:
            require_between(self, 0, 100, "motion_search_flow_gain")
        radii_in_order = self.motion_search_min_radius <= self.motion_search_max_radius
        low = f"at least motion_search_min_radius {self.motion_search_min_radius:g}"
        require(radii_in_order, "motion_search_max_radius", self.motion_search_max_radius, low)
        require_between(self, 0, 100_000, "max_mask_fallback_frames", "key_every")
        require_between(self, 64, 4096, "short_side", "crop_side")
        require_choice(self, "masks")

    @property
    def flow_gain(self) -> float:
        """Patches of search radius per patch of measured flow."""
        return self.motion_search_gain if self.motion_search_flow_gain is None else self.motion_search_flow_gain

    @property
    def working_side(self) -> int:
        """Largest side of a crop, in pixels."""
        return min(self.short_side, self.crop_side)


@dataclasses.dataclass(frozen=True)
class KeypointJob:
    """What to follow, with what, and what to write.

    Raises:
        ConfigError: A value is out of range.
    """

    video: str | None = setting(None, "a video file, or a folder of images", metavar="PATH")
    result_folder: str | None = setting(
        None, "folder of the labels and the results (default: beside the video, named after it)", metavar="DIR"
    )
    backend: str = setting(
        "auto",
        "dense descriptors; auto: dino if its weights are at hand, else convnet if --weights or a local yolov8n.pt is, "
        "else gradient",
        choices=("auto", "dino", "convnet", "gradient"),
    )
    model: str | None = setting(None, f"DINO model: a hub id or a folder (default {MODEL})", metavar="ID_OR_FOLDER")
    weights: str | None = setting(None, "weights of a detector or ImageNet network for the convnet backend")
    start_frame: int = setting(0, "first frame to write (0-based)", metavar="N")
    end_frame: int | None = setting(None, "stop before this frame", metavar="N")
    step: int = setting(1, "track every Nth frame; the others are interpolated", metavar="N")
    output: str | None = setting(None, "video with the points drawn", metavar="FILE.mp4")
    annolid_csv: bool = setting(False, "also write <stem>_tracking.csv as Annolid does, beside the result folder")
    dlc_csv: bool = setting(False, "also write <stem>_dlc.csv as DeepLabCut does")

    def __post_init__(self) -> None:
        require(self.start_frame >= 0, "start_frame", self.start_frame, "0 or more")
        if self.end_frame is not None:
            require(self.end_frame > self.start_frame, "end_frame", self.end_frame, f"beyond {self.start_frame}")
        require(1 <= self.step <= 1000, "step", self.step, "between 1 and 1000")
        require_choice(self, "backend")


@dataclasses.dataclass(frozen=True)
class KeypointsCommand:
    """All that the command needs, one part per help group."""

    keypoint_job: KeypointJob
    keypoint_device: DeviceChoice
    keypoint: KeypointConfig


@dataclasses.dataclass(frozen=True)
class SimilarityJob:
    """A click, and what to show of it.

    Raises:
        ConfigError: A value is out of range.
    """

    image: str | None = setting(None, "a picture", metavar="FILE")
    video: str | None = setting(None, "a video file or a folder of images", metavar="PATH")
    frame: int = setting(0, "frame that is clicked on (0-based)", metavar="N")
    point: str | None = setting(None, "the clicked place in pixels", metavar="X,Y")
    on_frame: int | None = setting(None, "frame to compare with (default: the clicked one)", metavar="N")
    end_frame: int | None = setting(
        None,
        "where --output is a video: stop before this frame (default: the end); it begins with --on-frame",
        metavar="N",
    )
    opacity: float = setting(0.55, "of the heatmap over the picture")
    output: str = setting("outputs/similarity.png", "picture to write, or video (.mp4)", metavar="FILE")
    npy: str | None = setting(None, "also write the raw cosines, one per patch", metavar="FILE.npy")
    pca: bool = setting(False, "show the three main components of the descriptors instead")
    short_side: int = setting(448, "working short side of the picture in pixels", metavar="PX")
    backend: str = setting(
        "auto", "dense descriptors, as for keypoints", choices=("auto", "dino", "convnet", "gradient")
    )
    model: str | None = setting(None, f"DINO model: a hub id or a folder (default {MODEL})", metavar="ID_OR_FOLDER")
    weights: str | None = setting(None, "weights of a detector or ImageNet network for the convnet backend")

    def __post_init__(self) -> None:
        require_between(self, 0, 1, "opacity")
        require_between(self, 64, 4096, "short_side")
        require(self.frame >= 0, "frame", self.frame, "0 or more")
        if self.on_frame is not None:
            require(self.on_frame >= 0, "on_frame", self.on_frame, "0 or more")
        if self.end_frame is not None:
            require(self.end_frame > self.first_shown, "end_frame", self.end_frame, f"beyond {self.first_shown}")
        require_choice(self, "backend")

    @property
    def first_shown(self) -> int:
        """The frame that is compared with the click, the first one of several."""
        return self.frame if self.on_frame is None else self.on_frame


@dataclasses.dataclass(frozen=True)
class SimilarityCommand:
    """All that `similarity` needs."""

    similarity_job: SimilarityJob
    keypoint_device: DeviceChoice
