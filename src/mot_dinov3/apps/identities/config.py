"""Options of `identify` beside those of tracking."""

from __future__ import annotations

import dataclasses

from mot_dinov3.apps.batch.config import BatchOptions
from mot_dinov3.core.compat import override
from mot_dinov3.core.options import StageConfig, option, require


@dataclasses.dataclass(frozen=True)
class IdentityConfig(StageConfig):
    """What is known of the videos and their cameras."""

    group = "identities"

    cameras: str | None = option(
        None,
        "TOML file: the videos of each camera, when they begin, travel times between cameras "
        "(default: each video has its own camera)",
        metavar="FILE.toml",
    )
    registry: str | None = option(
        None,
        "folder in which identities last: known people keep their names, new ones are added; made where there is none",
        metavar="DIR",
        common=True,
    )
    redraw: bool = option(False, "draw every video once more, with the names of the identities: NAME/identified.mp4")


@dataclasses.dataclass(frozen=True)
class SearchConfig(StageConfig):
    """What is searched for, and where."""

    group = "search"

    gallery: str | None = option(
        None, "search for each identity of a gallery, <folder>/<identity>/*.jpg", metavar="DIR", common=True
    )
    top: int = option(5, "identities that are shown, at most", low=1, common=True)
    save_json: str | None = option(None, "file for all that was found", metavar="FILE", common=True)


@dataclasses.dataclass(frozen=True)
class _IdentityPart:
    identities: IdentityConfig


@dataclasses.dataclass(frozen=True)
class IdentifyOptions(BatchOptions, _IdentityPart):
    """All options of `identify`: its own ones first, then those of a batch, for inputs that are videos."""


@dataclasses.dataclass(frozen=True)
class BatchIdentityConfig(IdentityConfig):
    """Whether a batch is followed by `identify`, and what that is given."""

    identify: bool = option(
        False, "afterwards find out which tracks of all videos show the same person, as identify does", common=True
    )

    @override
    def check(self) -> None:
        for key in ("cameras", "registry", "redraw"):
            require(self.identify or not getattr(self, key), key, getattr(self, key), "given together with --identify")


@dataclasses.dataclass(frozen=True)
class _BatchIdentityPart:
    identities: BatchIdentityConfig


@dataclasses.dataclass(frozen=True)
class IdentifyingBatchOptions(BatchOptions, _BatchIdentityPart):
    """All options of `batch` on the command line: those of a batch, and of what may follow it."""
