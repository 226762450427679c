"""`similarity`: cosine heatmap of a clicked patch, on the same or another frame."""

from __future__ import annotations

import argparse
from typing import Any

from mot_dinov3.cli.arguments import add_config_options, add_cpu_option, option_values
from mot_dinov3.cli.progress import say_notices, ticking
from mot_dinov3.core.errors import EXIT_OK
from mot_dinov3.core.options import assemble
from mot_dinov3.keypoints.job.config import SimilarityOptions


def add_parser(subparsers: Any) -> None:
    """Add the command to `subparsers`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "similarity",
        usage="%(prog)s (--image FILE | --video PATH --frame N) --point X,Y [options]",
        description="Show the cosine similarity of every patch of an image to a selected one, with its scale; the two "
        "best matches are marked. With --pca, show the three principal components of the descriptors "
        "instead. An --output with the extension .mp4 shows all frames from --on-frame on.",
        allow_abbrev=False,
    )
    add_config_options(parser, SimilarityOptions)
    add_cpu_option(parser)


def run(args: argparse.Namespace) -> int:
    """Write the picture or the video, print the peaks, and return the exit code."""
    command = assemble(SimilarityOptions, option_values(args, SimilarityOptions))
    from mot_dinov3.keypoints.job.similarity import show_similarity

    with ticking(0, shown=not args.no_progress) as (tick, caught):
        result = show_similarity(command, tick)
    say_notices(result.notices)
    print("\n".join(result.lines))
    return 128 + caught[0] if caught else EXIT_OK
