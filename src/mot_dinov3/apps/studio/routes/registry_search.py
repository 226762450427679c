"""Search of the identities page: by an image, or by a box that was drawn on a frame."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.identities.identified_tracks import TrackKey
from mot_dinov3.apps.identities.identity_store import open_store
from mot_dinov3.apps.identities.person_search import (
    FoundIdentity,
    Searched,
    check_same_model,
    find_identities,
    open_searched,
)
from mot_dinov3.apps.identities.registry_history import WAIT_S
from mot_dinov3.apps.identities.registry_index import INDEX
from mot_dinov3.apps.identities.registry_overview import registry_model, track_images_of
from mot_dinov3.apps.studio.gallery_editor import crop_window
from mot_dinov3.apps.studio.jobs import Job
from mot_dinov3.apps.studio.requests import Request
from mot_dinov3.apps.studio.session import Routes, Studio, file_stamp
from mot_dinov3.core.errors import InputError, unknown_name
from mot_dinov3.core.structures import FloatArray
from mot_dinov3.features.base import Embedder
from mot_dinov3.features.factory import EMBEDDERS, EmbedderConfig, build_embedder
from mot_dinov3.gallery.folder import read_on_grey
from mot_dinov3.pipeline.track_descriptors import embedder_facts

SHOWN = 20  # identities
SHOWN_TRACKS = 4  # of each

Query = Callable[[Embedder], FloatArray]
"""Embeds what is searched for: ``(1, d)`` unit rows."""


def search(studio: Studio, request: Request) -> Job:
    """The identities that look like an image or a box of a frame, the most probable first; in the background."""
    folder = studio.roots.check(request.text("root"))
    with open_store(folder, reading=True, wait_s=WAIT_S) as store:
        config = _embedder(studio, request, registry_model(store))
    data = request.data("image")
    query = _image_query(data) if data else _box_query(studio, request)

    def work(job: Job) -> dict[str, Any]:
        job.message = "loading the embedder"
        embedder = studio.models.get(config, lambda: build_embedder(config, device=studio.options.device))
        job.message = "comparing with the tracks"
        job.check(0, 0)
        searched = studio.searched.get(folder, lambda: open_searched(folder), stamp=file_stamp(folder / INDEX))
        check_same_model(searched, embedder_facts(embedder), folder)
        return {"found": _found(folder, searched, query(embedder)), "embedder": config.name}

    # A search of its own: as long as it runs, no other query has this number.
    return studio.jobs.start("search", "Searching", work, subject=f"{folder}|{id(query)}", wait_s=0.5)


def _embedder(studio: Studio, request: Request, model: Mapping[str, Any]) -> EmbedderConfig:
    """Return the embedder of the page, or that of the registry."""
    name = request.text("embedder", "") or str(model.get("name"))
    if name not in EMBEDDERS or name == "none":  # a plug-in is code: neither a page nor a file may name one
        raise unknown_name("embedder", name, [known for known in EMBEDDERS if known != "none"])
    own = name == model.get("name")
    weights = studio.model(request) or (str(model.get("weights") or "") if own else "")
    config = EmbedderConfig(embedder=name, embed_model=weights or None)
    pad = model.get("crop_pad")
    return dataclasses.replace(config, crop_pad=float(pad)) if own and isinstance(pad, int | float) else config


def _box_query(studio: Studio, request: Request) -> Query:
    image = studio.video(request.text("video"))[1].image(request.whole("frame"))
    window = crop_window(request.numbers("box", 4), (image.shape[1], image.shape[0]))
    return lambda embedder: embedder.embed(image, np.array([window], np.float32))


def _image_query(data: bytes) -> Query:
    with tempfile.TemporaryDirectory() as folder:  # private; a decoder that knows names and rotation reads files
        path = Path(folder) / "image"
        path.write_bytes(data)
        try:
            image = read_on_grey(path)
        except InputError as error:
            raise InputError("the file is not an image that can be read", remedy="choose a JPEG or PNG") from error
    return lambda embedder: embedder.embed_images([image])


def _found(folder: Path, searched: Searched, rows: FloatArray) -> list[dict[str, Any]]:
    if not rows.any():
        raise InputError("the image has no embedding", remedy="choose a larger or a clearer one")
    found = find_identities(searched, rows)[:SHOWN]
    keys = {(track.video, track.track_id) for one in found for track in one.tracks[:SHOWN_TRACKS]}
    with open_store(folder, reading=True, wait_s=WAIT_S) as store:
        images = track_images_of(store, keys)
    return [_shown(identity, images) for identity in found]


def _shown(identity: FoundIdentity, images: Mapping[TrackKey, tuple[int, str]]) -> dict[str, Any]:
    tracks = [
        {**dataclasses.asdict(track), "image": images.get((track.video, track.track_id), (0, ""))[1]}
        for track in identity.tracks[:SHOWN_TRACKS]
    ]
    more = max(0, len(identity.tracks) - SHOWN_TRACKS)
    return {"identity": identity.identity, "confidence": identity.confidence, "tracks": tracks, "more": more}


ROUTES: Routes = {("POST", "/api/registry/search"): search}
