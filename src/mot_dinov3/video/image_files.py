"""Image files: those of a folder in natural order, and their pixels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mot_dinov3.core.errors import FormatError, VideoError
from mot_dinov3.core.files import natural_key, replacing
from mot_dinov3.core.structures import Image
from mot_dinov3.formats.seqinfo import SEQINFO, read_seqinfo
from mot_dinov3.video.grey_levels import GreyLevels, Raw, as_bgr, is_deep_grey
from mot_dinov3.video.source import VIDEO_SUFFIXES

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
BATCH = "mot-dinov3 batch {} --out-dir DIR"
DECODED_AS_STORED = 2 | 4
"""OpenCV's ``IMREAD_ANYDEPTH | IMREAD_ANYCOLOR``: no conversion to 8 bits or to colours, but the EXIF rotation."""


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order; hidden files are left out.

    Raises:
        VideoError: There is none, or the folder cannot be read.
    """
    try:
        files = [p for p in folder.iterdir() if not p.name.startswith(".")]
    except OSError as error:
        raise VideoError(f"folder '{folder}' cannot be read: {error.strerror}") from error
    found = [p for p in files if p.suffix.lower() in SUFFIXES]
    if not found:
        if videos := sum(p.suffix.lower() in VIDEO_SUFFIXES for p in files):
            raise VideoError(
                f"folder '{folder}' contains no images, but {videos} video{'s' * (videos > 1)}",
                remedy=f"name one video, or process all with batch: {BATCH.format(folder)}",
            )
        if inner := next((p for p in sorted(files) if _has_images(p)), None):
            raise VideoError(f"folder '{folder}' contains no images, but a folder of them", remedy=f"give '{inner}'")
        known = ", ".join(sorted(s[1:] for s in SUFFIXES))
        raise VideoError(f"folder '{folder}' contains no images", remedy=f"images end in {known}")
    return sorted(found, key=lambda p: natural_key(p.name))


def _has_images(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
    return False


def check_images(paths: Iterable[Path]) -> None:
    """Make sure, without reading them, that image files are there, so that a run does not end at one in its middle.

    Raises:
        VideoError: One is empty, or a link to nothing.
    """
    for path in paths:
        try:
            if path.stat().st_size == 0 and path.is_file():
                raise VideoError(f"image '{path}' is empty (0 bytes)", remedy="remove it, or copy it again")
        except OSError as error:
            raise VideoError(f"image '{path}' cannot be read: {error.strerror}", remedy="remove it") from error


def sequence_rate(folder: Path) -> tuple[float, Path | None]:
    """Return the frame rate of a MOTChallenge sequence, whose images are in `folder`, and the file that gives it.

    Zero and None where there is no ``seqinfo.ini``, or it is not usable.
    """
    for path in (folder.absolute().parent / SEQINFO, folder / SEQINFO):
        with contextlib.suppress(FormatError):
            info, is_known = read_seqinfo(path) if path.is_file() else (None, False)
            if info is not None and is_known:
                return info.fps, path
    return 0.0, None


def image_names(source: str | None) -> tuple[str, ...]:
    """Return the names of a source's image files, in the order of its frames; none where it is no folder.

    Raises:
        VideoError: The folder has no images, or cannot be read.
    """
    folder = Path(source) if source else None
    return tuple(path.name for path in list_images(folder)) if folder is not None and folder.is_dir() else ()


def decode_image(path: Path) -> Raw:
    """Return the pixels of an image file, BGR or grey, of any type, rotated as its EXIF data say.

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
        image = cv2.imdecode(data, DECODED_AS_STORED) if data.size else None
    except OSError as error:
        raise VideoError(f"image '{path}' cannot be read: {error.strerror}") from error
    except cv2.error as error:
        raise VideoError(f"image '{path}' cannot be decoded: {error.err}") from error
    if image is None:
        raise VideoError(f"image '{path}' cannot be decoded", remedy="it is damaged or not an image; remove it")
    return np.asarray(image)


def read_image(path: Path) -> Image:
    """Return an image file as ``(h, w, 3)`` uint8 BGR; grey of more than 8 bits is scaled by its own range.

    Raises:
        VideoError: It cannot be read or decoded.
    """
    raw = decode_image(path)
    return as_bgr(raw, GreyLevels.of([raw]) if is_deep_grey(raw) else None)


def write_image(path: Path, image: Image, *, quality: int | None = None) -> None:
    """Write an image in the format that its extension names, as PNG without one.

    Args:
        path: The file; its folder exists.
        image: ``(h, w, 3)`` BGR.
        quality: Of a JPEG, 0…100; None for OpenCV's.
    """
    import cv2

    _, data = cv2.imencode(path.suffix or ".png", image, [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality])
    with replacing(path) as part:
        part.write_bytes(data.tobytes())
