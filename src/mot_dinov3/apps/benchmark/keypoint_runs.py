"""Keypoint tracking of labelled videos with every backend, from some of their labelled frames, scored on the others."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.benchmark.keypoint_scores import PointFigures, score_points
from mot_dinov3.core.errors import InputError, NoLabelsError
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.formats import keypoints_csv
from mot_dinov3.formats.labelme import LabelledFrame
from mot_dinov3.formats.labelme_shapes import Shape
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.job.config import BackendConfig, KeypointJobConfig, KeypointsOptions
from mot_dinov3.keypoints.job.files import KeypointPaths, stem_of
from mot_dinov3.keypoints.job.wiring import build_keypoints, read_labels
from mot_dinov3.keypoints.labels import Labels
from mot_dinov3.models.devices import DeviceChoice
from mot_dinov3.video import SourceConfig, open_source
from mot_dinov3.video.source import VIDEO_SUFFIXES

TRUTH = "truth.csv"  # beside a video: places of its points in further frames


@dataclasses.dataclass(frozen=True)
class LabelledVideo:
    """A video, and the labels of all of its frames.

    Attributes:
        path: The video.
        name: Its name in the table.
        labels: The labelled frames.
    """

    path: Path
    name: str
    labels: Labels

    def given(self, every: int) -> list[int]:
        """Return the frames to track from: the first labelled one, and every Nth from there unless `every` is 0."""
        frames = sorted(self.labels.frames)
        return frames[::every] if every else frames[:1]


@dataclasses.dataclass(frozen=True)
class KeypointRow:
    """One video tracked with one backend.

    Attributes:
        video: Its name.
        backend: The backend's name.
        given: Labelled frames that were tracked from.
        figures: The figures of the other labelled frames.
        fps: Frames per second of the run, both directions and all files included.
    """

    video: str
    backend: str
    given: tuple[int, ...]
    figures: PointFigures
    fps: float

    def numbers(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        named = {"video": self.video, "backend": self.backend, "given": list(self.given)}
        return {**named, **self.figures.numbers(), "fps": round(self.fps, 2)}


def find_videos(source: Path) -> tuple[list[LabelledVideo], list[str]]:
    """Return the labelled videos of a folder and of its subfolders, or the one that is named.

    Returns:
        The videos, and notices of those that have a folder of labels, but none made by a person.

    Raises:
        InputError: There is no labelled video.
        FormatError: Labels cannot be read.
    """
    if not source.exists():
        raise InputError(f"'{source}' does not exist", remedy="give a folder of videos, each with its labels beside it")
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    paths = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES or (path == source and path.is_file())]
    paths = [path for path in paths if _labels_folder(path).is_dir()]
    stems = [path.stem for path in paths]
    names = [path.stem if stems.count(path.stem) == 1 else str(path.relative_to(source)) for path in paths]
    if not paths:
        raise InputError(
            f"no labelled video in '{source}'",
            remedy="label frames of x.mp4 with LabelMe or Annolid, as x/x_#########.json beside it",
        )
    found, without = [], []
    for path, name in zip(paths, names):
        try:
            found.append(read_video(path, name))
        except NoLabelsError as error:
            without.append((name, error))
    if not found:
        raise without[0][1]
    return found, [f"'{name}' is left out: {error.message}" for name, error in without]


def read_video(path: Path, name: str) -> LabelledVideo:
    """Return a video with the labels in its result folder, and those in `TRUTH` if it is the only video beside it.

    Raises:
        NoLabelsError: A person labelled no frame.
        FormatError: Labels cannot be read.
    """
    with open_source(SourceConfig(source=str(path), end_frame=1)) as frames:
        info = frames.info
    paths = KeypointPaths(path, _labels_folder(path), (info.width, info.height))
    beside = [one for one in path.parent.iterdir() if one.suffix.lower() in VIDEO_SUFFIXES]
    table = path.parent / TRUTH
    others = truth_frames(table, info) if len(beside) == 1 and table.is_file() else []
    return LabelledVideo(path, name, read_labels(paths, info, others)[1])


def truth_frames(path: Path, info: VideoInfo) -> list[LabelledFrame]:
    """Return the frames of a table of places, as far as the video has them, as if a person had labelled each.

    Raises:
        FormatError: It cannot be read.
    """
    shapes: dict[int, list[Shape]] = {}
    for frame, instance, keypoint, x, y in keypoints_csv.read_truth(path):
        if not info.frame_count or frame < info.frame_count:
            shapes.setdefault(frame, []).append(Shape(keypoint, np.array([[x, y]]), instance=instance))
    return [LabelledFrame(path, frame, tuple(found)) for frame, found in shapes.items()]


@dataclasses.dataclass(frozen=True)
class BackendComparison:
    """Tracks labelled videos with several backends.

    Attributes:
        backends: Options of each backend.
        device: Of the backends.
        every: See `LabelledVideo.given`.
    """

    backends: Sequence[BackendConfig]
    device: DeviceChoice
    every: int = 0

    def rows(
        self, videos: Sequence[LabelledVideo], folder: Path, tick: Callable[[], bool] = lambda: False
    ) -> Iterator[KeypointRow]:
        """Yield the figures of every video that has a labelled frame which is not given.

        Args:
            videos: The videos.
            folder: For the results, an empty one.
            tick: Called after each frame of each pass.

        Raises:
            InputError: There is no such video.
        """
        compared = [video for video in videos if len(video.given(self.every)) < len(video.labels.frames)]
        if not compared:
            raise InputError("no labelled frame is left to compare with", remedy="label more frames of a video")
        for number, video in enumerate(compared):
            for backend in self.backends:
                results = folder / f"{number}_{backend.backend}"
                results.mkdir()
                yield self._row(video, backend, results, tick)

    def _row(
        self, video: LabelledVideo, backend: BackendConfig, results: Path, tick: Callable[[], bool]
    ) -> KeypointRow:
        labelled, given = video.labels.frames, video.given(self.every)
        labels = dataclasses.replace(video.labels, frames={frame: labelled[frame] for frame in given})
        source, end = str(video.path), max(labelled) + 1
        job = KeypointJobConfig(source=source, result_folder=str(results), start_frame=given[0], end_frame=end)
        run = build_keypoints(KeypointsOptions(job, backend, self.device, KeypointConfig()), labels)
        start = time.perf_counter()
        run.run(tick)
        fps = run.pipeline.results.frames / (time.perf_counter() - start)
        tracked = ((frame, keypoints) for frame, _, keypoints in keypoints_csv.read_long(run.paths.table))
        truth = {frame: instances for frame, instances in labelled.items() if frame not in given}
        figures = PointFigures.of(score_points(tracked, truth, labels.frames.values()))
        return KeypointRow(video.name, backend.backend, tuple(given), figures, fps)


def _labels_folder(video: Path) -> Path:
    return video.parent / stem_of(video)
