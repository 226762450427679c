"""The gallery's job: its options, and the way from them to live parts.

Everything that can be refused is refused before a model loads. Without anything that looks at pictures (no embedder, no
drawing) the video's header is all that is read of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mot_dinov3 import outputs
from mot_dinov3.build import now_utc
from mot_dinov3.devices import DeviceConfig
from mot_dinov3.errors import ConfigError, FormatError, InputError, ModelError, UsageError
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EMBEDDERS, EmbedderConfig, build_embedder
from mot_dinov3.formats.stream import DetectionStream
from mot_dinov3.formats.text import check_file, printable
from mot_dinov3.formats.track_v1 import track_v1_header, tracker_block
from mot_dinov3.gallery.config import GalleryConfig
from mot_dinov3.gallery.folder import list_identities, load_gallery
from mot_dinov3.gallery.stage import Identifier
from mot_dinov3.pipeline.journal import Journal, NoJournal, journal_path
from mot_dinov3.pipeline.naming import ClassFilter, LineTaker, Looker, NamingPipeline, NamingStages
from mot_dinov3.pipeline.sinks import Sink, VideoSink
from mot_dinov3.pipeline.windows import FolderSink, RetimedSink, WindowSink, check_screen
from mot_dinov3.registry import check_name
from mot_dinov3.settings import require, require_choice, setting
from mot_dinov3.structures import Detections, Frame, Image, TrackView, VideoInfo
from mot_dinov3.timing import StageTimer
from mot_dinov3.trackers.config import TrackerConfig
from mot_dinov3.trackers.factory import Scene, build_tracker, keeps_tracks
from mot_dinov3.trackers.hybrid import HybridConfig
from mot_dinov3.video import FrameSource, SourceConfig, VideoWriter, open_source
from mot_dinov3.viz import DrawConfig, draw_frame

GALLERY_TRACKERS = ("gallery_hybrid", "gallery_only")


@dataclasses.dataclass(frozen=True)
class NamingConfig:
    """What is tracked, and what looks at it."""

    dets_json: str = setting("", "recorded detections, det-v1 JSON", metavar="FILE")
    video: str = setting("", "the video they were made from", metavar="PATH")
    tracker: str = setting("gallery_hybrid", "what makes the tracks", choices=GALLERY_TRACKERS)
    classes: str = setting("", "classes to track, ids or names, separated by , or ; (default: all)", metavar="LIST")
    filter_gallery: bool = setting(False, "leave out detections of tracked classes that nobody was recognised in")
    class_names: str | None = setting(None, "text file of class names, line number = class id from 0", metavar="FILE")
    reid_weights: str | None = setting(None, "weights, looked up under --models-dir too", metavar="FILE")
    embedder: str = setting("", f"what compares pictures (default osnet): {', '.join(EMBEDDERS)}", metavar="NAME")
    reid_frequency: int = setting(10, "frames after which a track is compared with the gallery again")
    device: str = setting("auto", "auto (CUDA, then MPS, then CPU), cpu, cuda, mps or a CUDA index")
    half: bool = setting(False, "embed in half precision")
    trust_weights: bool = setting(False, "open weights files that are more than data and may run code (.pt, .pth)")
    models_dir: str = setting("models", "folder where weights are looked up by name", metavar="DIR")

    def __post_init__(self) -> None:
        for name, what in (("dets_json", "recorded detections"), ("video", "a video")):
            if not getattr(self, name):
                raise UsageError(f"no input: {name} is missing", remedy=f"give {what}: --{name.replace('_', '-')}")
        require_choice(self, "tracker")
        require(self.reid_frequency >= 1, "reid_frequency", self.reid_frequency, "at least 1")
        if self.embedder:
            check_name("embedder", EMBEDDERS, self.embedder)


@dataclasses.dataclass(frozen=True)
class ArtefactConfig:
    """What is written, below ``<out-dir>/<run-name>``; nothing by default."""

    json: bool = setting(False, "write tracked.json (track-v1)")
    frames: bool = setting(False, "write every drawn frame as frames/%06d.jpg")
    save_video: str | None = setting(None, "write the drawn video as NAME.mp4", metavar="NAME")
    out_dir: str = setting("out", "folder of the run folders", metavar="DIR")
    run_name: str | None = setting(None, "name of the run folder (default: the video's name)", metavar="NAME")
    display: bool = setting(False, "show the frames in a window (q ends the run)")
    save_fps: float | None = setting(None, "frame rate of the saved video (default: the video's own)", metavar="FPS")
    fourcc: str = setting("h264", "encoder of the saved video: mp4v, avc1, H264, … or an FFmpeg encoder's name")
    resume: bool = setting(False, "go on where a killed run with --json stopped")

    def __post_init__(self) -> None:
        for field in ("run_name", "save_video"):
            name = getattr(self, field)
            plain = name is None or (name == Path(name).name and name not in ("", ".", "..") and "\\" not in name)
            require(plain, field, repr(name), "a plain name without a slash")
        rate = self.save_fps
        require(rate is None or (math.isfinite(rate) and 0 < rate <= 1000), "save_fps", rate, "above 0, at most 1000")
        if self.resume and not self.json:
            raise ConfigError("--resume needs --json: its lines are what a run goes on from")

    @property
    def needs_folder(self) -> bool:
        """Whether anything is written."""
        return self.json or self.frames or self.save_video is not None


@dataclasses.dataclass(frozen=True)
class GalleryJobConfig:
    """All options of the command `gallery`, one part per stage."""

    naming: NamingConfig
    hybrid: HybridConfig
    gallery: GalleryConfig
    artefacts: ArtefactConfig

    def reported(self) -> dict[str, Any]:
        """Return the ``config`` object of a track-v1 header, in its order."""
        naming, hybrid, gallery = self.naming, self.hybrid, self.gallery
        return {
            **dataclasses.asdict(hybrid),
            "reid_weights": naming.reid_weights,
            "gallery": gallery.gallery,
            "reid_frequency": naming.reid_frequency,
            "gallery_match_threshold": gallery.gallery_match_threshold,
            "device": naming.device,
            "half": naming.half,
        }


@dataclasses.dataclass(frozen=True)
class RunPaths(Mapping[str, "Path | None"]):
    """Where a run's files are, as attributes and by key; None where nothing is written."""

    run_dir: Path | None = None
    json_path: Path | None = None
    video_path: Path | None = None
    frames_dir: Path | None = None

    def __getitem__(self, name: str) -> Path | None:
        if name not in (field.name for field in dataclasses.fields(self)):
            raise KeyError(name)
        path: Path | None = getattr(self, name)
        return path

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in dataclasses.fields(self))

    def __len__(self) -> int:
        return len(dataclasses.fields(self))

    @classmethod
    def of(cls, config: GalleryJobConfig) -> RunPaths:
        """Return the paths of a run."""
        wanted = config.artefacts
        if not wanted.needs_folder:
            return cls()
        video = config.naming.video
        folder = Path(wanted.out_dir) / (wanted.run_name or Path(video).stem or "run")
        name = (wanted.save_video or "").removesuffix(".mp4")
        return cls(
            folder,
            folder / "tracked.json" if wanted.json else None,
            folder / f"{name}.mp4" if wanted.save_video else None,
            folder / "frames" if wanted.frames else None,
        )


