"""Editing a gallery on disk: crops are saved, moved to the trash and restored; nothing is ever deleted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mot_dinov3.core import files
from mot_dinov3.core.errors import InputError
from mot_dinov3.gallery.folder import MIN_SIDE, check_identity, find_identities

TRASH = ".trash"
MAX_UNDO = 200  # steps
EDGE = 3  # pixels
MAX_NAME = 100  # characters of an identity


def next_crop_name(identity: str, taken: Iterable[str]) -> str:
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
            remedy=f'leave out < > : " | ? *, a dot at either end, and use at most {MAX_NAME} characters',
        )
    return name


def crop_window(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the whole-pixel window ``x1, y1, x2, y2`` of a drawn box, clipped to an image of `size`.

    Raises:
        InputError: The clipped box is smaller than a gallery can use.
    """
    width, height = size
    x1, x2 = sorted(min(max(round(box[i]), 0), width) for i in (0, 2))
    y1, y2 = sorted(min(max(round(box[i]), 0), height) for i in (1, 3))
    if min(x2 - x1, y2 - y1) < MIN_SIDE:
        raise InputError(
            f"a crop of {x2 - x1}×{y2 - y1} is too small", remedy=f"draw a box of at least {MIN_SIDE}×{MIN_SIDE} pixels"
        )
    return x1, y1, x2, y2


def completeness(box: Sequence[float], size: tuple[int, int]) -> float:
    """Return the weight of a tracked box: 1, or little where the image's edge cuts it off."""
    x1, y1, x2, y2 = box
    return 0.2 if x1 < EDGE or y1 < EDGE or x2 > size[0] - EDGE or y2 > size[1] - EDGE else 1.0


class GalleryEditor:
    """A gallery that is edited. Calls come one at a time: the caller holds a lock.

    Args:
        root: Its folder, which need not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._steps: list[tuple[str, list[tuple[Path, Path]]]] = []  # description; files that undoing it moves

    def identities(self) -> dict[str, list[Path]]:
        """Return the files of each identity; none where there is no gallery yet."""
        return find_identities(self.root) if self.root.is_dir() else {}

    @property
    def last_step(self) -> str:
        """Description of the step that `undo` would take back; empty where there is none."""
        return self._steps[-1][0] if self._steps else ""

    def save(self, identity: str, crops: Sequence[bytes]) -> list[Path]:
        """Write JPEGs of an identity; makes the gallery and the identity's folder where they are missing.

        Raises:
            OutputLostError: They cannot be written.
        """
        folder = self.root / identity
        with files.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        saved: list[Path] = []
        for data in crops:
            path = folder / next_crop_name(identity, (p.name for p in folder.iterdir()))
            with files.replacing(path) as part:
                part.write_bytes(data)
            saved.append(path)
        names = saved[0].name if len(saved) == 1 else f"{len(saved)} crops of {identity}"
        self._add_step(f"saving {names}", [(path, self._trash_path(path)) for path in saved])
        return saved

    def delete(self, path: Path) -> Path:
        """Move a crop to the trash and return its path there.

        Raises:
            InputError: It is gone already.
        """
        trash = self._trash_path(path)
        self._move(path, trash)
        self._add_step(f"deleting {path.name}", [(trash, path)])
        return trash

    def undo(self) -> str:
        """Take back the last step and return its description.

        Raises:
            InputError: There is none.
        """
        if not self._steps:
            raise InputError("there is nothing to undo")
        step, moves = self._steps.pop()
        for source, target in moves:
            if source.exists():  # it may have been moved to the trash already
                self._move(source, self._free_path(target))
        return step

    def _add_step(self, what: str, moves: Sequence[tuple[Path, Path]]) -> None:
        self._steps = [*self._steps[-MAX_UNDO:], (what, list(moves))]

    def _trash_path(self, path: Path) -> Path:
        return self.root / TRASH / path.parent.name / path.name

    def _free_path(self, path: Path) -> Path:
        """Return `path`, or the next free name beside it: files that were saved since keep theirs."""
        if not path.exists():
            return path
        return path.with_name(next_crop_name(path.parent.name, (p.name for p in path.parent.iterdir())))

    def _move(self, source: Path, target: Path) -> None:
        if not source.is_file():
            raise InputError(f"'{source.name}' no longer exists", remedy="reload the page")
        with files.writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(self._free_path(target))
