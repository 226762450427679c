"""`gallery`: track a video from precomputed detections, and identify known objects."""

from __future__ import annotations

import argparse

from mot_dinov3.cli.arguments import read_config
from mot_dinov3.cli.progress import print_lines, print_notices, stoppable_progress
from mot_dinov3.core.errors import EXIT_OK
from mot_dinov3.features.osnet import ARCHITECTURES, WEIGHTS
from mot_dinov3.gallery.job.config import GALLERY_TRACKERS, GalleryJobConfig
from mot_dinov3.gallery.job.wiring import GalleryRun
from mot_dinov3.trackers import TRACKER_HINTS

USAGE = "SOURCE --dets FILE [options]"
DESCRIPTION = (
    "Track a video from precomputed detections and identify the tracks with a gallery "
    "(<gallery>/<identity>/*.jpg). Frames count from 0. Files are written only by the options below. "
    "Memory does not grow with the length of the video."
)
OPTIONS = GalleryJobConfig
LISTS = {
    "trackers": {name: TRACKER_HINTS[name] for name in GALLERY_TRACKERS},
    "reid-models": ARCHITECTURES,
    "reid-weights": WEIGHTS,
}


LEAST_MS = 0.05  # per frame, of the stages that the summary names
NOTHING = "nothing: use --save-json, --save-csv, --report, --frames or --save-video"


def run(args: argparse.Namespace) -> int:
    """Track, print the summary, and return the exit code."""
    job = GalleryRun(read_config(args, GalleryJobConfig))
    if job.complete:
        print(f"complete    {job.paths.json_path}")
        return EXIT_OK
    printed = len(job.notices)
    print_notices(job.notices)
    with stoppable_progress(job.frame_total) as (tick, caught):
        job.interrupt_when(lambda: bool(caught))
        job.run(tick)
    print_notices(job.notices[printed:])
    print_lines(summary(job))
    return 128 + caught[0] if caught else EXIT_OK


def summary(job: GalleryRun) -> list[str]:
    """Return the lines of a run's summary: what was tracked and named, where it is written, what it cost."""
    stats = job.stats()
    shown, recorded = job.overview.frames, stats["frames"]
    most = sorted(stats["stage_ms"].items(), key=lambda stage: -stage[1])
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in most if ms >= LEAST_MS)
    compared = f"gallery     {stats['identities']} identities, {stats['embeddings']} embeddings"
    return [
        *job.overview.lines(),
        f"frames      {shown}, detections for {recorded} of them" if recorded < shown else f"frames      {recorded}",
        *(f"written     {name}" for name in job.paths.outputs() or [NOTHING]),
        *([compared] if stats["identities"] else []),
        f"speed       {stats['fps']:.1f} fps (ms per frame: {stages})",
    ]
