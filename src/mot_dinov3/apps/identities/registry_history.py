"""Edits of a registry that can be undone, as long as no other program has changed it since.

They are kept in the registry: what an edit changed, as it was before. The database notes it, by triggers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mot_dinov3.apps.identities.identity_store import IdentityStore, open_store
from mot_dinov3.apps.identities.registry_edits import move_tracks, rename_identity
from mot_dinov3.apps.identities.registry_moves import keep_folder
from mot_dinov3.core import files
from mot_dinov3.core.errors import UsageError

MAX_UNDO = 50  # edits
WAIT_S = 3.0  # for another run, before the person at the page is given an error
NAMES, OWNERS, DECISIONS = "names", "owners", "decisions"  # what may change: rows of an identity, a track, two tracks
PLACES = (  # table, columns that are noted, those of its key, and the earlier value
    (NAMES, "identities", "name, by_person", "{row}.id, 0", "json_array(OLD.name, OLD.by_person)"),
    (OWNERS, "tracklets", "identity", "{row}.id, 0", "OLD.identity"),
    (DECISIONS, "decisions", "same", "{row}.one, {row}.other", "OLD.same"),
)

T = TypeVar("T")


def edit_registry(folder: Path, what: str, work: Callable[[IdentityStore], T], *, can_be_undone: bool = True) -> T:
    """Make an edit and return what `work` returns; where it raises, nothing is changed.

    Args:
        folder: The registry.
        what: Description of the edit.
        work: Changes the registry.
        can_be_undone: False for one that is to leave nothing; it ends the history before it.
    """
    with files.writing(folder), open_store(folder, keeps_edits=can_be_undone, wait_s=WAIT_S) as store:
        if not can_be_undone:
            return work(store)
        _note_changes(store)
        result = work(store)
        changes = store.rows("SELECT place, one, other, value FROM earlier ORDER BY rowid DESC")
        first = {change[:3]: change for change in changes}
        store.rows("INSERT INTO edits (what, earlier) VALUES (?, ?)", [what, json.dumps(list(first.values()))])
        store.rows("DELETE FROM edits WHERE id <= (SELECT MAX(id) FROM edits) - ?", [MAX_UNDO])
        return result


def _note_changes(store: IdentityStore) -> None:
    """Note the earlier value of all that is changed from now on, NULL for what is added, in a table ``earlier``."""
    store.rows("PRAGMA temp_store = MEMORY")  # no name gets into a file that is not deleted securely
    store.rows("CREATE TEMP TABLE earlier (place, one, other, value)")
    for place, table, columns, key, value in PLACES:
        for change, row, before in (
            ("INSERT", "NEW", "NULL"),
            (f"UPDATE OF {columns}", "OLD", value),
            ("DELETE", "OLD", value),
        ):
            store.rows(
                f"CREATE TEMP TRIGGER {place}_{change.split()[0]} AFTER {change} ON main.{table} BEGIN "
                f"INSERT INTO earlier VALUES ('{place}', {key.format(row=row)}, {before}); END"
            )


def last_edit(store: IdentityStore) -> str:
    """Return the description of the edit that `undo_edit` would take back; empty where there is none."""
    if not store.rows("SELECT 1 FROM sqlite_master WHERE name = 'edits'"):
        return ""  # of an earlier version, and not changed since
    return next((str(what) for (what,) in store.rows("SELECT what FROM edits ORDER BY id DESC LIMIT 1")), "")


def undo_edit(folder: Path) -> str:
    """Take back the last edit of a registry and return its description.

    Raises:
        UsageError: There is none, or the registry was changed by another program since.
    """
    with files.writing(folder), open_store(folder, keeps_edits=True, wait_s=WAIT_S) as store:
        edits = store.rows("SELECT id, what, earlier FROM edits ORDER BY id DESC LIMIT 1")
        if not edits:
            raise UsageError("there is nothing to undo: no edit was made since another program changed the registry")
        ((number, what, earlier),) = edits
        _take_back(store, json.loads(earlier))
        store.rows("DELETE FROM edits WHERE id = ?", [number])
    return str(what)


def _take_back(store: IdentityStore, earlier: list[tuple[str, int, int, Any]]) -> None:
    changed: dict[str, dict[tuple[int, int], Any]] = {NAMES: {}, OWNERS: {}, DECISIONS: {}}
    for place, one, other, value in earlier:
        changed[place][one, other] = value
    names = {number: value and json.loads(value) for (number, _), value in changed[NAMES].items()}
    _restore_names(store, {number: value for number, value in names.items() if value is not None})
    present = dict(store.rows("SELECT id, name FROM identities"))
    owners: dict[int, list[int]] = {}
    for (track, _), owner in changed[OWNERS].items():
        if owner is not None:
            owners.setdefault(owner, []).append(track)
    for owner, tracks in owners.items():
        move_tracks(store, tracks, present[owner])
    for added in [number for number, value in names.items() if value is None and number in present]:
        store.rows("DELETE FROM identities WHERE id = ?", [added])
        keep_folder(store.connection, present[added], None)
    for pair, same in changed[DECISIONS].items():
        store.rows("DELETE FROM decisions WHERE one = ? AND other = ?", pair)
        if same is not None:
            store.rows("INSERT INTO decisions VALUES (?, ?, ?)", [*pair, same])


def _restore_names(store: IdentityStore, names: Mapping[int, tuple[str, int]]) -> None:
    """Give identities their earlier names; those that are no longer there come back, without tracks."""
    present = dict(store.rows("SELECT id, name FROM identities"))
    # Renamed ones first, so that a name that one of them took is free for the identity that had it.
    for number in sorted(names, key=lambda number: number not in present):
        name, by_person = names[number]
        if number in present:
            rename_identity(store, present[number], name)
            store.rows("UPDATE identities SET by_person = ? WHERE id = ?", [by_person, number])
        else:
            store.rows("INSERT INTO identities VALUES (?, ?, ?)", [number, name, by_person])