class GalleryRun:
    """A job ready to go.

    Args:
        config: All options.
        line: Takes each frame's record too; None where nobody wants them.

    Attributes:
        notices: Things to tell the user.
        frame_total: Frames expected, 0 where unknown.

    Raises:
        MotError: Something cannot be used; see `errors` for the kinds.
    """

    def __init__(self, config: GalleryJobConfig, *, line: LineTaker | None = None) -> None:
        self.config = config
        self.paths = RunPaths.of(config)
        self.timer = StageTimer()
        self.notices: list[str] = []
        self.stopped = False
        check_needs(config)
        self.complete = self._is_complete()
        self._classes = class_filter(config.naming)
        self._check_outputs()
        self._open = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            self.records = opened.enter_context(DetectionStream(config.naming.dets_json))
            if self.complete:
                return
            self.info, self._pictures = self._open_video(opened)
            self._check_video()
            self.frame_total = self.info.frame_count
            embedder, identifier = self._eyes()
            self._journal = self._make_journal(identifier)
            self.pipeline = NamingPipeline(self._stages(embedder, identifier, line), self.timer)
            self._open = opened.pop_all()

    def run(self, tick: Any = lambda: False) -> bool:
        """Run to the end, or until `tick` or the window says stop; return whether the end was reached."""
        sinks = self.pipeline.stages.sinks
        try:
            with self._open:
                whole = self.pipeline.run(lambda: tick() or self.stopped)
            for sink in sinks:
                sink.close()
            self._journal.close(whole=whole or self.stopped)
        except BaseException:
            for sink in sinks:
                sink.abort()
            self._journal.abort()
            raise
        if self._pictures is not None:
            self.notices += self._pictures.notices
        return whole

    def stats(self) -> dict[str, Any]:
        """Return what the run did: frames, frames per second, milliseconds per stage and frame, looks."""
        frames, seconds = self.pipeline.frames, sum(self.timer.frame_ms) / 1e3
        looker = self.pipeline.stages.looker
        return {
            "frames": frames,
            "fps": frames / seconds if seconds else 0.0,
            "stage_ms": {name: ms / max(frames, 1) for name, ms in self.timer.stage_ms.items()},
            "embeddings": looker.looks if looker else 0,
            "identities": len(looker.identifier.known.names) if looker else 0,
        }

    def header(self) -> dict[str, Any]:
        """Return the track-v1 keys but ``frames``."""
        naming = self.config.naming
        chosen: list[Any] = [*sorted(self._classes.ids), *sorted(self._classes.words)]
        return track_v1_header(
            carried=self.records.header,
            created_at_utc=now_utc(),
            tracker=tracker_block(
                naming.tracker,
                self.config.reported(),
                track_classes=chosen or None,
                filter_gallery=naming.filter_gallery,
            ),
        )

    def _is_complete(self) -> bool:
        path = self.paths.json_path
        return self.config.artefacts.resume and path is not None and path.exists() and not journal_path(path).exists()

    def _check_outputs(self) -> None:
        naming, paths = self.config.naming, self.paths
        for path in filter(None, (paths.json_path, paths.video_path)):
            for source in (naming.video, naming.dets_json):
                outputs.check_output(path, source=source, within=Path(self.config.artefacts.out_dir))
        if paths.frames_dir is not None:
            first = paths.frames_dir / "000000.jpg"
            outputs.check_output(first, source=naming.video, within=Path(self.config.artefacts.out_dir))
        if self.config.artefacts.display:
            check_screen()
        if paths.video_path is not None:
            from mot_dinov3.video.encoders import encoder_of

            self._encoder = encoder_of(self.config.artefacts.fourcc)

    def _open_video(self, opened: contextlib.ExitStack) -> tuple[VideoInfo, FrameSource | None]:
        """Open the video where something looks at it; else only its header."""
        naming, artefacts = self.config.naming, self.config.artefacts
        draws = artefacts.frames or artefacts.save_video is not None or artefacts.display
        path = Path(naming.video)
        if self.config.gallery.gallery is None and not draws and path.is_file():
            from mot_dinov3.video.media import read_header

            return read_header(naming.video), None
        source = opened.enter_context(open_source(SourceConfig(source=naming.video)))
        return source.info, source if self.config.gallery.gallery is not None or draws else None

    def _check_video(self) -> None:
        said, video = self.records.video, self.info
        name = f"'{self.records.path}'"
        if 0 not in (said.width, said.height, video.width, video.height):
            sizes = (said.width, said.height), (video.width, video.height)
            # A header alone does not tell whether the pictures are turned.
            turned = self._pictures is None and sizes[0] == sizes[1][::-1]
            if sizes[0] != sizes[1] and not turned:
                raise FormatError(
                    f"{name} is for pictures of {said.width}×{said.height}, '{video.path}' has "
                    f"{video.width}×{video.height}",
                    remedy="give the detections of this very video",
                )
        if said.frame_count and video.frame_count and said.frame_count != video.frame_count:
            self.notices.append(f"{name} speaks of {said.frame_count} frames, '{video.path}' of {video.frame_count}")

    def _eyes(self) -> tuple[Embedder | None, Identifier | None]:
        """Return what looks, and what knows; None and None without a gallery."""
        gallery, naming = self.config.gallery, self.config.naming
        if gallery.gallery is None:
            return None, None
        root = Path(gallery.gallery)
        list_identities(root)
        name = naming.embedder or "osnet"
        # Gallery pictures are used whole, so crops are cut without a margin (measured: 53 against 38 % named right).
        model = None if naming.reid_weights is None else find_weights(naming.reid_weights, Path(naming.models_dir))
        chosen = EmbedderConfig(embedder=name, embed_model=model, crop_pad=0.0)
        precision = "fp16" if naming.half else "auto"
        device = DeviceConfig(device=naming.device, precision=precision, trust_weights=naming.trust_weights)
        built = build_embedder(chosen, device=device)
        known = load_gallery(root, built.embedder)
        self.notices += [*built.notices, *known.notices]
        return built.embedder, Identifier(known, gallery, memory=keeps_tracks(naming.tracker))

    def _make_journal(self, identifier: Identifier | None) -> NoJournal:
        if self.paths.json_path is None:
            return NoJournal()
        naming = self.config.naming
        run = {
            "dets_json": printable(naming.dets_json),
            "dets_bytes": Path(naming.dets_json).stat().st_size,
            "tracker": naming.tracker,
            "classes": naming.classes,
            "filter_gallery": naming.filter_gallery,
            "identities": list(identifier.known.names) if identifier else [],
            "pictures": len(identifier.known.owner) if identifier else 0,
            **self.config.reported(),
        }
        return Journal(self.paths.json_path, run, self.header, resume=self.config.artefacts.resume)

    def _stages(self, embedder: Embedder | None, identifier: Identifier | None, line: LineTaker | None) -> NamingStages:
        naming, hybrid = self.config.naming, self.config.hybrid
        scene = Scene(self.info.fps, (self.info.width, self.info.height), 0.0)
        looker = None
        if embedder is not None and identifier is not None:
            temporal = keeps_tracks(naming.tracker)
            looker = Looker(
                embedder,
                identifier,
                self._journal,
                every=naming.reid_frequency if temporal else 0,
                min_score=hybrid.track_thresh if temporal else 0.0,
            )
        return NamingStages(
            records=self.records,
            pictures=self._pictures,
            tracker=build_tracker(naming.tracker, TrackerConfig(), hybrid, scene),
            looker=looker,
            classes=self._classes,
            drop_unknown=naming.filter_gallery,
            lines=[self._journal.frame, *([line] if line else [])],
            sinks=list(self._sinks()),
        )

    def _sinks(self) -> Iterator[Sink]:
        """Yield what shows pictures."""
        if self.paths.video_path is not None and self._pictures is not None:
            rate = self.config.artefacts.save_fps
            info = self.info if rate is None else dataclasses.replace(self.info, fps=rate)
            sound = self._pictures.audio_from if rate is None else None
            writer = VideoWriter(self.paths.video_path, info=info, audio_from=sound, encoder=self._encoder)
            drawn = VideoSink(writer, self._draw, self.timer)
            yield drawn if rate is None else RetimedSink(drawn, rate)
        if self.paths.frames_dir is not None:
            yield FolderSink(self.paths.frames_dir, self._draw)
        if self.config.artefacts.display:
            yield WindowSink(Path(self.config.naming.video).name, self._draw, self._stop)

    def _stop(self) -> None:
        self.stopped = True

    def _draw(self, frame: Frame, detections: Detections) -> Image:
        names = {**self.records.names, **self._classes.names}
        return draw_frame(frame.pixels(), detections, lost=TrackView.empty(), names=names, config=DrawConfig())


