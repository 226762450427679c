"""`identify`: one identity for each person over many videos and cameras."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mot_dinov3.apps.identities.config import IdentifyingBatchOptions, IdentifyOptions, IdentityConfig
from mot_dinov3.cli.arguments import option_values
from mot_dinov3.cli.progress import print_lines, print_notices, progress_bar
from mot_dinov3.core.errors import EXIT_OK, InputError, MotError, UsageError
from mot_dinov3.core.options import assemble

if TYPE_CHECKING:
    from mot_dinov3.apps.batch.config import BatchConfig
    from mot_dinov3.apps.batch.plan import BatchPlan
    from mot_dinov3.apps.identities.camera_plan import CameraPlan
    from mot_dinov3.apps.identities.identified_tracks import IdentificationResult, Run
    from mot_dinov3.apps.identities.video_tracks import VideoTracks
    from mot_dinov3.viz.frame import DrawConfig

USAGE = "INPUTS… --out-dir DIR [--registry DIR] [--cameras FILE.toml] [--redraw] [options of batch and track]"
DESCRIPTION = (
    "Find out which tracks of several videos show the same person. INPUTS are files of --save-embeddings, result "
    "folders of a batch that was run with it, and videos, which are tracked first, as batch does, with the options of "
    "track (an embedder is required; --no-video unless --output is given). Writes identities.json and identities.csv "
    "into DIR. The number of people is not needed, and there is no threshold to set: the tracks themselves show what "
    "similarity is worth. Tracks that are in one video at the same time are never one person."
)
OPTIONS = IdentifyOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUTS", help="files of embeddings, result folders of batch, videos or folders"
    )


def run(args: argparse.Namespace) -> int:
    """Identify, print the summary, and return the exit code."""
    values = option_values(args, IdentifyOptions)
    if not values.get("out_dir"):
        raise UsageError("no folder for the results: --out-dir is missing", remedy="for example: --out-dir out")
    config = assemble(IdentifyOptions, values)
    from mot_dinov3.apps.identities.identity_files import CSV, JSON
    from mot_dinov3.apps.identities.video_tracks import name_videos, sort_inputs
    from mot_dinov3.core import files
    from mot_dinov3.core.output_lock import OutputLocks

    inputs, folder = sort_inputs(args.inputs), files.user_path(config.batch.out_dir)
    check_results(folder)
    with OutputLocks([folder / JSON, folder / CSV]):
        batch = plan_videos(inputs.videos, values) if inputs.videos else None
        named = name_videos([*inputs.files, *(batch.embeddings if batch else ())])
        plan = camera_plan(config.identities, [name for name, _ in named])
        failed, code = track_videos(batch, config.batch) if batch else ((), EXIT_OK)
        if code > 128:
            return code
        given = [(name, path) for name, path in named if path not in failed]
        print_notices(inputs.notices)
        write_identities(folder, given, plan, config)
    return code


def check_results(folder: Path) -> None:
    """Make sure that the results can be written into a folder."""
    from mot_dinov3.apps.identities.identity_files import CSV, JSON
    from mot_dinov3.apps.identities.identity_page import PAGE
    from mot_dinov3.core import files

    for name in (JSON, CSV, PAGE):
        files.check_output(folder / name)


def camera_plan(config: IdentityConfig, names: Sequence[str]) -> CameraPlan:
    """Read what is known of the cameras of the named videos, and of those of the registry."""
    from mot_dinov3.apps.identities.camera_plan import CameraPlan, read_camera_plan
    from mot_dinov3.apps.identities.identity_store import video_names
    from mot_dinov3.core.files import user_path

    if not config.cameras:
        return CameraPlan()
    stored = video_names(user_path(config.registry)) if config.registry else []
    return read_camera_plan(user_path(config.cameras), list(dict.fromkeys([*names, *stored])))


def write_identities(
    folder: Path, named: Sequence[tuple[str, Path]], plan: CameraPlan, config: IdentifyOptions | IdentifyingBatchOptions
) -> None:
    """Identify the tracks of files of embeddings, write the results into a locked folder, and print the summary."""
    from mot_dinov3.apps.batch.engines import open_engine
    from mot_dinov3.apps.identities.identity_files import document, notices, summary_lines, write_results
    from mot_dinov3.apps.identities.identity_page import write_page
    from mot_dinov3.apps.identities.named_videos import NAMED, write_named
    from mot_dinov3.apps.identities.registry_images import add_images
    from mot_dinov3.apps.identities.video_tracks import read_tracks
    from mot_dinov3.core.files import user_path
    from mot_dinov3.core.timing import now_utc

    registry = user_path(config.identities.registry) if config.identities.registry else None
    videos = read_tracks(named)
    images, created = config.draw.anonymize == "none", now_utc()
    with contextlib.closing(open_engine(config.batch)) as engine:
        result, more, lines = identify(videos, plan, registry, engine.call)
    if registry is not None and images:
        more += add_images(registry)
    written = write_results(folder, document(result, videos, plan, created), result.tracks)
    if write_named(folder, videos, result):
        suffixes = ".json, .csv" + (", .mp4" if config.identities.redraw else "")
        lines.append(f"names       in {folder / '*' / NAMED}{suffixes}")
    if config.identities.redraw:
        more += redraw_videos(folder, videos, config.draw)
    page, unread = write_page(folder, videos, result, created, images=images)
    print_notices([*notices(result, videos), *more, *unread])
    print_lines([*summary_lines(result, videos), *lines, *(f"written     {path}" for path in [*written, page])])


def redraw_videos(folder: Path, videos: Sequence[VideoTracks], config: DrawConfig) -> list[str]:
    """Draw the videos with the names of the identities, and return notices of those that cannot be drawn."""
    from mot_dinov3.apps.identities.named_videos import NAMED, redraw

    found = []
    for video in videos:
        tracks = folder / video.name / f"{NAMED}.json"
        try:
            if not tracks.exists():
                raise InputError("its tracks were not written: track-v1 JSON beside its embeddings is missing")
            with progress_bar(0) as bar:
                redraw(tracks, str(video.table.meta.get("source")), config, bar.update)
        except MotError as error:
            found.append(f"'{video.name}' was not drawn: {error.message}")
    return found


def identify(
    videos: Sequence[VideoTracks], plan: CameraPlan, registry: Path | None, run: Run
) -> tuple[IdentificationResult, list[str], list[str]]:
    """Return the identities of the tracks, notices, and lines of the summary; with a registry, those that it knows."""
    from mot_dinov3.apps.identities.identified_tracks import identify_tracks
    from mot_dinov3.apps.identities.identity_files import counted
    from mot_dinov3.apps.identities.identity_store import open_store
    from mot_dinov3.apps.identities.registry_update import update_registry

    if registry is None:
        return identify_tracks(videos, plan, run=run), [], []
    with open_store(registry, create=True) as store:
        result, more = update_registry(store, videos, plan, run)
        tracks, places = counted(len(store.tracklets()), "track"), counted(len(store.video_names()), "video")
        line = f"registry    {registry}: {len(store.identity_names()):,} identities of {tracks} in {places}"
    return result, more, [line]


@dataclasses.dataclass(frozen=True)
class VideosToTrack:
    """The videos among the inputs, as a batch in the result folder, and the embeddings that it will write."""

    batch: BatchPlan
    embeddings: tuple[tuple[str, Path], ...]


def plan_videos(words: Sequence[str], values: Mapping[str, Any]) -> VideosToTrack:
    """Check everything that can be checked before the first video is tracked."""
    from mot_dinov3.apps.batch.plan import make_plan
    from mot_dinov3.apps.identities.video_tracks import EMBEDDINGS

    added = {"save_embeddings": EMBEDDINGS, "save_json": "tracked.json", "video": "output" in values}
    options = {**added, **values}
    plan = make_plan(words, options, options["out_dir"])
    found = ((job.name, Path(job.folder) / options["save_embeddings"]) for job in plan.jobs)
    return VideosToTrack(plan, tuple(found))


def track_videos(videos: VideosToTrack, config: BatchConfig) -> tuple[tuple[Path, ...], int]:
    """Track the videos that have not been; return the embeddings of those that failed, and the exit code."""
    from mot_dinov3.apps.batch.loop import exclusive_lock, exit_code
    from mot_dinov3.apps.batch.manifest import DONE, open_manifest
    from mot_dinov3.cli.batch import run_missing

    plan = videos.batch
    with exclusive_lock(plan.out_dir):
        manifest = open_manifest(plan, resume=True)
        missing = manifest.missing(plan.jobs, plan.is_complete)
        caught = run_missing(missing, manifest, config) if missing else 0
    if caught:
        return (), 128 + caught
    states = [manifest.videos[job.name] for job in plan.jobs]
    print_notices([f"{video.state} {video.name}: {video.message}" for video in states if video.state != DONE])
    failed = {video.name for video in states if video.state != DONE}
    return tuple(path for name, path in videos.embeddings if name in failed), exit_code(states)
