"""Options of the `keypoints` and `similarity` commands."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.compat import override
from mot_dinov3.core.files import output_file
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.models.devices import DeviceChoice

MODEL = "facebook/dinov3-vits16-pretrain-lvd1689m"


@dataclasses.dataclass(frozen=True)
class BackendConfig(StageConfig):
    """The source of dense descriptors.

    Raises:
        ConfigError: There is no such backend.
    """

    group = "dense descriptors"

    backend: str = option(
        "auto",
        "dense descriptors; auto: dino if its weights are available, else convnet if --weights or a local "
        "yolov8n.pt is available, else gradient",
        choices=("auto", "dino", "convnet", "gradient"),
        common=True,
    )
    model: str | None = option(
        None, f"DINO model: a hub id or a folder (default {MODEL})", metavar="ID_OR_FOLDER", common=True
    )
    weights: str | None = option(None, "weights of a detector or ImageNet network for the convnet backend", common=True)
    dino_blocks: str = option(
        "",
        "blocks of the DINO model whose patch tokens are compared, from 1, such as 9,12 (default: the last one and the "
        "one at three quarters of the depth)",
        metavar="N,…",
    )
    dino_debias: bool = option(
        False, "subtract from DINO's tokens what they say about the place in the image, measured on random images"
    )

    @override
    def check(self) -> None:
        parts = [part.strip() for part in self.dino_blocks.split(",")] if self.dino_blocks else []
        are_blocks = all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts)
        require(are_blocks, "dino_blocks", self.dino_blocks, "numbers from 1, separated by commas")

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks that are named."""
        return tuple(sorted({int(part) for part in self.dino_blocks.split(",")})) if self.dino_blocks else ()


@dataclasses.dataclass(frozen=True)
class KeypointJobConfig(StageConfig):
    """Input video, labels, frame range and outputs.

    Raises:
        ConfigError: A value is out of range.
    """

    group = "input and output"

    source: str | None = option(
        None, "a video file, or a folder of images", metavar="PATH", common=True, positional=True, aliases=("video",)
    )
    result_folder: str | None = option(
        None,
        "folder of the labels and results (default: next to the video, with its name)",
        metavar="DIR",
        common=True,
        writes=True,
    )
    start_frame: int = option(0, "first frame to write (0-based)", metavar="N", low=0, common=True)
    end_frame: int | None = option(None, "stop before this frame", metavar="N", common=True)
    step: int = option(1, "track every Nth frame; the others are interpolated", metavar="N", low=1, high=1000)
    output: str | None = option(
        None, "video with the points drawn (.mp4, .m4v, .mov, .mkv or .webm)", metavar="FILE", common=True, writes=True
    )
    annolid_csv: bool = option(
        False,
        "also write <stem>_tracking.csv in the format of Annolid, next to the result folder",
        common=True,
        writes=True,
    )
    dlc_csv: bool = option(False, "also write <stem>_dlc.csv in the format of DeepLabCut", common=True, writes=True)
    dlc_h5: bool = option(
        False, "also write <stem>_dlc.h5 in the format of DeepLabCut; needs the extra 'poses'", writes=True
    )
    sleap_h5: bool = option(
        False, "also write <stem>_sleap.analysis.h5, SLEAP's analysis file; needs the extra 'poses'", writes=True
    )
    movement_nc: bool = option(
        False, "also write <stem>_movement.nc, a netCDF data set of movement; needs the extra 'poses'", writes=True
    )

    @override
    def check(self) -> None:
        output_file(self.output or "")
        if self.end_frame is not None:
            require(self.end_frame > self.start_frame, "end_frame", self.end_frame, f"beyond {self.start_frame}")


@dataclasses.dataclass(frozen=True)
class KeypointsOptions:
    """Options of the `keypoints` command, one part per help group."""

    keypoint_job: KeypointJobConfig
    keypoint_backend: BackendConfig
    keypoint_device: DeviceChoice
    keypoint: KeypointConfig


@dataclasses.dataclass(frozen=True)
class SimilarityConfig(StageConfig):
    """Clicked position, compared frames and outputs.

    Raises:
        ConfigError: A value is out of range.
    """

    group = "input and output"

    image: str | None = option(None, "image to process", metavar="FILE")
    source: str | None = option(
        None, "a video file or a folder of images", metavar="PATH", common=True, positional=True, aliases=("video",)
    )
    frame: int = option(0, "frame of the selected point (0-based)", metavar="N", low=0)
    point: str | None = option(None, "selected point in pixels", metavar="X,Y")
    on_frame: int | None = option(None, "frame to compare with (default: the one of --frame)", metavar="N", low=0)
    end_frame: int | None = option(
        None,
        "if --output is a video: stop before this frame (default: the end); it starts at --on-frame",
        metavar="N",
        common=True,
    )
    opacity: float = option(0.55, "opacity of the heatmap", low=0, high=1)
    output: str = option(
        "outputs/similarity.png", "output image, or video (.mp4)", metavar="FILE", common=True, writes=True
    )
    npy: str | None = option(None, "also write the raw cosines, one per patch", metavar="FILE.npy", writes=True)
    pca: bool = option(False, "show the three principal components of the descriptors instead")
    short_side: int = option(448, "shorter side of the processed image in pixels", metavar="PX", low=64, high=4096)

    @override
    def check(self) -> None:
        for name in (self.output, self.npy or ""):
            output_file(name)
        if self.end_frame is not None:
            require(self.end_frame > self.first_shown, "end_frame", self.end_frame, f"beyond {self.first_shown}")

    @property
    def first_shown(self) -> int:
        """The frame that is compared with the click, the first one of several."""
        return self.frame if self.on_frame is None else self.on_frame


@dataclasses.dataclass(frozen=True)
class SimilarityOptions:
    """Options of the `similarity` command, one part per help group."""

    similarity_job: SimilarityConfig
    keypoint_backend: BackendConfig
    keypoint_device: DeviceChoice