def check_needs(config: GalleryJobConfig) -> None:
    """Refuse options that lack what they need.

    Raises:
        UsageError: What is missing, and how to give it.
    """
    naming, gallery = config.naming, config.gallery.gallery
    weights = naming.reid_weights or (naming.embedder not in ("", "osnet", "none") and naming.embedder)
    give = "give both --gallery DIR and --reid-weights FILE (or another --embedder)"
    if gallery and not weights:
        raise UsageError(f"gallery '{gallery}' needs weights to compare pictures with, and there are none", remedy=give)
    if weights and not gallery:
        raise UsageError(f"'{weights}' has no gallery to compare with", remedy=give)
    if naming.filter_gallery and not gallery:
        raise UsageError("--filter-gallery needs a gallery and weights, and there are neither", remedy=give)
    if naming.tracker == "gallery_only" and not gallery:
        raise UsageError("gallery_only needs a gallery and weights: without them it does nothing", remedy=give)


def class_filter(config: NamingConfig) -> ClassFilter:
    """Return which classes are tracked.

    Raises:
        UsageError: `classes` names none.
        InputError: The file of class names cannot be read.
    """
    names: dict[int, str] = {}
    if config.class_names is not None:
        path = Path(config.class_names)
        check_file(path)
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"class names '{path}' cannot be read: {error}", remedy="one name a line, UTF-8"
            ) from error
        names = {number: printable(line.strip()) for number, line in enumerate(lines) if line.strip()}
    entries = [entry.strip() for entry in config.classes.replace(";", ",").split(",") if entry.strip()]
    if config.classes.strip() and not entries:
        raise UsageError(f"classes '{config.classes}' names no class", remedy='give ids or names, e.g. "0" or "person"')
    ids = {int(entry) for entry in entries if entry.isascii() and entry.isdigit() and len(entry) < 10}
    words = {entry.casefold() for entry in entries if not entry.isdigit()}
    return ClassFilter(frozenset(ids), frozenset(words), names)


