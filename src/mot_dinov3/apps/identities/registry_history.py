"""Edits of a registry that can be undone, as long as no other program has changed it since."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mot_dinov3.apps.identities.identity_store import IdentityStore, open_store, revision
from mot_dinov3.apps.identities.registry_edits import move_tracks, rename_identity
from mot_dinov3.core import files
from mot_dinov3.core.errors import UsageError

MAX_UNDO = 50  # steps
WAIT_S = 3.0  # for another run, before the person at the page is given an error

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class RegistryState:
    """What an edit may change; its differences are what undoing it needs.

    Attributes:
        names: Row of an identity → its name, and whether a person gave it.
        owners: Row of a track → row of its identity.
        decisions: Rows of two tracks → whether a person called them one.
    """

    names: Mapping[int, tuple[str, int]]
    owners: Mapping[int, int | None]
    decisions: Mapping[tuple[int, int], int]

    @classmethod
    def of(cls, store: IdentityStore) -> RegistryState:
        """Read the state of an open registry."""
        return cls(
            {number: (name, named) for number, name, named in store.rows("SELECT id, name, by_person FROM identities")},
            dict(store.rows("SELECT id, identity FROM tracklets")),
            {(one, other): same for one, other, same in store.rows("SELECT one, other, same FROM decisions")},
        )


@dataclasses.dataclass(frozen=True)
class _Step:
    """An edit: its description, and the earlier value of all that it changed, None for what it added."""

    what: str
    names: Mapping[int, tuple[str, int] | None]
    owners: Mapping[int, int | None]
    decisions: Mapping[tuple[int, int], int | None]

    @classmethod
    def between(cls, what: str, before: RegistryState, after: RegistryState) -> _Step:
        return cls(
            what,
            _changed(before.names, after.names),
            _changed(before.owners, after.owners),
            _changed(before.decisions, after.decisions),
        )


def _changed(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: before.get(key) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


class RegistryHistory:
    """Edits of a registry, and how to take them back. Calls come one at a time: the caller holds a lock.

    Args:
        folder: The registry.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._steps: list[_Step] = []
        self._revision = -1

    @property
    def last_step(self) -> str:
        """Description of the edit that `undo` would take back; empty where there is none."""
        return self._steps[-1].what if self._steps and self._is_current() else ""

    def _is_current(self) -> bool:
        return revision(self.folder) == self._revision

    def edit(self, what: str, work: Callable[[IdentityStore], T], *, can_be_undone: bool = True) -> T:
        """Make an edit and return what `work` returns; where it raises, nothing is changed.

        Args:
            what: Description of the edit.
            work: Changes the registry.
            can_be_undone: False for one that is to leave nothing; it ends the history before it.
        """
        with files.writing(self.folder), open_store(self.folder, wait_s=WAIT_S) as store:
            if not self._is_current() or not can_be_undone:
                self._steps = []
            before = RegistryState.of(store)
            result = work(store)
            step = _Step.between(what, before, RegistryState.of(store))
        if can_be_undone:
            self._steps = [*self._steps[1 - MAX_UNDO :], step]
        self._revision = revision(self.folder)
        return result

    def undo(self) -> str:
        """Take back the last edit and return its description.

        Raises:
            UsageError: There is none, or the registry was changed since.
        """
        if not self._steps:
            raise UsageError("there is nothing to undo")
        with files.writing(self.folder), open_store(self.folder, wait_s=WAIT_S) as store:
            if not self._is_current():
                self._steps = []
                raise UsageError("the registry was changed by another program: nothing can be undone any more")
            step = self._steps[-1]
            _take_back(store, step)
        self._steps.pop()
        self._revision = revision(self.folder)
        return step.what


def _take_back(store: IdentityStore, step: _Step) -> None:
    _restore_names(store, {number: earlier for number, earlier in step.names.items() if earlier is not None})
    names = dict(store.rows("SELECT id, name FROM identities"))
    owners: dict[int, list[int]] = {}
    for track, owner in step.owners.items():
        if owner is not None:
            owners.setdefault(owner, []).append(track)
    for owner, tracks in owners.items():
        move_tracks(store, tracks, names[owner])
    for added in [number for number, earlier in step.names.items() if earlier is None]:
        store.rows("DELETE FROM identities WHERE id = ?", [added])
        with contextlib.suppress(OSError):  # images that a person added stay
            (store.folder / names[added]).rmdir()
    for pair, same in step.decisions.items():
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
