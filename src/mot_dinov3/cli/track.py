"""`track`: from a video to a tracked video and a summary."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mot_dinov3.cli.arguments import option_values
from mot_dinov3.cli.progress import print_notices, stoppable_progress
from mot_dinov3.core import files
from mot_dinov3.core.errors import EXIT_OK
from mot_dinov3.core.json_text import dumps
from mot_dinov3.core.special_files import is_stdout
from mot_dinov3.core.timing import process_start
from mot_dinov3.detectors import DETECTOR_HINTS
from mot_dinov3.features.factory import EMBEDDER_HINTS
from mot_dinov3.pipeline.config import TrackConfig, track_config
from mot_dinov3.trackers import TRACKER_HINTS

if TYPE_CHECKING:
    from mot_dinov3.pipeline.second_pass import LinkedPass
    from mot_dinov3.pipeline.wiring import TrackingRun

USAGE = "SOURCE [options]"
DESCRIPTION = (
    "Detect, embed within a budget, track, draw. Frames count from 0, ranges are half-open. The same "
    "input and options give the same output, except with a wall-clock --embed-budget-ms."
)
OPTIONS = TrackConfig
LISTS = {"detectors": DETECTOR_HINTS, "embedders": EMBEDDER_HINTS, "trackers": TRACKER_HINTS}


def run(args: argparse.Namespace) -> int:
    """Track, print the summary, and return the exit code."""
    config = track_config(option_values(args, TrackConfig))
    from mot_dinov3.pipeline.run_identity import is_complete
    from mot_dinov3.pipeline.wiring import build_tracking

    if is_complete(config):
        print_notices([f"the run was complete: {', '.join(map(str, config.output.files()))}"])
        return EXIT_OK
    with build_tracking(config) as job:
        job.loop.timer.began = process_start()
        code = run_with_progress(job)
        if config.output.save_summary:
            save_numbers(job.summary().numbers(), Path(config.output.save_summary))
            if code == EXIT_OK and (journal := job.loop.stages.journal) is not None:
                journal.mark(Path(config.output.save_summary))
    print("\n".join(job.summary().lines()), file=sys.stderr if any(map(is_stdout, job.files)) else sys.stdout)
    return code


def save_numbers(numbers: Mapping[str, Any], path: Path) -> None:
    """Write the summary's numbers as JSON."""
    with files.replacing(path) as part:
        part.write_text(dumps({"schema_version": "summary-v1", **numbers}) + "\n", encoding="utf-8")


def run_with_progress(job: TrackingRun) -> int:
    """Run with a progress bar; an interruption finishes the frame and all files. Return the exit code."""
    begun = job.all_notices()
    print_notices(begun)
    loop = job.loop
    with stoppable_progress(loop.stages.source.frame_total) as (tick, caught):
        loop.stages.source.interrupt_when(lambda: bool(caught))
        try:
            loop.run(stop=tick)
        finally:
            print_notices(job.unfinished())
        code = 128 + caught[0] if caught else EXIT_OK
    if loop.second_pass is not None and not loop.is_behind:
        code = run_second_pass(job, loop.second_pass) or code
    print_notices(notice for notice in job.all_notices() if notice not in begun)
    return code


def run_second_pass(job: TrackingRun, linked: LinkedPass) -> int:
    """Link, and write from the result; an interruption leaves earlier results alone. Return the exit code."""
    with stoppable_progress(len(linked.kept.frames)) as (tick, caught):
        try:
            linked.run(tick)
        finally:
            print_notices(job.unfinished())
    return 128 + caught[0] if caught else EXIT_OK
