"""What a running studio holds: its roots, its jobs, and the files that are open."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from mot_dinov3.apps.studio.config import StudioOptions
from mot_dinov3.apps.studio.gallery_editor import GalleryDesk
from mot_dinov3.apps.studio.jobs import Jobs
from mot_dinov3.apps.studio.label_store import Board
from mot_dinov3.apps.studio.patch_similarity import FeatureCache
from mot_dinov3.apps.studio.roots import Roots
from mot_dinov3.apps.studio.track_index import Tracked
from mot_dinov3.video.random_access import open_random_access
from mot_dinov3.video.source import RandomAccessFrames

OPEN_VIDEOS = 3
OPEN_GALLERIES = 50
OPEN_TRACKS = 2
OPEN_BOARDS = 10
OPEN_MODELS = 2

T = TypeVar("T")


class Shelf(Generic[T]):
    """The few things of a kind that were used last; made when first asked for, dropped when too many.

    Args:
        make: Makes the thing of a path.
        drop: Called with a thing that is dropped.
        size: How many.
    """

    def __init__(self, make: Callable[[Path], T], *, size: int, drop: Callable[[T], None] = lambda _: None) -> None:
        self._make, self._drop, self._size = make, drop, size
        self._held: OrderedDict[tuple[Path, str], T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path, stamp: str = "", make: Callable[[], T] | None = None) -> T:
        """Return the thing of a path; another `stamp` makes it anew, with `make` where the path does not say all."""
        key = path, stamp
        with self._lock:
            if key not in self._held:
                for old in [k for k in self._held if k[0] == path]:
                    self._drop(self._held.pop(old))
                self._held[key] = self._make(path) if make is None else make()
            self._held.move_to_end(key)
            while len(self._held) > self._size:
                self._drop(self._held.popitem(last=False)[1])
            return self._held[key]

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            for thing in self._held.values():
                self._drop(thing)
            self._held.clear()


def file_stamp(path: Path) -> str:
    """Return what changes when a file does; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return hashlib.sha256(f"{path}|{status.st_size}|{status.st_mtime_ns}".encode()).hexdigest()[:16]


def _unmade(path: Path) -> Board:
    raise AssertionError("a board is made by the one who asks for it")


class Studio:
    """A running studio.

    Args:
        command: Its options.
        roots: The folders it may touch.
    """

    def __init__(self, command: StudioOptions, roots: Roots) -> None:
        self.command, self.roots = command, roots
        self.jobs = Jobs()
        self.galleries: Shelf[GalleryDesk] = Shelf(GalleryDesk, size=OPEN_GALLERIES)
        self.tracks: Shelf[Tracked] = Shelf(Tracked, size=OPEN_TRACKS)
        self.boards: Shelf[Board] = Shelf(_unmade, size=OPEN_BOARDS)
        self.features = FeatureCache()
        self._models: OrderedDict[Hashable, Any] = OrderedDict()
        self._loading = threading.Lock()
        self._videos: Shelf[RandomAccessFrames] = Shelf(open_random_access, size=OPEN_VIDEOS, drop=lambda v: v.close())
        self.writing = threading.RLock()  # held while files are changed: two tabs are two threads

    def video(self, text: str) -> tuple[Path, RandomAccessFrames]:
        """Return a video's path and its frames.

        Raises:
            InputError: It lies outside the roots or cannot be opened.
        """
        path = self.roots.check(text)
        return path, self._videos.get(path, file_stamp(path))

    def loaded(self, key: Hashable, load: Callable[[], T]) -> T:
        """Return a model, loaded when it is first asked for; the last few stay."""
        with self._loading:
            if key not in self._models:
                self._models[key] = load()
            self._models.move_to_end(key)
            while len(self._models) > OPEN_MODELS:
                self._models.popitem(last=False)
            return cast(T, self._models[key])

    def close(self) -> None:
        """Stop all jobs and close all files."""
        self.jobs.close()
        self._videos.clear()
