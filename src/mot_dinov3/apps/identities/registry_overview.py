"""What a registry holds, to be shown: its identities, the tracks of one, its videos; no embedding is decoded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from mot_dinov3.apps.identities.identified_tracks import TrackKey
from mot_dinov3.apps.identities.identity_store import IdentityStore
from mot_dinov3.apps.identities.registry_edits import check_known
from mot_dinov3.apps.identities.stored_tracks import row_types


@dataclasses.dataclass(frozen=True)
class StoredIdentity:
    """An identity: its numbers of tracks, videos and cameras, and its best crop.

    Attributes:
        name: Its name.
        by_person: Whether a person gave the name.
        tracks: Number of its tracks.
        videos: Number of videos in which it is.
        cameras: Number of cameras.
        confidence: The smallest of its tracks; None where there are none.
        image: File name of its best crop; empty where there is none.
    """

    name: str
    by_person: bool
    tracks: int
    videos: int
    cameras: int
    confidence: float | None
    image: str


@dataclasses.dataclass(frozen=True)
class ShownTrack:
    """A track of an identity; times in seconds of its video, `images` are the names of its files."""

    number: int
    video: str
    camera: str
    track_id: int
    class_name: str
    confidence: float
    first_time: float
    last_time: float
    frame: int
    boxes: int
    images: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ShownVideo:
    """A video of a registry: its camera, the file it was tracked from, and the number of its tracks."""

    name: str
    camera: str
    source: str
    tracks: int


def identities(store: IdentityStore) -> list[StoredIdentity]:
    """Return the identities of a registry in the order in which they came."""
    # An identity is shown by its most certain track that has images.
    shown = dict(
        row[:2]
        for row in store.rows(
            "SELECT identity, id, MAX(confidence) FROM tracklets "
            "WHERE identity IS NOT NULL AND has_images AND id IN (SELECT tracklet FROM images) GROUP BY identity"
        )
    )
    images = best_images(store, shown.values())
    return [
        StoredIdentity(name, bool(named), tracks, videos, cameras, confidence, images.get(shown.get(number, -1), ""))
        for number, name, named, tracks, videos, cameras, confidence in store.rows(
            "SELECT identities.id, identities.name, by_person, COUNT(tracklets.id), COUNT(DISTINCT video), "
            "COUNT(DISTINCT camera), MIN(confidence) FROM identities LEFT JOIN tracklets ON identity = identities.id "
            "LEFT JOIN videos ON videos.id = video GROUP BY identities.id ORDER BY identities.id"
        )
    ]


def best_images(store: IdentityStore, tracklets: Iterable[int]) -> dict[int, str]:
    """Return the image of each track that is nearest to its mean embedding; none for a track without images.

    The crops were chosen by their quality. One of them may show what stands in front of the person; it is not near.
    """
    found = {}
    kinds = row_types(_dimension(store))
    for number in tracklets:
        names = [file for (file,) in store.rows("SELECT file FROM images WHERE tracklet = ? ORDER BY file", [number])]
        tracks = store.rows("SELECT row, crops FROM tracklets WHERE id = ? AND has_images", [number])
        if names and tracks:
            ((row, blob),) = tracks
            crops = np.frombuffer(blob, kinds[1])
            near = crops["embedding"] @ np.frombuffer(row, kinds[0])["embedding"][0]
            value = dict(zip(crops["frame"].tolist(), near.tolist()))
            found[number] = max(names, key=lambda name: value.get(image_frame(name), -1.0))
    return found


def image_frame(file: str) -> int:
    """Return the frame of an image of the registry, ``12_000340.jpg``."""
    return int(file.rpartition(".")[0].rpartition("_")[2])


def _dimension(store: IdentityStore) -> int:
    rows = store.rows("SELECT value FROM facts WHERE key = 'dim'")
    return int(rows[0][0]) if rows else 0


def tracks_of(store: IdentityStore, name: str) -> tuple[list[ShownTrack], dict[str, float]]:
    """Return the tracks of an identity by video and time, and the seconds of the last track of each of its videos.

    Raises:
        UnknownNameError: The registry has no identity of this name.
    """
    number = check_known(store, name)
    files: dict[int, list[str]] = {}
    for tracklet, file in store.rows(
        "SELECT tracklet, file FROM images JOIN tracklets ON id = tracklet WHERE identity = ? AND has_images "
        "ORDER BY file", [number]
    ):  # fmt: skip
        files.setdefault(tracklet, []).append(file)
    kind = row_types(_dimension(store))[0]
    found = []
    for row, video, camera, track_id, class_name, confidence, record in store.rows(
        "SELECT tracklets.id, videos.name, camera, track_id, class_name, confidence, row FROM tracklets "
        "JOIN videos ON videos.id = video WHERE identity = ?", [number]
    ):  # fmt: skip
        facts = np.frombuffer(record, kind)[0]
        found.append(
            ShownTrack(
                number=row,
                video=video,
                camera=camera,
                track_id=track_id,
                class_name=class_name,
                confidence=float(confidence or 0),
                first_time=round(float(facts["first_time"]), 3),
                last_time=round(float(facts["last_time"]), 3),
                frame=int(facts["first_frame"]),
                boxes=int(facts["boxes"]),
                images=tuple(files.get(row, ())),
            )
        )
    found.sort(key=lambda track: (track.camera, track.video, track.first_time))
    return found, _lengths(store, number, kind)


def _lengths(store: IdentityStore, identity: int, kind: np.dtype[Any]) -> dict[str, float]:
    offset = int(kind.fields["last_time"][1]) if kind.fields else 0
    times: dict[str, bytes] = {}
    for video, time in store.rows(
        "SELECT videos.name, substr(row, ?, 8) FROM tracklets JOIN videos ON videos.id = video "
        "WHERE video IN (SELECT video FROM tracklets WHERE identity = ?)", [offset + 1, identity]
    ):  # fmt: skip
        times[video] = times.get(video, b"") + time
    return {video: float(np.frombuffer(text, np.float64).max()) for video, text in times.items()}


def track_images_of(store: IdentityStore, keys: Collection[TrackKey]) -> dict[TrackKey, tuple[int, str]]:
    """Return the row and the best image of tracks that have an identity, given by video and id; empty for no image."""
    numbers = {(track.video, track.track_id): track.number for track in store.tracklets()}
    images = best_images(store, [numbers[key] for key in keys if key in numbers])
    return {key: (numbers[key], images.get(numbers[key], "")) for key in keys if key in numbers}


def shown_videos(store: IdentityStore) -> list[ShownVideo]:
    """Return the videos of a registry in the order in which they came."""
    rows = store.rows(
        "SELECT videos.name, camera, meta, COUNT(tracklets.id) FROM videos LEFT JOIN tracklets ON video = videos.id "
        "GROUP BY videos.id ORDER BY videos.id"
    )
    return [ShownVideo(name, camera, str(_meta(meta).get("source") or ""), count) for name, camera, meta, count in rows]


def _meta(text: str) -> Mapping[str, Any]:
    found = json.loads(text)["meta"]
    return found if isinstance(found, dict) else {}


def registry_model(store: IdentityStore) -> Mapping[str, Any]:
    """Return what is known of a registry's embedder: ``name``, ``weights``, ``crop_pad``; nothing without videos."""
    rows = store.rows("SELECT meta FROM videos ORDER BY id LIMIT 1")
    found = _meta(rows[0][0]).get("embedder") if rows else None
    return found if isinstance(found, dict) else {}
