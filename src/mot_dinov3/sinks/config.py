"""Options of the outputs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError
from mot_dinov3.core.files import output_file
from mot_dinov3.core.options import StageConfig, option, require
from mot_dinov3.core.special_files import is_special
from mot_dinov3.core.structures import IntArray
from mot_dinov3.formats.track_embeddings import SUFFIXES, check_embeddings_path
from mot_dinov3.video.encoders import AUTO_PRESET, CONTAINERS, H264_ENCODER, PRESETS


@dataclasses.dataclass(frozen=True)
class TrackSelection(StageConfig):
    """The tracks that are drawn and written.

    Raises:
        ConfigError: A number is none of a track.
    """

    group = "output"

    track_ids: str = option(
        "",
        "draw and write only these tracks, in all outputs but --save-dets, for example 3,7 (default: all)",
        metavar="LIST",
    )

    @override
    def check(self) -> None:
        for word in self._words:
            require(
                word.isdecimal() and int(word) > 0, "track_ids", repr(self.track_ids), "numbers of tracks, like 3,7"
            )

    @property
    def _words(self) -> list[str]:
        return self.track_ids.replace(",", " ").split()

    @property
    def chosen(self) -> IntArray | None:
        """``(k,)`` ids of the chosen tracks; None: all."""
        return np.array([int(word) for word in self._words], np.int64) if self._words else None


def _preset() -> Any:
    """Return the option of a video's encoder, for commands with and without a place for the video."""
    return option(
        PRESETS[0],
        "preset of the H.264 encoder at equal quality (CRF 20): faster ones make larger files; auto: a faster one only "
        "where the encoder would limit the run (auto: runs may differ)",
        choices=(*PRESETS, AUTO_PRESET),
    )


@dataclasses.dataclass(frozen=True)
class EncoderConfig(StageConfig):
    """Encoding of a video that is measured, and not kept."""

    group = "output"

    preset: str = _preset()


@dataclasses.dataclass(frozen=True)
class OutputConfig(StageConfig):
    """Output files."""

    group = "output"

    output: str = option(
        "outputs/tracked.mp4",
        "the tracked video: .mp4, .m4v, .mov, .mkv (H.264) or .webm (VP9)",
        metavar="PATH",
        common=True,
        writes=True,
    )
    video: bool = option(True, "write the tracked video", common=True)
    preset: str = _preset()
    show: bool = option(
        False, "show the drawn frames in a window: q ends the run, space pauses it", common=True, aliases=("display",)
    )
    save_json: str | None = option(None, "tracks as track-v1 JSON", metavar="FILE", common=True, writes=True)
    save_mot: str | None = option(None, "tracks as MOTChallenge text", metavar="FILE", common=True, writes=True)
    save_csv: str | None = option(None, "tracks as a CSV table", metavar="FILE", common=True, writes=True)
    save_dets: str | None = option(
        None, "detections as det-v1 JSON, to track again without a detector", metavar="FILE", writes=True
    )
    save_counts: str | None = option(None, "counts of --line and --zone as a CSV table", metavar="FILE", writes=True)
    save_crops: str | None = option(
        None,
        "the best crops of each track, DIR/ID_frame.jpg: sharp, not overlapped",
        metavar="DIR",
        common=True,
        writes=True,
    )
    crops_per_track: int = option(3, "crops of a track in --save-crops, at most", metavar="N", low=1, high=100)
    save_embeddings: str | None = option(
        None,
        "mean embedding and best crops' embeddings of each track: .npz, or .parquet with pyarrow",
        metavar="FILE",
        writes=True,
    )
    embeddings_per_box: bool = option(False, "add every embedding that was computed to --save-embeddings")
    save_dwell: str | None = option(
        None, "seconds of each track in each zone as a CSV table", metavar="FILE", writes=True
    )
    save_summary: str | None = option(None, "the numbers of the summary as JSON", metavar="FILE", writes=True)
    report: str | None = option(
        None, "HTML report of the run: a viewer of the tracks, charts", metavar="FILE", common=True, writes=True
    )
    resume: bool = option(
        False, "resume the same command where it was killed or interrupted, else start from the beginning", common=True
    )
    record: bool = option(True, "write a resume journal next to the first output during the run")

    @override
    def check(self) -> None:
        if self.resume and not self.record:
            raise ConfigError("--resume needs the journal, which --no-record disables")
        if self.embeddings_per_box and not self.save_embeddings:
            raise ConfigError("--embeddings-per-box needs a file", remedy="give it with --save-embeddings FILE.npz")
        if self.save_embeddings:
            check_embeddings_path(Path(self.save_embeddings))
        if self.preset != PRESETS[0] and self.video and not self.is_h264:
            raise ConfigError(
                f"--preset {self.preset} is for H.264, and '{self.output}' is not written in it",
                remedy="leave out --preset, or write .mp4, .m4v, .mov or .mkv",
            )
        for path in (self.output if self.video else None, *(text for text, _, _ in self.texts())):
            output_file(path or "")

    @property
    def is_h264(self) -> bool:
        """Whether the video is written in H.264, as far as its name says."""
        container = CONTAINERS.get(Path(self.output).suffix.lower())
        return container is None or container.encoder == H264_ENCODER

    @property
    def images(self) -> tuple[str, ...]:
        """Options in use that need the frames' images."""
        used = (("--output", self.video), ("--show", self.show), ("--save-crops", self.save_crops))
        return tuple(flag for flag, given in used if given)

    def texts(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Return the files beside the video, each with its kind and the extensions that this kind has."""
        kinds = (
            (self.save_json, "track-v1", (".json",)),
            (self.save_mot, "MOTChallenge text", (".txt", ".csv")),
            (self.save_csv, "a CSV table", (".csv", ".txt")),
            (self.save_dets, "det-v1", (".json",)),
            (self.save_counts, "a CSV table", (".csv", ".txt")),
            (self.save_embeddings, "embeddings", SUFFIXES),
            (self.save_dwell, "a CSV table", (".csv", ".txt")),
            (self.save_summary, "the summary's JSON", (".json",)),
            (self.report, "an HTML report", (".html", ".htm")),
        )
        return [(path, kind, extensions) for path, kind, extensions in kinds if path]

    def files(self) -> list[Path]:
        """Return every file the run is going to write, and the folder of crops, which comes last."""
        video = [Path(self.output)] if self.video and self.output else []
        folder = [Path(self.save_crops)] if self.save_crops else []
        return [*video, *(Path(path) for path, _, _ in self.texts()), *folder]

    def regular_files(self) -> list[Path]:
        """Return the files that are replaced when the run is over: all but pipes and devices."""
        return [path for path in self.files() if not is_special(path)]
