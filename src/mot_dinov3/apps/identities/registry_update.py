"""A run of `identify` on a registry: its videos are added, and their tracks identified together with all others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mot_dinov3.apps.identities.camera_plan import CameraPlan
from mot_dinov3.apps.identities.identified_tracks import (
    IdentificationResult,
    KnownTracks,
    by_video,
    identify_tracks,
)
from mot_dinov3.apps.identities.identity_store import IdentityStore
from mot_dinov3.apps.identities.stored_tracks import StoredVideo, table_digest
from mot_dinov3.apps.identities.video_tracks import VideoTracks
from mot_dinov3.core.errors import UsageError


def update_registry(
    store: IdentityStore, videos: Sequence[VideoTracks], plan: CameraPlan
) -> tuple[IdentificationResult, list[str]]:
    """Identify the tracks of videos together with those of a registry, and add them to it.

    Identities of the registry keep their names and their tracks. A video that is in it already adds nothing; one that
    was tracked again replaces its earlier tracks.

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
    known = KnownTracks(
        {(name, track): identity for name, video in stored.items() for track, identity in video.identities.items()},
        store.different_pairs(),
    )
    result = identify_tracks([*(video.tracks for video in stored.values()), *new], given, known)
    for video in new:
        store.add_video(video, given.camera_of(video.name), given.start.get(video.name))
    for name, tracks in by_video(result.tracks).items():
        store.set_identities(name, {track.track_id: (track.identity, track.confidence) for track in tracks})
    store.settle_identities()
    return _of_videos(result, {video.name for video in videos}), [
        f"'{name}' was tracked again: its earlier tracks in the registry are replaced" for name in replaced
    ]


def _replaces(stored: StoredVideo | None, video: VideoTracks) -> bool:
    if stored is None or stored.digest == table_digest(video.table):
        return False
    earlier, source = stored.tracks.table.meta.get("source"), video.table.meta.get("source")
    if earlier != source:
        raise UsageError(
            f"the registry has another video with the name '{video.name}', '{earlier}'; this one is '{source}'",
            remedy="rename the file",
        )
    return True


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
