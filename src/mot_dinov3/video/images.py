"""Folders of images as videos: read in order, or any image by its number."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Image, VideoInfo
from mot_dinov3.video.source import BaseSource, RandomAccessFrames, SourceConfig, image_cache, no_such_frame

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
DEFAULT_FPS = 30.0


def natural_key(name: str) -> tuple[list[tuple[str, int]], str]:
    """Return a sort key that puts ``img2`` before ``img10``; the name itself breaks ties."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name.casefold())
    return [(text, int(number or -1)) for text, number in parts], name


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order; hidden files are left out.

    Raises:
        VideoError: There is none, or the folder cannot be read.
    """
    try:
        found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    except OSError as error:
        raise VideoError(f"folder '{folder}' cannot be read: {error.strerror}") from error
    if not found:
        known = ", ".join(sorted(s[1:] for s in SUFFIXES))
        raise VideoError(f"folder '{folder}' contains no images", remedy=f"images end in {known}")
    return sorted(found, key=lambda p: natural_key(p.name))


def read_image(path: Path) -> Image:
    """Return an image file as ``(h, w, 3)`` uint8 BGR, rotated as its EXIF data say.

    Raises:
        VideoError: It cannot be read or decoded.
    """
    import cv2

    try:
        # a pipe would be waited for, a device read for ever
        if not path.is_file() and path.exists() and not path.is_dir():
            raise VideoError(f"image '{path}' cannot be read: it is not a file", remedy="remove it")
        # not cv2.imread: on Windows it cannot open names beyond the system's code page
        data = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except OSError as error:
        raise VideoError(f"image '{path}' cannot be read: {error.strerror}") from error
    except cv2.error as error:
        raise VideoError(f"image '{path}' cannot be decoded: {error.err}") from error
    if image is None:
        raise VideoError(f"image '{path}' cannot be decoded", remedy="it is damaged or not an image; remove it")
    return np.asarray(image, np.uint8)


class ImageFolder(BaseSource[Path]):
    """Images of a folder as frames, in natural order, all of the size of the first; 30 a second by default.

    Raises:
        VideoError: The folder has no images, or its first wanted one cannot be read.
    """

    def __init__(self, config: SourceConfig, folder: Path) -> None:
        super().__init__(config)
        self._paths = list_images(folder)
        self._start: Image | None = read_image(self._paths[0])
        height, width = self._start.shape[:2]
        if config.fps is None:
            self.notices.append(f"a folder of images has no frame rate: {DEFAULT_FPS:g} assumed (--fps sets it)")
        info = VideoInfo(str(folder), width, height, config.fps or DEFAULT_FPS, len(self._paths))
        self._ready(info, len(self._paths))

    @override
    def _raw_frames(self) -> Iterator[tuple[float | None, Path]]:
        for path in self._paths:
            yield None, path

    @override
    def to_image(self, raw: Path) -> Image:
        if self._start is not None and raw == self._paths[0]:
            image, self._start = self._start, None
            return image
        image = read_image(raw)
        height, width = image.shape[:2]
        if (width, height) != (self.info.width, self.info.height):
            raise VideoError(
                f"image '{raw}' is {width}×{height}, the first one is {self.info.width}×{self.info.height}",
                remedy="all images of a folder must have one size",
            )
        return image


class SeekableImages(RandomAccessFrames):
    """Images of a folder by number, in natural order.

    Raises:
        VideoError: There is none, or the first cannot be read.
    """

    complete = True

    def __init__(self, folder: Path) -> None:
        self._paths = list_images(folder)
        height, width = read_image(self._paths[0]).shape[:2]
        self.info = VideoInfo(str(folder), width, height, DEFAULT_FPS, len(self._paths))
        self._cache = image_cache()
        self._lock = threading.Lock()

    @property
    @override
    def known(self) -> int:
        return len(self._paths)

    @override
    def image(self, index: int) -> Image:
        if not 0 <= index < self.known:
            raise no_such_frame(self.info.path, index, self.known)
        with self._lock:
            image = self._cache.get(index)
            return self._cache.put(index, read_image(self._paths[index])) if image is None else image

    @override
    def time(self, index: int) -> float:
        return index / self.info.fps

    @override
    def close(self) -> None:
        self._cache.clear()
