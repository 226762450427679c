"""Options of keypoint tracking and of similarity."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.compat import override
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.models.devices import DeviceChoice

MODEL = "facebook/dinov3-vits16-pretrain-lvd1689m"
MASK_KINDS = ("none", "flow", "dino", "cutie")


@dataclasses.dataclass(frozen=True)
class KeypointConfig(StageConfig):
    """How points are followed. Lengths are in patches unless ``px`` is in the name.

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
        768, "shorter side of the processed crop in pixels; limited by --crop-side", metavar="PX", low=64, high=4096
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
    )

    @override
    def check(self) -> None:
        radii_in_order = self.motion_search_min_radius <= self.motion_search_max_radius
        low = f"at least motion_search_min_radius {self.motion_search_min_radius:g}"
        require(radii_in_order, "motion_search_max_radius", self.motion_search_max_radius, low)

    @property
    def flow_gain(self) -> float:
        """Patches of search radius per patch of measured flow."""
        return self.motion_search_gain if self.motion_search_flow_gain is None else self.motion_search_flow_gain

    @property
    def working_side(self) -> int:
        """Largest side of a crop, in pixels."""
        return min(self.short_side, self.crop_side)


@dataclasses.dataclass(frozen=True)
class KeypointJobConfig(StageConfig):
    """What to follow, with what, and what to write.

    Raises:
        ConfigError: A value is out of range.
    """

    group = "input and output"

    video: str | None = option(None, "a video file, or a folder of images", metavar="PATH")
    result_folder: str | None = option(
        None, "folder of the labels and results (default: next to the video, with its name)", metavar="DIR"
    )
    backend: str = option(
        "auto",
        "dense descriptors; auto: dino if its weights are available, else convnet if --weights or a local "
        "yolov8n.pt is available, else gradient",
        choices=("auto", "dino", "convnet", "gradient"),
    )
    model: str | None = option(None, f"DINO model: a hub id or a folder (default {MODEL})", metavar="ID_OR_FOLDER")
    weights: str | None = option(None, "weights of a detector or ImageNet network for the convnet backend")
    start_frame: int = option(0, "first frame to write (0-based)", metavar="N", low=0)
    end_frame: int | None = option(None, "stop before this frame", metavar="N")
    step: int = option(1, "track every Nth frame; the others are interpolated", metavar="N", low=1, high=1000)
    output: str | None = option(None, "video with the points drawn", metavar="FILE.mp4")
    annolid_csv: bool = option(
        False, "also write <stem>_tracking.csv in the format of Annolid, next to the result folder"
    )
    dlc_csv: bool = option(False, "also write <stem>_dlc.csv in the format of DeepLabCut")

    @override
    def check(self) -> None:
        if self.end_frame is not None:
            require(self.end_frame > self.start_frame, "end_frame", self.end_frame, f"beyond {self.start_frame}")


@dataclasses.dataclass(frozen=True)
class KeypointsOptions:
    """All that the command needs, one part per help group."""

    keypoint_job: KeypointJobConfig
    keypoint_device: DeviceChoice
    keypoint: KeypointConfig


@dataclasses.dataclass(frozen=True)
class SimilarityConfig(StageConfig):
    """A click, and what to show of it.

    Raises:
        ConfigError: A value is out of range.
    """

    group = "input and output"

    image: str | None = option(None, "image to process", metavar="FILE")
    video: str | None = option(None, "a video file or a folder of images", metavar="PATH")
    frame: int = option(0, "frame of the selected point (0-based)", metavar="N", low=0)
    point: str | None = option(None, "selected point in pixels", metavar="X,Y")
    on_frame: int | None = option(None, "frame to compare with (default: the one of --frame)", metavar="N", low=0)
    end_frame: int | None = option(
        None,
        "if --output is a video: stop before this frame (default: the end); it starts at --on-frame",
        metavar="N",
    )
    opacity: float = option(0.55, "opacity of the heatmap", low=0, high=1)
    output: str = option("outputs/similarity.png", "output image, or video (.mp4)", metavar="FILE")
    npy: str | None = option(None, "also write the raw cosines, one per patch", metavar="FILE.npy")
    pca: bool = option(False, "show the three principal components of the descriptors instead")
    short_side: int = option(448, "shorter side of the processed image in pixels", metavar="PX", low=64, high=4096)
    backend: str = option(
        "auto", "dense descriptors, as for keypoints", choices=("auto", "dino", "convnet", "gradient")
    )
    model: str | None = option(None, f"DINO model: a hub id or a folder (default {MODEL})", metavar="ID_OR_FOLDER")
    weights: str | None = option(None, "weights of a detector or ImageNet network for the convnet backend")

    @override
    def check(self) -> None:
        if self.end_frame is not None:
            require(self.end_frame > self.first_shown, "end_frame", self.end_frame, f"beyond {self.first_shown}")

    @property
    def first_shown(self) -> int:
        """The frame that is compared with the click, the first one of several."""
        return self.frame if self.on_frame is None else self.on_frame


@dataclasses.dataclass(frozen=True)
class SimilarityOptions:
    """All that `similarity` needs."""

    similarity_job: SimilarityConfig
    keypoint_device: DeviceChoice
