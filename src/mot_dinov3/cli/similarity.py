"""`similarity`: cosine heatmap of a clicked patch, on the same or another frame."""

from __future__ import annotations

import argparse

from mot_dinov3.cli.arguments import read_config
from mot_dinov3.cli.progress import print_notices, stoppable_progress
from mot_dinov3.core.errors import EXIT_OK
from mot_dinov3.keypoints.job.config import SimilarityOptions

USAGE = "(--image FILE | SOURCE --frame N) --point X,Y [options]"
DESCRIPTION = (
    "Show the cosine similarity of every patch of an image to a selected one, with its scale; the two "
    "best matches are marked. With --pca, show the three principal components of the descriptors "
    "instead. An --output with the extension .mp4 shows all frames from --on-frame on."
)
OPTIONS = SimilarityOptions


def run(args: argparse.Namespace) -> int:
    """Write the image or the video, print the peaks, and return the exit code."""
    command = read_config(args, SimilarityOptions)
    from mot_dinov3.keypoints.job.similarity import show_similarity

    with stoppable_progress(0) as (tick, caught):
        result = show_similarity(command, tick)
    print_notices(result.notices)
    print("\n".join(result.lines))
    return 128 + caught[0] if caught else EXIT_OK
