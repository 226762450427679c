"""Converted networks on disk: one folder each, whole or not there, named by everything that it was made from.

They are in ``networks/`` of the project's cache folder and may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import first_line
from mot_dinov3.core.files import cache_dir, file_hash, part_path

LIMIT = 4 << 30
"""Bytes that all entries together may take; beyond it those unused for the longest time go."""

MANIFEST = "entry.json"
NETWORK = "network.xml"
WEIGHTS = "network.bin"

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CacheEntry:
    """A converted network that was found whole; `checks` are `CheckResult` by precision and situation, as JSON."""

    folder: Path
    facts: Mapping[str, Any]
    checks: Mapping[str, Mapping[str, Any]]

    @property
    def network(self) -> Path:
        """The network's file."""
        return self.folder / NETWORK

    def compiled(self) -> Path | None:
        """Return the folder for compiled networks, or None where nothing can be written."""
        return self.folder / "compiled" if os.access(self.folder, os.W_OK | os.X_OK) else None


class ConversionCache:
    """Converted networks on disk, by default in the user's cache folder; all together take at most `limit` bytes."""

    def __init__(self, folder: Path | None = None, *, limit: int = LIMIT) -> None:
        self.folder = cache_dir() / "networks" if folder is None else folder
        self._limit = limit

    def find(self, key: str) -> CacheEntry | None:
        """Return the entry of `key`, or None where there is none or a broken one, which is deleted if it can be."""
        folder = self.folder / key
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            whole = all(content_hash([folder / name]) == manifest["sha256"][name] for name in (NETWORK, WEIGHTS))
            entry = CacheEntry(folder, manifest["facts"], manifest["verdicts"])
        except FileNotFoundError:
            whole = False
        except (OSError, ValueError, LookupError, TypeError) as error:
            log.info("converted network '%s' is unreadable: %s", folder, error)
            whole = False
        if not whole:
            if folder.exists():
                log.info("converted network '%s' is damaged; converting again", folder)
            self.drop(key)
            return None
        with contextlib.suppress(OSError):  # a folder that cannot be written
            os.utime(folder)
        return entry

    def keep(self, key: str, write: Callable[[Path], None], facts: Mapping[str, Any]) -> CacheEntry:
        """Store a network, which `write` writes to the path that it is given, with its `facts`, and return its entry.

        Raises:
            OSError: The folder cannot be written, or the disk is full; nothing is left behind.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f"{key[:40]}.", suffix=".part", dir=self.folder))
        try:
            try:
                write(made / NETWORK)
            except RuntimeError as error:  # OpenVINO's error where a file cannot be written
                raise OSError(first_line(error)) from error
            sums = {name: content_hash([made / name]) for name in (NETWORK, WEIGHTS)}
            manifest = {"sha256": sums, "facts": dict(facts), "verdicts": {}}
            (made / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
            try:
                made.rename(self.folder / key)
            except OSError:
                if self.find(key) is None:  # else another run was faster
                    raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
        self._shrink(keep=key)
        return CacheEntry(self.folder / key, facts, {})

    def record_check(self, entry: CacheEntry, case: str, check: Mapping[str, Any]) -> CacheEntry:
        """Return the entry with one more check, written to disk where that is possible."""
        checks = {**entry.checks, case: check}
        path = entry.folder / MANIFEST
        part = part_path(path)
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            part.write_text(json.dumps({**manifest, "verdicts": checks}), encoding="utf-8")
            part.replace(path)
        except OSError as error:
            log.info("the check result of '%s' cannot be cached: %s", entry.folder, error)
        return dataclasses.replace(entry, checks=checks)

    def drop(self, key: str) -> None:
        """Delete an entry, as far as that is possible."""
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def _shrink(self, *, keep: str) -> None:
        """Delete the entries unused for the longest time until all fit."""
        try:
            folders = [f for f in self.folder.iterdir() if f.is_dir()]
            sizes = {f: sum(file.stat().st_size for file in f.rglob("*") if file.is_file()) for f in folders}
            total = sum(sizes.values())
            for folder in sorted(folders, key=lambda f: f.stat().st_mtime):
                if total <= self._limit:
                    return
                if folder.name != keep:
                    self.drop(folder.name)
                    total -= sizes[folder]
        except OSError as error:  # another run deletes, too
            log.debug("old converted networks cannot be removed: %s", error)


def content_hash(files: Iterable[Path]) -> str:
    """Return the SHA-256 of the files' contents, one after another.

    Raises:
        OSError: One cannot be read.
    """
    return hashlib.sha256(b"".join(bytes.fromhex(file_hash(path)) for path in files)).hexdigest()
