"""Options of `batch` beside those of tracking."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.compat import override
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.pipeline.config import TrackConfig

ENGINES = ("local", "ray")


@dataclasses.dataclass(frozen=True)
class BatchConfig(StageConfig):
    """Result folder of a batch, and the engine that runs it."""

    group = "batch processing"

    out_dir: str = option(
        "", "result folder; contains one folder per video, with its name", metavar="DIR", common=True, writes=True
    )
    engine: str = option("local", "processes on this computer, or tasks on a Ray cluster", choices=ENGINES, common=True)
    workers: int | None = option(
        None,
        "videos processed at the same time (default: 1 with local, limited by the cluster with ray)",
        metavar="N",
        low=1,
        common=True,
    )
    ray_address: str = option("auto", "address of the Ray cluster: auto or HOST:PORT (--engine ray)", metavar="ADDRESS")
    cpus_per_video: float = option(
        1.0, "CPUs that Ray reserves per video (--engine ray)", metavar="X", above=0, high=1e6
    )
    gpus_per_video: float = option(
        0.0, "share of a GPU that Ray reserves per video (--engine ray); 0: no GPU", metavar="X", low=0
    )

    @override
    def check(self) -> None:
        require(bool(self.out_dir.strip()), "out_dir", repr(self.out_dir), "a folder: --out-dir DIR")
        gpus = self.gpus_per_video
        require(gpus <= 1 or gpus == int(gpus), "gpus_per_video", gpus, "a fraction of 1, or a whole number")


@dataclasses.dataclass(frozen=True)
class _BatchPart:
    batch: BatchConfig


@dataclasses.dataclass(frozen=True)
class BatchOptions(TrackConfig, _BatchPart):
    """All options of `batch`: its own ones first, then those of tracking."""
