"""Options of the identification of known identities."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.compat import override
from mot_dinov3.core.options import StageConfig, option, require


@dataclasses.dataclass(frozen=True)
class GalleryConfig(StageConfig):
    """Options of `Identifier`; distances are 1 − cosine, from 0 (the same picture) to 2.

    Raises:
        ConfigError: A value is out of range.
    """

    group = "known identities"

    gallery: str | None = option(
        None, "folder of known identities: <folder>/<identity>/*.jpg|png (needs an embedder)", metavar="DIR"
    )
    gallery_match_threshold: float = option(
        0.25, "largest distance at which a track is given an identity", low=0, high=2
    )
    gallery_caution: float = option(
        0.05, "a track seen once must be nearer by this much, one seen n times by 1/n of it", low=0, high=2
    )
    gallery_keep: float = option(
        0.05, "an identity is kept until its distance is larger, or another nearer, by this", low=0, high=2
    )
    gallery_margin: float = option(
        0.02, "an identity is given only where the next one is farther by this much", low=0, high=2
    )

    @override
    def check(self) -> None:
        require(self.gallery is None or bool(self.gallery.strip()), "gallery", repr(self.gallery), "a folder")
