"""Summary of a run: its results, then its costs, as numbers and as lines of text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mot_dinov3.core.structures import ModelInfo, Reason
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.pipeline.detection_scheduler import DetectionReason, DetectionScheduler
from mot_dinov3.pipeline.loop import Counts
from mot_dinov3.scheduler import CRITICAL, SchedulerStats
from mot_dinov3.sinks.base import TrackOverview
from mot_dinov3.trackers.appearance_model import AppearanceCalibration, CosineDistribution

STAGES = ("read", "detect", "embed", "track", "draw", "write", "save", "wait", "other")
THREADS = ("read", "write")  # run in parallel to all others, which add up to the wall time
MEANING = {
    "read": "in a separate thread",
    "write": "the video, in a separate thread",
    "save": "all other files",
    "wait": "for reading and writing",
    "other": "overhead",
}
PARTS = {
    "read": "decoder",
    "write": "encoder",
    "detect": "detector",
    "embed": "embedder",
    "track": "tracker",
    "draw": "drawing",
    "save": "writing of files",
}
MODELS = ("detector", "embedder")  # what has a model
WORDS = {Reason.NEW: "new", Reason.WEAK_IOU: "weak IoU", Reason.CROWDED: "crowded", Reason.REFRESH: "refresh"}
LEAST_SHARE = 1.0  # percent of the time from which a stage is named
LEAST_MS = 0.005  # per frame; what rounds to nothing is left out of the profile


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """The end of a run.

    Attributes:
        counts: Frames, detections, identities.
        timer: Stage times and latencies.
        embeddings: Sums of the scheduler.
        models: Loaded models, as in `MODELS`.
        notices: Fallbacks taken and other things worth knowing.
        files: Written files.
        counted: Counts of lines and zones.
        appearance: What the tracker learned of the embeddings, None without any.
        overview: What was tracked; None where that was not gathered.
        detection: Frames by the reason why the detector ran, or did not; None where that was not decided.
    """

    counts: Counts
    timer: StageTimer
    embeddings: SchedulerStats
    models: Sequence[ModelInfo]
    notices: Sequence[str]
    files: Sequence[str]
    counted: Sequence[str] = ()
    appearance: AppearanceCalibration | None = None
    overview: TrackOverview | None = None
    detection: DetectionScheduler | None = None

    def lines(self, *, profile: bool = False) -> list[str]:
        """Return the summary as a person reads it, but for the notices: first the results, then the costs."""
        return [*self.results(), *self.costs(profile=profile)]

    def results(self) -> list[str]:
        """Return what was tracked and counted, and where it is written."""
        counts = self.counts
        plain = [f"tracks      {counts.tracks}"]
        return [
            *(self.overview.lines() if self.overview is not None and self.overview.frames else plain),
            f"frames      {counts.frames}, {counts.detections} detections",
            *(f"counted     {line}" for line in self.counted),
            *(f"written     {name}" for name in self.files),
        ]

    def costs(self, *, profile: bool = False) -> list[str]:
        """Return speed, embeddings and models; with `profile`, every stage and every reason."""
        return [
            *self._speed(profile=profile),
            *(self._stages() if profile else []),
            *([] if self.detection is None else self._detector_runs(self.detection, profile=profile)),
            *(self._embeddings(profile=profile) if self.embeddings.total else []),
            *([] if self.appearance is None else [f"appearance  {appearance_line(self.appearance)}"]),
            *(f"{part:<11} {_model(info)}" for part, info in zip(MODELS, self.models)),
        ]

    def _speed(self, *, profile: bool) -> list[str]:
        latency, beginning = np.asarray(self.timer.frame_ms), self.timer.first_frame_s
        if not len(latency):
            return []
        fps, (p50, p95) = 1e3 * len(latency) / self.wall_ms, np.percentile(latency, (50, 95))
        if profile:
            return [
                f"speed       {fps:.1f} fps effective",
                f"latency     mean {latency.mean():.1f} ms   p50 {p50:.1f}   p95 {p95:.1f} per frame",
                *([] if beginning is None else [f"startup     time to first frame {beginning:.2f} s"]),
            ]
        most = sorted((s for s in self._shares().items() if s[1] >= LEAST_SHARE), key=lambda share: -share[1])
        spent = ", ".join(f"{name} {share:.0f} %" for name, share in most)
        started = "" if beginning is None else f", started in {beginning:.1f} s"
        return [f"speed       {fps:.1f} fps: {spent}{started}"]

    @property
    def wall_ms(self) -> float:
        """Milliseconds from asking for the first frame until all outputs were closed."""
        return max(sum(self.timer.frame_ms) + self.counts.closing_ms + self.counts.second_pass_ms, 1e-9)

    def stage_ms(self) -> dict[str, float]:
        """Return each stage's milliseconds; ``other`` is what is left of the wall time."""
        found = {name: self.timer.stage_ms.get(name, 0.0) for name in STAGES}
        accounted = sum(ms for name, ms in found.items() if name not in THREADS)
        return {**found, "other": max(self.wall_ms - accounted, 0.0)}

    def numbers(self) -> dict[str, Any]:
        """Return the summary for programs: plain numbers and texts."""
        latency, frames, stats = np.asarray(self.timer.frame_ms), self.counts.frames, self.embeddings
        percentiles = np.percentile(latency, (50, 95)).tolist() if len(latency) else [0.0, 0.0]
        return {
            "frames": frames,
            "detections": self.counts.detections,
            "identities": self.counts.tracks,
            "fps": 1e3 * frames / self.wall_ms,
            "time_to_first_frame_s": self.timer.first_frame_s,
            "latency_ms": {"mean": self.wall_ms / max(frames, 1), "p50": percentiles[0], "p95": percentiles[1]},
            "stage_ms": {name: ms / max(frames, 1) for name, ms in self.stage_ms().items()},
            **({} if self.detection is None else self._detection_numbers(self.detection)),
            "embedded": stats.total,
            "share_embedded": stats.total / max(self.counts.detections, 1),
            "refreshed": stats.computed[Reason.REFRESH],
            "deferred": stats.deferred,
            "worst_overshoot_ms": stats.worst_overrun_ms,
            "appearance": None if self.appearance is None else _appearance_numbers(self.appearance),
            "models": [_model(info) for info in self.models],
            "notices": list(self.notices),
        }

    def _shares(self) -> dict[str, float]:
        """Return the percentage of the time that each stage of the main thread took."""
        found = {name: ms for name, ms in self.stage_ms().items() if name not in THREADS}
        # More than the frames' own latency where a run was interrupted: that of the last frame is not known.
        whole = max(self.wall_ms, sum(found.values()))
        return {name: 100 * ms / whole for name, ms in found.items()}

    def _stages(self) -> list[str]:
        """Return ms per frame of each stage that took any, and its share of the wall time, to which they add up."""
        frames, shares, lines = max(self.counts.frames, 1), self._shares(), []
        for name, ms in self.stage_ms().items():
            if ms / frames >= LEAST_MS:
                share = f"{shares[name]:5.1f} %" if name in shares else "       "
                lines.append(f"  {name:<9} {ms / frames:8.2f} ms {share}   {MEANING.get(name, '')}".rstrip())
        return lines

    def _detector_runs(self, detection: DetectionScheduler, *, profile: bool) -> list[str]:
        """Return on how many frames the detector ran, and why; and whether the run kept up."""
        frames, deferred = max(detection.counts.total(), 1), detection.counts[DetectionReason.DEFERRED]
        later = f"; {deferred} deferred" if deferred else ""
        lines = [f"detected    on {detection.detected} frames, {100 * detection.detected / frames:.0f} %{later}"]
        if profile:
            found = (f"{reason.text} {count}" for reason, count in detection.counts.most_common())
            lines.append(f"  {', '.join(found)}")
        if detection.target_fps:
            lines.append(f"realtime    {self._kept_up(detection.target_fps)}")
        return lines

    def _kept_up(self, target: float) -> str:
        """Return whether the run was as fast as `target`, in frames per second, and else what limits it."""
        reached = 1e3 * self.counts.frames / self.wall_ms
        if reached >= target:
            return f"{reached:.1f} fps reached, the target is {target:g}"
        stage = limiting_stage(self.timer.stage_ms)
        each = self.timer.stage_ms.get(stage, 0.0) / max(self.counts.frames, 1)
        part = PARTS[stage]
        return f"{reached:.1f} fps reached, the target is {target:g}: the {part} limits it ({each:.1f} ms per frame)"

    def _detection_numbers(self, detection: DetectionScheduler) -> dict[str, Any]:
        return {
            "detector_runs": detection.detected,
            "detection_reasons": {reason.name.lower(): count for reason, count in sorted(detection.counts.items())},
            "target_fps": detection.target_fps,
            "limited_by": PARTS[limiting_stage(self.timer.stage_ms)],
        }

    def _embeddings(self, *, profile: bool) -> list[str]:
        stats = self.embeddings
        share = min(100 * stats.total / max(self.counts.detections, 1), 100.0)
        per_frame = stats.total / max(self.counts.frames, 1)
        lines = [f"embeddings  {stats.total} computed, {share:.0f} % of the detections; the others were reused"]
        if profile:
            reasons = [f"{WORDS[r]} {stats.computed[r]}" for r in (*CRITICAL, Reason.REFRESH) if stats.computed[r]]
            lines.append(f"  {per_frame:.2f} per frame: {', '.join(reasons)}")
        if stats.deferred:
            lines.append(
                f"  deferred {stats.deferred}, backlog at the end {stats.backlog}, "
                f"worst budget overrun {stats.worst_overrun_ms:.1f} ms"
            )
        return lines


