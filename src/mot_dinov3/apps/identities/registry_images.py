"""Images of a registry: the best crops of its tracks, cut out of their videos into the folders of their identities.

Videos are decoded while no transaction is open, so that other runs need not wait. Meanwhile another one may give a
track another identity, or delete it: who a track is, is asked again when its images are written.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mot_dinov3.apps.identities.identified_tracks import crops_by_track
from mot_dinov3.apps.identities.identity_store import SCRATCH, IdentityStore, open_store
from mot_dinov3.apps.identities.track_images import best_crops, opened, track_images
from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Image
from mot_dinov3.formats.track_embeddings import EmbeddingTable
from mot_dinov3.gallery.folder import check_identity
from mot_dinov3.video.image_files import write_image

if TYPE_CHECKING:
    from mot_dinov3.video.source import RandomAccessFrames

IMAGES = 3  # of a track, at most
JPEG_QUALITY = 95
TOGETHER = 100  # tracks whose images are written in one transaction

TrackImages = tuple[int, list[tuple[int, Image]]]
"""A track, and the frames and images of its best crops."""


def add_images(folder: Path) -> list[str]:
    """Write the best crops of the tracks that have no images yet into the folders of their identities.

    Args:
        folder: The registry, not open.

    Returns:
        Notices of videos that cannot be read; their images are written by a later run that can.
    """
    with open_store(folder) as store:
        missing = store.without_images()
    notices: list[str] = []
    for name, (digest, source) in missing.items():
        try:
            with opened(source) as video:
                _add_images(folder, video, name, digest)
        except VideoError as error:
            notices.append(f"no images of '{name}' in the registry: {error.message}")
    return notices


def _add_images(folder: Path, video: RandomAccessFrames, name: str, digest: str) -> None:
    """Write the images of a video that is open, some tracks at a time."""
    with open_store(folder) as store:
        table, track_ids = _plan(store, name, digest)
    images = track_images(video, table, track_ids, IMAGES)
    while part := list(itertools.islice(images, TOGETHER)):
        with open_store(folder) as store:
            _write(store, part, store.tracks_without_images(name, digest))


def _plan(store: IdentityStore, video: str, digest: str) -> tuple[EmbeddingTable, list[int]]:
    """Keep the names that the files of a video's images will have; return its tracks, and which have none yet."""
    (stored,) = store.videos([video])
    table = stored.tracks.table
    rows = crops_by_track(table)
    wanted = store.tracks_without_images(video, digest)
    for track_id, (number, _) in wanted.items():
        crops = best_crops(table, rows.get(track_id, np.zeros(0, np.int64)), IMAGES)
        store.keep_images(number, [_file_name(number, int(table.crops["frame"][row])) for row in crops], written=False)
    return table, list(wanted)


def _write(store: IdentityStore, part: Sequence[TrackImages], missing: Mapping[int, tuple[int, str]]) -> None:
    """Write images of tracks, of those that are missing still: track → its row and its identity."""
    scratch = store.folder / SCRATCH  # what a killed run leaves of an image lies here, outside of the gallery
    for track_id, images in part:
        if track_id not in missing:
            continue
        number, identity = missing[track_id]
        folder = store.folder / check_identity(identity)
        folder.mkdir(mode=0o700, exist_ok=True)
        names = [_file_name(number, frame) for frame, _ in images]
        for name, (_, image) in zip(names, images):
            write_image(scratch, image, quality=JPEG_QUALITY)
            scratch.replace(folder / name)
        store.keep_images(number, names, written=True)


def _file_name(tracklet: int, frame: int) -> str:
    return f"{tracklet}_{frame:06d}.jpg"
