"""Manifest of a batch: the state of every video, on disk before and after every change."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.apps.batch.plan import MANIFEST, BatchPlan, check_result_folders, option_differences
from mot_dinov3.apps.batch.worker import VideoJob, VideoResult
from mot_dinov3.core import files
from mot_dinov3.core.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_TERMINATED,
    FormatError,
    ModelError,
    OutputError,
    UsageError,
)
from mot_dinov3.core.json_text import read_object

SCHEMA = "batch-v1"
# Refused before the first frame: such a video has no results that other options could contradict.
REFUSED = (UsageError.exit_code, ModelError.exit_code)
WAITING, RUNNING, DONE, FAILED, INTERRUPTED = STATES = ("waiting", "running", "done", "failed", "interrupted")


@dataclasses.dataclass
class VideoState:
    """State of one video, one of `STATES`, and exit code, error message and duration of its last run."""

    name: str
    source: str
    state: str = WAITING
    exit_code: int | None = None
    message: str = ""
    seconds: float = 0.0

    def finish(self, result: VideoResult) -> None:
        """Record the result of a run."""
        interrupted = result.exit_code in (EXIT_INTERRUPTED, EXIT_TERMINATED)
        self.state = DONE if result.exit_code == EXIT_OK else INTERRUPTED if interrupted else FAILED
        self.exit_code, self.message, self.seconds = result.exit_code, result.message, result.seconds


class Manifest:
    """States of all videos of a result folder, saved in its ``batch.json``.

    Attributes:
        options: Tracking options of the batch.
        videos: Name → state, in order.
    """

    def __init__(self, out_dir: Path, options: Sequence[str], videos: Sequence[VideoState]) -> None:
        self.path = out_dir / MANIFEST
        self.options = tuple(options)
        self.videos = {video.name: video for video in videos}

    def save(self) -> None:
        """Write the file."""
        document = {
            "schema_version": SCHEMA,
            "options": list(self.options),
            "videos": [dataclasses.asdict(video) for video in self.videos.values()],
        }
        with files.replacing(self.path) as part:
            part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def missing(
        self, jobs: Sequence[VideoJob], is_complete: Callable[[VideoJob], bool] = VideoJob.has_files
    ) -> list[VideoJob]:
        """Return the jobs that are not done, or whose files are no longer complete."""
        return [job for job in jobs if self.videos[job.name].state != DONE or not is_complete(job)]


def open_manifest(plan: BatchPlan, *, resume: bool) -> Manifest:
    """Return the manifest of a batch: that of its folder where it is resumed, else a new one.

    Raises:
        OutputError: The folder contains a batch or other files, and `resume` is off.
        UsageError: The batch to resume has other options, or another video of the same name.
        FormatError: Its manifest is damaged.
    """
    path = plan.out_dir / MANIFEST
    if path.exists() and not resume:
        raise OutputError(
            f"'{plan.out_dir}' already contains a batch",
            remedy="continue it with --resume, or choose another --out-dir",
        )
    before = read_manifest(plan.out_dir) if path.exists() else Manifest(plan.out_dir, plan.options, [])
    started = [video for video in before.videos.values() if video.state != WAITING and video.exit_code not in REFUSED]
    if started and (difference := option_differences(before.options, plan.options)):
        raise UsageError(
            f"the batch in '{plan.out_dir}' was started with other options: {difference}",
            remedy="repeat the same command with --resume, or choose another --out-dir",
        )
    for job in plan.jobs:
        known = before.videos.get(job.name)
        if known is not None and known.source != job.source:
            raise UsageError(
                f"'{job.name}' of the batch in '{plan.out_dir}' is '{known.source}', not '{job.source}'",
                remedy="choose another --out-dir",
            )
    check_result_folders(plan.jobs, before.videos)
    added = [VideoState(job.name, job.source) for job in plan.jobs if job.name not in before.videos]
    return Manifest(plan.out_dir, plan.options, [*before.videos.values(), *added])


def read_manifest(out_dir: Path) -> Manifest:
    """Read the manifest of `out_dir`.

    Raises:
        FormatError: It cannot be read, or is not a manifest.
    """
    path = out_dir / MANIFEST
    document = read_object(path)
    if document.get("schema_version") != SCHEMA:
        raise FormatError(
            f"'{path}' is not a batch manifest (schema_version {SCHEMA})", remedy="move it to another folder"
        )
    options, videos = document.get("options"), document.get("videos")
    if not (isinstance(options, list) and all(isinstance(word, str) for word in options)):
        raise FormatError(f"'{path}': options must be a list of strings")
    if not isinstance(videos, list):
        raise FormatError(f"'{path}': videos must be a list")
    return Manifest(out_dir, options, [_state(path, row, video) for row, video in enumerate(videos)])


def _state(path: Path, row: int, video: Any) -> VideoState:
    texts = ("name", "source", "state", "message")
    whole = isinstance(video, dict) and all(isinstance(video.get(key), str) for key in texts)
    if not whole or video["state"] not in STATES:
        raise FormatError(f"'{path}', video {row}: name, source, state and message must be strings")
    code, seconds = video.get("exit_code"), video.get("seconds")
    if not (code is None or type(code) is int) or type(seconds) not in (int, float):
        raise FormatError(f"'{path}', video {row}: exit_code and seconds must be numbers")
    return VideoState(**{key: video[key] for key in texts}, exit_code=code, seconds=float(seconds))
