"""Crops on disk: named, saved, thrown away and taken back; nothing is ever deleted."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mot_dinov3.core import files
from mot_dinov3.core.errors import InputError
from mot_dinov3.gallery.folder import MIN_SIDE, check_identity, find_identities

TRASH = ".trash"
REMEMBERED = 200  # steps of undo
EDGE = 3  # pixels
MAX_NAME = 100  # characters of an identity


def crop_name(identity: str, taken: Iterable[str]) -> str:
    """Return the next free name, ``<identity>_00007.jpg``, counting on from the highest number."""
    pattern = re.compile(re.escape(identity) + r"_(\d+)\.[A-Za-z]+")
    numbers = [int(match[1]) for match in map(pattern.fullmatch, taken) if match]
    return f"{identity}_{max(numbers, default=-1) + 1:05d}.jpg"


def usable_name(name: str) -> str:
    """Return the name of an identity, stripped.

    Raises:
        InputError: It cannot be the name of a folder on every system.
    """
    name = check_identity(name.strip())
    if name.startswith(".") or name.endswith(".") or len(name) > MAX_NAME or re.search(r'[<>:"|?*]', name):
        raise InputError(
            f"identity {name!r} cannot be used as the name of a folder",
            remedy=f'leave out < > : " | ? *, a dot at either end, and take at most {MAX_NAME} characters',
        )
    return name


def crop_window(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the whole-pixel window ``x1, y1, x2, y2`` of a drawn box, clipped to a picture of `size`.

    Raises:
        InputError: What is left is smaller than a gallery can use.
    """
    width, height = size
    x1, x2 = sorted(min(max(round(box[i]), 0), width) for i in (0, 2))
    y1, y2 = sorted(min(max(round(box[i]), 0), height) for i in (1, 3))
    if min(x2 - x1, y2 - y1) < MIN_SIDE:
        raise InputError(
            f"a crop of {x2 - x1}×{y2 - y1} is too small", remedy=f"draw a box of at least {MIN_SIDE}×{MIN_SIDE} pixels"
        )
    return x1, y1, x2, y2


def whole_share(box: Sequence[float], size: tuple[int, int]) -> float:
    """Return how far a tracked box is to be trusted to show somebody whole: little where the picture's edge cuts it."""
    x1, y1, x2, y2 = box
    return 0.2 if x1 < EDGE or y1 < EDGE or x2 > size[0] - EDGE or y2 > size[1] - EDGE else 1.0


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that can be undone.

    Attributes:
        what: What a person reads: ``save of anna_00003.jpg``.
        moves: Where files have to go back to: from, to.
    """

    what: str
    moves: tuple[tuple[Path, Path], ...]


class GalleryDesk:
    """A gallery that somebody works on. Calls come one at a time: the caller holds a lock.

    Args:
        root: Its folder, which need not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._steps: list[Step] = []

    def identities(self) -> dict[str, list[Path]]:
        """Return the pictures of each identity; nothing where there is no gallery yet."""
        return find_identities(self.root) if self.root.is_dir() else {}

    @property
    def last_step(self) -> str:
        """What undo would undo; empty where there is nothing."""
        return self._steps[-1].what if self._steps else ""

    def save(self, identity: str, pictures: Sequence[bytes]) -> list[Path]:
        """Write JPEGs of an identity; makes the gallery and the identity's folder where they are missing.

        Raises:
            OutputLostError: They cannot be written.
        """
        folder = self.root / identity
        with files.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        saved: list[Path] = []
        for data in pictures:
            path = folder / crop_name(identity, (p.name for p in folder.iterdir()))
            with files.replacing(path) as part:
                part.write_bytes(data)
            saved.append(path)
        names = saved[0].name if len(saved) == 1 else f"{len(saved)} crops of {identity}"
        self._note(f"saving {names}", [(path, self._trash_place(path)) for path in saved])
        return saved

    def delete(self, path: Path) -> Path:
        """Move a crop to the trash and return its place there.

        Raises:
            InputError: It is gone already.
        """
        place = self._trash_place(path)
        self._move(path, place)
        self._note(f"deleting {path.name}", [(place, path)])
        return place

    def undo(self) -> str:
        """Take back the last step and return what it was.

        Raises:
            InputError: There is none.
        """
        if not self._steps:
            raise InputError("there is nothing to undo")
        step = self._steps.pop()
        for source, target in step.moves:
            if source.exists():  # somebody may have thrown it away already
                self._move(source, self._free_place(target))
        return step.what

    def _note(self, what: str, moves: Sequence[tuple[Path, Path]]) -> None:
        self._steps = [*self._steps[-REMEMBERED:], Step(what, tuple(moves))]

    def _trash_place(self, path: Path) -> Path:
        return self.root / TRASH / path.parent.name / path.name

    def _free_place(self, path: Path) -> Path:
        """Return `path`, or the next free name beside it: what was saved since keeps its own."""
        if not path.exists():
            return path
        return path.with_name(crop_name(path.parent.name, (p.name for p in path.parent.iterdir())))

    def _move(self, source: Path, target: Path) -> None:
        if not source.is_file():
            raise InputError(f"'{source.name}' is gone already", remedy="reload the page")
        with files.writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(self._free_place(target))
