"""`evaluate`: scores of tracks against ground truth, as a table or as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mot_dinov3.core.files import user_path

if TYPE_CHECKING:
    from mot_dinov3.apps.evaluation import Scores

COLUMNS = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "Frag")

DESCRIPTION = (
    "Score tracks against ground truth: HOTA, DetA, AssA, MOTA, IDF1 in percent, ID switches (IDSW) "
    "and fragmentations (Frag), per sequence and combined, by TrackEval's metrics and MOTChallenge's rules: "
    "ground truth whose column 7 is 0 is ignored; with a class column (MOT16 and later) only pedestrians "
    "are evaluated, and boxes on distractors are ignored."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.allow_abbrev = True  # unlike in the other commands
    parser.add_argument(
        "--gt",
        nargs="+",
        type=user_path,
        required=True,
        metavar="FILE",
        help="ground truth: MOTChallenge, CVAT, COCO, track-v1 or CSV files, or one folder with <sequence>.txt "
        "(.xml, .json, .csv) or <sequence>/gt/gt.txt",
    )
    parser.add_argument(
        "--tracks",
        nargs="+",
        type=user_path,
        required=True,
        metavar="FILE",
        help="tracks in the same formats, in the order of --gt, or one folder of such files",
    )
    parser.add_argument("--strict", action="store_true", help="refuse a file with a row that cannot be used")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the scores and return the exit code."""
    from mot_dinov3.apps.evaluation import evaluate

    scores = evaluate(args.gt, args.tracks, strict=args.strict)
    print(as_json(scores) if args.json else format_table(scores))
    return 0


def as_json(scores: Mapping[str, Scores]) -> str:
    """Return the scores as a JSON object: sequence name, or ``COMBINED``, → scores."""
    return json.dumps({name: dataclasses.asdict(s) for name, s in scores.items()}, indent=2)


def format_table(scores: Mapping[str, Scores]) -> str:
    """Return the scores as aligned text, a sequence a line."""
    width = max(len(name) for name in scores)
    lines = [" ".join([" " * width, *(f"{title:>6}" for title in COLUMNS)])]
    for name, row in scores.items():
        values = dataclasses.astuple(row)
        cells = [f"{v:6d}" if isinstance(v, int) else f"{v:6.2f}" for v in values]
        lines.append(" ".join([f"{name:<{width}}", *cells]))
    return "\n".join(lines)
