"""Options of the identification of known identities."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.compat import override
from mot_dinov3.core.options import StageConfig, option, require

AUTO = -1.0  # a threshold that is learnt


@dataclasses.dataclass(frozen=True)
class GalleryConfig(StageConfig):
    """Options of `Identifier`; distances are 1 − cosine, from 0 (the same image) to 2."""

    group = "known identities"

    gallery: str | None = option(
        None,
        "folder of known identities: <folder>/<identity>/*.jpg|png (needs an embedder)",
        metavar="DIR",
        common=True,
        aliases=("gallery_root",),
    )
    gallery_match_threshold: float = option(
        AUTO,
        "largest distance at which an identity is assigned to a track; auto: learnt from the gallery and the video, "
        "for 1 % of strangers with a name",
        auto=AUTO,
        low=0,
        high=2,
    )
    gallery_caution: float = option(
        0.05,
        "stricter distance for short tracks: a track observed n times must be nearer by 1/n of this value "
        "(not used by auto)",
        low=0,
        high=2,
    )
    gallery_keep: float = option(
        0.05,
        "hysteresis: an identity is kept until its distance is larger, or another is nearer, by this value",
        low=0,
        high=2,
    )
    gallery_margin: float = option(
        0.02, "an identity is assigned only if the second nearest is farther by this value", low=0, high=2
    )

    @property
    def learns_threshold(self) -> bool:
        """Whether the threshold is learnt."""
        return self.gallery_match_threshold < 0

    @override
    def check(self) -> None:
        require(self.gallery is None or bool(self.gallery.strip()), "gallery", repr(self.gallery), "a folder")
