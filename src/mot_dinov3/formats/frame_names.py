"""Frames by the names of their images: the one rule for all formats whose records name an image, not a frame.

In this order:

1. The images of the given source, or of a folder of images beside the file: an image's frame is its position among them
   in natural order. Names are compared without folder and extension; where they differ, by their numbers.
2. The number at the end of the name. CVAT (``frame_000012``) and the frames that Roboflow takes from videos
   (``walk_mp4-0012_jpg.rf.<hash>``) count from 0; other numbers count from 0 where a 0 is among them, else from 1. A
   hash or a UUID is no number.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mot_dinov3.core.errors import FormatError
from mot_dinov3.core.files import natural_key
from mot_dinov3.core.json_text import MAX_FRAME
from mot_dinov3.formats.recorded_detections import ReadOptions, RecordedDetections

IMAGE_NAME = re.compile(r"[^.].*\.(?:jpe?g|png|bmp|tiff?|webp)", re.IGNORECASE)
MAX_IMAGES = 2_000_000
_ROBOFLOW = re.compile(r"(.+?)(?:_(?:jpe?g|png|bmp|tiff?|webp))?\.rf\.[0-9A-Za-z]{6,}", re.IGNORECASE)
_VIDEO_FRAME = re.compile(r".+_(?:mp4|m4v|mov|avi|mkv|webm|mpe?g|wmv|ts)-[0-9]{1,9}", re.IGNORECASE)
_CVAT = re.compile(r"frame_[0-9]{6}")
_UUID = re.compile(r"(?:^|[^0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
_HASH = re.compile(r"[0-9a-f]*[0-9][a-f][0-9a-f]*", re.IGNORECASE)
_LEAST_HASH = 8  # hexadecimal digits
_NAMING = "name the images by their frame numbers, such as 000001.jpg, or give the folder of the images as the source"


@dataclasses.dataclass(frozen=True)
class NamedFrames:
    """Frames of names.

    Attributes:
        numbers: 0-based frame of each name, in the order of the names.
        notice: Which rule gave them; empty where the source's own images did.
        by_number: They are the numbers in the names, not the positions of images.
    """

    numbers: tuple[int, ...]
    notice: str = ""
    by_number: bool = False


def plain_stem(name: str) -> str:
    """Return an image's name without folder, extension, and what Roboflow adds when it exports it."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = re.sub(r"\.[A-Za-z][A-Za-z0-9]{0,4}$", "", base)
    exported = _ROBOFLOW.fullmatch(stem)
    return exported[1] if exported else stem


def number_in(stem: str) -> int | None:
    """Return the number at the end of a name without extension; None where there is none, or only that of a hash."""
    found = re.search(r"[0-9]+$", stem)
    word = re.split(r"[^0-9A-Za-z]", stem)[-1]
    is_hash = len(word) >= _LEAST_HASH and _HASH.fullmatch(word) is not None
    if found is None or is_hash or _UUID.search(stem) or len(found[0].lstrip("0")) > len(str(MAX_FRAME)):
        return None
    return number if (number := int(found[0])) <= MAX_FRAME else None


def frames_of_names(path: Path, names: Sequence[str], options: ReadOptions, beside: Iterable[Path] = ()) -> NamedFrames:
    """Return the frames of the images called `names`, which differ.

    `beside` are folders that may hold the images; they are only used where the user gave no source.

    Raises:
        FormatError: A name has no frame, or two have the same; the message names them.
    """
    stems = [plain_stem(name) for name in names]
    if options.images:
        named = _among(path, names, stems, options.images)
    else:
        named = _beside(path, stems, () if options.source else beside) or _by_number(path, names, stems)
    first: dict[int, str] = {}
    for name, frame in zip(names, named.numbers):
        if (other := first.setdefault(frame, name)) != name:
            raise FormatError(
                f"'{path}': '{name:.80}' is for the same frame as '{other:.80}'",
                remedy="use one file or folder per video",
            )
    return named


