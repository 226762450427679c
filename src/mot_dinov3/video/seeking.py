"""Any frame of a video file or folder of images by its number, in any order: for people, who jump about."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from mot_dinov3.core.errors import VideoError
from mot_dinov3.core.structures import Image, VideoInfo
from mot_dinov3.video.images import DEFAULT_FPS, list_images, read_image
from mot_dinov3.video.picture_cache import PictureCache
from mot_dinov3.video.seekable_video import SeekableVideo, beyond


class SeekableFrames(Protocol):
    """Frames by number.

    Attributes:
        info: What is known of the source; its frame count is exact once `complete`.
    """

    info: VideoInfo

    @property
    def known(self) -> int:
        """Frames whose place is known so far."""
        ...

    @property
    def complete(self) -> bool:
        """Whether `known` is all of them."""
        ...

    def picture(self, number: int) -> Image:
        """Return a frame, ``(h, w, 3)`` uint8 BGR; not to be changed. Any thread may call it."""
        ...

    def time(self, number: int) -> float:
        """Return a frame's time in seconds from the first."""
        ...

    def close(self) -> None:
        """Release the file; may be called twice."""
        ...


def open_seekable(path: Path) -> SeekableFrames:
    """Open a video file, or a folder of images, for frames in any order.

    Raises:
        VideoError: It cannot be opened, or has no frame.
    """
    if path.is_dir():
        return SeekableImages(path)
    if not path.is_file():
        raise VideoError(f"video '{path}' does not exist", remedy="choose another file")
    return SeekableVideo(path)


class SeekableImages:
    """The pictures of a folder, in natural order.

    Args:
        folder: Where they are.

    Raises:
        VideoError: There is none, or the first cannot be read.
    """

    complete = True

    def __init__(self, folder: Path) -> None:
        self._paths = list_images(folder)
        height, width = read_image(self._paths[0]).shape[:2]
        self.info = VideoInfo(str(folder), width, height, DEFAULT_FPS, len(self._paths))
        self._cache = PictureCache()
        self._lock = threading.Lock()

    @property
    def known(self) -> int:
        """Number of pictures."""
        return len(self._paths)

    def picture(self, number: int) -> Image:
        """Return a picture; see `SeekableFrames`."""
        if not 0 <= number < self.known:
            raise beyond(self.info.path, number, self.known)
        with self._lock:
            image = self._cache.get(number)
            if image is None:
                image = read_image(self._paths[number])
                self._cache.put(number, image)
            return image

    def time(self, number: int) -> float:
        """Return a frame's time in seconds."""
        return number / self.info.fps

    def close(self) -> None:
        """Drop what is held."""
        self._cache.clear()