def limiting_stage(stage_ms: Mapping[str, float]) -> str:
    """Return the stage that limits the speed of a run, from the busy time of its stages.

    Decoding, encoding and the main thread, which does all else, work at the same time: the busiest of the three limits
    the run. Of the main thread, its longest stage is named.
    """
    main = {stage: stage_ms.get(stage, 0.0) for stage in PARTS if stage not in THREADS}
    busiest = max(THREADS, key=lambda stage: stage_ms.get(stage, 0.0))
    if stage_ms.get(busiest, 0.0) > sum(main.values()):
        return busiest
    return max(main, key=lambda stage: main[stage])


def appearance_line(learned: AppearanceCalibration) -> str:
    """Return what the embeddings were worth in this video, for a person."""
    known = learned.separability
    if learned.prior is not None:
        return f"no two objects were in the image together: re-identification uses {_own_scale(learned.prior)}"
    if known is None:
        seen = f"{learned.same.count:.0f} pairs of one object, {_different_pairs(learned):.0f} of two"
        return f"not compared: the video showed too few certain pairs ({seen})"
    if not learned.weight:
        return (
            f"separates nothing in this video (d' {known:.1f}): ignored; another embedder may (mot-dinov3 "
            "evaluate-embedder compares them), --embedder none is faster"
        )
    pairs = f"{learned.same.count:,.0f} + {_different_pairs(learned):,.0f} pairs"
    scale = f"different {_spread(learned.different)}, same {_spread(learned.own)}"
    return f"d' {known:.1f} ({scale}), weight {learned.weight:.2f}, {pairs}"


