"""The index of a registry, an SQLite file: opened by one run at a time, and its images brought to where it says."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mot_dinov3.apps.identities import registry_moves
from mot_dinov3.core.errors import FormatError, InputError, OutputError, OutputLostError

INDEX = "registry.sqlite"
SCHEMA = "registry-v1"
WAIT_S = 60.0  # for another run
QUIET_S = 1.0  # of this, before a notice
REVISION = slice(24, 28)  # bytes of an SQLite file that count its changes
TABLES = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE videos (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, camera TEXT NOT NULL, start REAL, path TEXT NOT NULL,
    digest TEXT NOT NULL, meta TEXT NOT NULL);
CREATE TABLE identities (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, by_person INTEGER NOT NULL DEFAULT 0);
CREATE TABLE tracklets (
    id INTEGER PRIMARY KEY, video INTEGER NOT NULL REFERENCES videos ON DELETE CASCADE, track_id INTEGER NOT NULL,
    identity INTEGER REFERENCES identities, confidence REAL, row BLOB NOT NULL, crops BLOB NOT NULL,
    class_name TEXT NOT NULL, name TEXT NOT NULL, has_images INTEGER NOT NULL DEFAULT 0, UNIQUE (video, track_id));
CREATE INDEX of_identity ON tracklets (identity);
CREATE TABLE images (
    tracklet INTEGER NOT NULL REFERENCES tracklets ON DELETE CASCADE, file TEXT NOT NULL, UNIQUE (tracklet, file));
CREATE TABLE decisions (
    one INTEGER NOT NULL REFERENCES tracklets ON DELETE CASCADE,
    other INTEGER NOT NULL REFERENCES tracklets ON DELETE CASCADE, same INTEGER NOT NULL, PRIMARY KEY (one, other));
"""
LATER_TABLES = f"""
{registry_moves.TABLE};
CREATE TABLE IF NOT EXISTS edits (id INTEGER PRIMARY KEY, what TEXT NOT NULL, earlier TEXT NOT NULL);
"""
"""Those that a registry of an earlier version does not have yet."""

log = logging.getLogger(__name__)


@contextlib.contextmanager
def open_index(
    folder: Path, *, create: bool = False, reading: bool = False, keeps_edits: bool = False, wait_s: float | None = None
) -> Iterator[sqlite3.Connection]:
    """Open the index of a registry within a transaction; see `identity_store.open_store`."""
    path = folder / INDEX
    new = not path.exists()
    if new and not create:
        raise InputError(f"'{folder}' is no registry: it has no {INDEX}", remedy="identify … --registry DIR makes one")
    if new:
        _make_folder(folder)
    wait = WAIT_S if wait_s is None else wait_s
    with _read_errors(path), contextlib.closing(_connect(path, wait)) as connection:
        if reading:
            with contextlib.suppress(OutputLostError):
                _finish_moves(connection, folder, 0)
            connection.execute("BEGIN")
            _check_version(connection, path)
            yield connection
            connection.execute("COMMIT")
            return
        _begin_alone(connection, folder, wait)
        unchanged = connection.total_changes
        yield connection
        if connection.total_changes > unchanged and not keeps_edits:
            connection.execute("DELETE FROM edits")
        connection.execute("COMMIT")
        _finish_moves(connection, folder, min(QUIET_S, wait))


def _begin_alone(connection: sqlite3.Connection, folder: Path, wait_s: float) -> None:
    """Begin a transaction that no other run can be in, with all images where the index says."""
    _begin(connection, folder, wait_s)
    _check_version(connection, folder / INDEX)
    for statement in filter(str.strip, LATER_TABLES.split(";")):
        connection.execute(statement)
    while registry_moves.make_next(connection, folder):
        connection.execute("COMMIT")
        _begin(connection, folder, wait_s)


def _finish_moves(connection: sqlite3.Connection, folder: Path, wait_s: float) -> None:
    """Make the moves of images that the index has; where another run holds it, that run makes them."""
    ((before,),) = connection.execute("PRAGMA busy_timeout").fetchall()
    connection.execute(f"PRAGMA busy_timeout = {1000 * wait_s:.0f}")
    try:
        while registry_moves.are_left(connection):
            connection.execute("BEGIN IMMEDIATE")
            registry_moves.make_next(connection, folder)
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        log.info("registry '%s': images are moved when it is opened next (%s)", folder, error)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute(f"PRAGMA busy_timeout = {before}")


def _connect(path: Path, wait_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=wait_s, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
    return connection


def _begin(connection: sqlite3.Connection, folder: Path, wait_s: float) -> None:
    """Begin a transaction that no other run can be in; wait for one, and say so once."""
    try:
        connection.execute(f"PRAGMA busy_timeout = {1000 * min(QUIET_S, wait_s):.0f}")
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) or wait_s <= QUIET_S:
            raise
        log.warning("registry '%s' is in use by another run: waiting up to %.0f s for it", folder, wait_s)
        connection.execute(f"PRAGMA busy_timeout = {1000 * wait_s:.0f}")
        connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA busy_timeout = {1000 * wait_s:.0f}")  # for those who read, at the end


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not (folder / INDEX).exists():  # another run may have made it by now
            raise OutputError(
                f"'{folder}' cannot become a registry: it is not empty and has no {INDEX}", remedy="name a new folder"
            )
        folder.chmod(0o700)
    except OSError as error:
        raise OutputError(f"registry '{folder}' cannot be made: {error.strerror or error}") from error


@contextlib.contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise OutputError(
                f"registry '{path.parent}' is in use by another run", remedy="run this again when that has ended"
            ) from error
        raise OutputError(f"registry '{path}' cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        raise FormatError(
            f"'{path}' is damaged, or no registry ({error})", remedy="restore it from a backup"
        ) from error


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    if not connection.execute("SELECT name FROM sqlite_master").fetchall():
        for statement in filter(str.strip, TABLES.split(";")):
            connection.execute(statement)
        connection.execute("INSERT INTO facts VALUES ('schema_version', ?)", [SCHEMA])
    found = connection.execute("SELECT value FROM facts WHERE key = 'schema_version'").fetchone()
    if found != (SCHEMA,):
        version = found[0] if found else "of an unknown version"
        raise FormatError(f"'{path}' is {version}, this program reads {SCHEMA}", remedy="update mot-dinov3")


def revision(folder: Path) -> int:
    """Return a number that differs after every change of a registry."""
    with (folder / INDEX).open("rb") as file:
        return int.from_bytes(file.read(REVISION.stop)[REVISION], "big")
