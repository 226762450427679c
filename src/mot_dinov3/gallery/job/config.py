"""The gallery's options."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mot_dinov3 import __version__
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError, UsageError
from mot_dinov3.core.files import check_extension
from mot_dinov3.core.name_lists import is_inline
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.core.registry import check_name
from mot_dinov3.core.run_mark import identity_of
from mot_dinov3.features.factory import EMBEDDERS, REID
from mot_dinov3.gallery.config import AUTO, GalleryConfig
from mot_dinov3.models.weights import first_reid_weights
from mot_dinov3.trackers.config import HybridConfig

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?|\d+")  # whether it is there is asked only where it is used
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm")  # extensions of the drawn video
GALLERY_TRACKERS = ("gallery_hybrid", "gallery_only")


@dataclasses.dataclass(frozen=True)
class GalleryInputConfig(StageConfig):
    """Recorded detections, their video, the embedder and the tracker."""

    group = "input and identification"

    dets: str = option(
        "",
        "precomputed detections: det-v1 JSON, or any format that track reads",
        metavar="FILE",
        common=True,
        aliases=("dets_json",),
    )
    source: str = option(
        "", "the video of the detections", metavar="PATH", common=True, positional=True, aliases=("video",)
    )
    tracker: str = option("gallery_hybrid", "tracker", choices=GALLERY_TRACKERS, common=True)
    classes: str = option(
        "", "classes to track, ids or names, separated by , or ; (default: all)", metavar="LIST", common=True
    )
    filter_gallery: bool = option(False, "omit detections of tracked classes without an identity")
    class_names: str | None = option(
        None, "class names: one per line, class IDs from 0, a YOLO data.yaml, or JSON", metavar="FILE"
    )
    embed_model: str | None = option(
        None,
        "weights, also searched for in --models-dir",
        metavar="FILE",
        common=True,
        aliases=("reid_weights", "weights"),
    )
    embedder: str = option(
        "",
        f"embedder of the crops (default: osnet with --embed-model; else dino, or what stands in for it): "
        f"{', '.join(EMBEDDERS)}",
        metavar="NAME",
        common=True,
    )
    reid_frequency: int = option(10, "interval in frames at which a track is compared with the gallery", low=1)
    device: str = option("auto", "auto (CUDA, then MPS, then CPU), cpu, cuda, mps or a CUDA index", common=True)
    half: bool = option(False, "embed in half precision (GPU only; ignored with a notice elsewhere)")
    trust_weights: bool = option(False, "allow weights files that contain code, which may run (.pt, .pth)")
    strict: bool = option(False, "refuse a detection that cannot be used (default: it is left out and counted)")
    skip_bad_boxes: bool = option(False, "the default; accepted for scripts of earlier versions")
    models_dir: str = option("models", "folder that is searched for weights by name", metavar="DIR")

    @override
    def check(self) -> None:
        for name, what in (("dets", "precomputed detections"), ("source", "a video")):
            if not getattr(self, name):
                raise UsageError(f"no input: {name} is missing", remedy=f"give {what}: --{name}")
        known = _DEVICE.fullmatch(self.device) is not None
        require(known, "device", repr(self.device), "auto, cpu, cuda, mps or a CUDA index")
        if self.strict and self.skip_bad_boxes:
            raise UsageError("--strict and --skip-bad-boxes contradict each other", remedy="leave out one of them")
        if self.embedder:
            check_name("embedder", EMBEDDERS, self.embedder)


@dataclasses.dataclass(frozen=True)
class FixedGalleryConfig(GalleryConfig):
    """Options of `Identifier` with a threshold that does not depend on what else is in the video."""

    gallery_match_threshold: float = option(
        0.25,
        "largest distance at which an identity is assigned to a track; auto: learnt from the gallery and the video, "
        "for 1 % of strangers with a name (the default where no option names an embedder)",
        auto=AUTO,
        low=0,
        high=2,
        common=True,
    )


@dataclasses.dataclass(frozen=True)
class GalleryOutputConfig(StageConfig):
    """Outputs, below ``<out-dir>/<run-name>``; nothing by default."""

    group = "output"

    save_json: str | None = option(
        None, "write the tracks as track-v1 JSON: NAME.json", metavar="NAME", common=True, writes=True
    )
    json: bool = option(False, "short for --save-json tracked.json", writes=True)
    save_csv: str | None = option(
        None, "write the tracks as a CSV table: NAME.csv", metavar="NAME", common=True, writes=True
    )
    report: str | None = option(
        None, "write an HTML report, a viewer of tracks and names: NAME.html", metavar="NAME", common=True, writes=True
    )
    frames: bool = option(False, "write every drawn frame as frames/%06d.jpg", writes=True)
    save_video: str | None = option(
        None, "write the drawn video: NAME.mp4, or .m4v, .mov, .mkv, .webm", metavar="NAME", common=True, writes=True
    )
    out_dir: str = option("out", "parent folder of the run folders", metavar="DIR", common=True, writes=True)
    run_name: str | None = option(
        None, "name of the run folder (default: the video's name)", metavar="NAME", common=True, writes=True
    )
    show: bool = option(
        False, "show the drawn frames in a window: q ends the run, space pauses it", common=True, aliases=("display",)
    )
    save_fps: float | None = option(
        None, "frame rate of the saved video (default: the video's own)", metavar="FPS", above=0, high=1000
    )
    fourcc: str = option(
        "", "encoder of the saved video: mp4v, avc1, H264, … or an FFmpeg encoder's name (default: by the extension)"
    )
    resume: bool = option(False, "resume a killed run that used --save-json", common=True)

    @override
    def check(self) -> None:
        for field in ("run_name", "save_video", "save_json", "save_csv", "report"):
            name = getattr(self, field)
            plain = name is None or (name == Path(name).name and name not in ("", ".", "..") and "\\" not in name)
            if not plain:
                raise ConfigError(
                    f"{field} must be a plain name without a slash, got {name!r}",
                    remedy="give its folder with --out-dir DIR --run-name NAME: it is written to DIR/NAME",
                )
        if self.save_video is not None:
            check_extension(Path(self.save_video), "the drawn video", VIDEOS)
        if self.fourcc and (self.save_video or "").lower().endswith(".webm"):
            raise ConfigError("--fourcc cannot be chosen for .webm, which holds VP9", remedy="leave out --fourcc")
        if self.save_json is not None:
            check_extension(Path(self.save_json), "track-v1", (".json",))
        if self.save_csv is not None:
            check_extension(Path(self.save_csv), "a CSV table", (".csv",))
        if self.report is not None:
            check_extension(Path(self.report), "the report", (".html",))
        if self.resume and not self.json_name:
            raise ConfigError("--resume needs --save-json: a run resumes from its lines")

    @property
    def needs_folder(self) -> bool:
        """Whether anything is written."""
        return bool(self.json_name or self.frames or self.save_video or self.save_csv or self.report)

    @property
    def json_name(self) -> str:
        """Name of the JSON file in the run folder; empty where none is written."""
        if self.save_json is None:
            return "tracked.json" if self.json else ""
        return _with_ending(self.save_json, ".json")


def _with_ending(name: str, ending: str) -> str:
    return name if name.lower().endswith(ending) else f"{name}{ending}"


@dataclasses.dataclass(frozen=True)
class GalleryJobConfig:
    """All options of the command `gallery`, one part per stage."""

    inputs: GalleryInputConfig
    hybrid: HybridConfig
    gallery: FixedGalleryConfig
    output: GalleryOutputConfig

    @property
    def identification(self) -> GalleryConfig:
        """Options of the identifier; where no option names an embedder, a threshold that is not given is learnt."""
        chosen, default = self.gallery, FixedGalleryConfig.gallery_match_threshold
        named = self.inputs.embedder or self.inputs.embed_model
        if named or chosen.gallery_match_threshold != default:
            return chosen
        return dataclasses.replace(chosen, gallery_match_threshold=AUTO)

    def reported(self) -> dict[str, Any]:
        """Return the ``config`` object of a track-v1 header, in its order."""
        inputs, hybrid, gallery = self.inputs, self.hybrid, self.identification
        return {
            **dataclasses.asdict(hybrid),
            "reid_weights": inputs.embed_model,
            "gallery": gallery.gallery,
            "reid_frequency": inputs.reid_frequency,
            "gallery_match_threshold": "auto" if gallery.learns_threshold else gallery.gallery_match_threshold,
            "device": inputs.device,
            "half": inputs.half,
        }


@dataclasses.dataclass(frozen=True)
class RunPaths(Mapping[str, "Path | None"]):
    """Where a run's files are, as attributes and by key; None where nothing is written.

    The keys are the first four, and those of the others that are written.
    """

    run_dir: Path | None = None
    json_path: Path | None = None
    video_path: Path | None = None
    frames_dir: Path | None = None
    csv_path: Path | None = None
    report_path: Path | None = None

    def __getitem__(self, name: str) -> Path | None:
        if name not in tuple(self):
            raise KeyError(name)
        path: Path | None = getattr(self, name)
        return path

    def __iter__(self) -> Iterator[str]:
        names = [field.name for field in dataclasses.fields(self)]
        return iter([name for place, name in enumerate(names) if place < 4 or getattr(self, name) is not None])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def outputs(self) -> tuple[Path, ...]:
        """Return the files, and the folder of frames, that are written."""
        return tuple(filter(None, tuple(getattr(self, name) for name in self)[1:]))

    @classmethod
    def of(cls, config: GalleryJobConfig) -> RunPaths:
        """Return the paths of a run."""
        wanted = config.output
        if not wanted.needs_folder:
            return cls()
        video = config.inputs.source
        folder = Path(wanted.out_dir) / (wanted.run_name or Path(video).stem or "run")
        name = wanted.save_video or ""
        name += "" if Path(name).suffix.lower() in VIDEOS else VIDEOS[0]
        return cls(
            folder,
            folder / wanted.json_name if wanted.json_name else None,
            folder / name if wanted.save_video else None,
            folder / "frames" if wanted.frames else None,
            folder / _with_ending(wanted.save_csv, ".csv") if wanted.save_csv else None,
            folder / _with_ending(wanted.report, ".html") if wanted.report else None,
        )


def identity(config: GalleryJobConfig) -> dict[str, Any]:
    """Return what identifies a run: its options and a digest of each input, as plain JSON values by name."""
    chosen = config.inputs
    weights = chosen.embed_model and first_reid_weights(chosen.embed_model, Path(chosen.models_dir))
    inputs = {
        "--dets": chosen.dets,
        "--source": chosen.source,
        "--gallery": config.gallery.gallery,
        "--embed-model": weights,
        "--class-names": None if is_inline(chosen.class_names or "") else chosen.class_names,
    }
    return identity_of(config, __version__, skip=("resume", "show"), inputs=inputs)


def check_needs(config: GalleryJobConfig) -> None:
    """Refuse options that lack what they need.

    Raises:
        UsageError: What is missing, and how to give it.
    """
    inputs, gallery = config.inputs, config.gallery.gallery
    weights = inputs.embed_model or inputs.embedder not in (*REID, "none")
    give = "give both --gallery DIR and --embed-model FILE (or another --embedder)"
    if gallery and not weights:
        raise UsageError(f"gallery '{gallery}' needs weights to compare images with, and none are given", remedy=give)
    if inputs.filter_gallery and not gallery:
        raise UsageError("--filter-gallery needs a gallery and weights, and neither is given", remedy=give)
    if inputs.tracker == "gallery_only" and config.output.report:
        raise UsageError("--report shows tracks, and gallery_only makes none", remedy="leave out --report or --tracker")
    if inputs.tracker == "gallery_only" and not gallery:
        raise UsageError("gallery_only needs a gallery and weights", remedy=give)
