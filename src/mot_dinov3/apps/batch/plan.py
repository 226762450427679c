"""Which runs a batch consists of: inputs to jobs, and all that can be refused before the first of them starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.apps.batch.worker import LOG, VideoJob
from mot_dinov3.core import files
from mot_dinov3.core.errors import InputError, OutputError, UsageError
from mot_dinov3.core.json_text import check_file
from mot_dinov3.core.options import Option, assemble, options_of
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.outputs import check_files
from mot_dinov3.video.images import SUFFIXES, natural_key
from mot_dinov3.video.open import VIDEO_SUFFIXES

MANIFEST, OVERVIEW, SUMMARY = "batch.json", "index.html", "summary.json"
NAME = "{name}"
PER_RUN = ("source", "resume")  # what every run is given by the batch


def find_videos(inputs: Sequence[str]) -> dict[str, Path]:
    """Return the videos that `inputs` name, by the name of their result folder, in order.

    An input is a video file, a folder of images (one video), or a folder of video files (each of them).

    Raises:
        InputError: One does not exist, is an address, or is a folder with neither.
        UsageError: There are none, or two have the same name.
    """
    if not inputs:
        raise UsageError("no input: name videos, or folders of them", remedy="for example: batch *.mp4 --out-dir out")
    found: dict[str, Path] = {}
    for path in (video for text in inputs for video in _videos_in(text)):
        name = path.stem if path.is_file() else path.name
        taken = {known.casefold(): known for known in found}.get(name.casefold())
        if taken is not None:
            raise UsageError(
                f"two inputs would share the result folder '{name}': '{found[taken]}' and '{path}'",
                remedy="rename one, or run them as two batches with different --out-dir",
            )
        if name in (MANIFEST, OVERVIEW):
            raise UsageError(f"the result folder of '{path}' would replace '{name}'", remedy="rename it")
        found[name] = path
    return found


def _videos_in(text: str) -> list[Path]:
    path = Path(text)
    if "://" in text:
        raise InputError(
            f"input '{text}' is an address",
            remedy="a batch accepts files and folders only; process an address with track",
        )
    if path.is_file():
        return [path.resolve()]
    if not path.is_dir():
        raise InputError(f"input '{text}' does not exist", remedy="name video files or folders")
    try:
        inside = sorted((p for p in path.resolve().iterdir() if not p.name.startswith(".")), key=_natural)
    except OSError as error:
        raise InputError(f"folder '{text}' cannot be read: {error.strerror}") from error
    if any(p.suffix.lower() in SUFFIXES for p in inside):
        return [path.resolve()]
    videos = [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
    if not videos:
        raise InputError(f"folder '{text}' contains neither videos nor images", remedy="subfolders are not searched")
    return videos


def _natural(path: Path) -> Any:
    return natural_key(path.name)


def batch_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `values` that are the main job's, as every video gets them; ``{name}`` is filled in later.

    Raises:
        UsageError: One of them cannot hold for a batch.
    """
    known = {option.key: option for option in options_of(TrackConfig)}
    if "source" in values:
        raise UsageError("--source is given, but a batch takes its videos as positional arguments")
    return {key: value for key, value in values.items() if key in known and key not in PER_RUN}


def plan_jobs(videos: Mapping[str, Path], options: Mapping[str, Any], out_dir: Path) -> list[VideoJob]:
    """Return a job per video, checked as far as it can be without opening it.

    Args:
        videos: Name → video.
        options: The main job's option values by key.
        out_dir: Folder of the result folders.

    Raises:
        MotError: Options that cannot be used, recorded detections that are missing, outputs that cannot be written.
    """
    dets = options.get("dets")
    if dets and len(videos) > 1 and NAME not in dets:
        raise UsageError(
            f"--dets '{dets}' is one file for {len(videos)} videos",
            remedy=f"use {NAME} for the name of each video: --dets 'dets/{NAME}.json'",
        )
    return [_job(name, video, options, out_dir / name) for name, video in videos.items()]


