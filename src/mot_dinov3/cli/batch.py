"""`batch`: many videos, each a run of `track` in a separate process."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from mot_dinov3.apps.identities.config import IdentifyingBatchOptions
from mot_dinov3.cli.arguments import option_values
from mot_dinov3.cli.identify import camera_plan, check_results, write_identities
from mot_dinov3.cli.progress import print_lines, print_notices, progress_bar, stop_signals
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.options import assemble

if TYPE_CHECKING:
    from mot_dinov3.apps.batch.config import BatchConfig
    from mot_dinov3.apps.batch.manifest import Manifest, VideoState
    from mot_dinov3.apps.batch.worker import VideoJob

USAGE = "INPUTS… --out-dir DIR [--engine local|ray] [--workers N] [--resume] [--identify] [options of track]"
DESCRIPTION = (
    "Run track on many videos, each in a separate process with its own result folder. Names of outputs "
    "(--output, --save-json, …) are names inside this folder; {name} in any other option is replaced by "
    "the name of the video: --dets 'dets/{name}.json'. DIR/batch.json contains the state of each video, "
    "DIR/index.html lists all results; --resume runs the remaining videos."
)
OPTIONS = IdentifyingBatchOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUTS", help="video files, folders of videos, folders of images (one video each)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the remaining videos, print the summary, and return the exit code."""
    values = option_values(args, IdentifyingBatchOptions)
    if not values.get("out_dir"):
        raise UsageError("no folder for the results: --out-dir is missing", remedy="for example: --out-dir out")
    config = assemble(IdentifyingBatchOptions, values)
    from mot_dinov3.apps.batch.loop import exclusive_lock, exit_code, summary
    from mot_dinov3.apps.batch.manifest import open_manifest
    from mot_dinov3.apps.batch.overview import write_overview
    from mot_dinov3.apps.batch.plan import make_plan
    from mot_dinov3.apps.identities.video_tracks import EMBEDDINGS
    from mot_dinov3.core.files import shown_path, user_path
    from mot_dinov3.core.timing import now_utc

    if config.identities.identify:
        values.setdefault("save_embeddings", EMBEDDINGS)
        check_results(user_path(config.batch.out_dir))
    plan = make_plan(args.inputs, values, config.batch.out_dir)
    with exclusive_lock(plan.out_dir):
        manifest = open_manifest(plan, resume=config.output.resume)
        missing = manifest.missing(plan.jobs, plan.is_complete)
        videos = [manifest.videos[job.name] for job in plan.jobs]
        if len(missing) < len(videos):
            print_notices([f"{len(videos) - len(missing)} of {len(videos)} videos were completed"])
        caught = run_missing(missing, manifest, config.batch) if missing else 0
        hidden = config.draw.anonymize != "none"
        page = write_overview(plan.out_dir, list(manifest.videos.values()), now_utc(), anonymized=hidden)
    print_lines([*summary(videos), *(f"written     {shown_path(path)}" for path in (page, manifest.path))])
    if config.identities.identify and not caught:
        identify_results(plan.out_dir, config)
    return 128 + caught if caught else exit_code(videos)


def identify_results(folder: Path, config: IdentifyingBatchOptions) -> None:
    """Identify the tracks of all finished videos, and write the results beside theirs."""
    from mot_dinov3.apps.identities.identity_files import CSV, JSON
    from mot_dinov3.apps.identities.video_tracks import batch_files
    from mot_dinov3.core.output_lock import OutputLocks

    done, missing = batch_files(folder)
    print_notices([f"no embeddings of {name}: {why}" for name, why in missing])
    with OutputLocks([folder / JSON, folder / CSV]):
        write_identities(folder, done, camera_plan(config.identities, [name for name, _ in done]), config)


def run_missing(missing: list[VideoJob], manifest: Manifest, config: BatchConfig) -> int:
    """Run videos with a progress bar; return the number of the signal that stopped it, or 0."""
    from mot_dinov3.apps.batch.engines import open_engine
    from mot_dinov3.apps.batch.loop import BatchRun

    failed: list[str] = []
    with (
        contextlib.closing(open_engine(config)) as engine,
        stop_signals() as caught,
        progress_bar(len(missing), unit="video") as bar,
    ):

        def tick(video: VideoState) -> None:
            if video.state == "failed":
                failed.append(video.name)
                bar.note = f"{len(failed)} failed"
            bar.update()

        BatchRun(manifest, missing, engine).run(lambda: caught[0] if caught else 0, tick)
    return caught[0] if caught else 0
