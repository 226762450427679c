"""`track`: from a video to a tracked video and a summary."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mot_dinov3.cli import PROGRAM
from mot_dinov3.cli.arguments import Parser, option_values
from mot_dinov3.cli.progress import print_lines, print_notices, stoppable_progress
from mot_dinov3.core import files
from mot_dinov3.core.errors import EXIT_OK
from mot_dinov3.core.json_text import dumps
from mot_dinov3.core.special_files import is_special, is_stdout
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
OPENER = "open" if sys.platform == "darwin" else "xdg-open"  # shows a file in the program for its kind
LISTS = {"detectors": DETECTOR_HINTS, "embedders": EMBEDDER_HINTS, "trackers": TRACKER_HINTS}


def add_arguments(parser: Parser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("--profile", action="store_true", help="show every stage and every reason in the summary")


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
    summary = job.summary()
    lines = [*summary.results(), *next_steps(config, args.words), *summary.costs(profile=args.profile)]
    print_lines(lines, sys.stderr if any(map(is_stdout, job.files)) else sys.stdout)
    return code


def next_steps(config: TrackConfig, words: Sequence[str]) -> list[str]:
    """Return the commands that come next, with a run's files; `words` are those of its own command."""
    from mot_dinov3.video.media import hide_password
    from mot_dinov3.video.opening import is_live

    output, source, program = config.output, config.source.source, started_as()
    report, saved = _file(output.report), _file(output.save_json)
    steps = [("open", [OPENER, name]) for name in (_file(output.output) if output.video else None, report) if name]
    if saved:
        steps.append(("correct", [*program, "studio", *([source] if source else []), "--tracks", saved]))
    if tracks := _file(output.save_mot) or saved or _file(output.save_csv):
        steps.append(("evaluate", [*program, "evaluate", "--gt", "gt.txt", "--tracks", tracks]))
    more = [] if output.save_json else ["--save-json", "outputs/tracks.json"]
    more += [] if output.report else ["--report", "outputs/report.html"]
    if more and not is_live(source):
        steps.append(("more", [*program, *(word for word in words if word != "--resume"), *more]))
    heads = ["next", *[""] * len(steps)]
    return [f"{head:<12}{name:<9} {hide_password(shlex.join(step))}" for head, (name, step) in zip(heads, steps)]


def _file(name: str | None) -> str | None:
    """Return the name of an output that is a file, None for a pipe or a device."""
    return None if name is None or is_special(Path(name)) else name


def started_as() -> list[str]:
    """Return the words that start this program, as the user did."""
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        return ["python", "-m", "mot_dinov3"]
    return ["python", sys.argv[0]] if script.suffix == ".py" else [PROGRAM]


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
