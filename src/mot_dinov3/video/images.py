"""Series of still images as videos: the files of a folder, the pages of a TIFF, the frames of an animated WebP."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import struct
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import VideoError, first_line
from mot_dinov3.core.structures import Image, VideoInfo
from mot_dinov3.video.grey_levels import SAMPLES, GreyLevels, Raw, as_bgr, is_deep_grey
from mot_dinov3.video.image_files import check_images, decode_image, list_images, sequence_rate
from mot_dinov3.video.source import BaseSource, RandomAccessFrames, SourceConfig, image_cache, no_such_frame

DEFAULT_FPS = 30.0
UNTIMED_MS = 100  # what browsers take for a frame of an animation without a time
Key = TypeVar("Key")

PILLOW_FAILURES = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, struct.error),
    ImportError,  # Ultralytics replaces Pillow's `open` by one that asks for a package where an image is not recognised
)
"""What Pillow raises for damaged files of one kind or another."""

SUBFILE_TYPE, REDUCED = 254, 1  # a page of a TIFF that is another one at a lower resolution

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class ImageSeries(ABC, Generic[Key]):
    """Images in order, all as 8-bit BGR of the first one's size.

    Attributes:
        path: The folder or file.
        keys: What each image is read by: its path, or its number in the file.
        times: Seconds of each image from the first; empty where the series has no timing.
        fps: Images per second, by their times, by another file or assumed.
        timed_by: The file that gives `fps`; None for none.
        notices: Messages for the user.

    Raises:
        VideoError: There is no image, or the first cannot be read.
    """

    timed_by: Path | None = None

    def __init__(
        self, path: Path, keys: Sequence[Key], times: Sequence[float] = (), *, fps: float = DEFAULT_FPS
    ) -> None:
        self.path = path
        self.keys = keys
        self.times = times
        self.fps = fps
        self.notices: list[str] = []
        self._levels: GreyLevels | None = None
        self._sampled = self._resized = False
        height, width = self.raw(keys[0]).shape[:2]
        self._size = (width, height)

    @property
    def info(self) -> VideoInfo:
        """Properties of the series as a video."""
        return VideoInfo(str(self.path), *self._size, self.fps, len(self.keys))

    @abstractmethod
    def raw(self, key: Key) -> Raw:
        """Return the decoded pixels of an image, rotated as its EXIF data say.

        Raises:
            VideoError: It cannot be read or decoded.
        """

    def label(self, key: Key) -> str:
        """Return what names an image in messages."""
        return f"image {key} of '{self.path}'"

    def image(self, key: Key) -> Image:
        """Return an image as ``(h, w, 3)`` uint8 BGR.

        Raises:
            VideoError: It cannot be read or decoded.
        """
        raw = self.raw(key)
        if raw.dtype != np.uint8 and not self._sampled:
            self._sample()
        levels = self._levels
        if levels is None and raw.dtype not in (np.uint8, np.uint16):  # the only one of its kind
            levels = GreyLevels.of([raw])
        return self._scaled(as_bgr(raw, levels), key)

    def _sample(self) -> None:
        """Take the range of grey values from images all over the series."""
        self._sampled = True
        deep = []
        for place in np.unique(np.linspace(0, len(self.keys) - 1, SAMPLES).astype(int)).tolist():
            with contextlib.suppress(VideoError):  # it is reported when reading arrives there
                if (raw := self.raw(self.keys[place])).dtype != np.uint8:
                    deep.append(raw)
        if all(map(is_deep_grey, deep)):
            self._levels = GreyLevels.of(deep)
            self.notices.append(f"'{self.path}': {self._levels.notice}")

    def _scaled(self, image: Image, key: Key) -> Image:
        import cv2

        height, width = image.shape[:2]
        if (width, height) == self._size:
            return image
        if not self._resized:
            self._resized = True
            self.notices.append(
                f"{self.label(key)} is {width}×{height}: scaled to {self._size[0]}×{self._size[1]} like the first, "
                "as are all other images of a different size"
            )
        method = cv2.INTER_AREA if width > self._size[0] else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, self._size, interpolation=method), np.uint8)

    def close(self) -> None:
        """Close the file; may be called twice."""
        return


class FolderSeries(ImageSeries[Path]):
    """Images that are files of their own; the frame rate is that of a MOTChallenge sequence, where they are one."""

    def __init__(self, folder: Path, paths: Sequence[Path]) -> None:
        self._last: tuple[Path, Raw] | None = None
        rate, self.timed_by = sequence_rate(folder) if len(paths) > 1 else (0.0, None)
        super().__init__(folder, paths, fps=rate or DEFAULT_FPS)
        if len(paths) > 1 and is_series(paths[0]) and (pages := _count_images(paths[0])) > 1:
            self.notices.append(f"'{paths[0]}' holds {pages} images: of each file of a folder the first is used")

    @override
    def raw(self, key: Path) -> Raw:
        if self._last is None or self._last[0] != key:
            self._last = key, decode_image(key)
        return self._last[1]

    @override
    def label(self, key: Path) -> str:
        return f"image '{key}'"


class PagedSeries(ImageSeries[int]):
    """The pages of a TIFF file, or the frames of an animated WebP.

    Args:
        path: The file.
        durations: Milliseconds for which each frame is shown; empty for pages.
    """

    def __init__(self, path: Path, durations: Sequence[int] = ()) -> None:
        from PIL import Image as Pillow

        self._failures = (*PILLOW_FAILURES, Pillow.DecompressionBombError)
        try:
            self._image = Pillow.open(path, formats=["TIFF", "WEBP"])
        except self._failures as error:
            raise VideoError(f"image '{path}' cannot be decoded: {first_line(error)}") from error
        count, is_whole = self._count()
        if durations:
            ends = list(itertools.accumulate(ms or UNTIMED_MS for ms in durations[:count]))
            super().__init__(path, range(count), [ms / 1000 for ms in (0, *ends[:-1])], fps=1000 * len(ends) / ends[-1])
        else:
            super().__init__(path, range(count))
        if not is_whole:
            self.notices.append(f"'{path}' ends early: {count} images are present (truncated?)")

    def _count(self) -> tuple[int, bool]:
        """Return the number of images, and whether the file ends behind the last one."""
        count = 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of a list of pages that is cut off
            try:
                while True:
                    self._image.seek(count)
                    count += 1
            except EOFError:
                return count, True
            except (*self._failures, Warning):
                return max(count, 1), False

    @override
    def raw(self, key: int) -> Raw:
        try:
            self._image.seek(key)
            if self._image.mode.startswith(("I", "F")):
                values = np.asarray(self._image)
                return values.astype(np.uint16) if values.dtype.kind == "u" else values
            return np.ascontiguousarray(np.asarray(self._image.convert("RGB"))[..., ::-1])
        except self._failures as error:
            raise VideoError(f"{self.label(key)} cannot be decoded: {first_line(error)}") from error

    @override
    def close(self) -> None:
        self._image.close()


def webp_durations(path: Path) -> list[int]:
    """Return the milliseconds for which each frame of an animated WebP is shown; empty for any other file."""
    found: list[int] = []
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WEBP":
            return []
        while len(chunk := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            body = file.read(15) if name == b"ANMF" else b""
            if len(body) == 15:
                found.append(int.from_bytes(body[12:], "little"))
            file.seek(size + size % 2 - len(body), 1)
    return found


def is_series(path: Path) -> bool:
    """Return whether a path is a folder, a TIFF or an animated WebP, which `open_series` opens."""
    if not path.is_file():  # a pipe would be waited for, and what is read from it is lost
        return path.is_dir()
    try:
        with path.open("rb") as file:
            return file.read(4) in TIFF_MAGIC or bool(webp_durations(path))
    except OSError:  # whoever opens it reports that
        return False


def open_series(path: Path) -> ImageSeries[Any]:
    """Open a folder of images, a TIFF or an animated WebP.

    Raises:
        VideoError: There is no image, or the first cannot be read.
    """
    if path.is_dir():
        return FolderSeries(path, list_images(path))
    durations = webp_durations(path)
    return PagedSeries(path, durations) if durations else _open_tiff(path)


def _open_tiff(path: Path) -> ImageSeries[Any]:
    try:
        return PagedSeries(path)
    except VideoError as error:
        import cv2

        # floating point of 64 bits or in colours: OpenCV decodes a single one
        if cv2.imcount(str(path)) > 1:
            raise VideoError(error.message, remedy="write the pages as 8-bit, 16-bit or 32-bit images") from error
        return FolderSeries(path, [path])


def _count_images(path: Path) -> int:
    try:
        with contextlib.closing(open_series(path)) as series:
            return len(series.keys)
    except VideoError:  # it is reported when reading arrives there
        return 1


class ImageFolder(BaseSource[Key]):
    """Images of a folder, or of a file that holds several, as frames of the size of the first.

    Raises:
        VideoError: The first wanted image cannot be read.
    """

    def __init__(self, config: SourceConfig, series: ImageSeries[Key]) -> None:
        super().__init__(config)
        self._series = series
        self.notices = series.notices  # the same list: the series goes on adding to it
        info = series.info
        if isinstance(series, FolderSeries):
            check_images(series.keys[config.start_frame : config.end_frame])
        if config.fps is None and series.timed_by is not None:
            self.notices.append(f"'{series.path}': {info.fps:g} fps, as '{series.timed_by}' says (--fps sets another)")
        elif config.fps is None and not series.times and info.frame_count > 1:
            what = "a folder of images" if series.path.is_dir() else f"'{series.path}'"
            self.notices.append(f"{what} has no frame rate: {DEFAULT_FPS:g} assumed (--fps sets it)")
        self._ready(dataclasses.replace(info, fps=config.fps or info.fps), info.frame_count)

    @override
    def _raw_frames(self) -> Iterator[tuple[float | None, Key]]:
        yield from zip(self._series.times or itertools.repeat(None), self._series.keys)

    @override
    def to_image(self, raw: Key) -> Image:
        return self._series.image(raw)

    @override
    def _release(self) -> None:
        self._series.close()


class SeekableImages(RandomAccessFrames):
    """Images of a series by number."""

    complete = True

    def __init__(self, series: ImageSeries[Any]) -> None:
        self._series = series
        self.info = series.info
        self._cache = image_cache()
        self._lock = threading.Lock()

    @property
    @override
    def known(self) -> int:
        return len(self._series.keys)

    @override
    def image(self, index: int) -> Image:
        if not 0 <= index < self.known:
            raise no_such_frame(self.info.path, index, self.known)
        with self._lock:
            image = self._cache.get(index)
            if image is None:
                image = self._cache.put(index, self._series.image(self._series.keys[index]))
            return image

    @override
    def time(self, index: int) -> float:
        times = self._series.times
        return times[index] if index < len(times) else index / self.info.fps

    @override
    def close(self) -> None:
        self._cache.clear()
        self._series.close()
