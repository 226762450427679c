"""`detect`: detections only, as det-v1 JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mot_dinov3.cli.arguments import Parser, option_values
from mot_dinov3.cli.progress import print_notices, progress_bar
from mot_dinov3.core.errors import EXIT_OK, UsageError
from mot_dinov3.core.files import check_extension, output_file
from mot_dinov3.core.options import assemble
from mot_dinov3.core.special_files import is_stdout
from mot_dinov3.pipeline.config import DetectConfig

if TYPE_CHECKING:
    from mot_dinov3.pipeline.inputs import DetectionRun

USAGE = "SOURCE [options]"
DESCRIPTION = "Detect objects and write them as det-v1 JSON, to track them later."
OPTIONS = DetectConfig


def add_arguments(parser: Parser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("--save-dets", type=output_file, metavar="FILE", help="output file (default: standard output)")
    parser.common.append("--save-dets")
    parser.renamed["--json"] = "--save-dets"


def run(args: argparse.Namespace) -> int:
    """Write the detections and return the exit code."""
    values = option_values(args, DetectConfig)
    if not values.get("source"):
        raise UsageError("no input: --source is missing", remedy="for example: --source in.mp4")
    config = assemble(DetectConfig, values)
    from mot_dinov3.core.files import check_output
    from mot_dinov3.core.json_text import write_document
    from mot_dinov3.core.output_lock import OutputLocks
    from mot_dinov3.pipeline.inputs import build_detection

    if args.save_dets:
        check_extension(args.save_dets, "det-v1", (".json",))
        check_output(args.save_dets, source=config.source.source)
    with OutputLocks([args.save_dets] if args.save_dets else []):
        job = build_detection(config)
        print_notices(job.notices)
        found: list[int] = []  # boxes of each frame
        with progress_bar(job.source.frame_total) as bar:

            def tick(boxes: int) -> None:
                found.append(boxes)
                bar.update()

            if args.save_dets:
                _write_file(job, args.save_dets, tick)
            else:
                write_document(sys.stdout, job.header(), _records(job, tick))
    print_notices(job.source.notices)
    line = f"written     {args.save_dets or 'standard output'} ({sum(found)} boxes in {len(found)} frames)"
    alone = args.save_dets and not is_stdout(args.save_dets)
    print(line, file=sys.stdout if alone else sys.stderr)
    return EXIT_OK


def _write_file(job: DetectionRun, path: Path, tick: Callable[[int], object]) -> None:
    from mot_dinov3.sinks.files import JsonSink

    sink = JsonSink(path, job.record, job.header, fps=job.fps)
    try:
        for frame, detections in job.frames():
            sink.write(frame, detections)
            tick(len(detections))
        sink.close()
    except BaseException:
        sink.abort()
        raise


def _records(job: DetectionRun, tick: Callable[[int], object]) -> Iterator[Mapping[str, Any]]:
    """Yield records for a document whose header is written already."""
    from mot_dinov3.sinks.files import FrameTimes

    times = FrameTimes(job.fps)
    for frame, detections in job.frames():
        yield times.stream(job.record(frame.index, detections), frame.index, frame.time)
        tick(len(detections))
