"""The embedder and the identifier of a gallery run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mot_dinov3.core.errors import UsageError
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.gallery.folder import list_identities, load_gallery
from mot_dinov3.gallery.identifier import Identifier
from mot_dinov3.gallery.job.config import GalleryInputConfig, GalleryJobConfig
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.weights import find_reid_weights
from mot_dinov3.trackers.base import tracker_class


def open_identifier(config: GalleryJobConfig) -> tuple[Embedder | None, Identifier | None, list[str]]:
    """Return embedder, identifier and notices; None and None without a gallery.

    Raises:
        InputError: The gallery is missing or has no usable image.
        ModelError: The weights are missing or do not fit.
        UsageError: The device does not exist here.
    """
    gallery, inputs = config.gallery, config.inputs
    if gallery.gallery is None:
        unused = f"'{inputs.embed_model}' is not used: there is no --gallery to compare with"
        return None, None, [unused] if inputs.embed_model else []
    root = Path(gallery.gallery)
    list_identities(root)
    # Gallery images are used whole, so crops are cut without a margin (measured: 53 against 38 % correct names).
    model = None if inputs.embed_model is None else find_reid_weights(inputs.embed_model, Path(inputs.models_dir))
    name = inputs.embedder or ("osnet" if model else None)
    chosen = EmbedderConfig(embedder=name, embed_model=model, crop_pad=0.0)
    embedder, notices = _open_embedder(chosen, inputs)
    known = load_gallery(root, embedder)
    identifier = Identifier(known, config.identification, memory=tracker_class(inputs.tracker).keeps_tracks)
    return embedder, identifier, [*notices, *embedder.notices, *identifier.notices]


def _open_embedder(chosen: EmbedderConfig, inputs: GalleryInputConfig) -> tuple[Embedder, list[str]]:
    """Build the embedder; where half precision is not available, use full precision with a notice."""
    device = DeviceConfig(device=inputs.device, trust_weights=inputs.trust_weights)
    if inputs.half:
        try:
            return build_embedder(chosen, device=dataclasses.replace(device, precision="fp16")), []
        except UsageError as error:
            embedder = build_embedder(chosen, device=device)  # raises the same where precision is not the reason
            return embedder, [f"--half is ignored: {error.message}"]
    return build_embedder(chosen, device=device), []
