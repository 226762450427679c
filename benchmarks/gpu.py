"""Measure tracking on a CUDA GPU: frames per second and GPU time per frame, fp32 and half precision.

yolov8n and DINOv3 ViT-S (random weights) on a 1080p video, no video written; prints a Markdown table::

    python benchmarks/gpu.py --shared ../shared

- *fps*: from the tenth frame on, after all kernels are loaded
- *decode*, *detect*, *embed*: ms/frame; decoding runs in a separate thread, detect and embed include the GPU
- *span*: ms/frame between the CUDA events recorded before and after these two stages
- *GPU*: ms/frame in which the GPU computed or copied, by the profiler in a second run; *busy*: its share of a frame
- *bound*: fps if only the longer one of decoding and the GPU's work took time
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from acceleration import random_vit_s

from mot_dinov3.core.compat import override
from mot_dinov3.core.options import assemble
from mot_dinov3.core.timing import StageTimer
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.wiring import build_tracking

WARM_UP = 10
"""Frames that are not counted."""

ON_THE_GPU = ("detect", "embed")
HEADER = ("number formats", "fps", "decode", "detect", "embed", "span", "GPU", "busy", "bound", "crops a frame")


class Event(Protocol):
    """A moment of the GPU's, as `torch.cuda.Event` has it."""

    def record(self) -> None:
        """Let it be when the work queued so far is done."""

    def synchronize(self) -> None:
        """Wait for it."""

    def elapsed_time(self, end: Any) -> float:
        """Return the ms from it to `end`."""


class EventTimer(StageTimer):
    """A stage timer that lets the GPU, too, tell when the stages that use it began and ended.

    Args:
        event: Makes an event.
    """

    def __init__(self, event: Callable[[], Event]) -> None:
        super().__init__()
        self._event = event
        self._mark = self._now()
        self.pairs: list[tuple[Event, Event]] = []

    def _now(self) -> Event:
        event = self._event()
        event.record()
        return event

    @override
    def start(self) -> None:
        self._mark = self._now()
        super().start()

    @override
    def lap(self, name: str) -> None:
        begin, self._mark = self._mark, self._now()
        if name in ON_THE_GPU:
            self.pairs.append((begin, self._mark))
        super().lap(name)

    def spans(self) -> list[float]:
        """Return the ms of each stage that used the GPU."""
        for _, end in self.pairs[-1:]:
            end.synchronize()
        return [begin.elapsed_time(end) for begin, end in self.pairs]


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run took, in ms a frame, of the frames that count.

    Attributes:
        models: Detector and embedder with their number formats.
        frame_ms: All of it.
        stage_ms: Each stage.
        span_ms: Between the GPU's events.
        crops: Embeddings computed a frame.
    """

    models: str
    frame_ms: float
    stage_ms: Mapping[str, float]
    span_ms: float
    crops: float


def run(values: Mapping[str, Any], event: Callable[[], Event], *, begin: Callable[[], object] = lambda: None) -> Run:
    """Run the main job and measure it.

    Args:
        values: Options of `track`.
        event: Makes an event of the GPU's.
        begin: Called when counting begins.
    """
    job = build_tracking(assemble(TrackConfig, {"video": False, **values}))
    reading = job.loop.timer
    timer = job.loop.timer = EventTimer(event)
    stats = job.loop.stages.scheduler.stats
    at: dict[str, Any] = {}

    def tick() -> bool:
        if job.loop.counts.frames == WARM_UP:
            at.update({**reading.stage_ms, **timer.stage_ms}, crops=stats.total, spans=len(timer.pairs))
            begin()
        return False

    job.loop.run(stop=tick)
    count = len(timer.frame_ms) - WARM_UP
    if count < 1:
        raise SystemExit(f"the video has no more than {WARM_UP} frames")
    stages = {**reading.stage_ms, **timer.stage_ms}
    return Run(
        models=", ".join(info.precision or info.name for info in job.summary().models),
        frame_ms=float(np.mean(timer.frame_ms[WARM_UP:])),
        stage_ms={name: (stages[name] - at.get(name, 0.0)) / count for name in stages},
        span_ms=sum(timer.spans()[at["spans"] :]) / count,
        crops=(stats.total - at["crops"]) / count,
    )


def busy_ms(intervals: Iterable[tuple[float, float]]) -> float:
    """Return how long at least one of the intervals, in µs, lasts, in ms."""
    total, until = 0.0, -np.inf
    for begin, end in sorted(intervals):
        total += max(end - max(begin, until), 0.0)
        until = max(until, end)
    return total / 1e3


def profiled(values: Mapping[str, Any], event: Callable[[], Event], frames: int, *, on: str = "CUDA") -> float:
    """Return the ms a frame in which the device `on` computed or copied, by torch's profiler.

    Args:
        values: Options of `track`.
        event: Makes an event of the GPU's.
        frames: Frames that count, after the first.
        on: ``CUDA``; ``CPU`` where it is to be tried without one.
    """
    import torch

    profile = torch.profiler.profile(activities=[getattr(torch.profiler.ProfilerActivity, on)])
    run({**values, "end_frame": WARM_UP + frames}, event, begin=profile.start)
    profile.stop()
    kind = getattr(torch.autograd.DeviceType, on)
    found = [e.time_range for e in profile.events() if e.device_type == kind]
    return busy_ms((time.start, time.end) for time in found) / frames


def as_row(found: Run, gpu_ms: float) -> str:
    """Return a row of the table."""
    stage = found.stage_ms
    bound = max(stage["read"], gpu_ms)
    cells = [found.models, f"{1e3 / found.frame_ms:.1f}"]
    cells += [f"{ms:.2f}" for ms in (stage["read"], stage["detect"], stage["embed"], found.span_ms, gpu_ms)]
    cells += [f"{100 * gpu_ms / found.frame_ms:.0f} %", f"{1e3 / bound:.1f}", f"{found.crops:.2f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of videos and weights")
    parser.add_argument("--video", type=Path, help="another video than its people_1080p.mp4")
    parser.add_argument("--profiled", type=int, default=100, help="frames of the run with the profiler")
    args = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        sys.exit("there is no CUDA GPU here, and nothing else to measure")
    video = args.video or args.shared / "data/videos/people_1080p.mp4"
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {video.name}, ms/frame\n")
    print(f"| {' | '.join(HEADER)} |\n{'| --- ' * len(HEADER)}|")
    with tempfile.TemporaryDirectory() as folder:
        random_vit_s(Path(folder))

        def event() -> Event:
            return torch.cuda.Event(enable_timing=True)

        values = {"source": str(video), "det": str(args.shared / "models/yolov8n.pt"), "embed_model": folder}
        values["crop_size"] = "224x224"
        for precision in ("fp32", "auto"):
            values |= {"device": "cuda", "precision": precision}
            print(as_row(run(values, event), profiled(values, event, args.profiled)), flush=True)


if __name__ == "__main__":
    main()
