"""Measured runs of tracking: one as configured, or one for each budget."""

from __future__ import annotations

import dataclasses
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def measure(config: TrackConfig, tick: Tick) -> RunSummary:
    """Run tracking as configured; the time to first frame counts from the start of the process."""
    with build_tracking(config) as job:
        job.loop.timer.began = process_start()
        job.loop.run(stop=tick)
        return job.summary()


@dataclasses.dataclass(frozen=True)
class BudgetOverrun:
    """Overrun of a budget in a run.

    Attributes:
        budget_ms: The budget.
        frames: Frames with refreshes.
        refreshed: Embeddings refreshed.
        deferred: Deferred refreshes, summed over frames.
        overrun_ms: p50, p95, p99 and maximum of the time by which a frame's refreshes exceeded their budget.
        overrun_crops: The same in crops at that frame's cost.
    """

    budget_ms: float
    frames: int
    refreshed: int
    deferred: int
    overrun_ms: tuple[float, ...]
    overrun_crops: tuple[float, ...]


def measure_budgets(config: TrackConfig, budgets_ms: Sequence[float], tick: Tick) -> Iterator[BudgetOverrun]:
    """Run tracking once for each budget and yield its overrun."""
    for budget in budgets_ms:
        scheduler = dataclasses.replace(config.scheduler, embed_budget_ms=budget)
        summary = measure(dataclasses.replace(config, scheduler=scheduler), tick)
        yield budget_overrun(budget, summary.embeddings, summary.numbers()["refreshed"])


def budget_overrun(budget_ms: float, stats: SchedulerStats, refreshed: int) -> BudgetOverrun:
    """Return a run's overrun from the statistics of its scheduler."""
    over = [
        tuple(np.percentile(beyond or [0.0], PERCENTILES).tolist())
        for beyond in (stats.overrun_ms.tolist(), stats.overrun_crops.tolist())
    ]
    return BudgetOverrun(budget_ms, len(stats.overrun_ms), refreshed, stats.deferred, over[0], over[1])


def peak_mb() -> float:
    """Return the peak memory of the process, MiB."""
    peak: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| " + " | ".join(map(str, cells)) + " |" for cells in (titles, *rows)]
    return [lines[0], "| --- " * len(titles) + "|", *lines[1:]]
