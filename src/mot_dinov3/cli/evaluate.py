"""`evaluate`: scores of tracks against ground truth, as a table or as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mot_dinov3.cli.progress import print_notices
from mot_dinov3.core.files import user_path

if TYPE_CHECKING:
    from mot_dinov3.apps.evaluation import Scores

COLUMNS = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "Frag", "Purity", "Mixed")

DESCRIPTION = (
    "Score tracks against ground truth: HOTA, DetA, AssA, MOTA, IDF1 in percent, ID switches (IDSW) "
    "and fragmentations (Frag), the percentage of boxes on the main identity of their track (Purity), and the "
    "seconds in tracks that mix identities (Mixed), per sequence and combined, by TrackEval's metrics and "
    "MOTChallenge's rules: "
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
    parser.add_argument(
        "--eval-classes",
        default="",
        metavar="LIST",
        help="classes of the ground truth that count, ids or names separated by commas, or all; boxes on other objects "
        "are ignored (default: MOTChallenge's rules)",
    )
    parser.add_argument("--fps", type=float, default=0.0, help="frame rate for the seconds (default: of the files)")
    parser.add_argument("--strict", action="store_true", help="refuse a file with a row that cannot be used")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the scores and return the exit code."""
    from mot_dinov3.apps.evaluation import load_pairs, participation_notices, score
    from mot_dinov3.formats.recorded_detections import ASSUMED_FPS

    pairs = load_pairs(args.gt, args.tracks, classes=args.eval_classes, strict=args.strict)
    if args.fps > 0:
        pairs = [dataclasses.replace(pair, truth=dataclasses.replace(pair.truth, fps=args.fps)) for pair in pairs]
    rows = sum(len(pair.truth) for pair in pairs)
    notices = participation_notices(pairs) or [f"all {rows} rows of the ground truth take part"]
    scores = score(pairs)
    if any(row.mixed_seconds for row in scores.values()) and not all(pair.fps for pair in pairs):
        notices.append(f"the frame rate is unknown: {ASSUMED_FPS:g} fps assumed for the seconds (--fps sets it)")
    print_notices(notices)
    print(as_json(scores) if args.json else format_table(scores))
    return 0


def as_json(scores: Mapping[str, Scores]) -> str:
    """Return the scores as a JSON object: sequence name, or ``COMBINED``, → scores; null where one is not defined."""
    rows = {name: dataclasses.asdict(row) for name, row in scores.items()}
    plain = {name: {key: None if value != value else value for key, value in row.items()} for name, row in rows.items()}
    return json.dumps(plain, indent=2)


def format_table(scores: Mapping[str, Scores]) -> str:
    """Return the scores as aligned text, a sequence a line."""
    width = max(len(name) for name in scores)
    lines = [" ".join([" " * width, *(f"{title:>6}" for title in COLUMNS)])]
    for name, row in scores.items():
        values = dataclasses.astuple(row)
        cells = [_cell(value) for value in values]
        lines.append(" ".join([f"{name:<{width}}", *cells]))
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    """Return a number, right-aligned; ``-`` for one that is not defined."""
    if value is None or value != value:
        return f"{'-':>6}"
    return f"{value:6d}" if isinstance(value, int) else f"{value:6.2f}"
