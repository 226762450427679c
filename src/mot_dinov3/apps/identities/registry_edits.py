"""What a person changes in a registry: names, identities that are one or two, and identities to be forgotten.

What a person decided of two tracks is kept, and holds in all later runs.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from mot_dinov3.apps.identities.identity_store import SCRATCH, IdentityStore
from mot_dinov3.apps.identities.registry_moves import keep_files, keep_folder
from mot_dinov3.core.errors import UnknownNameError, UsageError, closest
from mot_dinov3.gallery.folder import check_identity


@dataclasses.dataclass(frozen=True)
class ForgottenIdentity:
    """What was deleted: rows of the index, image files, and the tracks by video and id."""

    tracks: tuple[tuple[str, int], ...]
    images: int


def check_known(store: IdentityStore, name: str) -> int:
    """Return the row of an identity.

    Raises:
        UnknownNameError: The registry has none of this name.
    """
    rows = store.rows("SELECT id FROM identities WHERE name = ?", [name])
    if not rows:
        near = closest(name, list(store.identity_names()))
        raise UnknownNameError(f"registry '{store.folder}' has no identity '{name}'{near}")
    return int(rows[0][0])


def rename_identity(store: IdentityStore, name: str, new: str) -> None:
    """Give an identity a person's name, which no later run changes.

    Raises:
        UsageError: There is none of this name, or another one has the new name.
        InputError: The new name cannot be used.
    """
    number = check_known(store, name)
    check_identity(new)
    if new != name and new in store.identity_names():
        raise UsageError(f"registry '{store.folder}' has an identity '{new}' already", remedy="merge the two instead")
    if new != name:
        keep_folder(store.connection, name, new)
    store.rows("UPDATE identities SET name = ?, by_person = 1 WHERE id = ?", [new, number])


def merge_identities(store: IdentityStore, kept: str, gone: str) -> None:
    """Make two identities one; the first name stays, or the one that a person gave.

    Raises:
        UsageError: There is none of one of the names, or the two are one.
    """
    if kept == gone:
        raise UsageError(f"'{kept}' cannot be merged with itself")
    numbers = check_known(store, kept), check_known(store, gone)
    tracks = [[track.number for track in store.tracklets(name)] for name in (kept, gone)]
    if tracks[0] and tracks[1]:
        decide(store, tracks[0][0], tracks[1][0], same=True)
    move_tracks(store, tracks[1], kept)
    named = store.identity_names()
    store.rows("DELETE FROM identities WHERE id = ?", [numbers[1]])
    keep_folder(store.connection, gone, None)
    if named[gone] and not named[kept]:
        rename_identity(store, kept, gone)


def split_identity(store: IdentityStore, tracklets: Sequence[int]) -> str:
    """Make tracks of one identity, given by their rows, another one, and return its name.

    Raises:
        UsageError: There are none, they are of several identities, or nothing would be left.
    """
    wanted = set(tracklets)
    owners = set(store.owners(wanted).values())
    if len(owners) != 1:
        raise UsageError("tracks to split off must be of one identity")
    (name,) = owners
    rest = [track.number for track in store.tracklets(name) if track.number not in wanted]
    if not rest:
        raise UsageError(f"all tracks of '{name}' were chosen: nothing would be left")
    new = free_name(store, name)
    store.rows("INSERT INTO identities (name) VALUES (?)", [new])
    move_tracks(store, sorted(wanted), new)
    for one in wanted:
        for other in rest:
            decide(store, one, other, same=False)
    return new


def free_name(store: IdentityStore, like: str) -> str:
    """Return a name that no identity has: ``person-12`` like ``person-3``."""
    kind = like.rsplit("-", 1)[0] if like.rsplit("-", 1)[-1].isdigit() else like
    taken, number = store.identity_names(), 1
    while f"{kind}-{number}" in taken:
        number += 1
    return f"{kind}-{number}"


def move_tracks(store: IdentityStore, tracklets: Sequence[int], name: str) -> None:
    """Give tracks another identity; their images move into its folder."""
    keep_files(store.connection, store.image_places(tracklets), name)
    for number in tracklets:
        store.rows(
            "UPDATE tracklets SET identity = (SELECT id FROM identities WHERE name = ?) WHERE id = ?", [name, number]
        )


def decide(store: IdentityStore, one: int, other: int, *, same: bool) -> None:
    """Keep what a person decided of two tracks, given by their rows."""
    pair = [min(one, other), max(one, other)]
    store.rows(
        "INSERT INTO decisions VALUES (?, ?, ?) ON CONFLICT (one, other) DO UPDATE SET same = excluded.same",
        [*pair, int(same)],
    )


def forget_identity(store: IdentityStore, name: str) -> ForgottenIdentity:
    """Delete an identity: its tracks, embeddings and images, what was computed from these, and earlier edits.

    Raises:
        UnknownNameError: There is none of this name.
    """
    number = check_known(store, name)
    tracks = store.tracklets(name)
    store.rows("DELETE FROM tracklets WHERE identity = ?", [number])
    store.rows("DELETE FROM identities WHERE id = ?", [number])
    store.rows("DELETE FROM edits")
    folder = store.folder / check_identity(name)
    images = _count_files(folder)
    if folder.is_dir():
        shutil.rmtree(folder)
    # What `track --gallery` computed, and an image that a killed run was writing.
    for left in (*store.folder.glob(".embeddings-*.npz"), *store.folder.glob(f"{Path(SCRATCH).stem}*")):
        left.unlink()
    return ForgottenIdentity(tuple((track.video, track.track_id) for track in tracks), images)


def _count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))
