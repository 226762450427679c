"""Which files the page may touch: those below the roots, and nothing that a link leads out of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mot_dinov3.core.errors import InputError


class OutsideRootsError(InputError):
    """A path that the page may not touch."""


class Roots:
    """The folders that the page may read and write in.

    Args:
        folders: Any paths; they need not exist yet.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        found = dict.fromkeys(folder.expanduser().resolve() for folder in folders)
        self.folders = tuple(f for f in found if not any(f != other and f.is_relative_to(other) for other in found))

    def holds(self, path: Path) -> bool:
        """Tell whether a path, all links followed, lies within a root."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # RuntimeError: links that lead in a circle, before Python 3.13
            return False
        return any(real.is_relative_to(folder) for folder in self.folders)

    def check(self, text: str) -> Path:
        """Return the path that `text` names, all links followed; a relative one is below the first root.

        Raises:
            OutsideRootsError: It lies outside of the roots, contains ``..`` or leads out of them through a link.
        """
        parts = text.replace("\\", "/").split("/")
        if not text.strip() or not text.isprintable() or ".." in parts:
            raise OutsideRootsError(f"path {text[:200]!r} cannot be used", remedy="name a file or folder without '..'")
        path = self.folders[0] / Path(text)
        if not self.holds(path):
            allowed = ", ".join(str(f) for f in self.folders)
            raise OutsideRootsError(
                f"'{text}' is outside of the folders that the studio was given",
                remedy=f"it was given: {allowed}; start it with --root FOLDER for another",
            )
        return path.resolve()
