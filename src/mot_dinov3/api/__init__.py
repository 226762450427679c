"""The Python API: tracking in a loop of one's own, tracking to the end, and the gallery job.

Options have the names, types and defaults of the commands `track` and `gallery`; None stands for the default. Models
are loaded and mistakes are reported before the first frame.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mot_dinov3.api.keywords import GalleryOptions, TrackOptions
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.files import file_stamp
from mot_dinov3.core.option_values import typed_values
from mot_dinov3.core.options import assemble, options_of
from mot_dinov3.core.structures import Detections, Frame, VideoInfo
from mot_dinov3.core.timing import now_utc
from mot_dinov3.gallery.job.config import GalleryJobConfig, RunPaths
from mot_dinov3.gallery.job.wiring import GalleryRun
from mot_dinov3.pipeline.config import TrackConfig, track_config
from mot_dinov3.pipeline.summary import RunSummary
from mot_dinov3.pipeline.wiring import TrackingRun, build_tracking
from mot_dinov3.trackers import TRACKERS

if TYPE_CHECKING:
    from typing_extensions import Unpack

PACKED = 32  # lines compressed together: half the time and three quarters of the size of one by one
_RENAMED = {"save_json_flag": "json", "save_frames": "frames"}  # keyword of `track_gallery` → option of the command


class Pipeline:
    """Tracks a source while it is iterated: ``for frame, detections in Pipeline.from_options(source="in.mp4"): …``.

    Leaving the loop early stops the run: its files are finished with the frames so far, once the iterator is closed.
    With ``link`` the rows are those of the first pass; only the files are linked.

    Args:
        config: All options of tracking.

    Attributes:
        config: As given.

    Raises:
        MotError: Something cannot be used; see `errors` for the kinds. Models are loaded here, not at the first frame.
    """

    def __init__(self, config: TrackConfig) -> None:
        self.config = config
        self._run: TrackingRun = build_tracking(config)
        self._started = False

    @classmethod
    def from_options(cls, **options: Unpack[TrackOptions]) -> Pipeline:
        """Build the pipeline from the options of the command `track`.

        Nothing is written unless a file is named: a video only where `output` is.

        Args:
            **options: As in `TrackOptions`.

        Raises:
            UsageError: Neither a source nor precomputed detections, or options that contradict each other.
            ConfigError: An unknown option, a value of the wrong type, or out of range.
            MotError: Something cannot be used; see `errors` for the kinds.
        """
        values = _option_values(options, TrackConfig, TrackOptions)
        if values.get("video") and "output" not in values:
            raise UsageError("video=True needs an output file", remedy="give the file: output='tracked.mp4'")
        if "output" not in values:
            values["video"] = False
        return cls(track_config(values))

    @property
    def info(self) -> VideoInfo:
        """Size, frame rate and length of the source."""
        return self._run.loop.stages.source.info

    @property
    def names(self) -> dict[int, str]:
        """Class id → class name; empty where unknown."""
        return dict(self._run.loop.stages.detector.names)

    @property
    def notices(self) -> list[str]:
        """Messages for the user: fallbacks taken, damage found until now."""
        return self._run.all_notices()

    def summary(self) -> RunSummary:
        """Return the summary of the run until now."""
        return self._run.summary()

    def __iter__(self) -> Iterator[tuple[Frame, Detections]]:
        """Yield each frame with its finished rows: tracked, untracked and coasted ones.

        Raises:
            UsageError: It was iterated before: a run reads its source once.
            MotError: A frame, a model or an output that fails.
        """
        if self._started:
            raise UsageError("a pipeline runs once", remedy="build another with Pipeline.from_options")
        self._started = True
        return self._run.loop.results(ended=self._run.locks.release)

    def close(self) -> None:
        """Release the source of a pipeline that is not going to be iterated."""
        if not self._started:
            self._started = True
            self._run.loop.abort()
            self._run.loop.stages.source.close()
            self._run.locks.release()


def track(**options: Unpack[TrackOptions]) -> RunSummary:
    """Track a source to its end, and return the summary: `lines` as the command prints them, `numbers` as JSON values.

    Nothing is written unless a file is named: a video only where `output` is.

    Args:
        **options: As in `TrackOptions`.

    Raises:
        MotError: Something cannot be used; see `errors` for the kinds.
    """
    pipeline = Pipeline.from_options(**options)
    for _ in pipeline:
        pass
    return pipeline.summary()


@dataclasses.dataclass(frozen=True)
class PackedPayload:
    """A track-v1 document, its frames compressed.

    Attributes:
        header: All keys but ``frames``.
        parts: The frames' records, in order, `PACKED` lines of JSON a part.
    """

    header: Mapping[str, Any]
    parts: Sequence[bytes]

    def unpack(self) -> dict[str, Any]:
        """Return the document."""
        lines = (line for part in self.parts for line in zlib.decompress(part).splitlines())
        return {**self.header, "frames": [json.loads(line) for line in lines]}


class _Packer:
    """Compresses the records of a run, `PACKED` lines at a time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._lines: list[str] = []

    def take(self, number: int, line: str) -> None:
        """Append the record of a frame."""
        self._lines.append(line)
        if len(self._lines) == PACKED:
            self._pack()

    def _pack(self) -> None:
        self._parts.append(zlib.compress("\n".join(self._lines).encode(), 1))
        self._lines = []

    def parts(self) -> list[bytes]:
        """Return all records, compressed."""
        if self._lines:
            self._pack()
        return self._parts


