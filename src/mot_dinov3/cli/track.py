"""`track`: the main job, from a video to a tracked video and its summary."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from mot_dinov3.cli.options import add_config_options, add_cpu_option, option_values
from mot_dinov3.cli.progress import progress_bar, say_notices, stop_signals
from mot_dinov3.config import TrackConfig, assemble
from mot_dinov3.detectors import DETECTORS
from mot_dinov3.errors import EXIT_OK, UsageError
from mot_dinov3.features.factory import EMBEDDERS
from mot_dinov3.timing import process_start
from mot_dinov3.trackers import TRACKERS

if TYPE_CHECKING:
    from mot_dinov3.build import TrackingRun

LISTS = {"list_detectors": DETECTORS, "list_embedders": EMBEDDERS, "list_trackers": TRACKERS}


def add_parser(subparsers: Any) -> None:
    """Add the command to `subparsers`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "track",
        usage="%(prog)s --source PATH [options]",
        description="Detect, embed on a budget, track, draw. Frames count from 0, ranges are half-open. The same input "
        "and options give the same output, but for a wall-clock --embed-budget-ms.",
        allow_abbrev=False,
    )
    add_config_options(parser, TrackConfig)
    add_cpu_option(parser)
    for name in LISTS:
        parser.add_argument("--" + name.replace("_", "-"), action="store_true", help="print the valid names and exit")


def run(args: argparse.Namespace) -> int:
    """Track, print the summary, and return the exit code."""
    if wanted := [names for option, names in LISTS.items() if getattr(args, option)]:
        print("\n".join(name for names in wanted for name in names))
        return EXIT_OK
    config = track_config(option_values(args, TrackConfig))
    from mot_dinov3.build import build_tracking
    from mot_dinov3.build.resuming import is_complete

    if is_complete(config):
        say_notices([f"the run was complete: {', '.join(map(str, config.output.files()))}"])
        return EXIT_OK
    job = build_tracking(config)
    job.pipeline.timer.began = process_start()
    code = run_with_progress(job, progress=not args.no_progress)
    print("\n".join(job.summary().lines()))
    return code


def track_config(values: dict[str, Any]) -> TrackConfig:
    """Build the configuration; recorded detections without a source imply a run without pictures.

    Raises:
        UsageError: There is nothing to track, or pictures are asked for where there are none.
    """
    if values.get("source"):
        return assemble(TrackConfig, values)
    if not values.get("dets"):
        raise UsageError("no input: --source is missing", remedy="for example: --source in.mp4 (or --dets FILE)")
    if values.get("video") or "output" in values:
        raise UsageError("--output needs pictures, and --dets alone has none", remedy="give the video with --source")
    if values.get("embedder", "none") != "none":
        raise UsageError(
            f"--embedder {values['embedder']} needs pictures, and --dets alone has none",
            remedy="give the video with --source",
        )
    return assemble(TrackConfig, {**values, "embedder": "none", "video": False})


def run_with_progress(job: TrackingRun, *, progress: bool) -> int:
    """Run the job under a progress bar; an interruption finishes the frame and all files. Return the exit code."""
    say_notices(job.notices)
    pipeline, code = job.pipeline, EXIT_OK
    with stop_signals() as caught, progress_bar(pipeline.stages.source.frame_total, shown=progress) as bar:

        def tick() -> bool:
            bar.update()
            return bool(caught)

        try:
            pipeline.run(stop=tick)
        finally:
            say_notices(job.unfinished())
        code = 128 + caught[0] if caught else EXIT_OK
    if job.second_pass.frame_total and not pipeline.stages.record.catching_up:
        code = run_second_pass(job, progress=progress) or code
    say_notices(notice for notice in job.all_notices() if notice not in job.notices)
    return code


def run_second_pass(job: TrackingRun, *, progress: bool) -> int:
    """Link, and write from the result; an interruption leaves earlier results alone. Return the exit code."""
    with stop_signals() as caught, progress_bar(job.second_pass.frame_total, shown=progress) as bar:

        def tick() -> bool:
            bar.update()
            return bool(caught)

        try:
            job.second_pass.run(tick)
        finally:
            say_notices(job.unfinished())
    return 128 + caught[0] if caught else EXIT_OK
