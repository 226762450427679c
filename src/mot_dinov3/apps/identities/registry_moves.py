"""Moves of a registry's images: kept in the index together with the edit that asks for them, and made after it.

A run that is killed between the two leaves moves in the index; the next one that opens the registry makes them. They
are made in their order, and each may be made twice: what has been moved is no longer where it was.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from mot_dinov3.core import files
from mot_dinov3.gallery.folder import check_identity, files_below

TABLE = """CREATE TABLE IF NOT EXISTS moves (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL, target TEXT, file TEXT)"""

Move = tuple[int, str, str | None, str | None]
"""Its number; the folders of two identities, no second one to remove the first if it is empty; no file for all."""


def keep_files(connection: sqlite3.Connection, places: Iterable[tuple[str, str]], target: str) -> None:
    """Keep that files, given by the names of their identity's folder and of their own, move into another folder."""
    moves = [(check_identity(source), check_identity(target), file) for source, file in places]
    connection.executemany("INSERT INTO moves (source, target, file) VALUES (?, ?, ?)", moves)


def keep_folder(connection: sqlite3.Connection, source: str, target: str | None) -> None:
    """Keep that all files of an identity's folder move into another one; None: that it goes if nothing is in it."""
    names = check_identity(source), None if target is None else check_identity(target)
    connection.execute("INSERT INTO moves (source, target) VALUES (?, ?)", names)


def are_left(connection: sqlite3.Connection) -> bool:
    """Return whether there are moves to be made."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'moves'").fetchone():
        return False  # of an earlier version
    return connection.execute("SELECT 1 FROM moves LIMIT 1").fetchone() is not None


def make_next(connection: sqlite3.Connection, folder: Path) -> bool:
    """Make the next moves, of several files or of one folder, and forget them; return whether there were any.

    A transaction is to be committed after each call: the move of a folder takes what came into it later, too, where
    it is made twice.

    Raises:
        OutputError: A file cannot be moved.
    """
    moves: list[Move] = connection.execute("SELECT id, source, target, file FROM moves ORDER BY id").fetchall()
    for _, group in itertools.groupby(moves, lambda move: 0 if move[3] else move[0]):
        together = list(group)
        for _, source, target, file in together:
            with files.writing(folder / source):
                _move(folder / check_identity(source), folder / check_identity(target) if target else None, file)
        connection.execute("DELETE FROM moves WHERE id <= ?", [together[-1][0]])
        return True
    return False


def _move(source: Path, target: Path | None, file: str | None) -> None:
    if target is None:
        with contextlib.suppress(OSError):  # images that a person added stay
            source.rmdir()
    elif file is None:
        _move_all(source, target)
    else:
        place = source / Path(file).name
        if place.exists():
            target.mkdir(mode=0o700, exist_ok=True)
            place.replace(target / place.name)


def _move_all(folder: Path, target: Path) -> None:
    """Move the files of an identity; of one that was merged, images that a person added may be there already."""
    if not folder.is_dir():
        return
    if not target.exists() or target.samefile(folder):  # the same, where capital letters make no difference
        folder.rename(target)
        return
    for path in files_below(folder):
        place, number = target / path.name, 1
        while place.exists():
            number += 1
            place = target / f"{path.stem}-{number}{path.suffix}"
        path.rename(place)
    shutil.rmtree(folder)
