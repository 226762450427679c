"""Routes of the identities page: a registry is shown, and edited by a person."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mot_dinov3.apps.identities.identified_tracks import TrackKey
from mot_dinov3.apps.identities.identity_files import counted
from mot_dinov3.apps.identities.identity_store import IdentityStore, open_store
from mot_dinov3.apps.identities.registry_edits import (
    decide,
    forget_identity,
    merge_identities,
    rename_identity,
    split_identity,
)
from mot_dinov3.apps.identities.registry_history import WAIT_S, edit_registry, last_edit, undo_edit
from mot_dinov3.apps.identities.registry_index import revision
from mot_dinov3.apps.identities.registry_overview import (
    ShownVideo,
    identities,
    registry_model,
    shown_videos,
    track_images_of,
    tracks_of,
)
from mot_dinov3.apps.identities.suggested_joins import Suggestion, suggest
from mot_dinov3.apps.studio.gallery_editor import usable_name
from mot_dinov3.apps.studio.jobs import Job
from mot_dinov3.apps.studio.requests import ConflictError, Request
from mot_dinov3.apps.studio.session import Routes, Studio
from mot_dinov3.core.errors import InputError, UsageError

TIMES = ("track_id", "first_time", "last_time")

Edit = Callable[[IdentityStore], str]
"""Changes a registry, and returns the name of the identity to be shown; empty for none."""


def overview(studio: Studio, request: Request) -> dict[str, Any]:
    """The identities and videos of a registry."""
    return _overview(studio, studio.roots.check(request.text("root")))


def _overview(studio: Studio, folder: Path) -> dict[str, Any]:
    with open_store(folder, reading=True, wait_s=WAIT_S) as store:
        found = [dataclasses.asdict(identity) for identity in identities(store)]
        videos, model, undo = shown_videos(store), registry_model(store), last_edit(store)
        number = revision(folder)
    return {
        "root": str(folder),
        "revision": number,
        "identities": found,
        "videos": [_video(studio, video) for video in videos],
        "model": {key: str(model.get(key) or "") for key in ("name", "weights")},
        "undo": undo,
    }


def _video(studio: Studio, video: ShownVideo) -> dict[str, Any]:
    """Return a video as the page lists it; `path` is empty where it cannot be opened, and `why` has the reason."""
    path = Path(video.source)
    open_to = studio.roots.contains(path)
    there = open_to and path.exists()
    why = "" if there else "the file no longer exists" if open_to else "outside the folders of the studio: add --root"
    facts = {"name": video.name, "camera": video.camera, "tracks": video.tracks}
    return {**facts, "path": str(path.resolve()) if there else "", "why": why}


def identity(studio: Studio, request: Request) -> dict[str, Any]:
    """The tracks of an identity."""
    folder, name = studio.roots.check(request.text("root")), request.text("name")
    with open_store(folder, reading=True, wait_s=WAIT_S) as store:
        tracks, seconds = tracks_of(store, name)
    return {"name": name, "tracks": [dataclasses.asdict(track) for track in tracks], "seconds": seconds}


def rename(studio: Studio, request: Request) -> dict[str, Any]:
    """Give an identity a name that no later run changes."""
    name, new = request.text("name"), usable_name(request.text("new"))

    def work(store: IdentityStore) -> str:
        rename_identity(store, name, new)
        return new

    return _edit(studio, request, f"naming {name} {new}", work)


def merge(studio: Studio, request: Request) -> dict[str, Any]:
    """Make several identities one; it has the first name that a person gave, else the first one."""
    names = list(dict.fromkeys(_texts(request, "names")))
    if len(names) < 2:
        raise InputError("select two identities or more to merge")

    def work(store: IdentityStore) -> str:
        return _merge(store, names)

    return _edit(studio, request, f"merging {', '.join(names)}", work)


def _merge(store: IdentityStore, names: Sequence[str]) -> str:
    named = store.identity_names()
    kept = next((name for name in names if named.get(name)), names[0])
    for gone in names:
        if gone != kept:
            merge_identities(store, kept, gone)
    return kept


def split(studio: Studio, request: Request) -> dict[str, Any]:
    """Make tracks of an identity another identity."""
    tracks = _wholes(request, "tracks")
    return _edit(studio, request, f"splitting off {counted(len(tracks), 'track')}", lambda s: split_identity(s, tracks))


def move(studio: Studio, request: Request) -> dict[str, Any]:
    """Give tracks of one identity to another one."""
    tracks, target = set(_wholes(request, "tracks")), request.text("to")

    def work(store: IdentityStore) -> str:
        owners = set(store.owners(tracks).values())
        if len(owners) != 1 or owners == {target}:
            raise UsageError("tracks to be moved must be of one other identity")
        (owner,) = owners
        rest = {track.number for track in store.tracklets(owner)} - tracks
        merge_identities(store, target, split_identity(store, sorted(tracks)) if rest else owner)
        return target

    return _edit(studio, request, f"moving {counted(len(tracks), 'track')} to {target}", work)


def forget(studio: Studio, request: Request) -> dict[str, Any]:
    """Delete an identity; this cannot be undone, and ends the history of edits."""
    name = request.text("name")

    def work(store: IdentityStore) -> str:
        forget_identity(store, name)
        return ""

    done = _edit(studio, request, f"forgetting {name}", work, can_be_undone=False)
    studio.searched.clear()  # no embedding of it stays in memory
    return done


def undo(studio: Studio, request: Request) -> dict[str, Any]:
    """Take back the last edit."""
    folder = studio.roots.check(request.text("root"))
    with studio.writing:
        undone = undo_edit(folder)
        return {"done": f"undone: {undone}", "show": "", **_overview(studio, folder)}


def decision(studio: Studio, request: Request) -> dict[str, Any]:
    """Confirm or reject a suggestion: two tracks are one person, or two."""
    one, other, same = request.whole("one"), request.whole("other"), request.flag("same")

    def work(store: IdentityStore) -> str:
        owners = store.owners([one, other])
        if len(owners) != 2:
            raise UsageError("the two tracks are no longer in the registry", remedy="reload the page")
        names = owners[one], owners[other]
        shown = names[0]
        if same and names[0] != names[1]:
            shown = _merge(store, sorted(names, key=list(store.identity_names()).index))  # the older one stays
        elif not same and names[0] == names[1]:
            shown = split_identity(store, [one])
        decide(store, one, other, same=same)
        return shown

    return _edit(studio, request, "confirming a suggestion" if same else "rejecting a suggestion", work)


def _edit(studio: Studio, request: Request, what: str, work: Edit, *, can_be_undone: bool = True) -> dict[str, Any]:
    """Edit a registry that the page has seen as it is."""
    folder, seen = studio.roots.check(request.text("root")), request.whole("revision", high=2**32 - 1)

    def checked(store: IdentityStore) -> str:
        if revision(folder) != seen:
            raise ConflictError(
                "the registry was changed in another tab or by another program",
                remedy="it is shown as it is now: try again",
            )
        return work(store)

    with studio.writing:
        shown = edit_registry(folder, what, checked, can_be_undone=can_be_undone)
        return {"done": what, "show": shown, **_overview(studio, folder)}


def _wholes(request: Request, name: str) -> list[int]:
    found = request.items(name)
    if not found or not all(type(number) is int and 0 <= number < 2**63 for number in found):
        raise InputError(f"'{name}' must be whole numbers, at least one")
    return found


def _texts(request: Request, name: str) -> list[str]:
    return [Request({name: text}).text(name) for text in request.items(name)]


def suggestions(studio: Studio, request: Request) -> Job:
    """Pairs of tracks for a person to confirm or reject, in the background: all tracks are compared."""
    folder = studio.roots.check(request.text("root"))
    with open_store(folder, reading=True, wait_s=WAIT_S):
        number = revision(folder)

    def work(job: Job) -> dict[str, Any]:
        job.message = "comparing the tracks"
        with open_store(folder, reading=True, wait_s=WAIT_S) as store:
            videos, decided = store.videos(), (store.different_pairs(), store.same_pairs())
        found = suggest(videos, *decided)
        times = {
            (video.tracks.name, track): seconds
            for video in videos
            for track, *seconds in zip(*(video.tracks.table.tracks[key].tolist() for key in TIMES))
        }
        with open_store(folder, reading=True, wait_s=WAIT_S) as store:
            images = track_images_of(store, {key for one in found for key in (one.one, one.other)})
        shown = [one for one in found if one.one in images and one.other in images]
        return {"suggestions": [_suggestion(one, images, times) for one in shown], "revision": number}

    return studio.jobs.start("suggestions", "Suggestions", work, subject=f"{folder}|{number}", wait_s=0.5)


def _suggestion(
    found: Suggestion, images: Mapping[TrackKey, tuple[int, str]], times: Mapping[TrackKey, list[float]]
) -> dict[str, Any]:
    def side(key: TrackKey, name: str) -> dict[str, Any]:
        number, image = images[key]
        facts = {"number": number, "identity": name, "video": key[0], "track_id": key[1]}
        return {**facts, "image": image, "first_time": times[key][0], "last_time": times[key][1]}

    one, other = map(side, (found.one, found.other), found.identities)
    return {"one": one, "other": other, "probability": found.probability}


ROUTES: Routes = {
    ("GET", "/api/registry"): overview,
    ("GET", "/api/registry/identity"): identity,
    ("POST", "/api/registry/rename"): rename,
    ("POST", "/api/registry/merge"): merge,
    ("POST", "/api/registry/split"): split,
    ("POST", "/api/registry/move"): move,
    ("POST", "/api/registry/forget"): forget,
    ("POST", "/api/registry/undo"): undo,
    ("POST", "/api/registry/decide"): decision,
    ("POST", "/api/registry/suggestions"): suggestions,
}