@dataclasses.dataclass(frozen=True)
class TrackResult:
    """The result of `track_gallery`.

    Attributes:
        payload: The whole track-v1 document; kept compressed until it is first used.
        paths: The files written, all None unless asked for: ``run_dir``, ``json_path``, ``video_path``, ``frames_dir``;
            ``csv_path`` and ``report_path`` are keys where they are.
        stats: ``frames``, ``fps``, ``stage_ms`` (ms a frame by stage), ``embeddings``, ``identities``, ``notices``.
    """

    payload: Mapping[str, Any] | PackedPayload
    paths: RunPaths
    stats: Mapping[str, Any]

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name == "payload" and isinstance(value, PackedPayload):
            value = value.unpack()
            object.__setattr__(self, name, value)
        return value


def available_trackers() -> list[str]:
    """Return the names of all trackers."""
    return list(TRACKERS)


def track_gallery(
    *, dets_json: str | Path, video: str | Path, no_progress: bool = True, **options: Unpack[GalleryOptions]
) -> TrackResult:
    """Track a video from its precomputed detections, and name known identities: the command `gallery`.

    Nothing is written unless asked for.

    Args:
        dets_json: det-v1 file.
        video: The video it was made from.
        no_progress: Show no progress bar.
        **options: As in `GalleryOptions`.

    Raises:
        ConfigError: An unknown option, a value of the wrong type, or out of range.
        MotError: Something cannot be used; see `errors` for the kinds.
    """
    given = {"dets_json": dets_json, "video": video, **options}
    config = assemble(GalleryJobConfig, _option_values(given, GalleryJobConfig, GalleryOptions))
    packer = _Packer()
    run = GalleryRun(config, line=packer.take, created=_first_made(config, file_stamp(Path(config.inputs.dets))))
    run.run(_progress(run.frame_total, shown=not no_progress))
    stats = {**run.stats(), "notices": list(run.notices)}
    return TrackResult(PackedPayload(run.header(), packer.parts()), run.paths, stats)


track_video = track_gallery


def _option_values(given: Mapping[str, object], config: type, keywords: type) -> dict[str, Any]:
    """Return keyword arguments as option values: those that are None left out, the others as a TOML file has them."""
    accepted = {"dets", "source", *(_RENAMED.get(key, key) for key in keywords.__annotations__)}
    plain = {_RENAMED.get(key, key): _plain(key, value) for key, value in given.items()}
    values = {key: value for key, value in plain.items() if value is not None}
    return typed_values(values, [known for known in options_of(config) if known.key in accepted])


def _plain(key: str, value: Any) -> Any:
    """Return a value as a TOML file has it: paths and camera numbers as text, numpy's numbers as plain ones."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    return _FORMS[key](value) if key in _FORMS and value is not None else value


def _several(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | set) else [value]


_FORMS: dict[str, Callable[[Any], Any]] = {
    "source": lambda camera: str(camera) if isinstance(camera, int) else camera,
    "device": lambda index: str(index) if isinstance(index, int) else index,
    "classes": lambda chosen: ",".join(map(str, _several(chosen))),
    "track_ids": lambda chosen: ",".join(map(str, _several(chosen))),
    "labels": lambda parts: ",".join(_several(parts)),
    "line": _several,
    "class_names": lambda names: names if isinstance(names, str) else json.dumps(names),
    "save_video": lambda name: ("tracked" if name else None) if isinstance(name, bool) else name,
}


@functools.lru_cache(maxsize=256)
def _first_made(config: GalleryJobConfig, stamp: tuple[int, ...]) -> str:
    """Return the time of this process's first run with these options and input: its result, to the byte, is theirs."""
    return now_utc()


def _progress(total: int, *, shown: bool) -> Callable[[], bool]:
    if not shown:
        return lambda: False
    from tqdm import tqdm

    bar = tqdm(total=total or None, unit="frame")

    def tick() -> bool:
        bar.update()
        return False

    return tick