def _among(path: Path, names: Sequence[str], stems: Sequence[str], images: Sequence[str]) -> NamedFrames:
    """Return the frames by the images of the source.

    Raises:
        FormatError: A name is not among them, neither whole nor by its number.
    """
    of_images = list(map(plain_stem, images))
    found = _positions(stems, of_images)
    if found is not None:
        return NamedFrames(found)
    if all(map(_counts_from_zero, stems)):
        counted = _by_number(path, names, stems)
        if max(counted.numbers) < len(images):
            return counted
    else:
        found = _positions(list(map(number_in, stems)), list(map(number_in, of_images)))
        if found is not None:
            notice = f"'{path}' and the source name their images differently: they are matched by number, such as "
            return NamedFrames(found, f"{notice}'{names[0]:.80}' and '{images[found[0]]:.80}' (frame {found[0]})")
    missing = next(name for name, stem in zip(names, stems) if stem not in set(of_images))
    raise FormatError(
        f"'{path}' has '{missing:.80}', but the source has no image of that name or number",
        remedy="give the images that these boxes belong to as the source",
    )


def _positions(keys: Sequence[object], of_images: Sequence[object]) -> tuple[int, ...] | None:
    """Return the position of each key among those of the images; None where one is missing, unknown or ambiguous."""
    places = {key: place for place, key in enumerate(of_images)}
    if len(places) < len(of_images) or None in keys or any(key not in places for key in keys):
        return None
    return tuple(places[key] for key in keys)


def _beside(path: Path, stems: Sequence[str], folders: Iterable[Path]) -> NamedFrames | None:
    """Return the frames by the images of the first folder that has an image for every name."""
    for folder in folders:
        if not folder.is_dir():
            continue
        named = (entry.name for entry in folder.iterdir() if IMAGE_NAME.fullmatch(entry.name))
        images = sorted(itertools.islice(named, MAX_IMAGES), key=natural_key)
        found = _positions(stems, list(map(plain_stem, images))) if images else None
        if found:
            notice = (
                f"'{path}': frames are numbered by the {len(images)} images in '{folder}', '{images[0]:.80}' is frame 0"
            )
            return NamedFrames(found, notice)
    return None


def _by_number(path: Path, names: Sequence[str], stems: Sequence[str]) -> NamedFrames:
    """Return the frames by the numbers in the names."""
    numbers: list[int] = []
    for name, stem in zip(names, stems):
        number = number_in(stem)
        if number is None:
            raise FormatError(f"'{path}': '{name:.80}' does not end with a frame number", remedy=_NAMING)
        numbers.append(number)
    if not numbers:
        return NamedFrames(())
    first = 0 if 0 in numbers or all(map(_counts_from_zero, stems)) else 1
    notice = (
        f"'{path}' does not number its frames: the numbers in the names of its images are used, number {first} is "
        f"frame 0 ('{names[numbers.index(min(numbers))]:.80}' is frame {min(numbers) - first})"
    )
    if is_scattered(numbers):
        notice += "; no two of them are consecutive"
    return NamedFrames(tuple(number - first for number in numbers), notice, by_number=True)


def _counts_from_zero(stem: str) -> bool:
    return bool(_CVAT.fullmatch(stem) or _VIDEO_FRAME.fullmatch(stem))


def check_named_frames(recorded: RecordedDetections) -> None:
    """Raise `FormatError` where numbers in names were taken as frames, and are those of something else."""
    if recorded.by_number and is_scattered(recorded.frames):
        raise FormatError(
            f"'{recorded.path}' has no two consecutive frames: the numbers in its names are no frame numbers",
            remedy="give the folder of its images as the source, or convert it to det-v1 if the frames are right",
        )


def is_scattered(numbers: Iterable[int]) -> bool:
    """Return whether there are three numbers or more, and no two are consecutive."""
    rising = sorted(set(numbers))
    return len(rising) > 2 and all(b - a > 1 for a, b in itertools.pairwise(rising))
