"""What can be set on the identification of known identities."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.options import require, require_between, setting


@dataclasses.dataclass(frozen=True)
class GalleryConfig:
    """Settings of `Identifier`; distances are 1 − cosine, from 0 (the same picture) to 2.

    Raises:
        ConfigError: A value is out of range.
    """

    gallery: str | None = setting(
        None, "folder of known identities: <folder>/<identity>/*.jpg|png (needs an embedder)", metavar="DIR"
    )
    gallery_match_threshold: float = setting(0.25, "largest distance at which a track is given an identity")
    gallery_caution: float = setting(
        0.05, "a track seen once must be nearer by this much, one seen n times by 1/n of it"
    )
    gallery_keep: float = setting(0.05, "an identity is kept until its distance is larger, or another nearer, by this")
    gallery_margin: float = setting(0.02, "an identity is given only where the next one is farther by this much")

    def __post_init__(self) -> None:
        threshold = self.gallery_match_threshold
        require(0 <= threshold <= 2, "gallery_match_threshold", threshold, "between 0 and 2")
        require_between(self, 0, 2, "gallery_caution", "gallery_keep", "gallery_margin")
        require(self.gallery is None or bool(self.gallery.strip()), "gallery", repr(self.gallery), "a folder")