def appearance_tile(learned: AppearanceCalibration) -> tuple[str, str]:
    """Return the same for the report: d', and what was compared."""
    known = learned.separability
    if learned.prior is not None:
        return "one object", f"re-identification uses {_own_scale(learned.prior)}"
    if known is None:
        return "unknown", "too few certain pairs"
    scale = f"different {_spread(learned.different)}, same {_spread(learned.own)}"
    return f"d' {known:.1f}", scale if learned.weight else "separates nothing here: ignored"


def _appearance_numbers(learned: AppearanceCalibration) -> dict[str, Any]:
    return {
        "separability": learned.separability,
        "weight": learned.weight,
        "different": dataclasses.asdict(learned.different),
        "same": dataclasses.asdict(learned.own),
        "pairs": {"different": _different_pairs(learned), "same": learned.same.count},
    }


def _different_pairs(learned: AppearanceCalibration) -> float:
    return learned.rivals.count + learned.strangers.count


def _own_scale(prior: tuple[CosineDistribution, CosineDistribution]) -> str:
    different, same = prior
    return f"the embedder's own scale (different {_spread(different)}, same {_spread(same)})"


def _spread(cosines: CosineDistribution) -> str:
    return f"{cosines.mean:.2f} ± {cosines.deviation:.2f}"


def _model(info: ModelInfo) -> str:
    return f"{info.name} {info.weights} ({info.place})".replace("  ", " ")