def _job(name: str, video: Path, options: Mapping[str, Any], folder: Path) -> VideoJob:
    values = {key: _filled(value, name) for key, value in options.items()} | {"source": str(video)}
    values |= {option.key: _inside(option, values, folder) for option in _output_options()}
    recorded = values.get("record", True)
    values = {key: value for key, value in values.items() if value is not None} | ({"resume": True} if recorded else {})
    config = assemble(TrackConfig, values)
    if config.detector.dets:
        check_file(Path(config.detector.dets))
    check_files(config)
    for path in (*config.output.files(), folder / LOG):
        files.check_output(path, within=folder.parent)
    written = tuple(str(path) for path in config.output.files())
    return VideoJob(name, str(video), str(folder), words=words_of(values), files=written, cwd=str(Path.cwd()))


def _output_options() -> list[Option]:
    return [option for option in options_of(TrackConfig) if option.stage == "output" and option.type is str]


def _inside(option: Option, values: Mapping[str, Any], folder: Path) -> str | None:
    """Return where an output lies in the video's folder; None where it is not asked for."""
    given = values.get(option.key)
    if given is None and option.key == "output":
        given = Path(option.default).name if values.get("video", True) else None
    if given is None and option.key == "save_summary":
        given = SUMMARY
    if given is None:
        return None
    if Path(given).is_absolute() or ".." in Path(given).parts or not Path(given).name:
        raise UsageError(
            f"{option.flag} '{given}' is outside the video's result folder",
            remedy=f"in a batch it is a name inside this folder, for example {option.flag} tracked{Path(given).suffix}",
        )
    return str(folder / given)


def _filled(value: Any, name: str) -> Any:
    if isinstance(value, tuple):
        return tuple(text.replace(NAME, name) for text in value)
    return value.replace(NAME, name) if isinstance(value, str) else value


def words_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return option values by key as the words of a command line of `track`."""
    flags = {option.key: option for option in options_of(TrackConfig)}
    return tuple(word for key, value in values.items() for word in _words(flags[key].flag, value))


def _words(flag: str, value: Any) -> Iterable[str]:
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag.removeprefix('--')}"]
    return [f"{flag}={one}" for one in (value if isinstance(value, tuple) else (value,))]


def check_room(jobs: Sequence[VideoJob], known: Iterable[str]) -> None:
    """Refuse to write among what this batch has not written.

    Raises:
        OutputError: A result folder holds something, and no manifest knows it.
    """
    mine = set(known)
    for job in jobs:
        if job.name not in mine and any(Path(job.folder).iterdir()):
            raise OutputError(
                f"result folder '{job.folder}' is not empty and was not created by a batch in this folder",
                remedy="choose another --out-dir, or move the folder elsewhere",
            )


def changed(before: Sequence[str], now: Sequence[str]) -> str:
    """Return what differs between two lists of options, as a person reads it; empty where nothing does."""
    return ", ".join(
        [
            *(f"{word} is new" for word in now if word not in before),
            *(f"{word} is gone" for word in before if word not in now),
        ]
    )


@dataclasses.dataclass(frozen=True)
class Plan:
    """A batch before it starts.

    Attributes:
        out_dir: Folder of the result folders.
        options: The main job's options, the same for every video.
        jobs: All runs, in order.
    """

    out_dir: Path
    options: tuple[str, ...]
    jobs: tuple[VideoJob, ...]


def make_plan(inputs: Sequence[str], values: Mapping[str, Any], out_dir: str) -> Plan:
    """Plan a batch of `inputs` with the main job's option `values`: makes folders, refuses what cannot be done."""
    options, folder = batch_options(values), Path(out_dir).absolute()
    files.check_output(folder / MANIFEST)
    jobs = plan_jobs(find_videos(inputs), options, folder)
    return Plan(folder, words_of(options), tuple(jobs))
