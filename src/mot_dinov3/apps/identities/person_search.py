"""Search: which identities of a registry, or of the results of `identify`, look like an image, and when were they seen.

Cosines are worth what the tracks of the place show (`pair_evidence`). Every identity is equally probable before, and so
is that the image shows none of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot_dinov3.apps.identities.assignment import compare_pairs
from mot_dinov3.apps.identities.camera_plan import CameraPlan
from mot_dinov3.apps.identities.identified_tracks import TrackKey, track_facts, track_key, tracklets
from mot_dinov3.apps.identities.identity_files import JSON, read_results
from mot_dinov3.apps.identities.identity_store import open_store
from mot_dinov3.apps.identities.pair_evidence import PairCalibration, unit_rows
from mot_dinov3.apps.identities.registry_index import INDEX
from mot_dinov3.apps.identities.tracklet_means import centre
from mot_dinov3.apps.identities.video_tracks import VideoTracks, fingerprint, model_text, read_tracks
from mot_dinov3.core.errors import InputError, UsageError
from mot_dinov3.core.structures import Float64Array, FloatArray

SCHEMA = "find-v1"
BEST = 0.5  # share of an identity's tracks, the most similar ones, that decide: a view from behind counts little


@dataclasses.dataclass(frozen=True)
class Searched:
    """The tracks that are searched.

    Attributes:
        videos: Their videos.
        identities: Video and track → identity.
        cameras: Cameras of the videos.
    """

    videos: Sequence[VideoTracks]
    identities: Mapping[TrackKey, str]
    cameras: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class FoundTrack:
    """A track of a found identity: when, and how much it looks like the image (cosine)."""

    video: str
    track_id: int
    first_time: float
    last_time: float
    cosine: float


@dataclasses.dataclass(frozen=True)
class FoundIdentity:
    """An identity with the probability that the image shows it; its tracks, the most similar first."""

    identity: str
    confidence: float
    tracks: tuple[FoundTrack, ...]


def open_searched(folder: Path) -> Searched:
    """Read a registry, or the results of `identify`.

    Raises:
        InputError: The folder is neither.
        FormatError: A file is damaged.
    """
    if (folder / INDEX).exists():
        with open_store(folder, reading=True) as store:
            stored = store.videos()
        identities = {(v.tracks.name, track): name for v in stored for track, name in v.identities.items()}
        cameras = {video.tracks.name: video.camera for video in stored}
        return Searched([video.tracks for video in stored], identities, cameras)
    path = folder / JSON
    if not path.exists():
        raise InputError(
            f"'{folder}' has neither {INDEX} nor {JSON}", remedy="name a registry, or a folder of identify"
        )
    saved = read_results(path)
    identities = {track: name for name, tracks in saved.tracks.items() for track in tracks}
    cameras = {video: camera for video, (camera, _) in saved.videos.items()}
    return Searched(read_tracks([(video, place) for video, (_, place) in saved.videos.items()]), identities, cameras)


def check_same_model(searched: Searched, facts: Mapping[str, Any], folder: Path) -> None:
    """Refuse an embedder that is not the one of the tracks; `facts` are those of the embedder in use.

    Raises:
        UsageError: It is another one; both are named.
        InputError: There are no tracks.
    """
    if not searched.videos:
        raise InputError(f"'{folder}' has no tracks")
    video = searched.videos[0]
    if fingerprint(video) != facts["fingerprint"]:
        given = f"{facts['name']} {facts['weights'] or ''}".strip()
        raise UsageError(
            f"'{folder}' has embeddings of {model_text(video)}, not of {given} ({facts['fingerprint']})",
            remedy="give the --embedder and --embed-model with which the videos were tracked",
        )


def find_identities(searched: Searched, images: FloatArray) -> list[FoundIdentity]:
    """Return all identities, the most probable one first.

    Args:
        searched: The tracks.
        images: ``(n, d)`` unit rows, of images of one person.
    """
    rows = [
        (number, row)
        for number, video in enumerate(searched.videos)
        for row, track in enumerate(video.table.tracks["track_id"].tolist())
        if (video.name, track) in searched.identities
    ]
    if not rows:
        return []
    facts = track_facts(searched.videos, rows, CameraPlan(searched.cameras))
    centred = centre(tracklets(searched.videos, rows, facts.camera))
    query = unit_rows(images.mean(axis=0, dtype=np.float64)[None] - centred.offset)
    cosine = (centred.rows @ query[0]).astype(np.float64)
    names = [searched.identities[track_key(searched.videos, place)] for place in rows]
    tracks: dict[str, list[FoundTrack]] = {}
    for name, place, value in zip(names, rows, cosine.tolist()):
        tracks.setdefault(name, []).append(_found(searched, place, value))
    for found in tracks.values():
        found.sort(key=lambda track: -track.cosine)
    if len(rows) < 2:
        return [FoundIdentity(name, 0.5, tuple(found)) for name, found in tracks.items()]
    calibration = compare_pairs(centred.rows, centred.halves, facts.can_be_one)[0]
    similarity = np.array([_best(found) for found in tracks.values()])
    confidence = probabilities(calibration, similarity)
    order = np.argsort(-confidence, kind="stable").tolist()
    listed = list(tracks.items())
    return [FoundIdentity(listed[k][0], float(confidence[k]), tuple(listed[k][1])) for k in order]


def _found(searched: Searched, place: tuple[int, int], cosine: float) -> FoundTrack:
    columns = searched.videos[place[0]].table.tracks
    first, last = (float(columns[key][place[1]]) for key in ("first_time", "last_time"))
    return FoundTrack(*track_key(searched.videos, place), first, last, round(cosine, 4))


def _best(found: Sequence[FoundTrack]) -> float:
    count = -(-len(found) * BEST // 1)
    return float(np.mean([track.cosine for track in found[: int(count)]]))


def probabilities(calibration: PairCalibration, similarity: Float64Array) -> Float64Array:
    """Return how probable it is that a person is each of ``(k,)`` identities, by its cosine with them."""
    ratio = calibration.log_odds(similarity) - np.log(calibration.share) + np.log1p(-calibration.share)
    weight = np.exp(np.minimum(ratio, 50.0)) / len(similarity)
    return np.asarray(weight / (1 + weight.sum()))


def find_document(folder: Path, found: Mapping[str, Sequence[FoundIdentity]]) -> dict[str, Any]:
    """Return the content of ``--save-json``: each image or gallery name with its identities."""
    queries = [
        {"query": name, "found": [dataclasses.asdict(identity) for identity in identities]}
        for name, identities in found.items()
    ]
    return {"schema_version": SCHEMA, "folder": str(folder), "queries": queries}
