"""The main job, measured: as it is, and once for each budget."""

from __future__ import annotations

import dataclasses
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.timing import process_start
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.summary import RunSummary
from mot_dinov3.pipeline.wiring import build_tracking
from mot_dinov3.scheduler import SchedulerStats

Tick = Callable[[], bool]
"""Called after each frame; true ends the run there."""

PERCENTILES = (50, 95, 99, 100)


@dataclasses.dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        summary: Its own.
        peak_mb: Most memory that the process had until now, MiB.
    """

    summary: RunSummary
    peak_mb: float


def measure(config: TrackConfig, tick: Tick) -> Measured:
    """Run the main job as configured; the time to the first frame counts from the start of the process."""
    job = build_tracking(config)
    job.loop.timer.began = process_start()
    job.loop.run(stop=tick)
    return Measured(job.summary(), peak_mb())


@dataclasses.dataclass(frozen=True)
class Adherence:
    """How a run kept to a budget.

    Attributes:
        budget_ms: The budget.
        frames: Frames with refreshes.
        refreshed: Embeddings refreshed.
        deferred: Refreshes put off, summed over frames.
        overrun_ms: p50, p95, p99 and maximum of what a frame's refreshes took beyond what they had been given.
        overrun_crops: The same in crops of that frame's own cost.
    """

    budget_ms: float
    frames: int
    refreshed: int
    deferred: int
    overrun_ms: tuple[float, ...]
    overrun_crops: tuple[float, ...]


def keep_budgets(config: TrackConfig, budgets_ms: Sequence[float], tick: Tick) -> Iterator[Adherence]:
    """Run the main job once for each budget and yield how it was kept."""
    for budget in budgets_ms:
        scheduler = dataclasses.replace(config.scheduler, embed_budget_ms=budget)
        summary = measure(dataclasses.replace(config, scheduler=scheduler), tick).summary
        yield adherence(budget, summary.embeddings, summary.numbers()["refreshed"])


def adherence(budget_ms: float, stats: SchedulerStats, refreshed: int) -> Adherence:
    """Return how a run kept to its budget, by its scheduler's records."""
    over = [tuple(np.percentile(beyond or [0.0], PERCENTILES).tolist()) for beyond in _overruns(stats)]
    return Adherence(budget_ms, len(stats.overrun_ms), refreshed, stats.deferred, over[0], over[1])


def _overruns(stats: SchedulerStats) -> tuple[list[float], list[float]]:
    return stats.overrun_ms.tolist(), stats.overrun_crops.tolist()


def peak_mb() -> float:
    """Return the most memory that the process ever had, MiB."""
    peak: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)
