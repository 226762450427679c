"""From the options to the stage."""

from __future__ import annotations

from pathlib import Path

from mot_dinov3.features.base import Embedder
from mot_dinov3.gallery.config import GalleryConfig
from mot_dinov3.gallery.folder import load_gallery
from mot_dinov3.gallery.identifier import Identification, Identifier, NoGallery


def build_gallery(config: GalleryConfig, embedder: Embedder, *, memory: bool) -> Identification:
    """Build the stage; without a gallery one that knows nobody.

    Raises:
        InputError: The gallery cannot be used.
    """
    if config.gallery is None:
        return NoGallery()
    return Identifier(load_gallery(Path(config.gallery), embedder), config, memory=memory)
