"""Plan of a batch: the videos to run, with all checks that are possible before the first one starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.apps.batch.worker import LOG, VideoJob
from mot_dinov3.core import files
from mot_dinov3.core.errors import InputError, OutputError, UsageError
from mot_dinov3.core.options import Option, assemble, options_of
from mot_dinov3.formats.format_registry import detect_format
from mot_dinov3.pipeline.config import TrackConfig
from mot_dinov3.pipeline.outputs import check_files
from mot_dinov3.pipeline.run_identity import is_complete
from mot_dinov3.video.image_files import SUFFIXES
from mot_dinov3.video.source import VIDEO_SUFFIXES

MANIFEST, OVERVIEW, SUMMARY = "batch.json", "index.html", "summary.json"
NAME = "{name}"
PER_RUN = ("source", "resume")  # set by the batch for every run


def find_videos(inputs: Sequence[str]) -> dict[str, Path]:
    """Return the videos that `inputs` name, by the name of their result folder, in order.

    An input is a video file, a folder of images (one video), a folder of video files (each of them), or a pattern.

    Raises:
        InputError: One does not exist, is an address, or is a folder without videos or images.
        UsageError: There are no videos, or two have the same name.
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
    path = files.user_path(text)
    if "://" in text:
        raise InputError(
            f"input '{text}' is an address",
            remedy="a batch accepts files and folders only; process an address with track",
        )
    if path.is_file():
        return [path.resolve()]
    if not path.is_dir():
        # a pattern that no shell has replaced: in quotes, or on Windows
        named = path.parent.glob(path.name.replace("**", "*")) if path.name else ()
        if matching := sorted(map(str, named), key=files.natural_key):
            return [video for one in matching for video in _videos_in(one)]
        raise InputError(f"input '{text}' does not exist", remedy="name video files or folders")
    try:
        seen = (p for p in path.resolve().iterdir() if not p.name.startswith("."))
        entries = sorted(seen, key=lambda p: files.natural_key(p.name))
    except OSError as error:
        raise InputError(f"folder '{text}' cannot be read: {error.strerror}") from error
    if any(p.suffix.lower() in SUFFIXES for p in entries):
        return [path.resolve()]
    videos = [p for p in entries if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
    if not videos:
        raise InputError(f"folder '{text}' contains neither videos nor images", remedy="subfolders are not searched")
    return videos


def batch_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tracking options among `values`, the same for every video; ``{name}`` is replaced later.

    Raises:
        UsageError: `--source` or `--show` is among them.
    """
    known = {option.key: option for option in options_of(TrackConfig)}
    if "source" in values:
        raise UsageError("--source is given, but a batch takes its videos as positional arguments")
    if values.get("show"):
        raise UsageError("--show is for one video", remedy="leave it out, or track that video by itself")
    return {key: value for key, value in values.items() if key in known and key not in PER_RUN}


def plan_jobs(videos: Mapping[str, Path], options: Mapping[str, Any], out_dir: Path) -> list[VideoJob]:
    """Return a job per video, checked as far as possible without opening it.

    Args:
        videos: Name → video.
        options: Values of the tracking options by key.
        out_dir: Folder of the result folders.

    Raises:
        MotError: Options are invalid, precomputed detections are missing, or outputs cannot be written.
    """
    dets = options.get("dets")
    if dets and len(videos) > 1 and NAME not in dets:
        raise UsageError(
            f"--dets '{dets}' is one file for {len(videos)} videos",
            remedy=f"use {NAME} for the name of each video: --dets 'dets/{NAME}.json'",
        )
    return [_job(name, video, options, out_dir / name) for name, video in videos.items()]


def _values(name: str, source: str, options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the option values of one run."""
    values = {key: _fill_name(value, name) for key, value in options.items()} | {"source": source}
    values |= {option.key: _output_path(option, values, folder) for option in _output_options()}
    recorded = values.get("record", True)
    return {key: value for key, value in values.items() if value is not None} | ({"resume": True} if recorded else {})


def _job(name: str, video: Path, options: Mapping[str, Any], folder: Path) -> VideoJob:
    values = _values(name, str(video), options, folder)
    config = assemble(TrackConfig, values)
    if config.detector.dets:
        detect_format(Path(config.detector.dets))
    check_files(config)
    crops = [Path(config.output.save_crops)] if config.output.save_crops else []  # a folder, checked by check_files
    for path in (*(path for path in config.output.files() if path not in crops), folder / LOG):
        files.check_output(path, within=folder.parent)
    written = tuple(str(path) for path in config.output.files())
    return VideoJob(name, str(video), str(folder), words=command_line(values), files=written, cwd=str(Path.cwd()))


def _output_options() -> list[Option]:
    return [option for option in options_of(TrackConfig) if option.stage == "output" and option.type is str]


def _output_path(option: Option, values: Mapping[str, Any], folder: Path) -> str | None:
    """Return the path of an output in the video's folder; None where it is not wanted."""
    given = values.get(option.key)
    if given is None and option.key == "output":
        given = Path(option.default).name if values.get("video", True) else None
    if given is None and option.key == "save_summary":
        given = SUMMARY
    if given is None:
        return None
    if given.startswith("~") or Path(given).is_absolute() or ".." in Path(given).parts or not Path(given).name:
        raise UsageError(
            f"{option.flag} '{given}' is outside the video's result folder",
            remedy=f"in a batch it is a name inside this folder, for example {option.flag} tracked{Path(given).suffix}",
        )
    return str(folder / given)


def _fill_name(value: Any, name: str) -> Any:
    if isinstance(value, tuple):
        return tuple(text.replace(NAME, name) for text in value)
    return value.replace(NAME, name) if isinstance(value, str) else value


def command_line(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return option values by key as the arguments of `track`."""
    flags = {option.key: option for option in options_of(TrackConfig)}
    return tuple(word for key, value in values.items() for word in _option_words(flags[key].flag, value))


def _option_words(flag: str, value: Any) -> Iterable[str]:
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag.removeprefix('--')}"]
    return [f"{flag}={one}" for one in (value if isinstance(value, tuple) else (value,))]


def check_result_folders(jobs: Sequence[VideoJob], listed: Iterable[str]) -> None:
    """Check that result folders of new videos are empty.

    Raises:
        OutputError: One contains files, and the manifest does not list its video.
    """
    known = set(listed)
    for job in jobs:
        if job.name not in known and any(Path(job.folder).iterdir()):
            raise OutputError(
                f"result folder '{job.folder}' is not empty and was not created by a batch in this folder",
                remedy="choose another --out-dir, or move the folder elsewhere",
            )


def option_differences(before: Sequence[str], now: Sequence[str]) -> str:
    """Return the differences between two lists of options as text; empty where there are none."""
    changes = [f"{word} is new" for word in now if word not in before]
    return ", ".join(changes + [f"{word} is gone" for word in before if word not in now])


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """A batch before it starts.

    Attributes:
        out_dir: Folder of the result folders.
        options: Tracking options, the same for every video.
        jobs: All runs, in order.
        values: Values of the tracking options by key.
    """

    out_dir: Path
    options: tuple[str, ...]
    jobs: tuple[VideoJob, ...]
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def is_complete(self, job: VideoJob) -> bool:
        """Return whether a video's files are there, as complete results of its run with the inputs as they are now."""
        config = assemble(TrackConfig, _values(job.name, job.source, self.values, Path(job.folder)))
        if not config.output.resume:
            return job.has_files()
        try:
            return is_complete(config)
        except UsageError:  # its run says which
            return False


def make_plan(inputs: Sequence[str], values: Mapping[str, Any], out_dir: str) -> BatchPlan:
    """Plan a batch of `inputs` with the option `values`: makes folders, and checks all that can be checked."""
    options, folder = batch_options(values), Path(out_dir).absolute()
    files.check_output(folder / MANIFEST)
    jobs = plan_jobs(find_videos(inputs), options, folder)
    return BatchPlan(folder, command_line(options), tuple(jobs), options)
