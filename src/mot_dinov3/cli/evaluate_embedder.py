"""`evaluate-embedder`: how well embedders distinguish the identities of a folder, or the tracks of a video."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from typing import TYPE_CHECKING, Any

from mot_dinov3.apps.embedder_evaluation.comparison import (
    ComparisonConfig,
    EmbedderSpec,
    available_embedders,
    compare_embedders,
)
from mot_dinov3.cli import print_error
from mot_dinov3.cli.arguments import read_config
from mot_dinov3.cli.progress import print_notices
from mot_dinov3.core.errors import EXIT_OK
from mot_dinov3.core.options import home_path
from mot_dinov3.features.factory import EMBEDDER_HINTS
from mot_dinov3.models.devices import DeviceConfig

if TYPE_CHECKING:
    from mot_dinov3.apps.embedder_evaluation.comparison import EmbedderComparison
    from mot_dinov3.apps.embedder_evaluation.retrieval import RetrievalScores


@dataclasses.dataclass(frozen=True)
class EmbedderEvaluationOptions:
    """All options of the command but the embedders."""

    comparison: ComparisonConfig
    device: DeviceConfig


USAGE = "DIR [--embedders NAME[=MODEL] …] [options] | VIDEO --tracks FILE [--embedders …] [options]"
DESCRIPTION = (
    "Compare embedders: rank-1, mean average precision (mAP), sensitivity index d' (distance of the mean cosines of "
    "the same and of different objects in standard deviations), quantiles of both cosines, and the time per crop. DIR "
    "is a gallery, <DIR>/<identity>/*.jpg: the images are used whole. The boxes of a VIDEO with tracks are cropped as "
    "in track. If an embedder cannot be loaded, the others are evaluated, and the exit code is not 0."
)
OPTIONS = EmbedderEvaluationOptions
LISTS = {"embedders": EMBEDDER_HINTS}
HEADER = f"{'dim':>6} {'rank-1':>7} {'mAP':>6} {'d′':>7}   {'same 10/50/90 %':<17}  {'different':<17} {'ms/crop':>8}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("path", metavar="PATH", help="folder of identities, or a video (with --tracks)")
    parser.add_argument(
        "--embedders",
        nargs="+",
        action="extend",
        metavar="NAME[=MODEL]",
        help="embedders to compare: listed names or package.module:Class, each with its model (hub id, folder or file) "
        "after '='; default: those whose models are on this machine",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table, and return the exit code."""
    options = read_config(args, EmbedderEvaluationOptions)
    if args.embedders:
        specs = [EmbedderSpec.parse(text) for text in args.embedders]
    else:
        specs, missing = available_embedders()
        print_notices(missing)

    def tick(label: str) -> None:
        if not args.no_progress:
            print(f"evaluating {label}", file=sys.stderr)

    found = compare_embedders(home_path(args.path), specs, options.comparison, options.device, tick=tick)
    print_notices(found.notices)
    print(as_json(args.path, found) if args.json else format_table(found))
    for label, error in found.failures.items():
        print_error(type(error)(f"{label}: {error.message}", remedy=in_this_command(error.remedy, label)))
    return next((error.exit_code for error in found.failures.values()), EXIT_OK)


def in_this_command(remedy: str, label: str) -> str:
    """Return a remedy that names options of `track` with those that this command has in their place."""
    name = label.partition("=")[0].partition(" ")[0]
    remedy = re.sub(r"--(?:embed-model|dinov3) ", f"--embedders {name}=", remedy.replace(", or --fallback-open", ""))
    return re.sub(r"--embedder ", "--embedders ", remedy)


def as_json(path: str, found: EmbedderComparison) -> str:
    """Return the result as a JSON object."""
    value = {
        "source": path,
        "crops": found.crops,
        "identities": found.identities,
        "protocol": found.protocol,
        "embedders": {label: _numbers(scores) for label, scores in found.scores.items()},
        "failed": {label: error.message for label, error in found.failures.items()},
        "notices": list(found.notices),
    }
    return json.dumps(value, indent=2, ensure_ascii=False)


def _numbers(scores: RetrievalScores) -> dict[str, Any]:
    named = {"same": ("q10", "q50", "q90"), "different": ("q10", "q50", "q90")}
    values = dataclasses.asdict(scores)
    return {key: dict(zip(named[key], value)) if key in named else value for key, value in values.items()}


def format_table(found: EmbedderComparison) -> str:
    """Return the result as aligned text, an embedder a line."""
    queries = next((scores.queries for scores in found.scores.values()), found.crops)
    unmatched = "" if queries == found.crops else f", {queries} of them with a right answer"
    lines = [f"{found.crops} crops of {found.identities} identities{unmatched}: {found.protocol}"]
    if found.scores:
        width = max(map(len, found.scores))
        lines += ["", f"{'':<{width}} {HEADER}"]
        lines += [f"{label:<{width}} {_row(scores)}" for label, scores in found.scores.items()]
    return "\n".join(lines)


def _row(scores: RetrievalScores) -> str:
    same, different = (" ".join(f"{value:5.2f}" for value in values) for values in (scores.same, scores.different))
    shares = f"{scores.rank1:7.3f} {scores.mean_ap:6.3f} {scores.d_prime:7.2f}"
    return f"{scores.dim:6d} {shares}   {same}  {different} {scores.ms_per_crop:8.2f}"
