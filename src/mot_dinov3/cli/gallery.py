"""`gallery`: track a video from recorded detections, and name known identities."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from mot_dinov3.cli.arguments import add_config_options, add_cpu_option, option_values
from mot_dinov3.cli.progress import say_notices, ticking
from mot_dinov3.core.errors import EXIT_OK
from mot_dinov3.core.options import assemble
from mot_dinov3.features.osnet import ARCHITECTURES, WEIGHTS
from mot_dinov3.gallery.job.config import GalleryJobConfig
from mot_dinov3.gallery.job.wiring import GalleryRun
from mot_dinov3.trackers import TRACKERS


def add_parser(subparsers: Any) -> None:
    """Add the command to `subparsers`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "gallery",
        usage="%(prog)s --dets-json FILE --video PATH [options]",
        description="Track a video from precomputed detections and identify the tracks with a gallery "
        "(<gallery>/<identity>/*.jpg). Frames count from 0. Files are written only by the options below. "
        "Memory does not grow with the length of the video.",
        allow_abbrev=False,
    )
    add_config_options(parser, GalleryJobConfig)
    add_cpu_option(parser)
    for name in _lists():
        parser.add_argument("--" + name.replace("_", "-"), action="store_true", help="print the names and exit")


def _lists() -> dict[str, Iterable[str]]:
    return {"list_trackers": TRACKERS, "list_reid_models": ARCHITECTURES, "list_reid_weights": WEIGHTS}


def run(args: argparse.Namespace) -> int:
    """Track, say what was found, and return the exit code."""
    if wanted := [names for option, names in _lists().items() if getattr(args, option)]:
        print("\n".join(name for names in wanted for name in names))
        return EXIT_OK
    config = assemble(GalleryJobConfig, option_values(args, GalleryJobConfig))
    job = GalleryRun(config)
    if job.complete:
        print(f"complete    {job.paths.json_path}")
        return EXIT_OK
    said = len(job.notices)
    say_notices(job.notices)
    with ticking(job.frame_total, shown=not args.no_progress) as (tick, caught):
        job.run(tick)
    say_notices(job.notices[said:])
    print("\n".join(summary(job)))
    return 128 + caught[0] if caught else EXIT_OK


def summary(job: GalleryRun) -> list[str]:
    """Return what a run did, as a person reads it."""
    stats, paths = job.stats(), job.paths
    written = [str(path) for path in (paths.json_path, paths.video_path, paths.frames_dir) if path is not None]
    stages = ", ".join(f"{name} {ms:.2f}" for name, ms in stats["stage_ms"].items())
    return [
        f"frames      {stats['frames']}, {stats['fps']:.1f} fps (ms/frame: {stages})",
        f"gallery     {stats['identities']} identities, {stats['embeddings']} embeddings",
        *(f"written     {name}" for name in written or ["nothing: use --json, --frames or --save-video"]),
    ]
