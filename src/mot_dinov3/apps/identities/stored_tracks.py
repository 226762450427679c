"""Videos and tracks as a registry stores them: a record of each track, and one of each of its crops."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mot_dinov3.apps.identities.video_tracks import VideoTracks
from mot_dinov3.formats.track_embeddings import CROP_COLUMNS, TRACK_COLUMNS, EmbeddingTable

TEXTS = ("class_name", "name")  # columns of a track that are not in its record


@dataclasses.dataclass(frozen=True)
class StoredVideo:
    """A video of the registry.

    Attributes:
        tracks: Its name and its tracks.
        camera: Its camera.
        start: Seconds of its first frame on the common clock; None where it is not known.
        digest: Of the tracks.
        identities: Track → name of its identity; a track without embeddings has none.
        confidence: Track → confidence of its identity.
    """

    tracks: VideoTracks
    camera: str
    start: float | None
    digest: str
    identities: Mapping[int, str]
    confidence: Mapping[int, float]


@dataclasses.dataclass(frozen=True)
class StoredTracklet:
    """A track of the registry: its row, its video and id, its identity."""

    number: int
    video: str
    track_id: int
    identity: str


def row_types(dim: int) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return the types of a track's and of a crop's record, with embeddings of `dim` numbers."""
    shapes: dict[str, tuple[int, ...]] = {"embedding": (dim,), "xyxy": (4,)}
    tracks = [(key, kind, shapes.get(key, ())) for key, kind in TRACK_COLUMNS.items() if key not in TEXTS]
    crops = [(key, kind, shapes.get(key, ())) for key, kind in CROP_COLUMNS.items()]
    return np.dtype(tracks), np.dtype(crops)


def records(columns: Mapping[str, Any], kind: np.dtype[Any]) -> Any:
    """Return columns as an array of records."""
    rows = np.empty(len(columns["track_id"]), kind)
    for key in kind.names or ():
        rows[key] = columns[key]
    return rows


def table_digest(table: EmbeddingTable) -> str:
    """Return a digest of the tracks of a video, by which they are known again."""
    digest = hashlib.sha256()
    for columns in (table.tracks, table.crops):
        for key in sorted(columns):
            digest.update(key.encode() + str(columns[key].shape).encode() + columns[key].tobytes())
    return digest.hexdigest()