def find_weights(name: str, folder: Path) -> str:
    """Return the weights' path: as written, or by name under `folder`, with or without its ending.

    Raises:
        ModelError: There is no such file or folder.
    """
    endings = ("", ".pt", ".pth", ".torchscript", ".onnx", "_openvino_model")
    for path in (Path(name).expanduser(), *(folder / f"{name}{ending}" for ending in endings)):
        if path.suffix == ".engine" and path.exists():
            raise ModelError(
                f"weights '{path}' are a TensorRT engine, which cannot be run here yet",
                remedy="give the .pt, .torchscript, .onnx or OpenVINO form of the same weights",
            )
        if path.exists():
            return str(path)
    there = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
    raise ModelError(
        f"weights '{name}' do not exist here, nor under '{folder}'",
        remedy=f"there are: {', '.join(there[:20])}" if there else "give the path of an existing file, or --models-dir",
    )


def job_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return option values as the dataclasses take them: lists of classes joined, ``auto`` frame rate as 0."""
    done = dict(values)
    classes = done.get("classes")
    if classes is None:
        done.pop("classes", None)
    elif not isinstance(classes, str):
        done["classes"] = ",".join(str(c) for c in (classes if isinstance(classes, (list, tuple, set)) else [classes]))
    if isinstance(done.get("frame_rate"), str):
        done["frame_rate"] = parse_rate(done["frame_rate"])
    return done


def parse_rate(text: str) -> float:
    """Return the frame rate, 0 for ``auto``; raises `ValueError` for anything else."""
    return 0.0 if text.strip().lower() == "auto" else float(text)
