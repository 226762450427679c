"""State of a running studio: its roots, its jobs, and the files and models that are open."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, TypeVar

from mot_dinov3.apps.identities.person_search import Searched
from mot_dinov3.apps.studio.access import Roots
from mot_dinov3.apps.studio.config import StudioOptions
from mot_dinov3.apps.studio.gallery_editor import GalleryEditor
from mot_dinov3.apps.studio.jobs import Jobs
from mot_dinov3.apps.studio.label_store import LabelStore
from mot_dinov3.apps.studio.requests import Request
from mot_dinov3.apps.studio.track_index import TrackIndex
from mot_dinov3.apps.track_editing import TrackEditor
from mot_dinov3.core.lru import LruCache
from mot_dinov3.video.random_access import open_random_access
from mot_dinov3.video.source import RandomAccessFrames

OPEN_VIDEOS = 3
OPEN_GALLERIES = 50
OPEN_TRACKS = 2
OPEN_LABELS = 10
SEARCHED_REGISTRIES = 1  # their embeddings are in memory
OPEN_MODELS = 2
DESCRIPTOR_BYTES = 400_000_000

T = TypeVar("T")


class SharedCache(Generic[T]):
    """A bounded cache for several threads, which makes what it does not hold, one value at a time.

    Args:
        capacity: See `LruCache`, as for the others.
        size: Returns the size of a value.
        on_drop: Called with a value that is dropped.
    """

    def __init__(
        self,
        capacity: float,
        *,
        size: Callable[[T], float] = lambda _: 1,
        on_drop: Callable[[T], None] = lambda _: None,
    ) -> None:
        self._lock = threading.Lock()
        self._cache: LruCache[Hashable, tuple[str, T]] = LruCache(
            capacity, size=lambda held: size(held[1]), on_drop=lambda held: on_drop(held[1])
        )

    def get(self, key: Hashable, make: Callable[[], T], *, stamp: str = "") -> T:
        """Return the value of `key`; it is made where none is held, or one with another `stamp`."""
        with self._lock:
            held = self._cache.get(key)
            if held is None or held[0] != stamp:
                held = self._cache.put(key, (stamp, make()))
            return held[1]

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._cache.clear()


def file_stamp(path: Path) -> str:
    """Return a text that changes when a file does; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return hashlib.sha256(f"{path}|{status.st_size}|{status.st_mtime_ns}".encode()).hexdigest()[:16]


class Studio:
    """A running studio.

    Args:
        options: All options of the command.
        roots: The folders that the page may touch.

    Attributes:
        jobs: Work in the background.
        galleries: Galleries by folder.
        tracks: Track files by path, as the gallery shows them.
        editors: Track files that are corrected, by path.
        labels: Keypoint labels by folder.
        searched: Tracks of registries with their embeddings, by folder.
        models: Embedders and keypoint backends by their configuration.
        descriptors: Dense descriptors of frames, for the similarity of a clicked patch.
        page: What the page showed last, by name, for a new tab.
        writing: Held while files are changed: two tabs are two threads.
    """

    def __init__(self, options: StudioOptions, roots: Roots) -> None:
        self.options, self.roots = options, roots
        self.jobs = Jobs()
        self.galleries = SharedCache[GalleryEditor](OPEN_GALLERIES)
        self.tracks = SharedCache[TrackIndex](OPEN_TRACKS)
        self.editors = SharedCache[TrackEditor](OPEN_TRACKS, on_drop=lambda editor: editor.close())
        self.labels = SharedCache[LabelStore](OPEN_LABELS)
        self.searched = SharedCache[Searched](SEARCHED_REGISTRIES)
        self.models = SharedCache[Any](OPEN_MODELS)
        self.descriptors = SharedCache[Any](DESCRIPTOR_BYTES, size=lambda described: described[0].cells.nbytes)
        self._videos = SharedCache[RandomAccessFrames](OPEN_VIDEOS, on_drop=lambda video: video.close())
        self.page: dict[str, str] = {}
        self.writing = threading.RLock()

    def video(self, text: str) -> tuple[Path, RandomAccessFrames]:
        """Return a video's path and its frames.

        Raises:
            InputError: It lies outside the roots or cannot be opened.
        """
        path = self.roots.check(text)
        return path, self._videos.get(path, lambda: open_random_access(path), stamp=file_stamp(path))

    def model(self, request: Request, name: str = "model") -> str | None:
        """Return the model that a value of a request names: a hub id, a file below the roots, or None.

        Raises:
            OutsideRootsError: The file lies outside the roots.
        """
        text = request.text(name, "").strip()
        if not text:
            return None
        places = (self.roots.folders[0] / text, Path(text))  # loaders also try the current folder
        local = next((path for path in places if path.exists()), None)
        if local is None and not text.startswith(("/", "~", ".")):
            return text
        return str(self.roots.check(text if local is None else str(local.absolute())))

    def close(self) -> None:
        """Stop all jobs and close all files."""
        self.jobs.close()
        self._videos.clear()
        self.editors.clear()


Handler = Callable[[Studio, Request], Any]
"""Answers a request of the page, in a thread: with plain JSON, a response, or the job that it started."""
Routes = dict[tuple[str, str], Handler]
"""Method and path → handler."""
