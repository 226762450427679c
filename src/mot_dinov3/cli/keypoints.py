"""`keypoints`: track labelled body parts through a video."""

from __future__ import annotations

import argparse

from mot_dinov3.cli.arguments import read_config
from mot_dinov3.cli.progress import print_lines, print_notices, stoppable_progress
from mot_dinov3.core.errors import EXIT_OK
from mot_dinov3.keypoints.job.config import KeypointsOptions

USAGE = "SOURCE [options]"
DESCRIPTION = (
    "Track points labelled with LabelMe or Annolid forward, backward and between labelled frames. The "
    "labels are <stem>_#########.json in the result folder of the video; results are written there. "
    "Frames count from 0, ranges are half-open. An interrupted run resumes where it stopped; after a "
    "correction only the frames between the corrected one and its labelled neighbours are recomputed."
)
OPTIONS = KeypointsOptions


def run(args: argparse.Namespace) -> int:
    """Track the points, print the summary, and return the exit code."""
    command = read_config(args, KeypointsOptions)
    from mot_dinov3.keypoints.job.wiring import build_keypoints

    job = build_keypoints(command)
    print_notices(job.notices)
    with stoppable_progress(job.frame_visits) as (tick, caught):
        job.run(tick)
    print_notices(notice for notice in job.all_notices() if notice not in job.notices)
    print_lines(job.summary(told=job.all_notices()))
    return 128 + caught[0] if caught else EXIT_OK
