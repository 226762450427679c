"""What `batch` needs to know beside the main job's own options."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.options import require, require_choice, setting
from mot_dinov3.pipeline.config import TrackConfig

ENGINES = ("local", "ray")


@dataclasses.dataclass(frozen=True)
class BatchConfig:
    """Where the results of many videos go, and what runs them."""

    out_dir: str = setting("", "folder of the results; in it a folder per video, named after it", metavar="DIR")
    engine: str = setting("local", "processes of this computer, or tasks on a Ray cluster", choices=ENGINES)
    workers: int | None = setting(
        None, "videos at a time (default: 1 with local, as many as the cluster has room for with ray)", metavar="N"
    )
    ray_address: str = setting("auto", "the running cluster: auto or HOST:PORT (--engine ray)", metavar="ADDRESS")
    cpus_per_video: float = setting(1.0, "what Ray sets aside for a video (--engine ray)", metavar="X")
    gpus_per_video: float = setting(
        0.0, "share of a GPU that Ray sets aside for a video (--engine ray); 0: it sees none", metavar="X"
    )

    def __post_init__(self) -> None:
        require(bool(self.out_dir.strip()), "out_dir", repr(self.out_dir), "a folder: --out-dir DIR")
        require_choice(self, "engine")
        require(self.workers is None or self.workers >= 1, "workers", self.workers, "1 or more")
        require(0 < self.cpus_per_video < 1e6, "cpus_per_video", self.cpus_per_video, "above 0")
        gpus = self.gpus_per_video
        require(0 <= gpus <= 1 or gpus == int(gpus), "gpus_per_video", gpus, "a fraction of 1, or a whole number")


@dataclasses.dataclass(frozen=True)
class _BatchPart:
    batch: BatchConfig


@dataclasses.dataclass(frozen=True)
class BatchCommand(TrackConfig, _BatchPart):
    """All that `batch` takes: its own options first, then those of the main job."""
