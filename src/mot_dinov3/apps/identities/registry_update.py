"""A run of `identify` on a registry: its videos are added, and their tracks identified together with all others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mot_dinov3.apps.identities.camera_plan import CameraPlan
from mot_dinov3.apps.identities.identified_tracks import (
    IdentificationResult,
    KnownTracks,
    Run,
    by_video,
    identify_tracks,
    run_here,
)
from mot_dinov3.apps.identities.identity_store import IdentityStore
from mot_dinov3.apps.identities.stored_tracks import StoredVideo, table_digest
from mot_dinov3.apps.identities.video_tracks import VideoTracks
from mot_dinov3.core.errors import UsageError
from mot_dinov3.formats.track_embeddings import read_embeddings


def update_registry(
    store: IdentityStore, videos: Sequence[VideoTracks], plan: CameraPlan, run: Run = run_here
) -> tuple[IdentificationResult, list[str]]:
    """Identify the tracks of videos together with those of a registry, and add them to it.

    Identities of the registry keep their names and their tracks. A video that is in it already adds nothing; one that
    was tracked again replaces its earlier tracks. The tracks of a large registry are not compared with each other
    again, as long as few are new.

    Returns:
        The identities of the given videos, and notices.

    Raises:
        UsageError: Another video of the registry has the name of one, or the models differ.
    """
    store.check_model(videos)
    stored = {video.tracks.name: video for video in store.videos()}
    replaced = [video.name for video in videos if _replaces(stored.get(video.name), video)]
    for name in replaced:
        store.remove_video(name)
        del stored[name]
    new = [video for video in videos if video.name not in stored]
    given = _with_stored(plan, list(stored.values()))
    for video in new:
        store.add_video(video, read_embeddings(video.path), given.camera_of(video.name), given.start.get(video.name))
    known = _known(store, list(stored.values()))
    result = identify_tracks([*(video.tracks for video in stored.values()), *new], given, known, run)
    changed = result.tracks
    if known.calibration is not None:
        changed = tuple(track for track in changed if track.video not in stored)
    elif result.calibration is not None:
        store.set_calibration(result.calibration)
    for name, tracks in by_video(changed).items():
        store.set_identities(name, {track.track_id: (track.identity, track.confidence) for track in tracks})
    store.settle_identities()
    return _of_videos(result, {video.name for video in videos}), [
        f"'{name}' was tracked again: its earlier tracks in the registry are replaced" for name in replaced
    ]


def _replaces(stored: StoredVideo | None, video: VideoTracks) -> bool:
    if stored is None or stored.digest == table_digest(read_embeddings(video.path)):
        return False
    earlier, source = stored.tracks.table.meta.get("source"), video.table.meta.get("source")
    if earlier != source:
        raise UsageError(
            f"the registry has another video with the name '{video.name}', '{earlier}'; this one is '{source}'",
            remedy="rename the file",
        )
    return True


def _known(store: IdentityStore, stored: Sequence[StoredVideo]) -> KnownTracks:
    names = {(video.tracks.name, track): name for video in stored for track, name in video.identities.items()}
    confidence = {(video.tracks.name, track): own for video in stored for track, own in video.confidence.items()}
    return KnownTracks(names, store.different_pairs(), confidence, store.calibration())


def _with_stored(plan: CameraPlan, stored: Sequence[StoredVideo]) -> CameraPlan:
    """Return what is known of the cameras, that of the registry's videos too; a new file counts more."""
    camera = {video.tracks.name: video.camera for video in stored}
    start = {video.tracks.name: video.start for video in stored if video.start is not None}
    return CameraPlan(camera | dict(plan.camera), start | dict(plan.start), plan.travel)


def _of_videos(result: IdentificationResult, names: set[str]) -> IdentificationResult:
    return dataclasses.replace(
        result,
        tracks=tuple(track for track in result.tracks if track.video in names),
        unidentified=tuple(track for track in result.unidentified if track[0] in names),
    )
