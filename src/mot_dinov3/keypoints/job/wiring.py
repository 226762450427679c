"""Wiring of the `keypoints` command: options → models, labels, files and the loop."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from mot_dinov3.core import files
from mot_dinov3.core.errors import InputError, NoLabelsError, UsageError, VideoError
from mot_dinov3.core.output_lock import OutputLocks
from mot_dinov3.core.run_mark import content_digest
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.formats import keypoints_csv, labelme, pose_files
from mot_dinov3.keypoints.backends.base import CachedBackend
from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.job.config import KeypointJobConfig, KeypointsOptions
from mot_dinov3.keypoints.job.files import KeypointFiles, KeypointPaths, stem_of
from mot_dinov3.keypoints.job.loop import KeypointPipeline
from mot_dinov3.keypoints.job.model_loading import build_backend, build_cutie
from mot_dinov3.keypoints.labels import Labels, resolve_instances
from mot_dinov3.keypoints.rendering import draw_keypoints
from mot_dinov3.keypoints.review import ranked, write_review
from mot_dinov3.models.weights import local_path
from mot_dinov3.video import SourceConfig, VideoWriter, open_source
from mot_dinov3.video.encoders import container_of
from mot_dinov3.video.image_files import list_images
from mot_dinov3.video.opening import refuse_live
from mot_dinov3.video.random_access import VideoRanges
from mot_dinov3.video.threads import PrefetchSource
from mot_dinov3.viz.text_drawing import missing_glyphs

STAGES = ("read", "wait", "describe", "track", "write", "draw")


@dataclasses.dataclass(frozen=True)
class KeypointRun:
    """A run of `keypoints`, ready to start.

    Attributes:
        job: Its inputs and outputs.
        pipeline: The frame loop.
        info: The video.
        paths: The video's files.
        backend: The dense backend.
        notices: What the user should know.
        locks: Of the files, until the run is over.
    """

    job: KeypointJobConfig
    pipeline: KeypointPipeline
    info: VideoInfo
    paths: KeypointPaths
    backend: CachedBackend
    notices: tuple[str, ...]
    locks: OutputLocks

    def all_notices(self) -> tuple[str, ...]:
        """Return the notices, with those of the frames solved so far."""
        return (*self.notices, *dict.fromkeys(self.pipeline.results.notices))

    @property
    def frame_visits(self) -> int:
        """Number of frames in all passes of the run, 0 where that is unknown."""
        gaps = self.pipeline.gaps(self.job.start_frame, self.job.end_frame)
        return sum(g.frame_visits() for g in gaps) if all(g.stop is not None for g in gaps) else 0

    def run(self, tick: Callable[[], bool] = lambda: False) -> None:
        """Track all points and write all files; `tick` is called per frame of a pass and interrupts when true."""
        with self.locks:
            self._run(tick)

    def _run(self, tick: Callable[[], bool]) -> None:
        gaps = self.pipeline.gaps(self.job.start_frame, self.job.end_frame)
        self.pipeline.run(gaps, step=self.job.step, tick=tick)
        self.pipeline.results.finish()
        with self.pipeline.timer.stage("write"):
            self._write_tables()
        if self.job.output and not self.pipeline.interrupted:
            with self.pipeline.timer.stage("draw"):
                self._write_video(Path(self.job.output))

    def _write_tables(self) -> None:
        with files.replacing(self.paths.review) as part, part.open("w", encoding="utf-8", newline="") as file:
            write_review(file, ranked(self.pipeline.results.uncertainties))
        if self.job.dlc_csv:
            table = self.paths.table  # frames outside of a range may have the keypoints of earlier labels
            each = (zip(one.instance, one.name) for _, _, one in keypoints_csv.read_long(table))
            points = dict.fromkeys(itertools.chain.from_iterable(each))
            rows = ((frame, keypoints) for frame, _, keypoints in keypoints_csv.read_long(table))
            with files.replacing(self.paths.wide) as part, part.open("w", encoding="utf-8", newline="") as file:
                keypoints_csv.write_wide(file, rows, points)
        wanted = [option for option in self.paths.poses if getattr(self.job, option)]
        if not wanted:
            return
        poses = pose_files.PoseTable.of(keypoints_csv.read_long(self.paths.table), self.info.fps)
        for option in wanted:
            with files.replacing(self.paths.poses[option]) as part:
                self._write_poses(option, part, poses)

    def _write_poses(self, option: str, path: Path, poses: pose_files.PoseTable) -> None:
        if option == "dlc_h5":
            pose_files.write_dlc_h5(path, poses)
        elif option == "sleap_h5":
            pose_files.write_sleap_h5(path, poses, self.paths.video)
        else:
            pose_files.write_movement_nc(path, poses, self.info.fps)

    def _write_video(self, path: Path) -> None:
        start = self.job.start_frame  # the table may have rows of earlier runs outside of the range
        rows = (row for row in keypoints_csv.read_long(self.paths.table) if row[0] >= start)
        number, _, keypoints = next(rows)
        with (
            PrefetchSource(open_source(_source(self.job, number, self.job.end_frame))) as frames,
            VideoWriter(path, info=self.info, audio_from=frames.audio_from, pixel_aspect=frames.pixel_aspect) as writer,
        ):
            for frame in frames:
                while number < frame.index and (row := next(rows, None)) is not None:
                    number, _, keypoints = row
                if number == frame.index:
                    shown = dataclasses.replace(keypoints, outlines=self.pipeline.outlines(number))
                    writer.write(draw_keypoints(frame.pixels(), shown), frame.time)

    def _files(self) -> list[Path]:
        """Return the files that a run writes; those of the frames as one pattern."""
        paths, job = self.paths, self.job
        video = [Path(job.output)] if job.output and not self.pipeline.interrupted else []
        tables = {"dlc_csv": paths.wide, "annolid_csv": paths.annolid, **paths.poses}
        asked = [path for option, path in tables.items() if getattr(job, option)]
        return [*video, paths.table, paths.review, *asked, paths.folder / f"{paths.stem}_*.json"]

    def summary(self, told: Sequence[str] = ()) -> list[str]:
        """Return the lines of the summary, without the notices that were `told` already."""
        results, backend, timer = self.pipeline.results, self.backend, self.pipeline.timer
        fresh = max(results.frames - results.reused, 1)
        ms = {name: timer.stage_ms.get(name, 0.0) / fresh for name in STAGES}
        ms["describe"] = 1e3 * backend.seconds / fresh
        ms["track"] -= ms["describe"]
        whole = sum(ms.values()) - ms["read"]
        share = 100 * results.by_state / max(results.by_state.sum(), 1)
        info = backend.info
        model = f"{info.name} {info.weights} ({info.place})".replace("  ", " ")
        per_call = 1e3 * backend.seconds / max(backend.calls, 1)
        return [
            f"frames      {results.frames}, of which {results.reused} reused from an earlier run",
            f"speed       {1e3 / whole if whole else 0:.1f} fps effective",
            f"  ms/frame: {', '.join(f'{name} {v:.1f}' for name, v in ms.items())}; read runs in parallel",
            f"points      visible {share[0]:.1f} %, occluded {share[1]:.1f} %, lost {share[2]:.1f} %",
            f"backend     {model}: {backend.calls} calls of {per_call:.1f} ms, {ms['describe']:.1f} ms/frame",
            f"files       {', '.join(map(str, self._files()))}",
            *(f"notice      {notice}" for notice in self.all_notices() if notice not in told),
        ]


def build_keypoints(command: KeypointsOptions, labels: Labels | None = None) -> KeypointRun:
    """Build a run: outputs are checked first, then labels, then weights.

    Args:
        command: The options.
        labels: Labelled frames to start from, instead of those in the result folder.

    Raises:
        MotError: Something cannot be used; see `errors` for the kinds.
    """
    job = command.keypoint_job
    if not job.source:
        raise UsageError("no input: --source is missing", remedy="for example: keypoints mouse.mp4")
    refuse_live(job.source, "keypoints")
    video = Path(job.source)
    if job.output:
        container_of(Path(job.output))
        files.check_output(Path(job.output), source=job.source)
    with open_source(_source(job, 0, 1)) as frames:
        info = frames.info
    _check_range(job, info)
    folder = Path(job.result_folder) if job.result_folder else video.parent / stem_of(video)
    paths = KeypointPaths(video, folder, (info.width, info.height))
    protected: list[int] = []
    if labels is None:
        protected, labels = read_labels(paths, info)
    paths.folder.mkdir(parents=True, exist_ok=True)
    wanted = [option for option in paths.poses if getattr(job, option)]
    for option in wanted:
        pose_files.check_packages(option)
    others = [*([paths.annolid] if job.annolid_csv else []), *(paths.poses[option] for option in wanted)]
    for path in (paths.table, paths.wide, *others):
        files.check_output(path)
    locked = [paths.table, *([paths.annolid] if job.annolid_csv else []), *([Path(job.output)] if job.output else [])]
    with contextlib.ExitStack() as until_failure:  # a missing model leaves no lock behind
        locks = until_failure.enter_context(OutputLocks(locked))  # the table's stands for all files of the video
        run = _assemble(command, _Inputs(info, paths, tuple(protected), labels), locks)
        until_failure.pop_all()
    return run


@dataclasses.dataclass(frozen=True)
class _Inputs:
    """A video with its files, the frames with hand-made files, and their labels."""

    info: VideoInfo
    paths: KeypointPaths
    protected: tuple[int, ...]
    labels: Labels


def _assemble(command: KeypointsOptions, inputs: _Inputs, locks: OutputLocks) -> KeypointRun:
    """Load the models and put the run together."""
    job, config, labels, paths = command.keypoint_job, command.keypoint, inputs.labels, inputs.paths
    new_mask_tracker = build_cutie(command.keypoint_device) if config.masks == "cutie" else None
    loaded = build_backend(command.keypoint_backend, command.keypoint_device)
    backend = loaded.backend
    if config.masks == "auto":
        config = dataclasses.replace(config, masks="dino" if backend.info.name == "dino" else "flow")
    outputs = KeypointFiles(
        paths,
        fingerprint=_fingerprint(paths.video, config, backend),
        protected=inputs.protected,
        labelled={n: {one.name: one.polygons for one in row if one.polygons} for n, row in labels.frames.items()},
        annolid=job.annolid_csv,
    )
    pipeline = KeypointPipeline(config, backend, labels, VideoRanges(paths.video, inputs.info), outputs)
    pipeline.passes.new_mask_tracker = new_mask_tracker
    drawn = (name for ones in labels.frames.values() for one in ones for name in one.keypoints) if job.output else ()
    notices = tuple(filter(None, dict.fromkeys((*loaded.notices, *labels.notices, missing_glyphs(drawn)))))
    return KeypointRun(job, pipeline, inputs.info, paths, backend, notices, locks)


def _source(job: KeypointJobConfig, start: int, stop: int | None) -> SourceConfig:
    return SourceConfig(source=job.source, start_frame=start, end_frame=stop)


def _check_range(job: KeypointJobConfig, info: VideoInfo) -> None:
    """Refuse a range that begins beyond the end of the video, before anything is written."""
    if job.start_frame and (job.start_frame >= info.frame_count or not info.frame_count):
        with open_source(_source(job, job.start_frame, job.start_frame + 1)) as frames:
            next(iter(frames), None)  # VideoError where there is none


def read_labels(
    paths: KeypointPaths, info: VideoInfo, others: Sequence[labelme.LabelledFrame] = ()
) -> tuple[list[int], Labels]:
    """Return the frames with hand-made files, and their labels.

    Args:
        paths: The video's files.
        info: The video.
        others: Frames that are labelled elsewhere; a file in the result folder wins over them.

    Raises:
        NoLabelsError: There are no labels.
        InputError: There are only labels of another video.
    """
    images = dict(enumerate(list_images(paths.video))) if paths.video.is_dir() else {}
    if paths.folder.exists() and not paths.folder.is_dir():
        raise InputError(f"'{paths.folder}' is a file", remedy="choose a folder for the labels and results")
    if not paths.folder.is_dir() and not labelme.files_beside(images):
        raise InputError(
            f"no labels: the result folder '{paths.folder}' does not exist",
            remedy=f"label a frame as {paths.folder.name}/{paths.stem}_000000000.json, or give --result-folder",
        )
    read = labelme.read_frame_labels(paths.folder, paths.stem, paths.size, images)
    labelled, predictions = read.frames, _annolid_notice(read.annolid_predictions)
    if not labelled:
        raise _no_labels(paths, predictions)
    beyond = _beyond_the_end(labelled, paths.video, info.frame_count)
    end = f"the video has {info.frame_count} frames" if info.frame_count else "the video ends before it"
    if len(beyond) == len(labelled):
        raise InputError(
            f"'{beyond[0].path}' is for frame {beyond[0].frame}, but {end}",
            remedy="the labels belong to another video",
        )
    within = {f.frame: f for f in (*others, *labelled) if f not in beyond}
    labels = resolve_instances([within[number] for number in sorted(within)])
    said = tuple(f"'{f.path.name}' is for frame {f.frame}, but {end}; skipped" for f in beyond)
    told = (*filter(None, (predictions and f"{predictions}, and replaced",)), *labels.notices, *said)
    return [f.frame for f in labelled], dataclasses.replace(labels, notices=told)


def _beyond_the_end(labelled: Sequence[labelme.LabelledFrame], video: Path, count: int) -> list[labelme.LabelledFrame]:
    """Return labelled frames that the video does not have; `count` is 0 where nobody knows how many it has."""
    if count:
        return [one for one in labelled if one.frame >= count]
    beyond = itertools.takewhile(lambda one: not _has_frame(video, one.frame), reversed(labelled))
    return [*beyond][::-1]


def _has_frame(video: Path, number: int) -> bool:
    try:
        with open_source(SourceConfig(source=str(video), start_frame=number, end_frame=number + 1)) as frames:
            return next(iter(frames), None) is not None
    except VideoError:
        return False


def _annolid_notice(count: int) -> str:
    frames = "1 frame holds" if count == 1 else f"{count} frames hold"
    return f"{frames} Annolid's predictions and no image beside: not used as labels" if count else ""


def _no_labels(paths: KeypointPaths, predictions: str) -> NoLabelsError:
    """Return the error of a folder without labels, which names the files that look like some."""
    ours = {paths.state, *labelme.frame_files(paths.folder, paths.stem).values()}
    others = [p.name for p in sorted(paths.folder.glob("*.json")) if p not in ours]
    seen = f"; it holds other JSON files, such as '{others[0]}'" if others else ""
    reason = f"; {predictions}" if predictions else seen
    remedy = "label points on one frame with LabelMe or Annolid; the number is the frame index, from 0"
    if predictions:
        remedy = "correct a frame and save it in Annolid with its image, or label one in the studio"
    elif others:
        remedy = f"rename each to {paths.stem}_#########.json; the number is the frame index, from 0"
    return NoLabelsError(
        f"no labels: '{paths.folder}' holds no {paths.stem}_#########.json labelled by a person{reason}", remedy=remedy
    )


def _fingerprint(video: Path, config: KeypointConfig, backend: CachedBackend) -> str:
    """Return a digest of the video, the options and the model, which every result depends on."""
    weights = local_path(backend.info.weights)
    frames = list_images(video) if video.is_dir() else [video]  # results may lie in the folder of the images, too
    digests = [content_digest(frame) for frame in frames], content_digest(weights) if weights is not None else ""
    known = f"{config}|{backend.info.name}|{backend.info.weights}|{digests}"
    if backend.info.name == "dino":
        known += f"|{backend.info.details}"
    return hashlib.sha256(known.encode()).hexdigest()[:16]
