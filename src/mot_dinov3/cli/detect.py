"""`detect`: detections only, as det-v1 JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mot_dinov3.cli.arguments import option_values
from mot_dinov3.cli.progress import print_notices, progress_bar
from mot_dinov3.core.errors import EXIT_OK, UsageError
from mot_dinov3.core.files import check_extension, output_file
from mot_dinov3.core.options import assemble
from mot_dinov3.pipeline.config import DetectConfig

if TYPE_CHECKING:
    from mot_dinov3.pipeline.inputs import DetectionRun

USAGE = "--source PATH [options]"
DESCRIPTION = "Detect objects and write them as det-v1 JSON, to track them later."
OPTIONS = DetectConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("--json", type=output_file, metavar="FILE", help="output file (default: standard output)")


def run(args: argparse.Namespace) -> int:
    """Write the detections and return the exit code."""
    values = option_values(args, DetectConfig)
    if not values.get("source"):
        raise UsageError("no input: --source is missing", remedy="for example: --source in.mp4")
    config = assemble(DetectConfig, values)
    from mot_dinov3.core.files import check_output, replacing
    from mot_dinov3.core.json_text import write_document
    from mot_dinov3.pipeline.inputs import build_detection

    if args.json:
        check_extension(args.json, "det-v1", (".json",))
        check_output(args.json, source=config.source.source)
    job = build_detection(config)
    print_notices(job.notices)
    records = _records(job, progress=not args.no_progress)
    if args.json:
        with replacing(args.json) as part, part.open("w", encoding="utf-8") as file:
            write_document(file, job.header(), records)
    else:
        write_document(sys.stdout, job.header(), records)
    print_notices(job.source.notices)
    return EXIT_OK


def _records(job: DetectionRun, *, progress: bool) -> Iterator[Mapping[str, Any]]:
    with progress_bar(job.source.frame_total, shown=progress) as bar:
        for record in job.records():
            yield record
            bar.update()
