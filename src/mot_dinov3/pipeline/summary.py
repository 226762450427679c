"""What a run cost and what it found, as numbers and as the lines that a person reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mot_dinov3.scheduler import CRITICAL, SchedulerStats
from mot_dinov3.structures import Detections, ModelInfo, Reason
from mot_dinov3.timing import StageTimer

STAGES = ("read", "detect", "embed", "track", "draw", "write", "wait")
BESIDE = {"read": "in its own thread", "write": "in its own thread", "wait": "for reading and writing"}
WORDS = {Reason.NEW: "new", Reason.WEAK_IOU: "weak IoU", Reason.CROWDED: "crowded"}


class Counts:
    """Counts what passes through a run."""

    def __init__(self) -> None:
        self.frames = 0
        self.detections = 0
        self.tracks = 0
        self.second_pass_ms = 0.0

    def add(self, detections: Detections) -> None:
        """Count one frame's rows."""
        self.frames += 1
        self.detections += int((~detections.coasted).sum())
        self.tracks = max(self.tracks, int(detections.track_id.max(initial=0)))


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """The end of a run.

    Attributes:
        counts: Frames, detections, identities.
        timer: Stage times and latencies.
        embeddings: What the scheduler did.
        models: What was really loaded, detector first.
        notices: Fallbacks taken and other things worth knowing.
        files: What was written.
    """

    counts: Counts
    timer: StageTimer
    embeddings: SchedulerStats
    models: Sequence[ModelInfo]
    notices: Sequence[str]
    files: Sequence[str]

    def lines(self) -> list[str]:
        """Return the summary as a person reads it."""
        return [
            *self._speed(),
            *self._stages(),
            *self._embeddings(),
            *(f"model       {_model(info)}" for info in self.models),
            *(f"notice      {notice}" for notice in self.notices),
            *(f"written     {name}" for name in self.files),
        ]

    def _speed(self) -> list[str]:
        latency = np.asarray(self.timer.frame_ms)
        counts = self.counts
        first = f"frames      {counts.frames}, {counts.detections} detections, {counts.tracks} identities"
        if not len(latency):
            return [first]
        p50, p95 = np.percentile(latency, (50, 95))
        return [
            first,
            f"speed       {1e3 * len(latency) / (latency.sum() + counts.second_pass_ms):.1f} fps effective",
            f"latency     mean {latency.mean():.1f} ms   p50 {p50:.1f}   p95 {p95:.1f} per frame",
        ]

    def _stages(self) -> list[str]:
        """Return ms per frame of each stage and its share of the wall time; read and write go on beside the others."""
        frames = max(self.counts.frames, 1)
        wall = max(sum(self.timer.frame_ms) + self.counts.second_pass_ms, 1e-9)
        rows = [(name, self.timer.stage_ms.get(name, 0.0)) for name in STAGES]
        return [
            f"  {name:<9} {ms / frames:8.2f} ms {100 * ms / wall:5.1f} %   {BESIDE.get(name, '')}".rstrip()
            for name, ms in rows
        ]

    def _embeddings(self) -> list[str]:
        stats = self.embeddings
        share = 100 * stats.total / max(self.counts.detections, 1)
        per_frame = stats.total / max(self.counts.frames, 1)
        critical = ", ".join(f"{WORDS[r]} {stats.computed[r]}" for r in CRITICAL)
        return [
            f"embeddings  {stats.total} computed ({per_frame:.2f} a frame, {share:.1f} % of detections), "
            f"{stats.reused + stats.deferred} reused",
            f"  critical: {critical}   refresh: {stats.computed[Reason.REFRESH]}",
            f"  deferred {stats.deferred}, backlog at the end {stats.backlog}, "
            f"worst budget overshoot {stats.worst_overshoot_ms:.1f} ms",
        ]


def _model(info: ModelInfo) -> str:
    where = " ".join(part for part in (info.device, info.precision) if part)
    return f"{info.name} {info.weights} ({where})".replace("  ", " ")
